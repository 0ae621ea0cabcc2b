/* The mounts of the filesystems section from one reading of mountinfo to the next, each with the lane's job that asks
 * it and with its last answer. A mount that is gone while its job is under way is kept until the job is done. */
#pragma once

#include "agent/collectors/mount_space.h"
#include "agent/collectors/mount_table.h"

#define MOUNT_LIST_MAX 1024
#define MOUNT_LIST_MAX_GONE 1024

struct mounted {
	struct mount_probe probe; /* first */
	uint32_t major, minor;
	bool read_only; /* as mountinfo says; an answer says it better */
	bool kept;	/* by the reading under way */
	char *point, *source, *type;
	int error; /* of the last asking; 0 with an answer */
	bool answered;
	uint64_t answered_ns; /* CLOCK_MONOTONIC */
	struct mount_space space;
	struct mounted *next; /* of those that are gone */
};

struct mount_list {
	struct mounted **mounts;
	size_t n;
	size_t left_out;
	struct mounted *gone;
	size_t n_gone;
};

/* The mounts of the table, with what was known of those that were there before. 0, or -ENOMEM and the list is as it
 * was. */
int mount_list_update(struct mount_list *list, const struct mount_table *table, struct mount_probes *shared)
	__attribute__((nonnull, warn_unused_result));
/* Takes what jobs have answered; lets go of what is gone. True while a job is under way that was submitted by the last
 * mount_list_submit() and is not known to be late. */
bool mount_list_take(struct mount_list *list) __attribute__((nonnull));
/* Asks all mounts that are not being asked. */
void mount_list_submit(struct mount_list *list, struct lane *lane) __attribute__((nonnull));
/* No job may be under way. */
void mount_list_free(struct mount_list *list); /* accepts NULL and a zeroed one */

/* It is being asked and does not answer. */
static inline bool mounted_is_stuck(const struct mounted *mount)
{
	return lane_job_state(&mount->probe.job) == LANE_RUNNING && lane_job_age_ms(&mount->probe.job) > LANE_STUCK_MS;
}
