/* Snapshots that outlive the agent: a file of fixed size, in which the newest take the place of the oldest.
 *
 * Survives the end of the process at any moment: what was pushed is in the page cache. Nothing is synced, so a power
 * failure may cost what the kernel had not written, half a minute most of the time. A record that was torn or damaged
 * is found by its checksum, skipped and counted; the others stay. Nothing is missing that is not in `dropped` (to make
 * room, or too large for the file) or in `corrupt`; both counters are kept in the file.
 *
 * Holds snapshots of this instance of the agent and of those before it. Not thread-safe. */
#pragma once

#include "agent/delivery/origin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_MIN_BYTES ((uint64_t)256 << 10)
#define SPOOL_MAX_BYTES ((uint64_t)64 << 30)

struct spool;

struct spool_options {
	const char *path;
	uint64_t bytes; /* of the file: SPOOL_MIN_BYTES to SPOOL_MAX_BYTES */
	uint8_t host_id[16];
	struct origin origin; /* what is pushed is this one's */
};

struct spool_stats {
	uint64_t bytes;	    /* of the file */
	uint64_t used;	    /* by what waits */
	uint64_t snapshots; /* that wait */
	uint64_t own;	    /* of these, the ones of this instance */
	uint64_t dropped, corrupt;
};

/* What opening found, for a line in the log. */
struct spool_report {
	const char *discarded; /* why what was there could not be used, NULL if it could */
	bool lost_known;
	uint64_t lost;	  /* snapshots discarded with it: now in `dropped` */
	uint64_t damaged; /* records: now in `corrupt` */
};

/* Opens what is there or makes it: smaller when the disk has not the room, of the old size as long as one of another
 * size holds snapshots. 0; -EBUSY when another process has it; -ENOSPC when there is not even room for the smallest;
 * other negative errno. */
int spool_open(const struct spool_options *options, struct spool **ret, struct spool_report *ret_report)
	__attribute__((nonnull, warn_unused_result));
void spool_close(struct spool *spool); /* accepts NULL */

/* Copies; drops the oldest when there is no room. 0; -EMSGSIZE when it is larger than the file, which counts as
 * dropped; -EIO when the file cannot be written. */
int spool_push(struct spool *spool, uint64_t sequence, const void *data, size_t len)
	__attribute__((nonnull(1), warn_unused_result));

/* Below, instance NULL stands for our own.
 *
 * The first one with sequence > after, copied to *ret_data (caller frees). 1, 0 if there is none, -ENOMEM, -EIO. */
int spool_next(struct spool *spool, const uint8_t *instance, uint64_t after, uint64_t *ret_sequence, void **ret_data,
	       size_t *ret_len) __attribute__((nonnull(1, 4, 5, 6), warn_unused_result));
/* Removes first..last (inclusive): the number of those that were there. */
uint64_t spool_remove(struct spool *spool, const uint8_t *instance, uint64_t first, uint64_t last)
	__attribute__((nonnull(1)));
/* Sequence of our newest, 0 if there is none. */
uint64_t spool_newest(const struct spool *spool) __attribute__((nonnull));
/* The oldest instance before ours that has snapshots here: true, or there is none. */
bool spool_backlog(const struct spool *spool, struct origin *ret) __attribute__((nonnull));
/* An instance before ours is of that descriptor set. */
bool spool_has_set(const struct spool *spool, const uint8_t descriptor_hash[32]) __attribute__((nonnull));

struct spool_stats spool_stats(const struct spool *spool) __attribute__((nonnull));
