/* Hardware or software events of all CPUs: opened, read, followed through CPU hotplug. source_fill.h turns one into a
 * message.
 *
 * Reading a group that is on the PMU of another CPU interrupts that CPU. So a CPU that did nothing since it was read is
 * left alone: its counters have not moved, or hardly; PERF_REFRESH_READS later one of its groups is read all the same,
 * in turns. A CPU that worked is interrupted once a group. */
#pragma once

#include "agent/collector.h"
#include "agent/perf/busy.h"
#include "agent/perf/cpus.h"
#include "agent/perf/plan.h"
#include "agent/perf/reason.h"

#include <sonde/v1/perf.pb-c.h>

#define PERF_REFRESH_READS 10
#define PERF_MAX_KINDS 8

/* One event on one CPU. */
struct perf_slot {
	struct perf_scaled scaled;
	struct perf_increment increment; /* of the last reading */
	int error;
	bool fresh; /* the increment is of this reading, not of an earlier one */
};

struct perf_cpu {
	bool open;
	bool left_out;		   /* wanted, and no descriptors were left for it */
	struct perf_group *groups; /* room for as many as there are events */
	size_t n_groups;
	struct perf_slot *slots; /* by event */
	uint8_t idle_reads;	 /* in a row at which it was left alone */
	uint8_t turn;
};

/* CPUs that have a PMU of their own, on a host that has several. */
struct perf_kind {
	uint32_t hybrid;  /* to be named in generic events; 0 where the kernel finds out by itself */
	uint64_t base_hz; /* at which ref-cycles counts; 0 where it is not known */
	struct cpu_set cpus;
	bool planned;
	int plan_error; /* these CPUs have none of the events, and are not asked again */
	struct perf_plan plan;
};

struct perf_source {
	struct perf_event_set set;
	bool hardware;				    /* groups are planned on the PMU; else all events are one */
	int cgroup;				    /* as in struct perf_target */
	struct perf_kind kinds[PERF_MAX_KINDS + 1]; /* the last is that of all other CPUs */
	size_t n_kinds;				    /* without it */
	size_t n_used; /* events for which descriptors suffice; those behind are left out */
	size_t max_descriptors;
	size_t descriptors; /* open now */
	size_t left_out_cpus;
	int open_error;
	int error; /* why it cannot be had at all; 0 if it can */
	Sonde__V1__PerfEventState error_state;
	struct collector_state state;
	bool implausible;	       /* what is counted contradicts the CPU time */
	uint8_t doubts;		       /* readings in a row that did */
	uint8_t trust;		       /* or did not, while implausible */
	struct perf_evidence evidence; /* the last that did */
	struct perf_cpu *cpus;	       /* by number */
	unsigned limit;
	uint64_t group_reads; /* readings of groups, each an interrupt if the group was on another CPU's PMU */
	uint64_t totals[PERF_MAX_EVENTS]; /* sums of increments: a CPU that goes takes nothing away */
};

/* Room for the CPUs [0, limit); set, kinds and max_descriptors are the caller's to fill in. 0 or -ENOMEM. */
int perf_source_init(struct perf_source *source, bool hardware, unsigned limit)
	__attribute__((nonnull, warn_unused_result));
/* Accepts a zeroed one. */
void perf_source_close(struct perf_source *source) __attribute__((nonnull));

/* Opens CPUs that are new in the set and closes those that left it. Afterwards open_error is 0 if anything is open,
 * else the first negative errno. The first call decides how many events there are descriptors for. */
void perf_source_follow(struct perf_source *source, const struct cpu_set *online) __attribute__((nonnull));

/* Reads every CPU that worked; a CPU that vanishes meanwhile is left out. busy NULL reads all. */
void perf_source_read(struct perf_source *source, const struct perf_busy *busy) __attribute__((nonnull(1)));
