#include "agent/perf/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A group that has not been on the PMU at so many readings in a row is given up for single events. */
#define STARVED_READS 3

int perf_source_init(struct perf_source *source, bool hardware, unsigned limit)
{
	*source = (struct perf_source){.hardware = hardware, .cgroup = -1, .limit = limit, .max_descriptors = SIZE_MAX};
	source->cpus = calloc(limit ? limit : 1, sizeof(*source->cpus));
	return source->cpus ? 0 : -ENOMEM;
}

static void close_groups(struct perf_source *source, struct perf_cpu *cpu)
{
	for (size_t i = 0; i < cpu->n_groups; i++) {
		source->descriptors -= cpu->groups[i].n;
		perf_group_close(&cpu->groups[i]);
	}
	cpu->n_groups = 0;
}

static void close_cpu(struct perf_source *source, struct perf_cpu *cpu)
{
	close_groups(source, cpu);
	free(cpu->groups);
	free(cpu->slots);
	*cpu = (struct perf_cpu){0};
}

void perf_source_close(struct perf_source *source)
{
	for (unsigned i = 0; source->cpus && i < source->limit; i++)
		close_cpu(source, &source->cpus[i]);
	free(source->cpus);
	source->cpus = NULL;
}

static struct perf_kind *kind_of(struct perf_source *source, unsigned cpu)
{
	size_t i = 0;
	while (i < source->n_kinds && !cpu_set_has(&source->kinds[i].cpus, cpu))
		i++;
	return &source->kinds[i];
}

static struct perf_target target_of(struct perf_source *source, unsigned cpu)
{
	return (struct perf_target){.cpu = (int)cpu, .cgroup = source->cgroup, .hybrid = kind_of(source, cpu)->hybrid};
}

/* CPUs of a kind are alike, so the first of them is asked for all. */
static int plan_cpu(struct perf_source *source, unsigned cpu, const struct perf_plan **ret)
{
	struct perf_kind *kind = kind_of(source, cpu);
	if (!kind->planned && source->hardware) {
		struct perf_target target = target_of(source, cpu);
		int r = perf_plan_make(&source->set, &target, &kind->plan);
		if (r < 0 && r != -ENOENT)
			return r;
		kind->plan_error = r;
	} else if (!kind->planned) {
		perf_plan_together(&source->set, &kind->plan);
		kind->plan_error = 0;
	}
	kind->planned = true;
	*ret = &kind->plan;
	return kind->plan_error;
}

static bool add_group(struct perf_source *source, unsigned number, const uint8_t events[], size_t n, bool pinned,
		      bool forced, int *ret_error)
{
	struct perf_cpu *cpu = &source->cpus[number];
	struct perf_target target = target_of(source, number);
	struct perf_group *group = &cpu->groups[cpu->n_groups];
	int errors[PERF_MAX_EVENTS];
	int r = perf_group_open(group, &source->set, events, n, &target, pinned, errors);
	for (size_t i = 0; i < n; i++)
		cpu->slots[events[i]].error = errors[events[i]];
	if (r < 0) {
		*ret_error = *ret_error < 0 ? *ret_error : r;
		return false;
	}
	group->forced = forced;
	source->descriptors += group->n;
	cpu->n_groups++;
	return true;
}

static int open_cpu(struct perf_source *source, unsigned number)
{
	struct perf_cpu *cpu = &source->cpus[number];
	const struct perf_plan *plan;
	int error = plan_cpu(source, number, &plan);
	if (error < 0)
		return error;
	cpu->groups = calloc(source->set.n, sizeof(*cpu->groups));
	cpu->slots = calloc(source->set.n, sizeof(*cpu->slots));
	if (!cpu->groups || !cpu->slots) {
		close_cpu(source, cpu);
		return -ENOMEM;
	}
	for (size_t i = 0; i < source->set.n; i++)
		cpu->slots[i].error = i < source->n_used ? plan->errors[i] : -EMFILE;
	for (size_t g = 0; g < plan->n_groups; g++) {
		size_t n = 0;
		while (n < plan->groups[g].n && plan->groups[g].events[n] < source->n_used)
			n++;
		if (n > 0)
			(void)add_group(source, number, plan->groups[g].events, n, plan->groups[g].pinned,
					plan->groups[g].forced, &error);
	}
	cpu->open = cpu->n_groups > 0;
	if (!cpu->open)
		close_cpu(source, cpu);
	return cpu->open ? 0 : error;
}

/* Every CPU has the same events, as many of the first ones as there are descriptors for. */
static void share_descriptors(struct perf_source *source, const struct cpu_set *online)
{
	size_t cpus = 0;
	for (unsigned i = 0; i < source->limit; i++)
		cpus += cpu_set_has(online, i);
	size_t most = cpus > 0 ? source->max_descriptors / cpus : source->set.n;
	size_t least = source->set.n < 2 ? source->set.n : 2;
	source->n_used = most < source->set.n ? most : source->set.n;
	if (source->n_used < least)
		source->n_used = least;
}

void perf_source_follow(struct perf_source *source, const struct cpu_set *online)
{
	int error = -ENODEV;
	bool any = false;
	if (source->n_used == 0)
		share_descriptors(source, online);
	source->left_out_cpus = 0;
	for (unsigned i = 0; i < source->limit; i++) {
		struct perf_cpu *cpu = &source->cpus[i];
		bool wanted = cpu_set_has(online, i);
		if (cpu->open && !wanted)
			close_cpu(source, cpu);
		bool room = source->descriptors + source->n_used <= source->max_descriptors;
		if (!cpu->open && wanted && room) {
			int r = open_cpu(source, i);
			error = r < 0 && error == -ENODEV ? r : error;
		}
		source->left_out_cpus += wanted && !cpu->open && !room;
		any = any || cpu->open;
	}
	source->open_error = any ? 0 : error;
}

/* Events of a group of its own again: counting starts anew. */
static void restart(struct perf_cpu *cpu, const uint8_t events[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		cpu->slots[events[i]].scaled.last = (struct perf_reading){0};
}

/* The pinned group found no room (another program holds the counters): it takes turns from now on. */
static void unpin(struct perf_source *source, unsigned number, struct perf_group *group)
{
	struct perf_target target = target_of(source, number);
	int errors[PERF_MAX_EVENTS];
	struct perf_group again;
	if (perf_group_open(&again, &source->set, group->events, group->n, &target, false, errors) < 0)
		return;
	again.forced = group->forced;
	source->descriptors += again.n;
	source->descriptors -= group->n;
	perf_group_close(group);
	*group = again;
	restart(&source->cpus[number], again.events, again.n);
}

/* A group that ran when it was planned and does not any more: others hold counters on this CPU. */
static void split(struct perf_source *source, unsigned number, size_t g)
{
	struct perf_cpu *cpu = &source->cpus[number];
	struct perf_group group = cpu->groups[g];
	int error = 0;
	cpu->groups[g] = cpu->groups[--cpu->n_groups];
	source->descriptors -= group.n;
	size_t n = group.n;
	perf_group_close(&group);
	restart(cpu, group.events, n);
	for (size_t i = 0; i < n; i++)
		(void)add_group(source, number, &group.events[i], 1, false, false, &error);
}

static bool read_group(struct perf_source *source, struct perf_cpu *cpu, struct perf_group *group)
{
	struct perf_reading readings[PERF_MAX_IN_GROUP];
	int r = perf_group_read(group, readings);
	bool absent = r == 0;
	source->group_reads++;
	for (size_t i = 0; i < group->n; i++) {
		struct perf_slot *slot = &cpu->slots[group->events[i]];
		slot->increment = (struct perf_increment){.interval = PERF_INTERVAL_ABSENT};
		slot->fresh = r == 0;
		if (r < 0)
			continue;
		slot->increment = perf_scale(&slot->scaled, &readings[i]);
		source->totals[group->events[i]] += slot->increment.count;
		absent = absent && slot->increment.interval == PERF_INTERVAL_ABSENT;
	}
	group->starved = absent && group->starved < UINT8_MAX ? group->starved + 1 : 0;
	return r != -EAGAIN;
}

static void read_cpu(struct perf_source *source, unsigned number, size_t first, size_t n)
{
	struct perf_cpu *cpu = &source->cpus[number];
	for (size_t g = first + n; g-- > first;) {
		struct perf_group *group = &cpu->groups[g];
		if (!read_group(source, cpu, group))
			unpin(source, number, group);
		else if (group->starved >= STARVED_READS && group->n > 1 && !group->forced)
			split(source, number, g);
	}
}

void perf_source_read(struct perf_source *source, const struct perf_busy *busy)
{
	for (unsigned i = 0; i < source->limit; i++) {
		struct perf_cpu *cpu = &source->cpus[i];
		if (!cpu->open)
			continue;
		for (size_t event = 0; event < source->set.n; event++)
			cpu->slots[event].fresh = false;
		if (!busy || i >= busy->limit || !busy->cpus[i].did_nothing) {
			cpu->idle_reads = 0;
			read_cpu(source, i, 0, cpu->n_groups);
		} else if (++cpu->idle_reads >= PERF_REFRESH_READS) {
			cpu->idle_reads = 0;
			cpu->turn = (uint8_t)((cpu->turn + 1u) % cpu->n_groups);
			read_cpu(source, i, cpu->turn, 1);
		}
	}
}
