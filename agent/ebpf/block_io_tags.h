/* How long requests waited for a tag, where somebody asks for it (setting extra, block_io_tag_wait): programs of their
 * own, loaded when it is switched on and gone when it is switched off. Needs block_io_start (Linux 6.5). Scheduler's
 * thread. */
#pragma once

#include "agent/collector.h"

#include <linux/types.h>
#include <sonde/v1/metric.pb-c.h>

#include "bpf/block_io.h"

struct block_io_tag_waits;

/* At first: lists its programs as off, and how to ask for them. */
void block_io_tag_waits_list_off(const struct collector_context *context) __attribute__((nonnull));

/* *tags as it should be; NULL is off. 0, or negative errno with *state, and off: the next call does not try again until
 * it was switched off in between. */
int block_io_tag_waits_switch(const struct collector_context *context, bool wanted, struct block_io_tag_waits **tags,
			      struct collector_state *state) __attribute__((nonnull, warn_unused_result));
void block_io_tag_waits_free(struct block_io_tag_waits *tags); /* accepts NULL */

/* Whether anything is measured: switched on, and not refused. */
bool block_io_tag_waits_are_on(const struct block_io_tag_waits *tags);

/* *ret stays NULL for a device and class that nobody waited for. 0 or -ENOMEM. */
int block_io_tag_waits_fill(struct block_io_tag_waits *tags, const struct block_io_slot *slot,
			    enum block_io_class class, struct arena *arena, Sonde__V1__Histogram **ret)
	__attribute__((nonnull, warn_unused_result));
/* The device is gone. */
void block_io_tag_waits_forget(struct block_io_tag_waits *tags, const struct block_io_slot *slot);
