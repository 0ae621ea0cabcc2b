#include "agent/perf/source_fill.h"

#include "agent/perf/ratios.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EVENT_STATE(name) SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_##name
#define OK EVENT_STATE(OK)
#define MULTIPLEXED EVENT_STATE(MULTIPLEXED)
#define NEVER_SCHEDULED EVENT_STATE(NEVER_SCHEDULED)
#define UNSUPPORTED EVENT_STATE(UNSUPPORTED)
#define IMPLAUSIBLE EVENT_STATE(IMPLAUSIBLE)
#define DEGRADED SONDE__V1__STATE__CODE__CODE_DEGRADED

static void fill_event(Sonde__V1__PerfEvent *message, const struct perf_event *event, Sonde__V1__PerfEventState state,
		       uint64_t count, uint64_t enabled_ns, uint64_t running_ns)
{
	message->event = (char *)event->name; /* the source's; packing only reads it */
	SET(message, event_state, state);
	if (state != OK && state != MULTIPLEXED && state != NEVER_SCHEDULED)
		return;
	if (state != NEVER_SCHEDULED)
		SET(message, count, count);
	if (enabled_ns > 0)
		SET(message, coverage_ratio, perf_coverage(enabled_ns, running_ns));
}

Sonde__V1__PerfEventState perf_slot_state(const struct perf_slot *slot)
{
	if (slot->error < 0)
		return perf_event_state(slot->error, true);
	switch (slot->increment.interval) {
	case PERF_INTERVAL_ABSENT:
		return NEVER_SCHEDULED;
	case PERF_INTERVAL_MULTIPLEXED:
		return MULTIPLEXED;
	case PERF_INTERVAL_NONE:
	case PERF_INTERVAL_FULL:
		break;
	}
	/* Not enabled for a moment so far, as the events of a cgroup that has not run: nothing is what there was. */
	return slot->scaled.ever || slot->scaled.last.enabled_ns == 0 ? OK : NEVER_SCHEDULED;
}

static int fill_cpu(const struct perf_source *source, const struct perf_busy *busy, unsigned number,
		    struct arena *arena, Sonde__V1__PerfCpu *message)
{
	const struct perf_cpu *cpu = &source->cpus[number];
	double value;
	SET(message, cpu, number);
	message->events = arena_messages(arena, &sonde__v1__perf_event__descriptor, source->set.n);
	if (!message->events)
		return -ENOMEM;
	for (size_t i = 0; i < source->set.n; i++) {
		const struct perf_slot *slot = &cpu->slots[i];
		Sonde__V1__PerfEventState state = perf_slot_state(slot);
		if (state == UNSUPPORTED || state == EVENT_STATE(LEFT_OUT)) /* said once, in the total */
			continue;
		fill_event(message->events[message->n_events++], &source->set.events[i],
			   source->implausible ? IMPLAUSIBLE : state, slot->scaled.count, slot->increment.enabled_ns,
			   slot->increment.running_ns);
	}
	if (source->implausible)
		return 0;
	if (perf_ratio(source, (int)number, "instructions", "cycles", &value))
		SET(message, instructions_per_cycle_ratio, value);
	if (perf_effective_frequency(source, busy, (int)number, &value))
		SET(message, effective_frequency_hz, value);
	return 0;
}

/* Counted on any CPU is counted; and not on every CPU that has it all of the time is multiplexed. */
static Sonde__V1__PerfEventState fill_total(const struct perf_source *source, size_t event,
					    Sonde__V1__PerfEvent *message)
{
	uint64_t enabled_ns = 0, running_ns = 0;
	bool counted = false, partly = false, absent = false;
	int error = source->set.events[event].error;
	for (unsigned i = 0; i < source->limit; i++) {
		if (!source->cpus[i].open)
			continue;
		const struct perf_slot *slot = &source->cpus[i].slots[event];
		Sonde__V1__PerfEventState state = perf_slot_state(slot);
		counted = counted || state == OK || state == MULTIPLEXED;
		partly = partly || (state != OK && state != UNSUPPORTED);
		absent = absent || state == NEVER_SCHEDULED;
		error = slot->error < 0 ? slot->error : error;
		enabled_ns += slot->increment.enabled_ns;
		running_ns += slot->increment.running_ns;
	}
	Sonde__V1__PerfEventState state = perf_event_state(error, true);
	if (source->implausible && (counted || absent))
		state = IMPLAUSIBLE;
	else if (counted)
		state = partly ? MULTIPLEXED : OK;
	else if (absent || error == 0)
		state = NEVER_SCHEDULED;
	fill_event(message, &source->set.events[event], state, source->totals[event], enabled_ns, running_ns);
	return state;
}

int perf_state_fill(const struct collector_state *state, struct arena *arena, Sonde__V1__State **ret)
{
	Sonde__V1__State *s = arena_message(arena, &sonde__v1__state__descriptor);
	if (!s)
		return -ENOMEM;
	*ret = s;
	if (state->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED) {
		SET(s, code, SONDE__V1__STATE__CODE__CODE_OK);
		return 0;
	}
	SET(s, code, state->code);
	s->reason = arena_strndup(arena, state->reason, strlen(state->reason));
	s->detail = arena_strndup(arena, state->detail, strlen(state->detail));
	return s->reason && s->detail ? 0 : -ENOMEM;
}

/* The names of the events in one state, as far as there is room: "cycles, instructions and 3 more". */
static size_t list_events(const struct perf_source *source, Sonde__V1__PerfEvent *const *total,
			  Sonde__V1__PerfEventState state, char *text, size_t size)
{
	size_t n = 0, named = 0, used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < source->set.n; i++) {
		if (total[i]->event_state != state)
			continue;
		size_t len = strlen(total[i]->event);
		if (n++ == named && used + len + 2 < size) {
			(void)snprintf(text + used, size - used, "%s%s", named > 0 ? ", " : "", total[i]->event);
			used = strlen(text);
			named++;
		}
	}
	if (n > named)
		(void)snprintf(text + used, size - used, "%s", "...");
	return n;
}

/* The worst of what is wrong with what was counted. */
static void tell_condition(const struct perf_source *source, Sonde__V1__PerfEvent *const *total,
			   struct collector_state *state)
{
	char names[100];
	const struct perf_evidence *e = &source->evidence;
	if (source->implausible) {
		(void)collector_fail(state, DEGRADED, 0, "implausible",
				     "%llu cycles and %llu instructions in %llu ms of CPU time cannot be right: the "
				     "virtual PMU is defective; hide it from this machine or disable perf",
				     (unsigned long long)e->cycles, (unsigned long long)e->instructions,
				     (unsigned long long)(e->worked_us / 1000));
	} else if (source->set.why[0] != '\0') {
		(void)collector_fail(state, DEGRADED, 0, "unknown_event", "perf_events: %s", source->set.why);
	} else if (source->n_used < source->set.n || source->left_out_cpus > 0) {
		(void)collector_fail(state, DEGRADED, 0, "few_descriptors",
				     "%zu of %zu events on all CPUs but %zu, for want of file descriptors: raise the "
				     "hard limit (LimitNOFILE, ulimit -Hn)",
				     source->n_used, source->set.n, source->left_out_cpus);
	} else if (list_events(source, total, NEVER_SCHEDULED, names, sizeof(names)) > 0) {
		(void)collector_fail(state, DEGRADED, 0, "never_scheduled",
				     "%s never got onto the PMU: a group larger than it, or its counters are held by "
				     "others (the NMI watchdog: kernel.nmi_watchdog=0)",
				     names);
	}
}

int perf_source_fill_totals(const struct perf_source *source, struct arena *arena, size_t *ret_n,
			    Sonde__V1__PerfEvent ***ret_rows)
{
	Sonde__V1__PerfEvent **rows = arena_messages(arena, &sonde__v1__perf_event__descriptor, source->set.n);
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < source->set.n; i++) {
		if (source->error < 0) { /* the source says why */
			fill_event(rows[i], &source->set.events[i], source->error_state, 0, 0, 0);
			continue;
		}
		Sonde__V1__PerfEventState state = fill_total(source, i, rows[i]);
		rows[i]->detail = (char *)perf_event_state_words(state); /* static */
	}
	*ret_n = source->set.n;
	*ret_rows = rows;
	return 0;
}

static int fill_ratios(const struct perf_source *source, const struct perf_busy *busy, struct arena *arena,
		       Sonde__V1__PerfSource *message)
{
	if (!source->hardware || source->error < 0 || source->implausible)
		return 0;
	message->ratios = arena_message(arena, &sonde__v1__perf_ratios__descriptor);
	if (!message->ratios)
		return -ENOMEM;
	perf_ratios_fill(source, busy, message->ratios);
	return 0;
}

int perf_source_fill(const struct perf_source *source, const struct perf_busy *busy, struct arena *arena,
		     Sonde__V1__PerfSource *message)
{
	size_t cpus = 0;
	for (unsigned i = 0; i < source->limit; i++)
		cpus += source->cpus[i].open;
	int r = perf_source_fill_totals(source, arena, &message->n_total, &message->total);
	if (r < 0)
		return r;
	struct collector_state state = source->state;
	if (source->error == 0)
		tell_condition(source, message->total, &state);
	r = perf_state_fill(&state, arena, &message->state);
	if (r == 0)
		r = fill_ratios(source, busy, arena, message);
	message->cpus = arena_messages(arena, &sonde__v1__perf_cpu__descriptor, cpus);
	if (r < 0 || (cpus > 0 && !message->cpus))
		return -ENOMEM;
	for (unsigned i = 0; i < source->limit; i++) {
		if (!source->cpus[i].open)
			continue;
		r = fill_cpu(source, busy, i, arena, message->cpus[message->n_cpus]);
		if (r < 0)
			return r;
		message->n_cpus++;
	}
	SET(message, group_reads, source->group_reads);
	SET(message, descriptors, source->descriptors);
	SET(message, cpus_left_out, source->left_out_cpus);
	return 0;
}
