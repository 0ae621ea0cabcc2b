#include "agent/remote_config.h"

#include "agent/extras.h"
#include "agent/label.h"
#include "agent/perf/events.h"
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_SIZE 256

__attribute__((format(printf, 2, 3))) static int refuse(char *reason, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(reason, REASON_SIZE, format, args);
	va_end(args);
	return -EINVAL;
}

static int find(const struct remote_config *self, const char *name, char *reason)
{
	int at = sampler_find(self->collectors, name);
	return at >= 0 ? at : refuse(reason, "there is no collector \"%.64s\"", name);
}

static int check_interval(const char *what, uint32_t interval_ms, char *reason)
{
	if (scheduler_interval_valid(interval_ms))
		return 0;
	return refuse(reason, "%.64s is %u; it must be %d to %d", what, interval_ms, SCHEDULER_MIN_INTERVAL_MS,
		      SCHEDULER_MAX_INTERVAL_MS);
}

static int read_disabled(const struct remote_config *self, const Sonde__V1__CollectorNames *disabled, sampler_set *ret,
			 char *reason)
{
	sampler_set set = 0;
	for (size_t i = 0; i < disabled->n_names; i++) {
		int at = find(self, disabled->names[i], reason);
		if (at < 0)
			return at;
		set |= (sampler_set)1 << at;
	}
	*ret = set;
	return 0;
}

static int read_periods(const struct remote_config *self, const Sonde__V1__CollectorIntervals *intervals,
			struct sampler_settings *settings, char *reason)
{
	memcpy(settings->period_ms, self->local->sampler.period_ms, sizeof(settings->period_ms));
	for (size_t i = 0; i < intervals->n_intervals; i++) {
		const Sonde__V1__CollectorInterval *interval = intervals->intervals[i];
		const char *name = interval->collector ? interval->collector : "";
		int at = find(self, name, reason);
		int r = at < 0 ? at : check_interval(name, interval->interval_ms, reason);
		if (r < 0)
			return r;
		settings->period_ms[at] = interval->interval_ms;
	}
	return 0;
}

static int read_excluded(const struct remote_config *self, const Sonde__V1__FieldNames *fields,
			 struct sampler_settings *settings, char *reason)
{
	struct field_names *names = &settings->exclude;
	struct field_filter *filter;
	const char *wrong;
	*names = self->local->sampler.exclude;
	for (size_t i = 0; i < fields->n_names; i++) {
		size_t len = strlen(fields->names[i]);
		if (names->n == FIELD_NAMES_MAX || len >= FIELD_NAME_SIZE)
			return refuse(reason, "more than %d fields, or a name longer than %d characters",
				      FIELD_NAMES_MAX, FIELD_NAME_SIZE - 1);
		memcpy(names->names[names->n++], fields->names[i], len + 1);
	}
	int r = field_filter_new(names, &filter, &wrong);
	if (r == -EINVAL)
		return refuse(reason, "there is no field \"%.96s\" that can be left out", wrong);
	if (r == 0)
		field_filter_free(filter);
	return r;
}

static int read_probe_settings(const struct remote_config *self, const Sonde__V1__AgentConfig *config,
			       struct collector_settings *settings, char *reason)
{
	size_t extras = 0;
	for (size_t i = 0; config->extras && i < config->extras->n_names; i++) {
		const char *name = config->extras->names[i];
		int extra = extra_find(name, strlen(name));
		if (extra < 0)
			return refuse(reason, "there is no extra \"%.64s\"", name);
		extras |= (size_t)1 << extra;
	}
	if (config->extras)
		settings->extras = extras;
	if (!config->has_probe_budget_ratio)
		return 0;
	if (!(config->probe_budget_ratio >= 0 && config->probe_budget_ratio <= 1))
		return refuse(reason, "probe_budget_ratio must be 0 to 1");
	if (config->probe_budget_ratio > self->local->sampler.collector.probe_budget_ratio)
		return refuse(reason, "probe_budget_ratio is more than this host's own configuration allows");
	settings->probe_budget_ratio = config->probe_budget_ratio;
	return 0;
}

static int read_collector_settings(const struct remote_config *self, const Sonde__V1__AgentConfig *config,
				   struct collector_settings *settings, char *reason)
{
	if (config->has_top) {
		if (config->top < 1 || config->top > SETTINGS_TOP_MAX)
			return refuse(reason, "top is %u; it must be 1 to %d", config->top, SETTINGS_TOP_MAX);
		settings->top = config->top;
	}
	if (!config->has_command_lines)
		return 0;
	/* The protobuf enum begins with "unspecified". */
	enum command_line wanted =
		(enum command_line)(config->command_lines - SONDE__V1__COMMAND_LINES__COMMAND_LINES_OFF);
	if (config->command_lines < SONDE__V1__COMMAND_LINES__COMMAND_LINES_OFF ||
	    config->command_lines > SONDE__V1__COMMAND_LINES__COMMAND_LINES_FULL)
		return refuse(reason, "command_lines is %d, which this agent does not know",
			      (int)config->command_lines);
	if (wanted > self->local->sampler.collector.command_line)
		return refuse(reason, "command_lines would show more than this host's own configuration allows");
	settings->command_line = wanted;
	return 0;
}

static int read_perf_events(const struct remote_config *self, const Sonde__V1__PerfEventNames *events,
			    struct collector_settings *settings, char *reason)
{
	char why[PERF_WHY_SIZE];
	if (events->n_names > SETTINGS_PERF_EVENTS_MAX)
		return refuse(reason, "perf_events: more than %d entries", SETTINGS_PERF_EVENTS_MAX);
	settings->n_perf_events = 0;
	for (size_t i = 0; i < events->n_names; i++) {
		size_t len = strlen(events->names[i]);
		if (len >= SETTINGS_PERF_ENTRY_SIZE)
			return refuse(reason, "perf_events: an entry of more than %d characters",
				      SETTINGS_PERF_ENTRY_SIZE - 1);
		memcpy(settings->perf_events[settings->n_perf_events++], events->names[i], len + 1);
	}
	if (perf_events_check(self->root, settings, why) < 0)
		return refuse(reason, "perf_events: %s", why);
	return 0;
}

static int read_perf_cgroups(const Sonde__V1__CgroupPaths *cgroups, struct collector_settings *settings, char *reason)
{
	if (cgroups->n_paths > SETTINGS_PERF_CGROUPS_MAX)
		return refuse(reason, "perf_cgroups: more than %d", SETTINGS_PERF_CGROUPS_MAX);
	settings->n_perf_cgroups = 0;
	for (size_t i = 0; i < cgroups->n_paths; i++) {
		size_t len = strlen(cgroups->paths[i]);
		if (len >= SETTINGS_PERF_CGROUP_SIZE || !perf_is_cgroup_path(cgroups->paths[i]))
			return refuse(reason, "perf_cgroups: \"%.96s\" is no cgroup's path", cgroups->paths[i]);
		memcpy(settings->perf_cgroups[settings->n_perf_cgroups++], cgroups->paths[i], len + 1);
	}
	return 0;
}

static int read_perf(const struct remote_config *self, const Sonde__V1__AgentConfig *config,
		     struct collector_settings *settings, char *reason)
{
	int r = 0;
	if (config->perf_events)
		r = read_perf_events(self, config->perf_events, settings, reason);
	if (r == 0 && config->perf_cgroups)
		r = read_perf_cgroups(config->perf_cgroups, settings, reason);
	if (r < 0 || !config->has_perf_uncore)
		return r;
	if (config->perf_uncore < SONDE__V1__PERF_UNCORE_COUNTERS__PERF_UNCORE_COUNTERS_OFF ||
	    config->perf_uncore > SONDE__V1__PERF_UNCORE_COUNTERS__PERF_UNCORE_COUNTERS_ALL)
		return refuse(reason, "perf_uncore is %d, which this agent does not know", (int)config->perf_uncore);
	settings->perf_uncore =
		(enum perf_uncore)(config->perf_uncore - SONDE__V1__PERF_UNCORE_COUNTERS__PERF_UNCORE_COUNTERS_OFF);
	return 0;
}

static int validate(const struct remote_config *self, const Sonde__V1__AgentConfig *config,
		    struct scheduler_settings *settings, char *reason)
{
	int r = 0;
	if (config->has_interval_ms) {
		r = check_interval("interval_ms", config->interval_ms, reason);
		settings->interval_ms = config->interval_ms;
	}
	if (r == 0 && config->disabled_collectors)
		r = read_disabled(self, config->disabled_collectors, &settings->sampler.disabled, reason);
	if (r == 0 && config->collector_intervals)
		r = read_periods(self, config->collector_intervals, &settings->sampler, reason);
	if (r == 0 && config->excluded_fields)
		r = read_excluded(self, config->excluded_fields, &settings->sampler, reason);
	if (r == 0)
		r = read_probe_settings(self, config, &settings->sampler.collector, reason);
	if (r == 0)
		r = read_perf(self, config, &settings->sampler.collector, reason);
	return r < 0 ? r : read_collector_settings(self, config, &settings->sampler.collector, reason);
}

/* AgentConfig with the arrays its lists point into. */
struct in_force {
	Sonde__V1__AgentConfig config;
	Sonde__V1__CollectorNames disabled;
	Sonde__V1__CollectorIntervals intervals;
	Sonde__V1__FieldNames excluded;
	Sonde__V1__Extras extras;
	char *extra_names[EXTRAS];
	Sonde__V1__PerfEventNames perf_events;
	Sonde__V1__CgroupPaths perf_cgroups;
	char *names[AGENT_MAX_COLLECTORS], *fields[FIELD_NAMES_MAX];
	char *events[SETTINGS_PERF_EVENTS_MAX], *cgroups[SETTINGS_PERF_CGROUPS_MAX];
	Sonde__V1__CollectorInterval rows[AGENT_MAX_COLLECTORS], *row_pointers[AGENT_MAX_COLLECTORS];
};

static void fill_perf(struct collector_settings *settings, struct in_force *out)
{
	sonde__v1__perf_event_names__init(&out->perf_events);
	sonde__v1__cgroup_paths__init(&out->perf_cgroups);
	out->perf_events.names = out->events;
	out->perf_cgroups.paths = out->cgroups;
	for (size_t i = 0; i < settings->n_perf_events; i++)
		out->events[out->perf_events.n_names++] = settings->perf_events[i];
	for (size_t i = 0; i < settings->n_perf_cgroups; i++)
		out->cgroups[out->perf_cgroups.n_paths++] = settings->perf_cgroups[i];
	out->config.perf_events = &out->perf_events;
	out->config.perf_cgroups = &out->perf_cgroups;
	SET(&out->config, perf_uncore,
	    (Sonde__V1__PerfUncoreCounters)((int)settings->perf_uncore +
					    SONDE__V1__PERF_UNCORE_COUNTERS__PERF_UNCORE_COUNTERS_OFF));
}

static void fill_in_force(const struct remote_config *self, struct scheduler_settings *settings, struct in_force *out)
{
	sonde__v1__agent_config__init(&out->config);
	sonde__v1__collector_names__init(&out->disabled);
	sonde__v1__collector_intervals__init(&out->intervals);
	sonde__v1__field_names__init(&out->excluded);
	SET(&out->config, interval_ms, settings->interval_ms);
	SET(&out->config, top, settings->sampler.collector.top);
	SET(&out->config, command_lines,
	    (Sonde__V1__CommandLines)((int)settings->sampler.collector.command_line +
				      SONDE__V1__COMMAND_LINES__COMMAND_LINES_OFF));
	sonde__v1__extras__init(&out->extras);
	out->extras.names = out->extra_names;
	for (int i = 0; i < EXTRAS; i++) {
		if (extra_wanted(settings->sampler.collector.extras, i))
			out->extra_names[out->extras.n_names++] = (char *)extra_name(i);
	}
	out->config.extras = &out->extras;
	SET(&out->config, probe_budget_ratio, settings->sampler.collector.probe_budget_ratio);
	out->disabled.names = out->names;
	out->intervals.intervals = out->row_pointers;
	out->excluded.names = out->fields;
	for (size_t i = 0; self->collectors[i]; i++) {
		char *name = (char *)self->collectors[i]->name; /* packed, never written to */
		if (settings->sampler.disabled >> i & 1)
			out->names[out->disabled.n_names++] = name;
		if (settings->sampler.period_ms[i] == 0)
			continue;
		Sonde__V1__CollectorInterval *row = &out->rows[out->intervals.n_intervals];
		sonde__v1__collector_interval__init(row);
		row->collector = name;
		SET(row, interval_ms, settings->sampler.period_ms[i]);
		out->row_pointers[out->intervals.n_intervals++] = row;
	}
	for (size_t i = 0; i < settings->sampler.exclude.n; i++)
		out->fields[out->excluded.n_names++] = settings->sampler.exclude.names[i];
	fill_perf(&settings->sampler.collector, out);
	out->config.disabled_collectors = &out->disabled;
	out->config.collector_intervals = &out->intervals;
	out->config.excluded_fields = &out->excluded;
}

static uint8_t *pack_status(const struct remote_config *self, const Sonde__V1__AgentConfig *config, bool applied,
			    char *reason, size_t *ret_len)
{
	Sonde__V1__ConfigStatus status = SONDE__V1__CONFIG_STATUS__INIT;
	struct scheduler_settings settings;
	struct in_force in_force = {.names = {NULL}};
	if (config && config->has_revision)
		SET(&status, revision, config->revision);
	SET(&status, applied, applied);
	if (!applied)
		status.reason = reason;
	scheduler_settings(self->scheduler, &settings);
	fill_in_force(self, &settings, &in_force);
	status.in_force = &in_force.config;
	uint8_t *packed = malloc(sonde__v1__config_status__get_packed_size(&status));
	if (packed)
		*ret_len = sonde__v1__config_status__pack(&status, packed);
	return packed;
}

uint8_t *remote_config_apply(void *arg, const uint8_t *data, size_t len, size_t *ret_len)
{
	const struct remote_config *self = arg;
	char reason[REASON_SIZE] = "";
	int r = -EPROTO;
	Sonde__V1__AgentConfig *config = sonde__v1__agent_config__unpack(NULL, len, data);
	if (!config) {
		(void)snprintf(reason, sizeof(reason), "the configuration cannot be decoded");
	} else {
		struct scheduler_settings settings;
		scheduler_settings(self->scheduler, &settings);
		r = validate(self, config, &settings, reason);
		if (r == 0)
			r = scheduler_configure(self->scheduler, &settings);
	}
	label_clean(reason, strlen(reason)); /* names came from outside */
	if (r < 0)
		log_warn("configuration from the backend refused", LOG_STR("reason", reason),
			 LOG_STR("then", "what is in force stays"));
	uint8_t *packed = pack_status(self, config, r == 0, reason, ret_len);
	if (config)
		sonde__v1__agent_config__free_unpacked(config, NULL);
	return packed;
}

void remote_config_watch(void *arg, const Sonde__V1__Watch *watch)
{
	const struct remote_config *self = arg;
	sampler_set sections = 0;
	uint32_t seconds = watch->has_seconds ? watch->seconds : 0;
	for (size_t i = 0; i < watch->n_sections; i++) {
		int at = sampler_find(self->collectors, watch->sections[i]);
		if (at >= 0)
			sections |= (sampler_set)1 << at;
	}
	scheduler_watch(self->scheduler, sections,
			seconds < REMOTE_CONFIG_WATCH_MAX_SECONDS ? seconds : REMOTE_CONFIG_WATCH_MAX_SECONDS);
}
