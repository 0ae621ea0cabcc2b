#include "agent/perf/source.h"

#include "agent/perf/reason.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OK SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK
#define MULTIPLEXED SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_MULTIPLEXED
#define NEVER_SCHEDULED SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NEVER_SCHEDULED
#define UNSUPPORTED SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED

int perf_source_init(struct perf_source *source, const struct perf_event_table *table, unsigned limit)
{
	*source = (struct perf_source){.table = table, .limit = limit};
	source->cpus = calloc(limit ? limit : 1, sizeof(*source->cpus));
	return source->cpus ? 0 : -ENOMEM;
}

static void close_cpu(struct perf_cpu *cpu)
{
	for (size_t i = 0; i < cpu->n_groups; i++)
		perf_group_close(&cpu->groups[i]);
	*cpu = (struct perf_cpu){0};
}

void perf_source_close(struct perf_source *source)
{
	for (unsigned i = 0; source->cpus && i < source->limit; i++)
		close_cpu(&source->cpus[i]);
	free(source->cpus);
	source->cpus = NULL;
}

static uint32_t hybrid_type(const struct perf_source *source, unsigned cpu)
{
	for (size_t i = 0; i < source->n_kinds; i++) {
		if (cpu_set_has(&source->kinds[i].cpus, cpu))
			return source->kinds[i].type;
	}
	return 0;
}

static size_t events_in_group(const struct perf_event_table *table, size_t first)
{
	size_t n = 1;
	while (first + n < table->n && table->events[first + n].group == table->events[first].group)
		n++;
	return n;
}

static int open_cpu(struct perf_source *source, unsigned number)
{
	struct perf_cpu *cpu = &source->cpus[number];
	const struct perf_event_table *table = source->table;
	int error = 0;
	for (size_t first = 0, n; first < table->n && cpu->n_groups < PERF_MAX_GROUPS; first += n) {
		n = events_in_group(table, first);
		int r = perf_group_open(&cpu->groups[cpu->n_groups], table, first, n, number,
					hybrid_type(source, number), source->pin_first && first == 0, cpu->errors);
		if (r == 0)
			cpu->n_groups++;
		else if (error == 0)
			error = r;
	}
	cpu->open = cpu->n_groups > 0;
	return cpu->open ? 0 : error;
}

void perf_source_follow(struct perf_source *source, const struct cpu_set *online)
{
	int error = -ENODEV;
	bool any = false;
	for (unsigned i = 0; i < source->limit; i++) {
		struct perf_cpu *cpu = &source->cpus[i];
		bool wanted = cpu_set_has(online, i);
		if (cpu->open && !wanted)
			close_cpu(cpu);
		if (!cpu->open && wanted) {
			int r = open_cpu(source, i);
			error = r < 0 && error == -ENODEV ? r : error;
		}
		any = any || cpu->open;
	}
	source->open_error = any ? 0 : error;
}

/* The pinned group found no room (another program holds the counters): it takes turns from now on. */
static void unpin(struct perf_source *source, unsigned number, struct perf_group *group)
{
	size_t first = group->events[0], n = events_in_group(source->table, first);
	struct perf_cpu *cpu = &source->cpus[number];
	struct perf_group again;
	if (perf_group_open(&again, source->table, first, n, number, hybrid_type(source, number), false, cpu->errors) <
	    0)
		return;
	perf_group_close(group);
	*group = again;
	for (size_t i = first; i < first + n; i++)
		cpu->scaled[i].last = (struct perf_reading){0};
}

static void read_cpu(struct perf_source *source, unsigned number)
{
	struct perf_cpu *cpu = &source->cpus[number];
	for (size_t g = 0; g < cpu->n_groups; g++) {
		struct perf_group *group = &cpu->groups[g];
		struct perf_reading readings[PERF_MAX_IN_GROUP];
		int r = perf_group_read(group, readings);
		for (size_t i = 0; i < group->n; i++) {
			size_t event = group->events[i];
			cpu->increments[event] = (struct perf_increment){.interval = PERF_INTERVAL_ABSENT};
			if (r < 0)
				continue;
			cpu->increments[event] = perf_scale(&cpu->scaled[event], &readings[i]);
			source->totals[event] += cpu->increments[event].count;
			source->ever[event] = source->ever[event] || cpu->scaled[event].ever;
		}
		if (r == -EAGAIN)
			unpin(source, number, group);
	}
}

void perf_source_read(struct perf_source *source)
{
	for (unsigned i = 0; i < source->limit; i++) {
		if (source->cpus[i].open)
			read_cpu(source, i);
	}
}

static void fill_event(Sonde__V1__PerfEvent *message, const struct perf_event *event, Sonde__V1__PerfEventState state,
		       uint64_t count, uint64_t enabled_ns, uint64_t running_ns)
{
	message->event = (char *)event->name; /* static; packing only reads it */
	SET(message, event_state, state);
	if (state != OK && state != MULTIPLEXED && state != NEVER_SCHEDULED)
		return;
	if (state != NEVER_SCHEDULED)
		SET(message, count, count);
	if (enabled_ns > 0)
		SET(message, coverage_ratio, perf_coverage(enabled_ns, running_ns));
}

static Sonde__V1__PerfEventState cpu_event_state(const struct perf_cpu *cpu, size_t event)
{
	if (cpu->errors[event] < 0)
		return perf_event_state(cpu->errors[event], true);
	switch (cpu->increments[event].interval) {
	case PERF_INTERVAL_ABSENT:
		return NEVER_SCHEDULED;
	case PERF_INTERVAL_MULTIPLEXED:
		return MULTIPLEXED;
	case PERF_INTERVAL_NONE:
	case PERF_INTERVAL_FULL:
		break;
	}
	return cpu->scaled[event].ever ? OK : NEVER_SCHEDULED;
}

static int fill_cpu(const struct perf_source *source, unsigned number, struct arena *arena, Sonde__V1__PerfCpu *message)
{
	const struct perf_cpu *cpu = &source->cpus[number];
	SET(message, cpu, number);
	message->events = arena_messages(arena, &sonde__v1__perf_event__descriptor, source->table->n);
	if (!message->events)
		return -ENOMEM;
	for (size_t i = 0; i < source->table->n; i++) {
		Sonde__V1__PerfEventState state = cpu_event_state(cpu, i);
		if (state == UNSUPPORTED) /* said once, in the total */
			continue;
		const struct perf_increment *increment = &cpu->increments[i];
		fill_event(message->events[message->n_events++], &source->table->events[i], state, cpu->scaled[i].count,
			   increment->enabled_ns, increment->running_ns);
	}
	return 0;
}

/* Counted on any CPU is counted; and not on every CPU all of the time is multiplexed. */
static void fill_total(const struct perf_source *source, size_t event, Sonde__V1__PerfEvent *message)
{
	uint64_t enabled_ns = 0, running_ns = 0;
	bool counted = false, partly = false, absent = false;
	int error = 0;
	for (unsigned i = 0; i < source->limit; i++) {
		const struct perf_cpu *cpu = &source->cpus[i];
		if (!cpu->open)
			continue;
		Sonde__V1__PerfEventState state = cpu_event_state(cpu, event);
		counted = counted || state == OK || state == MULTIPLEXED;
		partly = partly || state != OK;
		absent = absent || state == NEVER_SCHEDULED;
		error = cpu->errors[event] < 0 ? cpu->errors[event] : error;
		enabled_ns += cpu->increments[event].enabled_ns;
		running_ns += cpu->increments[event].running_ns;
	}
	Sonde__V1__PerfEventState state = perf_event_state(error, true);
	if (counted)
		state = partly ? MULTIPLEXED : OK;
	else if (absent || error == 0)
		state = NEVER_SCHEDULED;
	fill_event(message, &source->table->events[event], state, source->totals[event], enabled_ns, running_ns);
}

static int fill_state(const struct collector_state *state, struct arena *arena, Sonde__V1__PerfSource *message)
{
	Sonde__V1__State *s = arena_message(arena, &sonde__v1__state__descriptor);
	if (!s)
		return -ENOMEM;
	message->state = s;
	if (state->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED) {
		SET(s, code, SONDE__V1__STATE__CODE__CODE_OK);
		return 0;
	}
	SET(s, code, state->code);
	s->reason = arena_strndup(arena, state->reason, strlen(state->reason));
	s->detail = arena_strndup(arena, state->detail, strlen(state->detail));
	return s->reason && s->detail ? 0 : -ENOMEM;
}

int perf_source_fill(const struct perf_source *source, struct arena *arena, Sonde__V1__PerfSource *message)
{
	size_t cpus = 0;
	for (unsigned i = 0; i < source->limit; i++)
		cpus += source->cpus[i].open;
	int r = fill_state(&source->state, arena, message);
	message->total = arena_messages(arena, &sonde__v1__perf_event__descriptor, source->table->n);
	message->cpus = arena_messages(arena, &sonde__v1__perf_cpu__descriptor, cpus);
	if (r < 0 || !message->total || (cpus > 0 && !message->cpus))
		return -ENOMEM;
	for (size_t i = 0; i < source->table->n; i++) {
		Sonde__V1__PerfEvent *total = message->total[message->n_total++];
		if (source->error < 0)
			fill_event(total, &source->table->events[i], source->error_state, 0, 0, 0);
		else
			fill_total(source, i, total);
	}
	for (unsigned i = 0; i < source->limit; i++) {
		if (!source->cpus[i].open)
			continue;
		r = fill_cpu(source, i, arena, message->cpus[message->n_cpus]);
		if (r < 0)
			return r;
		message->n_cpus++;
	}
	return 0;
}
