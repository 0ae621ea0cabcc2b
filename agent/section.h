/* One collector at work: the section it fills, how it stands, when it is due, and on which thread it collects. The
 * sampler has one a collector; the scheduler's thread calls all of this. */
#pragma once

#include "agent/collector.h"
#include "agent/host/capabilities.h"
#include "agent/lane.h"
#include "agent/status.h"

/* What a slow collector shares with the lane's thread: one side has it at a time, by the job's state. */
struct slow_part {
	struct lane_job job; /* first */
	const struct section *section;
	struct arena *arena; /* holds the message until the next run */
	ProtobufCMessage *message;
	struct collector_state state;
	uint64_t begun_us, duration_us;
	int64_t boottime_shift_us;
	bool watched;
	int result;
};

struct section {
	const struct collector *collector;
	const ProtobufCFieldDescriptor *field; /* of Snapshot */
	const ProtobufCMessageDescriptor *type;
	const ProtobufCFieldDescriptor *state_field; /* of the section */
	void *self;
	bool exists;  /* made, and not given up */
	bool resting; /* switched off, and the collector knows */
	struct collector_state state;
	uint32_t period_ms;	   /* in force; 0 is at every tick */
	uint64_t next_us;	   /* when it is due */
	uint64_t collected_us;	   /* when its last contents were read; 0: never */
	struct slow_part *slow;	   /* NULL: collects on the scheduler's thread */
	struct lane *lane;	   /* of slow */
	int64_t boottime_shift_us; /* recorded hosts: their uptime less this kernel's */
};

/* Finds the section in the Snapshot's descriptor by the collector's name. 0, or -EINVAL when it is none. */
int section_init(struct section *section, const struct collector *collector, int64_t boottime_shift_us)
	__attribute__((nonnull, warn_unused_result));
/* Makes the collector; when that fails the section says why from now on. */
void section_create(struct section *section, const struct collector_context *context) __attribute__((nonnull));
/* lane_ended: as lane_free() said; false leaves alone what a stuck job may still use. */
void section_destroy(struct section *section, bool lane_ended) __attribute__((nonnull));

/* What a tick does with it. */
struct section_order {
	uint64_t now_us;   /* CLOCK_BOOTTIME of the host */
	uint64_t slack_us; /* due a little later is due now: half a tick */
	bool disabled;
	bool watched;	 /* due at every tick, and whole */
	bool every_tick; /* due whatever its period */
	/* Of the calling thread; a section leaves it with what its collector declares. */
	struct capabilities_thread *rights;
};

/* The message to stand in the snapshot, with its state filled in, valid until the arena's reset and the section's next
 * turn. NULL when the arena is full. *ret_fresh: it holds contents of this turn. */
ProtobufCMessage *section_take(struct section *section, const struct section_order *order, struct arena *arena,
			       struct agent_status_collector *status, bool *ret_fresh)
	__attribute__((nonnull, warn_unused_result));

/* Under way on the lane. */
bool section_is_pending(const struct section *section) __attribute__((nonnull));
/* CODE_DISABLED, in words. */
void section_set_disabled(struct collector_state *state) __attribute__((nonnull));
