/* A tick asks the kernel nothing: the counters are mapped. */
#include "agent/ebpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1000000000ull
#define LEAST_INTERVAL_NS (NS_PER_S / 2)
#define MISSES_EVERY_NS (10 * NS_PER_S)
#define LEAST_TIMED 16 /* runs that an interval's own figure needs; below, that of the whole life is used */

struct reading {
	uint64_t at_ns; /* 0: none */
	uint64_t runs, measured_runs, measured_ns;
};

struct entry {
	bool used;
	struct program program;
	struct program_cost cost;
	struct reading before;
};

struct programs {
	struct entry entries[PROGRAMS_MAX];
	unsigned n;
	struct btf *types; /* or NULL */
	bool forgot;
	uint64_t misses_next_ns;
};

int programs_new(struct programs **ret)
{
	struct programs *programs = calloc(1, sizeof(*programs));
	if (!programs)
		return -ENOMEM;
	*ret = programs;
	return 0;
}

void programs_free(struct programs *programs)
{
	if (!programs)
		return;
	programs_forget_types(programs);
	free(programs);
}

struct btf *programs_types(const struct programs *programs)
{
	return programs ? programs->types : NULL;
}

bool programs_keep_types(struct programs *programs, struct btf *types)
{
	if (!programs || programs->types || programs->forgot)
		return false;
	programs->types = types;
	return true;
}

void programs_forget_types(struct programs *programs)
{
	if (!programs)
		return;
	btf__free(programs->types);
	programs->types = NULL;
	programs->forgot = true;
}

int programs_add(struct programs *programs, const struct program *program)
{
	for (unsigned i = 0; programs && i < PROGRAMS_MAX; i++) {
		struct entry *entry = &programs->entries[i];
		if (entry->used)
			continue;
		*entry = (struct entry){.used = true, .program = *program};
		if (i >= programs->n)
			programs->n = i + 1;
		return (int)i;
	}
	return -ENOSPC;
}

void programs_set_state(struct programs *programs, int number, enum program_state state, const char *detail)
{
	if (!programs || number < 0 || (unsigned)number >= programs->n)
		return;
	struct entry *entry = &programs->entries[number];
	struct program *program = &entry->program;
	size_t n = detail ? strnlen(detail, sizeof(program->detail) - 1) : 0;
	if (n > 0)
		memcpy(program->detail, detail, n);
	program->detail[n] = '\0';
	program->state = state;
	/* An interval with a change in it says nothing. */
	entry->before.at_ns = 0;
	entry->cost.has_rate = false;
}

void programs_remove(struct programs *programs, const char *probe)
{
	for (unsigned i = 0; programs && i < programs->n; i++) {
		if (programs->entries[i].used && strcmp(programs->entries[i].program.probe, probe) == 0)
			programs->entries[i] = (struct entry){.used = false};
	}
}

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

struct probe_meter programs_meter(const struct program *program)
{
	struct probe_meter sum = {0};
	for (uint32_t cpu = 0; program->meters && cpu < program->cpus; cpu++) {
		const struct probe_meter *meter = &program->meters[(size_t)cpu * program->stride];
		sum.runs += load(&meter->runs);
		sum.timed_runs += load(&meter->timed_runs);
		sum.timed_ns += load(&meter->timed_ns);
		sum.clock_ns += load(&meter->clock_ns);
	}
	return sum;
}

static struct reading read_meter(const struct program *program, uint64_t now_ns)
{
	struct probe_meter sum = programs_meter(program);
	return (struct reading){
		.at_ns = now_ns,
		.runs = sum.runs,
		.measured_runs = sum.timed_runs,
		.measured_ns = sum.timed_ns > sum.clock_ns ? sum.timed_ns - sum.clock_ns : 0,
	};
}

/* From the last reading to this one, if it was long enough ago. */
static void rate(struct entry *entry, const struct reading *now)
{
	struct program_cost *cost = &entry->cost;
	const struct reading *before = &entry->before;
	cost->runs = now->runs;
	cost->measured_runs = now->measured_runs;
	cost->measured_ns = now->measured_ns;
	if (before->at_ns != 0 && now->at_ns - before->at_ns < LEAST_INTERVAL_NS)
		return;
	uint64_t runs = now->measured_runs - before->measured_runs, ns = now->measured_ns - before->measured_ns;
	if (runs < LEAST_TIMED) {
		runs = now->measured_runs;
		ns = now->measured_ns;
	}
	cost->has_rate = before->at_ns != 0 && runs > 0;
	if (cost->has_rate) {
		cost->run_ns = (double)ns / (double)runs;
		cost->cpu_ratio =
			cost->run_ns * (double)(now->runs - before->runs) / (double)(now->at_ns - before->at_ns);
	}
	entry->before = *now;
}

/* Counted by the kernel, since 5.12. */
static void read_misses(struct programs *programs, uint64_t now_ns)
{
	if (now_ns < programs->misses_next_ns)
		return;
	programs->misses_next_ns = now_ns + MISSES_EVERY_NS;
	for (unsigned i = 0; i < programs->n; i++) {
		struct entry *entry = &programs->entries[i];
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		if (!entry->used || entry->program.fd < 0 ||
		    bpf_obj_get_info_by_fd(entry->program.fd, &info, &size) < 0 ||
		    size < offsetof(struct bpf_prog_info, recursion_misses) + sizeof(info.recursion_misses))
			continue;
		entry->cost.has_missed = true;
		entry->cost.missed_runs = info.recursion_misses;
	}
}

void programs_measure(struct programs *programs, uint64_t now_ns)
{
	for (unsigned i = 0; i < programs->n; i++) {
		struct entry *entry = &programs->entries[i];
		if (!entry->used || !entry->program.meters || entry->program.state != PROGRAM_ATTACHED)
			continue;
		struct reading now = read_meter(&entry->program, now_ns);
		entry->cost.has_runs = true;
		rate(entry, &now);
	}
	read_misses(programs, now_ns);
}

double programs_cpu_ratio(const struct programs *programs, const char *probe)
{
	double sum = 0;
	for (unsigned i = 0; programs && i < programs->n; i++) {
		const struct entry *entry = &programs->entries[i];
		if (entry->used && entry->cost.has_rate && entry->program.state == PROGRAM_ATTACHED &&
		    strcmp(entry->program.probe, probe) == 0)
			sum += entry->cost.cpu_ratio;
	}
	return sum;
}

unsigned programs_count(const struct programs *programs)
{
	return programs->n;
}

const struct program *programs_at(const struct programs *programs, unsigned number, struct program_cost *ret_cost)
{
	if (number >= programs->n || !programs->entries[number].used)
		return NULL;
	*ret_cost = programs->entries[number].cost;
	return &programs->entries[number].program;
}
