/* What a collector is. Each one is a `const struct collector` in the explicit table of agent/collectors.c and fills one
 * section of the Snapshot. The scheduler owns timing, state, duration and failure; a collector owns its files.
 *
 * To add one: a message and a field of Snapshot in proto/, a file with the struct below, one line in the table. */
#pragma once

#include "agent/arena.h"
#include "agent/host/root.h"

#include <sonde/v1/snapshot.pb-c.h>

#include <stdbool.h>
#include <stdint.h>

/* Why a section is as it is; becomes the section's State. A zeroed one is "ok". */
struct collector_state {
	Sonde__V1__State__Code code; /* UNSPECIFIED counts as OK */
	char reason[48];	     /* snake_case, stable; "" when ok */
	char detail[256];	     /* a sentence a person can act on; "" when ok */
};

/* Fills *s; detail is printf-formatted. Returns `error`, so that a collector can `return collector_fail(...)`. */
int collector_fail(struct collector_state *s, Sonde__V1__State__Code code, int error, const char *reason,
		   const char *detail_format, ...) __attribute__((format(printf, 5, 6), nonnull(1, 4, 5)));

struct agent_status;
struct block_io_top;
struct cgroup_tree;
struct collector_settings;
struct lane;
struct programs;

/* What a collector may use for as long as it lives. */
struct collector_context {
	const struct root *root; /* /proc and /sys, perhaps of a recorded host */
	bool live;		 /* false with --root: probes of the running kernel (perf, BPF) report CODE_UNAVAILABLE,
				    "recorded_host" */
	const char *btf_path;	 /* --btf FILE for kernels without /sys/kernel/btf/vmlinux, or NULL */
	const struct agent_status *status;	   /* what the agent knows of itself (agent/status.h), or NULL */
	const struct collector_settings *settings; /* agent/settings.h; may change between two ticks */
	struct lane *lane;			   /* for what may block: agent/lane.h */
	struct cgroup_tree *cgroups;		   /* which cgroups there are: agent/cgroups/tree.h; NULL: none */
	struct block_io_top *block_io_top; /* from processes to block_io: agent/ebpf/block_io_top.h; NULL: none */
	struct programs *programs;	   /* BPF programs and their cost: agent/ebpf/programs.h; NULL: not listed */
};

/* One tick. */
struct tick {
	struct arena *arena;	       /* lives until the snapshot is packed: everything in it is freed at once */
	uint64_t boottime_us;	       /* when the tick began */
	bool watched;		       /* somebody looks at this section: show it whole */
	struct collector_state *state; /* to be set by collect() when the section is not simply "ok" */
};

struct collector {
	const char *name;      /* the section's name: a field of Snapshot */
	const char *reads;     /* for people: "/proc/stat, /proc/loadavg" */
	const char *needs;     /* capabilities, kernel options; "" if nothing */
	uint32_t capabilities; /* as in agent/host/capabilities.h: effective during create() and collect(); with none
				  declared, none is. What it does on the lane says so itself (struct lane_job) */
	uint32_t period_ms;    /* how often by default; 0 is at every tick. What is not due says so */
	/* collect() may block: it runs on the slow lane with an arena of its own, and its section stands in the first
	 * snapshot after it came back. It shares nothing with collectors of the scheduler's thread. */
	bool slow;

	/* 0 and *ret_self, or negative errno with *state saying why: the section then carries that state for ever, and
	 * the collector is not called again. Runs before threads start. */
	int (*create)(const struct collector_context *context, void **ret_self, struct collector_state *state);

	/* Fills the section (a zero-initialised message of the right type; `state` inside it is the scheduler's
	 * business). All or nothing: on a negative errno the scheduler drops the section's contents and sends state,
	 * reason and duration instead (FAILED with the errno's text if tick->state was not set). No allocation but from
	 * the arena, no fork. */
	int (*collect)(void *self, struct tick *tick, ProtobufCMessage *section);

	/* Called once when the section is switched off while the agent runs: what works without being asked is to stop.
	 * collect() starts it again. NULL: nothing does. */
	void (*rest)(void *self);

	void (*destroy)(void *self); /* accepts NULL */
};

/* The table, in the order of collection; ends with NULL. */
extern const struct collector *const collectors[];

/* Presence made short: SET(cpu, context_switches, n) sets the field and its has_ flag. */
#define SET(message, field, value)                                                                                     \
	do {                                                                                                           \
		(message)->has_##field = 1;                                                                            \
		(message)->field = (value);                                                                            \
	} while (0)
