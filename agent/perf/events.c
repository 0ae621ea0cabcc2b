/* The default list is written as a person would write one, and read the same way. Units are pairs whose ratio somebody
 * wants; how many of them share a group is found out on the PMU (plan.h). */
#include "agent/perf/events.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const defaults[][2] = {
	{"cycles", "instructions"},
	{"ref-cycles"},
	{"cache-references", "cache-misses"},
	{"branches", "branch-misses"},
	{"dTLB-load-misses", "iTLB-load-misses"},
	{"stalled-cycles-frontend", "stalled-cycles-backend"},
};

#define SOFTWARE(name, config)                                                                                         \
	{                                                                                                              \
		(name), PERF_COUNT_SW_##config                                                                         \
	}

static const struct {
	const char *name;
	uint64_t config;
} software[] = {
	SOFTWARE("context-switches", CONTEXT_SWITCHES), SOFTWARE("cpu-migrations", CPU_MIGRATIONS),
	SOFTWARE("page-faults", PAGE_FAULTS),		SOFTWARE("minor-faults", PAGE_FAULTS_MIN),
	SOFTWARE("major-faults", PAGE_FAULTS_MAJ),	SOFTWARE("alignment-faults", ALIGNMENT_FAULTS),
	SOFTWARE("emulation-faults", EMULATION_FAULTS),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
_Static_assert(COUNT(software) <= PERF_MAX_IN_GROUP, "software events are one group");

static struct word word_of(const char *text)
{
	return (struct word){text, strlen(text)};
}

static struct perf_event *append(struct perf_event_set *set, struct word name, unsigned unit)
{
	struct perf_event *event = &set->events[set->n++];
	*event = (struct perf_event){.unit = unit};
	memcpy(event->name, name.text, name.len < PERF_NAME_SIZE ? name.len : PERF_NAME_SIZE - 1);
	return event;
}

void perf_events_software(struct perf_event_set *ret)
{
	ret->n = 0;
	ret->why[0] = '\0';
	for (size_t i = 0; i < COUNT(software); i++) {
		struct perf_event *event = append(ret, word_of(software[i].name), 0);
		event->code = (struct perf_code){PERF_TYPE_SOFTWARE, {software[i].config}};
	}
}

void perf_events_cgroup(struct perf_event_set *ret)
{
	static const struct {
		const char *name;
		struct perf_code code;
	} rows[] = {
		{"cycles", {PERF_TYPE_HARDWARE, {PERF_COUNT_HW_CPU_CYCLES}}},
		{"instructions", {PERF_TYPE_HARDWARE, {PERF_COUNT_HW_INSTRUCTIONS}}},
		{"context-switches", {PERF_TYPE_SOFTWARE, {PERF_COUNT_SW_CONTEXT_SWITCHES}}},
		{"cpu-migrations", {PERF_TYPE_SOFTWARE, {PERF_COUNT_SW_CPU_MIGRATIONS}}},
		{"page-faults", {PERF_TYPE_SOFTWARE, {PERF_COUNT_SW_PAGE_FAULTS}}},
	};
	ret->n = 0;
	ret->why[0] = '\0';
	for (size_t i = 0; i < COUNT(rows); i++)
		append(ret, word_of(rows[i].name), 0)->code = rows[i].code;
}

int perf_events_find(const struct perf_event_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->events[i].name, name) == 0)
			return (int)i;
	}
	return -ENOENT;
}

/* Reading a list of entries into a set; root NULL only looks at what they are. */
struct reading {
	const struct root *root;
	struct perf_event_set *set;
	unsigned unit;
	size_t in_group;
	bool forced;
	char *why;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reading *reading, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(reading->why, PERF_WHY_SIZE, format, args);
	va_end(args);
	return -EINVAL;
}

/* PMUs of cores have `cpus` or neither; those of packages and dies have `cpumask`. */
static bool is_uncore(const struct root *root, struct word pmu)
{
	struct cpu_set cpus;
	char name[64];
	(void)snprintf(name, sizeof(name), "%.*s", (int)pmu.len, pmu.text);
	return perf_pmu_cpus(root, name, "cpumask", &cpus) == 0;
}

static int add_name(void *arg, struct word name, const struct perf_name *parsed)
{
	struct reading *reading = arg;
	struct perf_event_set *set = reading->set;
	if (set->n == PERF_MAX_EVENTS)
		return refuse(reading, "more than %d events", PERF_MAX_EVENTS);
	if (++reading->in_group > PERF_MAX_IN_GROUP)
		return refuse(reading, "a group of more than %d events", PERF_MAX_IN_GROUP);
	struct perf_event *event = append(set, name, reading->unit);
	if (perf_events_find(set, event->name) != (int)set->n - 1)
		return refuse(reading, "\"%s\" occurs twice", event->name);
	event->forced = reading->forced;
	if (!reading->root)
		return 0;
	char why[PERF_WHY_SIZE];
	event->error = perf_pmu_resolve(reading->root, parsed, &event->code, why);
	event->uncore = event->error == 0 && parsed->kind == PERF_NAME_PMU && is_uncore(reading->root, parsed->pmu);
	if (event->error < 0 && set->why[0] == '\0')
		memcpy(set->why, why, sizeof(why));
	return 0;
}

static int read_entry(struct reading *reading, struct word entry)
{
	struct word wrong;
	reading->in_group = 0;
	reading->forced = perf_entry_is_group(entry);
	reading->why[0] = '\0';
	int r = perf_entry_walk(entry, add_name, reading, &wrong);
	reading->unit++;
	if (r == -EINVAL && reading->why[0] == '\0')
		return refuse(reading,
			      "\"%.*s\" is no event; events are called as perf list has them: cycles, LLC-load-misses, "
			      "r01c2, cpu/event=0x3c/",
			      (int)(wrong.len < 48 ? wrong.len : 48), wrong.text);
	return r;
}

static int read_settings(const struct root *root, const struct collector_settings *settings, struct perf_event_set *set,
			 char why[PERF_WHY_SIZE])
{
	struct reading reading = {.root = root, .set = set, .why = why};
	int r = 0;
	for (size_t i = 0; r == 0 && i < settings->n_perf_events; i++)
		r = read_entry(&reading, word_of(settings->perf_events[i]));
	return r;
}

static void read_defaults(const struct root *root, struct perf_event_set *set)
{
	char why[PERF_WHY_SIZE];
	struct reading reading = {.root = root, .set = set, .why = why};
	for (size_t i = 0; i < COUNT(defaults); i++, reading.unit++) {
		for (size_t j = 0; j < COUNT(defaults[i]) && defaults[i][j]; j++) {
			struct perf_name parsed;
			struct word name = word_of(defaults[i][j]);
			reading.in_group = 0;
			if (perf_name_parse(name.text, name.len, &parsed) == 0)
				(void)add_name(&reading, name, &parsed);
		}
	}
}

static void keep(struct perf_event_set *set, bool uncore)
{
	size_t n = 0;
	for (size_t i = 0; i < set->n; i++) {
		if (set->events[i].uncore == uncore)
			set->events[n++] = set->events[i];
	}
	set->n = n;
}

/* Without events of its own the set says so: what was accepted once is read again here, and cannot be refused. */
void perf_events_hardware(const struct root *root, const struct collector_settings *settings,
			  struct perf_event_set *ret)
{
	char why[PERF_WHY_SIZE];
	ret->n = 0;
	ret->why[0] = '\0';
	if (settings->n_perf_events == 0 || read_settings(root, settings, ret, why) < 0) {
		ret->n = 0;
		ret->why[0] = '\0';
		read_defaults(root, ret);
	}
	keep(ret, false);
}

void perf_events_uncore(const struct root *root, const struct collector_settings *settings, struct perf_event_set *ret)
{
	char why[PERF_WHY_SIZE];
	ret->n = 0;
	ret->why[0] = '\0';
	if (read_settings(root, settings, ret, why) < 0)
		ret->n = 0;
	keep(ret, true);
}

int perf_events_check(const struct root *root, const struct collector_settings *settings, char why[PERF_WHY_SIZE])
{
	struct perf_event_set set = {.n = 0};
	int r = read_settings(root, settings, &set, why);
	if (r == 0 && set.why[0] != '\0') {
		memcpy(why, set.why, PERF_WHY_SIZE);
		r = -EINVAL;
	}
	return r;
}
