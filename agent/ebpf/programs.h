/* The BPF programs the agent has, whoever loaded them, and what each costs by its own meter (bpf/probe_meter.h): one
 * list, made by the sampler, shown in the agent's own section. The scheduler's thread. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/probe_meter.h"

#define PROGRAMS_MAX 64
#define PROGRAM_NAME 32
#define PROGRAM_DETAIL 256

enum program_state {
	PROGRAM_ATTACHED,
	PROGRAM_OFF,	 /* loaded and not attached, or not wanted: detail says why */
	PROGRAM_REFUSED, /* this kernel cannot or will not run it: detail says why */
};

struct program {
	const char *probe; /* the section it serves; a literal */
	char name[PROGRAM_NAME];
	const char *attach; /* "tp_btf", "raw_tp", "iterator"; a literal, or NULL */
	enum program_state state;
	char detail[PROGRAM_DETAIL];	  /* "" when attached */
	int fd;				  /* borrowed; negative when it is not loaded */
	const struct probe_meter *meters; /* of the first CPU, or NULL */
	uint32_t cpus;
	uint32_t stride; /* meters from one CPU to the next */
};

/* What was measured. */
struct program_cost {
	bool has_runs; /* it has a meter: the following three, cumulative */
	uint64_t runs;
	uint64_t measured_runs;
	uint64_t measured_ns;
	bool has_rate; /* the following two: of the last interval in which it was measured */
	double run_ns;
	double cpu_ratio; /* of one CPU's time, all CPUs' runs together */
	bool has_missed;
	uint64_t missed_runs; /* the kernel's recursion_misses: it came while it was at work on the same CPU */
};

struct programs;

/* 0 or -ENOMEM. */
int programs_new(struct programs **ret) __attribute__((nonnull, warn_unused_result));
void programs_free(struct programs *programs); /* accepts NULL */

/* Copies *program in. Returns its number, or -ENOSPC; a NULL list takes nothing and returns -ENOSPC. */
int programs_add(struct programs *programs, const struct program *program) __attribute__((nonnull(2)));
/* For whoever switches it on and off; detail may be NULL for "". Accepts a NULL list and a negative number. */
void programs_set_state(struct programs *programs, int number, enum program_state state, const char *detail);
/* Forgets a probe's programs, before their descriptors and meters go. Accepts a NULL list. */
void programs_remove(struct programs *programs, const char *probe) __attribute__((nonnull(2)));

/* The kernel's types, which take a tenth of a second of a start to parse and some megabytes: kept here while collectors
 * are made, so that it is done once. keep takes them; forget frees them, and nothing is kept from then on. types is
 * NULL where none are kept; all accept a NULL list, which keeps nothing: then keep returns false and the caller still
 * owns them. */
struct btf;
struct btf *programs_types(const struct programs *programs);
bool programs_keep_types(struct programs *programs, struct btf *types) __attribute__((warn_unused_result));
void programs_forget_types(struct programs *programs);

/* At each tick; now_ns of CLOCK_MONOTONIC. */
void programs_measure(struct programs *programs, uint64_t now_ns) __attribute__((nonnull));

/* In the order of adding; numbers of removed ones are left out: NULL there. */
unsigned programs_count(const struct programs *programs) __attribute__((nonnull));
const struct program *programs_at(const struct programs *programs, unsigned number, struct program_cost *ret_cost)
	__attribute__((nonnull));

/* Of one CPU's time, all that are attached of a probe together, over their last intervals; 0 where nothing was
 * measured. Accepts a NULL list. */
double programs_cpu_ratio(const struct programs *programs, const char *probe) __attribute__((nonnull(2)));

/* Adds up a program's meters. */
struct probe_meter programs_meter(const struct program *program) __attribute__((nonnull));
