/* /proc/mdstat (drivers/md/md.c, md_seq_show()): the state of software RAID arrays, and how far a resync has come. The
 * text is made for people and has grown for twenty years: what is not known is passed over, as long as an array's first
 * line can be read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mdstat_sync {
	MDSTAT_SYNC_NONE,
	MDSTAT_SYNC_RUNNING,
	MDSTAT_SYNC_DELAYED,
	MDSTAT_SYNC_PENDING,
	MDSTAT_SYNC_REMOTE
};

#define MDSTAT_NAME_MAX 63

/* Texts are borrowed, not terminated; NULL when there is none. */
struct mdstat_row {
	const char *name; /* "md0", at most MDSTAT_NAME_MAX */
	size_t name_len;
	const char *state; /* "active", "inactive", "read-only", "auto-read-only" */
	size_t state_len;
	const char *level; /* "raid5" */
	size_t level_len;
	uint32_t failed;
	uint32_t spare;
	bool has_blocks;
	uint64_t blocks; /* KiB */
	bool has_disks;	 /* the next two */
	uint32_t total;
	uint32_t active;
	enum mdstat_sync sync;
	const char *action; /* "recovery", unless sync is MDSTAT_SYNC_NONE */
	size_t action_len;
	bool has_progress; /* the next three; done <= todo, todo > 0 */
	uint64_t done;
	uint64_t todo;
	uint64_t speed_kib; /* a second */
};

struct proc_mdstat_reader {
	const char *p;
	const char *end;
};

static inline struct proc_mdstat_reader proc_mdstat_reader(const char *text, size_t len)
{
	return (struct proc_mdstat_reader){.p = text, .end = text + len};
}

/* 1 and a row, 0 at the end, -EPROTO. */
int proc_mdstat_next(struct proc_mdstat_reader *reader, struct mdstat_row *ret)
	__attribute__((nonnull, warn_unused_result));
