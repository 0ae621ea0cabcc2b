/* One table says what can be set; file, environment and flags all end in its setters, so that they accept the same
 * values and complain in the same words. */
#include "agent/options_keys.h"

#include "agent/delivery/spool.h"
#include "agent/extras.h"
#include "agent/perf/events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int options_fail(const struct option_source *source, const char *format, ...)
{
	va_list args;
	int n = snprintf(source->error, OPTIONS_ERROR_SIZE, "%.*s: ", OPTIONS_ERROR_SIZE / 2, source->name);
	va_start(args, format);
	(void)vsnprintf(source->error + n, OPTIONS_ERROR_SIZE - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

static int set_backend(struct options *options, const char *value, const struct option_source *source)
{
	char host[sizeof(options->backend_host)];
	if (options_parse_address(value, host, sizeof(host), &options->backend_port) < 0)
		return options_fail(source, "\"%.100s\" is not HOST:PORT, for example 127.0.0.1:50051 or [::1]:50051",
				    value);
	memcpy(options->backend_host, host, sizeof(host));
	return 0;
}

static int set_metrics_listen(struct options *options, const char *value, const struct option_source *source)
{
	char host[sizeof(options->metrics_host)];
	if (options_parse_address(value, host, sizeof(host), &options->metrics_port) < 0)
		return options_fail(source, "\"%.100s\" is not ADDRESS:PORT, for example 127.0.0.1:9101 or [::1]:9101",
				    value);
	memcpy(options->metrics_host, host, sizeof(host));
	return 0;
}

static int set_bool(bool *to, const char *value, const struct option_source *source)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return options_fail(source, "\"%.100s\" is neither true nor false", value);
	*to = value[0] == 't';
	return 0;
}

static int set_plaintext(struct options *options, const char *value, const struct option_source *source)
{
	return set_bool(&options->allow_plaintext, value, source);
}

static int set_metrics_plaintext(struct options *options, const char *value, const struct option_source *source)
{
	return set_bool(&options->metrics_plaintext, value, source);
}

static int set_path(char to[OPTIONS_PATH_SIZE], const char *value, const struct option_source *source)
{
	size_t len = strlen(value);
	if (len == 0 || len >= OPTIONS_PATH_SIZE)
		return options_fail(source, "a path of 1 to %d characters is wanted", OPTIONS_PATH_SIZE - 1);
	memcpy(to, value, len + 1);
	return 0;
}

static int set_ca_file(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->ca_file, value, source);
}

static int set_tls_cert(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->tls_cert, value, source);
}

static int set_tls_key(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->tls_key, value, source);
}

static int set_key_file(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->key_file, value, source);
}

static int set_state_dir(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->state_dir, value, source);
}

static int set_spool_bytes(struct options *options, const char *value, const struct option_source *source)
{
	uint64_t bytes;
	if (options_parse_bytes(value, &bytes) < 0 ||
	    (bytes != 0 && (bytes < SPOOL_MIN_BYTES || bytes > SPOOL_MAX_BYTES)))
		return options_fail(
			source, "\"%.100s\" is neither 0 nor a size from 256KiB to 64GiB, for example 64MiB", value);
	options->spool_bytes = bytes;
	return 0;
}

static int set_root(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->root, value, source);
}

static int set_btf(struct options *options, const char *value, const struct option_source *source)
{
	return set_path(options->btf, value, source);
}

static int set_interval(struct options *options, const char *value, const struct option_source *source)
{
	if (options_parse_interval(value, &options->interval_ms) < 0)
		return options_fail(source,
				    "\"%.100s\" is not a number with a unit from 100ms to 1h, for example 1s or 500ms",
				    value);
	return 0;
}

static int set_log_level(struct options *options, const char *value, const struct option_source *source)
{
	if (log_level_parse(value, &options->log_level) < 0)
		return options_fail(source, "\"%.100s\" is none of debug, info, warn, error", value);
	return 0;
}

static int set_log_format(struct options *options, const char *value, const struct option_source *source)
{
	if (log_format_parse(value, &options->log_format) < 0)
		return options_fail(source, "\"%.100s\" is neither logfmt nor json", value);
	return 0;
}

static int set_format(struct options *options, const char *value, const struct option_source *source)
{
	if (strcmp(value, "json") == 0)
		options->format = OPTIONS_FORMAT_JSON;
	else if (strcmp(value, "prometheus") == 0)
		options->format = OPTIONS_FORMAT_PROMETHEUS;
	else
		return options_fail(source, "\"%.100s\" is neither json nor prometheus", value);
	return 0;
}

static int set_top(struct options *options, const char *value, const struct option_source *source)
{
	uint64_t number;
	if (word_u64((struct word){value, strlen(value)}, &number) < 0 || number < 1 || number > SETTINGS_TOP_MAX)
		return options_fail(source, "\"%.100s\" is not a number from 1 to %d", value, SETTINGS_TOP_MAX);
	options->collector.top = (uint32_t)number;
	return 0;
}

static int set_keyframe(struct options *options, const char *value, const struct option_source *source)
{
	if (options_parse_interval(value, &options->collector.keyframe_ms) < 0)
		return options_fail(source, "\"%.100s\" is not a number with a unit from 100ms to 1h, for example 60s",
				    value);
	return 0;
}

static int set_command_line(struct options *options, const char *value, const struct option_source *source)
{
	static const char *const names[] = {
		[COMMAND_LINE_OFF] = "off", [COMMAND_LINE_SCRUBBED] = "scrubbed", [COMMAND_LINE_FULL] = "full"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->collector.command_line = (enum command_line)i;
			return 0;
		}
	}
	return options_fail(source, "\"%.100s\" is none of off, scrubbed, full", value);
}

static int set_custom_dir(struct options *options, const char *value, const struct option_source *source)
{
	_Static_assert(SETTINGS_PATH_SIZE >= OPTIONS_PATH_SIZE, "a path that is accepted has room");
	return set_path(options->collector.custom_dir, value, source);
}

/* "0.01"; digits and a point, as in the JSON output. */
static int set_probe_budget(struct options *options, const char *value, const struct option_source *source)
{
	char *end = NULL;
	double ratio = value[0] >= '0' && value[0] <= '9' ? strtod(value, &end) : -1;
	if (!end || *end != '\0' || !(ratio >= 0 && ratio <= 1))
		return options_fail(source, "\"%.100s\" is not a number from 0 to 1, for example 0.01 for 1%%", value);
	options->collector.probe_budget_ratio = ratio;
	return 0;
}

/* 0, or -EINVAL with the names there are in the error. */
static int check_collector(struct word name, const struct option_source *source)
{
	char all[256] = "";
	for (const char *const *known = source->names; *known; known++) {
		if (word_is(name, *known) && name.len < OPTIONS_NAME_SIZE)
			return 0;
		size_t used = strlen(all);
		(void)snprintf(all + used, sizeof(all) - used, "%s%s", used > 0 ? ", " : "", *known);
	}
	return options_fail(source, "there is no collector \"%.*s\"; there are %s",
			    (int)(name.len < 64 ? name.len : 64), name.text, all);
}

static int too_many(size_t max, const struct option_source *source)
{
	return options_fail(source, "at most %zu names are accepted", max);
}

static void copy_word(char *to, struct word word)
{
	memcpy(to, word.text, word.len);
	to[word.len] = '\0';
}

static int add_disabled(struct options *options, struct word name, const struct option_source *source)
{
	int r = check_collector(name, source);
	if (r == 0 && options->n_disable == OPTIONS_MAX_NAMES)
		r = too_many(OPTIONS_MAX_NAMES, source);
	if (r == 0)
		copy_word(options->disable[options->n_disable++], name);
	return r;
}

/* cpu=500ms */
static int add_interval(struct options *options, struct word item, const struct option_source *source)
{
	const char *equals = memchr(item.text, '=', item.len);
	char time[32];
	uint32_t interval_ms;
	struct word name = {item.text, equals ? (size_t)(equals - item.text) : item.len};
	int r = check_collector(name, source);
	if (r < 0)
		return r;
	size_t len = equals ? item.len - name.len - 1 : 0;
	if (len > 0 && len < sizeof(time))
		copy_word(time, (struct word){equals + 1, len});
	if (len == 0 || len >= sizeof(time) || options_parse_interval(time, &interval_ms) < 0)
		return options_fail(
			source, "\"%.*s\" is not COLLECTOR=TIME with a time from 100ms to 1h, for example cpu=500ms",
			(int)(item.len < 100 ? item.len : 100), item.text);
	if (options->n_intervals == OPTIONS_MAX_NAMES)
		return too_many(OPTIONS_MAX_NAMES, source);
	copy_word(options->intervals[options->n_intervals].collector, name);
	options->intervals[options->n_intervals++].interval_ms = interval_ms;
	return 0;
}

static int add_excluded(struct options *options, struct word name, const struct option_source *source)
{
	struct field_names one = {.n = 1};
	struct field_filter *filter;
	const char *wrong;
	if (options->exclude.n == FIELD_NAMES_MAX)
		return too_many(FIELD_NAMES_MAX, source);
	int r = -EINVAL;
	if (name.len < FIELD_NAME_SIZE) {
		copy_word(one.names[0], name);
		r = field_filter_new(&one, &filter, &wrong);
	}
	if (r < 0)
		return options_fail(
			source,
			"there is no field \"%.*s\" that can be left out; names are those of the JSON output, for "
			"example memory.slab_bytes, disks.devices.discards or vmstat.*",
			(int)(name.len < 100 ? name.len : 100), name.text);
	field_filter_free(filter);
	memcpy(options->exclude.names[options->exclude.n++], one.names[0], FIELD_NAME_SIZE);
	return 0;
}

static int add_extra(struct options *options, struct word name, const struct option_source *source)
{
	char all[256] = "";
	int extra = extra_find(name.text, name.len);
	if (word_is(name, "none")) {
		options->collector.extras = 0;
		return 0;
	}
	for (int i = 0; extra < 0 && i < EXTRAS; i++) {
		size_t used = strlen(all);
		(void)snprintf(all + used, sizeof(all) - used, "%s%s", used > 0 ? ", " : "", extra_name(i));
	}
	if (extra < 0)
		return options_fail(source, "there is no extra \"%.*s\"; there are %s",
				    (int)(name.len < 64 ? name.len : 64), name.text, all);
	options->collector.extras |= (size_t)1 << extra;
	return 0;
}

/* The whole list is judged again with each entry: some complaints are about two of them. */
static int add_perf_event(struct options *options, struct word entry, const struct option_source *source)
{
	struct collector_settings *settings = &options->collector;
	char why[PERF_WHY_SIZE];
	if (settings->n_perf_events == SETTINGS_PERF_EVENTS_MAX)
		return too_many(SETTINGS_PERF_EVENTS_MAX, source);
	if (entry.len >= SETTINGS_PERF_ENTRY_SIZE)
		return options_fail(source, "an entry of more than %d characters", SETTINGS_PERF_ENTRY_SIZE - 1);
	copy_word(settings->perf_events[settings->n_perf_events++], entry);
	if (perf_events_check(NULL, settings, why) == 0)
		return 0;
	settings->n_perf_events--;
	return options_fail(source, "%s", why);
}

static int add_perf_cgroup(struct options *options, struct word path, const struct option_source *source)
{
	struct collector_settings *settings = &options->collector;
	if (settings->n_perf_cgroups == SETTINGS_PERF_CGROUPS_MAX)
		return too_many(SETTINGS_PERF_CGROUPS_MAX, source);
	char *to = settings->perf_cgroups[settings->n_perf_cgroups];
	if (path.len < SETTINGS_PERF_CGROUP_SIZE)
		copy_word(to, path);
	if (path.len >= SETTINGS_PERF_CGROUP_SIZE || !perf_is_cgroup_path(to))
		return options_fail(source, "\"%.*s\" is no cgroup's path, for example /system.slice/nginx.service",
				    (int)(path.len < 100 ? path.len : 100), path.text);
	settings->n_perf_cgroups++;
	return 0;
}

static int set_perf_uncore(struct options *options, const char *value, const struct option_source *source)
{
	static const char *const names[] = {
		[PERF_UNCORE_OFF] = "off", [PERF_UNCORE_AUTO] = "auto", [PERF_UNCORE_ALL] = "all"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->collector.perf_uncore = (enum perf_uncore)i;
			return 0;
		}
	}
	return options_fail(source, "\"%.100s\" is none of off, auto, all", value);
}

#define VALUE(name, argument, help, set)                                                                               \
	{                                                                                                              \
		name, argument, help, set, false, NULL, 0, false                                                       \
	}
#define LIST(name, argument, help, add, count)                                                                         \
	{                                                                                                              \
		name, argument, help, NULL, false, add, offsetof(struct options, count), false                         \
	}

const struct option_key option_keys[] = {
	VALUE("backend", "HOST:PORT", "where snapshots go", set_backend),
	VALUE("allow_plaintext", NULL, "send to a backend on another host without encryption", set_plaintext),
	VALUE("key_file", "FILE", "holds the agent key", set_key_file),
	VALUE("ca_file", "FILE", "PEM: who may sign the backend's certificate (the CA in the key, or the system's)",
	      set_ca_file),
	VALUE("tls_cert", "FILE", "PEM: a certificate for backends that want one", set_tls_cert),
	VALUE("tls_key", "FILE", "PEM: its key (in the file of --tls-cert)", set_tls_key),
	VALUE("interval", "TIME", "between two snapshots: 100ms to 1h (1s)", set_interval),
	VALUE("state_dir", "DIR", "keeps this host's identity and the spool (/var/lib/sonde-agent)", set_state_dir),
	VALUE("spool_bytes", "SIZE", "of the file for what the backend has not got yet; 0: memory only (64MiB)",
	      set_spool_bytes),
	VALUE("root", "DIR", "read DIR/proc and DIR/sys: /host in a container, or a recorded host", set_root),
	VALUE("btf", "FILE", "type information for kernels without /sys/kernel/btf/vmlinux", set_btf),
	VALUE("log_level", "LEVEL", "debug, info, warn or error (info)", set_log_level),
	VALUE("log_format", "FORMAT", "logfmt or json (logfmt)", set_log_format),
	LIST("disable", "NAME,...", "collectors to leave out", add_disabled, n_disable),
	LIST("intervals", "NAME=TIME,...", "collectors that run at an interval of their own", add_interval,
	     n_intervals),
	LIST("exclude", "FIELD,...", "fields to leave out: memory.slab_bytes, vmstat.*", add_excluded, exclude.n),
	VALUE("top", "N", "processes shown by each measure at every tick: 1 to 1000 (12)", set_top),
	VALUE("keyframe", "TIME", "between two readings of the whole process table (60s)", set_keyframe),
	VALUE("command_line", "WHAT", "of processes: off, scrubbed of secrets, or full (scrubbed)", set_command_line),
	VALUE("probe_budget", "RATIO", "of the CPUs' time that a section's BPF programs may take: 0 to 1 (0.01)",
	      set_probe_budget),
	LIST("extra", "NAME,...",
	     "what to measure besides: tcp_rtt, off_cpu, run_queue_cgroups, block_io_tag_wait, "
	     "process_network (tcp_rtt)",
	     add_extra, collector.extras),
	VALUE("custom_dir", "DIR", "metrics of others: Prometheus text in DIR/*.prom", set_custom_dir),
	{"perf_events", "EVENT,...", "hardware events to count, {A,B} together: cycles, r01c2, cpu/event=0x3c/", NULL,
	 false, add_perf_event, offsetof(struct options, collector.n_perf_events), true},
	LIST("perf_cgroups", "PATH,...", "cgroups whose cycles and instructions are counted apart", add_perf_cgroup,
	     collector.n_perf_cgroups),
	VALUE("perf_uncore", "WHAT", "counters outside the cores: off, auto (energy, memory bandwidth) or all (auto)",
	      set_perf_uncore),
	VALUE("metrics_listen", "ADDR:PORT", "serve Prometheus text at http://ADDR:PORT/metrics", set_metrics_listen),
	VALUE("metrics_plaintext", NULL, "let metrics_listen be reached from other hosts, without encryption",
	      set_metrics_plaintext),
	{"format", "FORMAT", "of --once: json or prometheus (json); of doctor: json instead of text", set_format, true,
	 NULL, 0, false},
};
const size_t option_n_keys = sizeof(option_keys) / sizeof(option_keys[0]);

void options_clear_list(const struct option_key *key, struct options *options)
{
	memset((char *)options + key->count, 0, sizeof(size_t));
}

static int set_list(const struct option_key *key, struct options *options, const char *value,
		    const struct option_source *source)
{
	options_clear_list(key, options);
	struct scan rest = scan_text(value, strlen(value));
	while (key->nested && rest.p < rest.end) {
		struct word entry;
		if (perf_list_next(&rest, &entry) < 0)
			return options_fail(
				source, "\"%.100s\" has slashes or braces without an end, or nothing between commas",
				value);
		int r = key->add(options, entry, source);
		if (r < 0)
			return r;
	}
	for (const char *p = rest.p; *p;) {
		size_t len = strcspn(p, ",");
		int r = key->add(options, (struct word){p, len}, source);
		if (r < 0)
			return r;
		p += len + (p[len] == ',');
	}
	return 0;
}

int options_set(const struct option_key *key, struct options *options, const char *value,
		const struct option_source *source)
{
	return key->add ? set_list(key, options, value, source) : key->set(options, value, source);
}
