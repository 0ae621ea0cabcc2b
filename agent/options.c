/* One table says what can be set; file, environment and flags all end in its setters, so that they accept the same
 * values and complain in the same words. */
#include "agent/options.h"

#include "agent/delivery/spool.h"
#include "agent/label.h"
#include "agent/options_yaml.h"
#include "agent/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_FILE ((size_t)256 << 10)
#define MIN_INTERVAL_MS 100
#define MAX_INTERVAL_MS 3600000
#define DEFAULT_SPOOL_BYTES ((uint64_t)64 << 20)

/* Where a value came from, for messages, and what a setter may need. */
struct source {
	const char *name; /* "--interval", "SONDE_INTERVAL", "agent.yaml: interval" */
	const char *const *names;
	char *error;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct source *source, const char *format, ...)
{
	va_list args;
	int n = snprintf(source->error, OPTIONS_ERROR_SIZE, "%.*s: ", OPTIONS_ERROR_SIZE / 2, source->name);
	va_start(args, format);
	(void)vsnprintf(source->error + n, OPTIONS_ERROR_SIZE - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

int options_parse_interval(const char *text, uint32_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t number;
	if (word_u64((struct word){text, digits}, &number) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		uint64_t ms;
		if (__builtin_mul_overflow(number, units[i].ms, &ms) || ms < MIN_INTERVAL_MS || ms > MAX_INTERVAL_MS)
			return -EINVAL;
		*ret_ms = (uint32_t)ms;
		return 0;
	}
	return -EINVAL;
}

int options_parse_bytes(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {{"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
	size_t digits = strspn(text, "0123456789");
	uint64_t number;
	if (word_u64((struct word){text, digits}, &number) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].unit) == 0)
			return __builtin_mul_overflow(number, units[i].bytes, ret) ? -EINVAL : 0;
	}
	return -EINVAL;
}

int options_parse_address(const char *text, char *ret_host, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	if (!colon || word_u64((struct word){colon + 1, strlen(colon + 1)}, &port) < 0 || port == 0 ||
	    port > UINT16_MAX)
		return -EINVAL;
	const char *host = text;
	size_t len = (size_t)(colon - text);
	bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
	if (bracketed) {
		host++;
		len -= 2;
	}
	if (len == 0 || len >= size || (!bracketed && memchr(host, ':', len)) || strcspn(host, " \t/@[]") < len)
		return -EINVAL;
	memcpy(ret_host, host, len);
	ret_host[len] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

bool options_is_loopback(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	       (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

static int set_backend(struct options *options, const char *value, const struct source *source)
{
	char host[sizeof(options->backend_host)];
	if (options_parse_address(value, host, sizeof(host), &options->backend_port) < 0)
		return fail(source, "\"%.100s\" is not HOST:PORT, for example 127.0.0.1:50051 or [::1]:50051", value);
	memcpy(options->backend_host, host, sizeof(host));
	return 0;
}

static int set_bool(bool *to, const char *value, const struct source *source)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return fail(source, "\"%.100s\" is neither true nor false", value);
	*to = value[0] == 't';
	return 0;
}

static int set_plaintext(struct options *options, const char *value, const struct source *source)
{
	return set_bool(&options->allow_plaintext, value, source);
}

static int set_path(char to[OPTIONS_PATH_SIZE], const char *value, const struct source *source)
{
	size_t len = strlen(value);
	if (len == 0 || len >= OPTIONS_PATH_SIZE)
		return fail(source, "a path of 1 to %d characters is wanted", OPTIONS_PATH_SIZE - 1);
	memcpy(to, value, len + 1);
	return 0;
}

static int set_key_file(struct options *options, const char *value, const struct source *source)
{
	return set_path(options->key_file, value, source);
}

static int set_state_dir(struct options *options, const char *value, const struct source *source)
{
	return set_path(options->state_dir, value, source);
}

static int set_spool_bytes(struct options *options, const char *value, const struct source *source)
{
	uint64_t bytes;
	if (options_parse_bytes(value, &bytes) < 0 ||
	    (bytes != 0 && (bytes < SPOOL_MIN_BYTES || bytes > SPOOL_MAX_BYTES)))
		return fail(source, "\"%.100s\" is neither 0 nor a size from 256KiB to 64GiB, for example 64MiB",
			    value);
	options->spool_bytes = bytes;
	return 0;
}

static int set_root(struct options *options, const char *value, const struct source *source)
{
	return set_path(options->root, value, source);
}

static int set_btf(struct options *options, const char *value, const struct source *source)
{
	return set_path(options->btf, value, source);
}

static int set_interval(struct options *options, const char *value, const struct source *source)
{
	if (options_parse_interval(value, &options->interval_ms) < 0)
		return fail(source, "\"%.100s\" is not a number with a unit from 100ms to 1h, for example 1s or 500ms",
			    value);
	return 0;
}

static int set_log_level(struct options *options, const char *value, const struct source *source)
{
	if (log_level_parse(value, &options->log_level) < 0)
		return fail(source, "\"%.100s\" is none of debug, info, warn, error", value);
	return 0;
}

static int set_log_format(struct options *options, const char *value, const struct source *source)
{
	if (log_format_parse(value, &options->log_format) < 0)
		return fail(source, "\"%.100s\" is neither logfmt nor json", value);
	return 0;
}

static int set_format(struct options *options, const char *value, const struct source *source)
{
	if (strcmp(value, "json") == 0)
		options->format = OPTIONS_FORMAT_JSON;
	else if (strcmp(value, "prometheus") == 0)
		options->format = OPTIONS_FORMAT_PROMETHEUS;
	else
		return fail(source, "\"%.100s\" is neither json nor prometheus", value);
	return 0;
}

static int set_top(struct options *options, const char *value, const struct source *source)
{
	uint64_t number;
	if (word_u64((struct word){value, strlen(value)}, &number) < 0 || number < 1 || number > SETTINGS_TOP_MAX)
		return fail(source, "\"%.100s\" is not a number from 1 to %d", value, SETTINGS_TOP_MAX);
	options->collector.top = (uint32_t)number;
	return 0;
}

static int set_keyframe(struct options *options, const char *value, const struct source *source)
{
	if (options_parse_interval(value, &options->collector.keyframe_ms) < 0)
		return fail(source, "\"%.100s\" is not a number with a unit from 100ms to 1h, for example 60s", value);
	return 0;
}

static int set_command_line(struct options *options, const char *value, const struct source *source)
{
	static const char *const names[] = {
		[COMMAND_LINE_OFF] = "off", [COMMAND_LINE_SCRUBBED] = "scrubbed", [COMMAND_LINE_FULL] = "full"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->collector.command_line = (enum command_line)i;
			return 0;
		}
	}
	return fail(source, "\"%.100s\" is none of off, scrubbed, full", value);
}

static int set_custom_dir(struct options *options, const char *value, const struct source *source)
{
	_Static_assert(SETTINGS_PATH_SIZE >= OPTIONS_PATH_SIZE, "a path that is accepted has room");
	return set_path(options->collector.custom_dir, value, source);
}

/* 0, or -EINVAL with the names there are in the error. */
static int check_collector(struct word name, const struct source *source)
{
	char all[256] = "";
	for (const char *const *known = source->names; *known; known++) {
		if (word_is(name, *known) && name.len < OPTIONS_NAME_SIZE)
			return 0;
		size_t used = strlen(all);
		(void)snprintf(all + used, sizeof(all) - used, "%s%s", used > 0 ? ", " : "", *known);
	}
	return fail(source, "there is no collector \"%.*s\"; there are %s", (int)(name.len < 64 ? name.len : 64),
		    name.text, all);
}

static int too_many(size_t max, const struct source *source)
{
	return fail(source, "at most %zu names are accepted", max);
}

static void copy_word(char *to, struct word word)
{
	memcpy(to, word.text, word.len);
	to[word.len] = '\0';
}

static int add_disabled(struct options *options, struct word name, const struct source *source)
{
	int r = check_collector(name, source);
	if (r == 0 && options->n_disable == OPTIONS_MAX_NAMES)
		r = too_many(OPTIONS_MAX_NAMES, source);
	if (r == 0)
		copy_word(options->disable[options->n_disable++], name);
	return r;
}

/* cpu=500ms */
static int add_interval(struct options *options, struct word item, const struct source *source)
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
		return fail(source,
			    "\"%.*s\" is not COLLECTOR=TIME with a time from 100ms to 1h, for example cpu=500ms",
			    (int)(item.len < 100 ? item.len : 100), item.text);
	if (options->n_intervals == OPTIONS_MAX_NAMES)
		return too_many(OPTIONS_MAX_NAMES, source);
	copy_word(options->intervals[options->n_intervals].collector, name);
	options->intervals[options->n_intervals++].interval_ms = interval_ms;
	return 0;
}

static int add_excluded(struct options *options, struct word name, const struct source *source)
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
		return fail(source,
			    "there is no field \"%.*s\" that can be left out; names are those of the JSON output, for "
			    "example memory.slab_bytes, disks.devices.discards or vmstat.*",
			    (int)(name.len < 100 ? name.len : 100), name.text);
	field_filter_free(filter);
	memcpy(options->exclude.names[options->exclude.n++], one.names[0], FIELD_NAME_SIZE);
	return 0;
}

struct key {
	const char *name;
	const char *argument; /* in the help; NULL for a switch */
	const char *help;
	int (*set)(struct options *options, const char *value, const struct source *source);
	bool flag_only;
	/* Lists: names between commas, a sequence in the file. What is said replaces what was said before. */
	int (*add)(struct options *options, struct word name, const struct source *source);
	size_t count; /* offset of their number */
};

#define VALUE(name, argument, help, set)                                                                               \
	{                                                                                                              \
		name, argument, help, set, false, NULL, 0                                                              \
	}
#define LIST(name, argument, help, add, count)                                                                         \
	{                                                                                                              \
		name, argument, help, NULL, false, add, offsetof(struct options, count)                                \
	}

static const struct key keys[] = {
	VALUE("backend", "HOST:PORT", "where snapshots go", set_backend),
	VALUE("allow_plaintext", NULL, "send to a backend on another host without encryption", set_plaintext),
	VALUE("key_file", "FILE", "holds the agent key", set_key_file),
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
	VALUE("custom_dir", "DIR", "metrics of others: Prometheus text in DIR/*.prom", set_custom_dir),
	{"format", "FORMAT", "of --once: json or prometheus (json)", set_format, true, NULL, 0},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static int set_list(const struct key *key, struct options *options, const char *value, const struct source *source)
{
	memset((char *)options + key->count, 0, sizeof(size_t));
	for (const char *p = value; *p;) {
		size_t len = strcspn(p, ",");
		int r = key->add(options, (struct word){p, len}, source);
		if (r < 0)
			return r;
		p += len + (p[len] == ',');
	}
	return 0;
}

static int set_key(const struct key *key, struct options *options, const char *value, const struct source *source)
{
	return key->add ? set_list(key, options, value, source) : key->set(options, value, source);
}

static void print_flag(FILE *out, const char *name, const char *argument, const char *help)
{
	char flag[64];
	(void)snprintf(flag, sizeof(flag), "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
	for (char *p = flag; *p && *p != ' '; p++)
		*p = *p == '_' ? '-' : *p;
	(void)fprintf(out, "  %-26s %s\n", flag, help);
}

void options_print_help(FILE *out)
{
	(void)fputs("usage: sonde-agent --backend HOST:PORT --key-file FILE [options]\n"
		    "       sonde-agent --once [--format json|prometheus] [options]\n"
		    "       sonde-agent top [--once] [options]\n\n",
		    out);
	for (size_t i = 0; i < N_KEYS; i++)
		print_flag(out, keys[i].name, keys[i].argument, keys[i].help);
	print_flag(out, "config", "FILE", "YAML with the same keys (" OPTIONS_DEFAULT_FILE ", if it is there)");
	print_flag(out, "once", NULL, "two readings one interval apart, the second on standard output");
	print_flag(out, "help", NULL, "this");
	print_flag(out, "version", NULL, "of the agent");
	(void)fputs(
		"\nEvery key is also a variable: SONDE_KEY_FILE for --key-file. Flags win over variables, variables "
		"over the file.\n",
		out);
}

void options_defaults(struct options *ret)
{
	*ret = (struct options){.action = OPTIONS_RUN, .interval_ms = 1000, .log_level = LOG_LEVEL_INFO};
	ret->collector = (struct collector_settings){
		.top = SETTINGS_TOP_DEFAULT,
		.keyframe_ms = SETTINGS_KEYFRAME_MS_DEFAULT,
		.command_line = COMMAND_LINE_SCRUBBED,
	};
	ret->spool_bytes = DEFAULT_SPOOL_BYTES;
	(void)snprintf(ret->state_dir, sizeof(ret->state_dir), "%s", "/var/lib/sonde-agent");
}

static int add_yaml_list(const struct key *key, const struct options_yaml *yaml, struct options *options,
			 const struct source *source)
{
	const char *const *items;
	size_t n = options_yaml_list(yaml, key->name, &items);
	int r = 0;
	if (n > 0)
		memset((char *)options + key->count, 0, sizeof(size_t));
	for (size_t i = 0; r == 0 && i < n; i++)
		r = key->add(options, (struct word){items[i], strlen(items[i])}, source);
	return r;
}

static int read_yaml(const char *yaml, size_t len, const char *file, const char *const *names, struct options *options,
		     char error[OPTIONS_ERROR_SIZE])
{
	struct options_yaml *loaded;
	char where[OPTIONS_ERROR_SIZE];
	struct source source = {.name = where, .names = names, .error = error};
	int r = options_yaml_load(yaml, len, file, &loaded, error, OPTIONS_ERROR_SIZE);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < N_KEYS; i++) {
		(void)snprintf(where, sizeof(where), "%s: %s", file, keys[i].name);
		if (keys[i].add) {
			r = add_yaml_list(&keys[i], loaded, options, &source);
			continue;
		}
		const char *value = options_yaml_value(loaded, keys[i].name);
		if (value)
			r = keys[i].set(options, value, &source);
	}
	options_yaml_free(loaded);
	return r;
}

int options_read_yaml(const char *yaml, size_t len, const char *file, const char *const *names, struct options *options,
		      char error[OPTIONS_ERROR_SIZE])
{
	error[0] = '\0';
	int r = read_yaml(yaml, len, file, names, options, error);
	label_clean(error, strlen(error)); /* it quotes the file, and stays one line */
	return r;
}

static int read_file(const char *path, bool must_exist, const char *const *names, struct options *options,
		     char error[OPTIONS_ERROR_SIZE])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !must_exist)
		return 0;
	char *text = fd < 0 ? NULL : malloc(MAX_FILE + 1);
	ssize_t n = text ? read(fd, text, MAX_FILE + 1) : -1;
	int r = -EINVAL;
	if (n < 0)
		(void)snprintf(error, OPTIONS_ERROR_SIZE, "%.200s cannot be read: %s", path, log_strerror(errno));
	else if ((size_t)n > MAX_FILE)
		(void)snprintf(error, OPTIONS_ERROR_SIZE, "%.200s is larger than %zu bytes: is it the right file?",
			       path, MAX_FILE);
	else
		r = options_read_yaml(text, (size_t)n, path, names, options, error);
	free(text);
	if (fd >= 0)
		close(fd);
	return r;
}

/* --key-file names the key key_file. */
static bool is_flag_of(const char *flag, size_t len, const char *key)
{
	if (strlen(key) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (flag[i] != (key[i] == '_' ? '-' : key[i]))
			return false;
	}
	return true;
}

static const char *find_variable(char *const *environment, const char *key, char *ret_name, size_t size)
{
	int len = snprintf(ret_name, size, "SONDE_%s", key);
	for (char *p = ret_name; *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	for (; *environment; environment++) {
		if (strncmp(*environment, ret_name, (size_t)len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	}
	return NULL;
}

static int read_environment(char *const *environment, const char *const *names, struct options *options, char *error)
{
	char name[64];
	struct source source = {.name = name, .names = names, .error = error};
	for (size_t i = 0; i < N_KEYS; i++) {
		const char *value =
			keys[i].flag_only ? NULL : find_variable(environment, keys[i].name, name, sizeof(name));
		int r = value ? set_key(&keys[i], options, value, &source) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Takes "--name value" and "--name=value". *config is set by --config. */
static int read_flags(int argc, char *const *argv, const char *const *names, struct options *options,
		      const char **config, char *error)
{
	int first = argc > 1 && strcmp(argv[1], "top") == 0 ? 2 : 1;
	if (first == 2)
		options->action = OPTIONS_TOP;
	for (int i = first; i < argc; i++) {
		char flag[64];
		size_t len = strcspn(argv[i], "=");
		const char *value = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
		(void)snprintf(flag, sizeof(flag), "%.*s", (int)(len < 60 ? len : 60), argv[i]);
		struct source source = {.name = flag, .names = names, .error = error};
		const struct key *key = NULL;
		bool is_config = strcmp(flag, "--config") == 0, known = true;

		for (size_t k = 0; k < N_KEYS && strncmp(flag, "--", 2) == 0; k++) {
			if (is_flag_of(flag + 2, strlen(flag + 2), keys[k].name))
				key = &keys[k];
		}
		if (!value && (is_config || (key && key->argument))) {
			if (i + 1 == argc)
				return fail(&source, "a value is missing behind it");
			value = argv[++i];
		}
		if (is_config)
			*config = value;
		else if (key && set_key(key, options, value ? value : "true", &source) < 0)
			return -EINVAL;
		else if (!key && !value && strcmp(flag, "--once") == 0)
			options->once = true;
		else if (!key && !value && strcmp(flag, "--help") == 0)
			options->action = OPTIONS_HELP;
		else if (!key && !value && strcmp(flag, "--version") == 0)
			options->action = OPTIONS_VERSION;
		else
			known = key != NULL;
		if (!known)
			return fail(&source, "there is no such option; see --help");
	}
	return 0;
}

/* What only the whole can tell. */
static int check(const struct options *options, char *error)
{
	const char *complaint = NULL;
	if (options->action != OPTIONS_RUN || options->once)
		return 0;
	if (options->backend_host[0] == '\0')
		complaint = "no backend: give --backend HOST:PORT, or --once to look at this host only";
	else if (options->key_file[0] == '\0')
		complaint = "no agent key: give --key-file FILE (sonde-backend key create makes a key)";
	else if (!options->allow_plaintext && !options_is_loopback(options->backend_host))
		complaint =
			"the backend is not on this host and the connection would not be encrypted: use a tunnel, or "
			"--allow-plaintext if the network can be trusted";
	if (!complaint)
		return 0;
	(void)snprintf(error, OPTIONS_ERROR_SIZE, "%s", complaint);
	return -EINVAL;
}

static int read_all(int argc, char *const *argv, char *const *environment, const char *const *names,
		    struct options *ret, char *error)
{
	/* Flags are read twice: first for --config and --help, then on top of all else. */
	struct options options;
	char variable[64];
	const char *config = NULL;
	options_defaults(&options);
	int r = read_flags(argc, argv, names, &options, &config, error);
	if (r < 0)
		return r;
	if (options.action == OPTIONS_RUN || options.action == OPTIONS_TOP) {
		if (!config)
			config = find_variable(environment, "config", variable, sizeof(variable));
		options_defaults(&options);
		r = read_file(config ? config : OPTIONS_DEFAULT_FILE, config != NULL, names, &options, error);
		if (r == 0)
			r = read_environment(environment, names, &options, error);
		if (r == 0)
			r = read_flags(argc, argv, names, &options, &config, error);
		if (r == 0)
			r = check(&options, error);
		if (r < 0)
			return r;
	}
	*ret = options;
	return 0;
}

int options_read(int argc, char *const *argv, char *const *environment, const char *const *names, struct options *ret,
		 char error[OPTIONS_ERROR_SIZE])
{
	error[0] = '\0';
	int r = read_all(argc, argv, environment, names, ret, error);
	label_clean(error, strlen(error));
	return r;
}
