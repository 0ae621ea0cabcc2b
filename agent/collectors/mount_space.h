/* What statfs(2) says of a file system, and the lane's job that asks one mount. */
#pragma once

#include "agent/lane.h"

#include <stdbool.h>
#include <stdint.h>

struct mount_space {
	uint64_t block_bytes; /* unit of the next three */
	uint64_t blocks;
	uint64_t free;
	uint64_t available; /* to everybody */
	uint64_t inodes;    /* 0: made as they are needed */
	uint64_t inodes_free;
	bool read_only;
};

/* Shared by the probes of a collector; lives as long as any of them. */
struct mount_probes {
	int root_fd;		       /* the root of the process whose mountinfo it is */
	_Atomic(uint32_t) outstanding; /* remote mounts that are being asked at this moment */
};

/* How many remote mounts may sit in the kernel at once: a dead server with a hundred exports must leave the lane's
 * other places to others. */
#define MOUNT_PROBES_MAX_OUTSTANDING 8

struct mount_probe {
	struct lane_job job; /* first; run is mount_probe_run() */
	struct mount_probes *shared;
	const char *path;  /* below the root, without the first "/"; "." for the root */
	uint64_t mount_id; /* what should be found there */
	bool remote;	   /* a server or another process answers, or does not */

	/* The answer, to be read when the job is done. */
	int error; /* 0, -EXDEV when another mount hides it, -EBUSY when too many others do not answer, negative errno
		    */
	uint64_t answered_ns; /* CLOCK_MONOTONIC */
	struct mount_space space;
};

void mount_probe_run(struct lane_job *job) __attribute__((nonnull));
