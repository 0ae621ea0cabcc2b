#include "agent/perf/uncore.h"

#include "agent/label.h"
#include "agent/perf/permission.h"
#include "agent/perf/source_fill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct perf_uncore_meaning perf_uncore_meaning(const char *unit, double scale)
{
	static const struct {
		const char *name;
		enum perf_uncore_unit unit;
		double factor;
	} units[] = {
		{"Joules", PERF_UNCORE_MICROJOULES, 1e6}, {"B", PERF_UNCORE_BYTES, 1},
		{"Bytes", PERF_UNCORE_BYTES, 1},	  {"KiB", PERF_UNCORE_BYTES, 1024},
		{"MiB", PERF_UNCORE_BYTES, 1048576},	  {"GiB", PERF_UNCORE_BYTES, 1073741824},
		{"MB", PERF_UNCORE_BYTES, 1e6},
	};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) == 0)
			return (struct perf_uncore_meaning){units[i].unit, units[i].factor * scale};
	}
	return (struct perf_uncore_meaning){PERF_UNCORE_COUNT, 1};
}

static struct perf_uncore_meaning read_meaning(const struct root *root, const char *pmu, const char *event)
{
	char path[256], unit[64] = "", text[128];
	double scale = 1;
	int n = snprintf(path, sizeof(path), PERF_PMU_DIR "/%s/events/%s.unit", pmu, event);
	if (n < 0 || (size_t)n >= sizeof(path) || root_read_text(root, path, unit, sizeof(unit)) < 0)
		unit[0] = '\0';
	(void)snprintf(path, sizeof(path), PERF_PMU_DIR "/%s/events/%s.scale", pmu, event);
	int len = root_read_text(root, path, text, sizeof(text));
	if (len >= 0 && perf_scale_parse(text, (size_t)len, &scale) < 0)
		return (struct perf_uncore_meaning){PERF_UNCORE_COUNT, 1};
	return perf_uncore_meaning(unit, scale);
}

static bool starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_energy(const char *pmu, const char *event)
{
	return starts(pmu, "power") && starts(event, "energy-");
}

/* What a memory controller read and wrote: Intel's names, of servers and of clients. */
static bool is_bandwidth(const char *pmu, const char *event)
{
	static const char *const events[] = {"cas_count_read", "cas_count_write", "data_read", "data_write",
					     "data_reads",     "data_writes",	  "read",      "write"};
	if (!starts(pmu, "uncore_imc"))
		return false;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (strcmp(event, events[i]) == 0)
			return true;
	}
	return false;
}

static bool is_wanted(const struct collector_settings *settings, const char *pmu, const char *event)
{
	if (settings->perf_uncore == PERF_UNCORE_ALL)
		return true;
	return settings->perf_uncore == PERF_UNCORE_AUTO && (is_energy(pmu, event) || is_bandwidth(pmu, event));
}

static void add_event(const struct root *root, struct perf_uncore_pmu *pmu, const char *name)
{
	struct perf_event_set *set = &pmu->source.set;
	size_t len = strlen(name), pmu_len = strlen(pmu->name);
	char text[2 * PERF_NAME_SIZE], why[PERF_WHY_SIZE];
	struct perf_name parsed;
	if (set->n == PERF_MAX_EVENTS || len >= PERF_NAME_SIZE || pmu_len + len + 3 > sizeof(text))
		return;
	(void)snprintf(text, sizeof(text), "%s/%s/", pmu->name, name);
	struct perf_event event = {.unit = (unsigned)set->n};
	if (perf_name_parse(text, strlen(text), &parsed) < 0 || perf_pmu_resolve(root, &parsed, &event.code, why) < 0)
		return;
	memcpy(event.name, name, len + 1);
	pmu->meanings[set->n] = read_meaning(root, pmu->name, name);
	set->events[set->n++] = event;
}

/* Events that the configuration names: "uncore_imc_0/cas_count_read/" is cas_count_read of this PMU. */
static void add_named(const struct root *root, const struct perf_event_set *named, struct perf_uncore_pmu *pmu)
{
	size_t len = strlen(pmu->name);
	for (size_t i = 0; i < named->n; i++) {
		const char *name = named->events[i].name;
		char terms[PERF_NAME_SIZE];
		if (strncmp(name, pmu->name, len) != 0 || name[len] != '/')
			continue;
		(void)snprintf(terms, sizeof(terms), "%s", name + len + 1);
		terms[strcspn(terms, "/")] = '\0';
		if (perf_events_find(&pmu->source.set, terms) < 0)
			add_event(root, pmu, terms);
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of their names, whatever the directory's. */
static void add_events(const struct root *root, const struct collector_settings *settings, struct perf_uncore_pmu *pmu)
{
	char path[128], *names[2 * PERF_MAX_EVENTS];
	struct root_dir dir;
	const char *name;
	size_t n = 0;
	(void)snprintf(path, sizeof(path), PERF_PMU_DIR "/%s/events", pmu->name);
	if (root_dir_open(root, path, &dir) < 0)
		return;
	while (n < 2 * PERF_MAX_EVENTS && (name = root_dir_next(&dir))) {
		if (!strchr(name, '.') && is_wanted(settings, pmu->name, name) && (names[n] = strdup(name)))
			n++;
	}
	root_dir_close(&dir);
	qsort(names, n, sizeof(names[0]), compare_names);
	for (size_t i = 0; i < n; i++) {
		add_event(root, pmu, names[i]);
		free(names[i]);
	}
}

static void follow(struct perf_uncore_set *set, struct perf_uncore_pmu *pmu)
{
	struct cpu_set cpus = set->online;
	for (size_t i = 0; i < PERF_MAX_CPUS / 64; i++)
		cpus.bits[i] &= pmu->mask.bits[i];
	perf_source_follow(&pmu->source, &cpus);
	pmu->source.error = pmu->source.open_error;
}

/* 0; -ENOENT when there is nothing to read of it, -ENOMEM. */
static int open_pmu(struct perf_uncore_set *set, const struct collector_settings *settings,
		    const struct perf_event_set *named, const char *name, struct perf_uncore_pmu *pmu)
{
	struct cpu_set mask;
	if (strlen(name) >= sizeof(pmu->name) || perf_pmu_cpus(set->root, name, "cpumask", &mask) < 0)
		return -ENOENT;
	*pmu = (struct perf_uncore_pmu){.mask = mask};
	memcpy(pmu->name, name, strlen(name) + 1);
	int r = perf_source_init(&pmu->source, true, set->limit);
	if (r < 0)
		return r;
	add_events(set->root, settings, pmu);
	add_named(set->root, named, pmu);
	if (pmu->source.set.n == 0) {
		perf_source_close(&pmu->source);
		return -ENOENT;
	}
	size_t used = perf_uncore_descriptors(set);
	pmu->source.max_descriptors = set->max_descriptors > used ? set->max_descriptors - used : 0;
	follow(set, pmu);
	return 0;
}

/* Memory controllers beyond those that are read unasked. */
static bool is_one_too_many(const struct perf_uncore_set *set, const struct collector_settings *settings,
			    const char *name)
{
	size_t controllers = 0;
	for (size_t i = 0; i < set->n; i++)
		controllers += starts(set->pmus[i].name, "uncore_imc");
	return settings->perf_uncore == PERF_UNCORE_AUTO && starts(name, "uncore_imc") &&
	       controllers >= PERF_UNCORE_AUTO_PMUS;
}

int perf_uncore_open(struct perf_uncore_set *set, const struct root *root, const struct collector_settings *settings,
		     unsigned limit, size_t max_descriptors, const struct cpu_set *online)
{
	struct perf_event_set named;
	struct root_dir dir;
	const char *name;
	*set = (struct perf_uncore_set){.root = root,
					.limit = limit,
					.max_descriptors = max_descriptors,
					.online = *online,
					.off = settings->perf_uncore == PERF_UNCORE_OFF};
	set->pmus = calloc(PERF_UNCORE_MAX_PMUS, sizeof(*set->pmus));
	if (!set->pmus)
		return -ENOMEM;
	perf_events_uncore(root, settings, &named);
	int r = root_dir_open(root, PERF_PMU_DIR, &dir);
	if (r < 0)
		return r == -ENOMEM ? r : 0; /* no PMU at all */
	while (r >= 0 && (name = root_dir_next(&dir))) {
		struct cpu_set mask;
		if (perf_pmu_cpus(root, name, "cpumask", &mask) < 0)
			continue;
		if (set->n == PERF_UNCORE_MAX_PMUS || is_one_too_many(set, settings, name)) {
			set->left_out++;
			continue;
		}
		r = open_pmu(set, settings, &named, name, &set->pmus[set->n]);
		set->n += r == 0;
		r = r == -ENOENT ? 0 : r;
	}
	root_dir_close(&dir);
	if (r < 0)
		perf_uncore_close(set);
	return r;
}

void perf_uncore_close(struct perf_uncore_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		perf_source_close(&set->pmus[i].source);
	free(set->pmus);
	*set = (struct perf_uncore_set){.n = 0};
}

size_t perf_uncore_descriptors(const struct perf_uncore_set *set)
{
	size_t n = 0;
	for (size_t i = 0; i < set->n; i++)
		n += set->pmus[i].source.descriptors;
	return n;
}

/* When a CPU goes the kernel names another of its package. */
void perf_uncore_read(struct perf_uncore_set *set, const struct cpu_set *online)
{
	bool changed = memcmp(&set->online, online, sizeof(*online)) != 0;
	set->online = *online;
	for (size_t i = 0; i < set->n; i++) {
		struct perf_uncore_pmu *pmu = &set->pmus[i];
		if (changed) {
			(void)!perf_pmu_cpus(set->root, pmu->name, "cpumask", &pmu->mask);
			follow(set, pmu);
		}
		if (pmu->source.error == 0)
			perf_source_read(&pmu->source, NULL);
	}
}

static void set_value(Sonde__V1__PerfUncoreEvent *event, const struct perf_uncore_meaning *meaning, uint64_t count)
{
	double value = (double)count * meaning->factor;
	uint64_t saturated = value < 18446744073709549568.0 ? (uint64_t)value : UINT64_MAX;
	switch (meaning->unit) {
	case PERF_UNCORE_MICROJOULES:
		SET(event, energy_microjoules, saturated);
		break;
	case PERF_UNCORE_BYTES:
		SET(event, transferred_bytes, saturated);
		break;
	case PERF_UNCORE_COUNT:
		SET(event, count, count);
		break;
	}
}

static void fill_event(const struct perf_uncore_pmu *pmu, unsigned cpu, size_t i, Sonde__V1__PerfUncoreEvent *event)
{
	const struct perf_slot *slot = &pmu->source.cpus[cpu].slots[i];
	Sonde__V1__PerfEventState state = perf_slot_state(slot);
	event->pmu = (char *)pmu->name; /* the set's; packing only reads them */
	event->event = (char *)pmu->source.set.events[i].name;
	SET(event, cpu, cpu);
	SET(event, event_state, state);
	if (state == SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK ||
	    state == SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_MULTIPLEXED)
		set_value(event, &pmu->meanings[i], slot->scaled.count);
	if (slot->increment.enabled_ns > 0)
		SET(event, coverage_ratio, perf_coverage(slot->increment.enabled_ns, slot->increment.running_ns));
}

static void tell_condition(const struct perf_uncore_set *set, const struct root *root, struct collector_state *state)
{
	int error = 0;
	bool any = false;
	for (size_t i = 0; i < set->n; i++)
		any = any || set->pmus[i].source.error == 0;
	for (size_t i = 0; i < set->n; i++)
		error = set->pmus[i].source.error < 0 ? set->pmus[i].source.error : error;
	if (set->off && set->n == 0) {
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DISABLED, 0, "configuration",
				     "switched off in the agent's configuration (perf_uncore)");
	} else if (set->n == 0) {
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, 0, "no_uncore_pmu",
				     "this machine exposes no counters outside its cores (RAPL, memory controllers); "
				     "virtual machines have none");
	} else if (error < 0) {
		struct perf_permission permission = perf_permission_read(root);
		(void)perf_source_fail(state, error, &permission, false);
		if (any)
			state->code = SONDE__V1__STATE__CODE__CODE_DEGRADED;
	} else if (set->left_out > 0) {
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "many_pmus",
				     "%zu PMUs are not read because there are many: perf_uncore: all reads up to %d, "
				     "perf_events names single ones",
				     set->left_out, PERF_UNCORE_MAX_PMUS);
	}
}

int perf_uncore_fill(const struct perf_uncore_set *set, const struct root *root, struct arena *arena,
		     Sonde__V1__PerfUncore *message)
{
	struct collector_state state = {.reason = ""};
	size_t rows = 0;
	tell_condition(set, root, &state);
	int r = perf_state_fill(&state, arena, &message->state);
	for (size_t i = 0; i < set->n; i++) {
		for (unsigned cpu = 0; cpu < set->limit; cpu++)
			rows += set->pmus[i].source.cpus[cpu].open ? set->pmus[i].source.set.n : 0;
	}
	message->events = arena_messages(arena, &sonde__v1__perf_uncore_event__descriptor, rows);
	if (r < 0 || (rows > 0 && !message->events))
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		const struct perf_source *source = &set->pmus[i].source;
		for (unsigned cpu = 0; cpu < set->limit; cpu++) {
			for (size_t event = 0; source->cpus[cpu].open && event < source->set.n; event++)
				fill_event(&set->pmus[i], cpu, event, message->events[message->n_events++]);
		}
	}
	SET(message, pmus_left_out, set->left_out);
	return 0;
}
