/* The files of one control group (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/), each with its parser. Pure
 * functions of (text, length) that add to a message; what a kernel does not write stays absent, what it writes and we
 * do not know is passed over. -EPROTO for what the kernel would not write; the message may then hold a part of it. */
#pragma once

#include "agent/arena.h"
#include "agent/cgroups/hierarchies.h"

#include <sonde/v1/cgroup.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_IO_MAX 32 /* devices shown of one cgroup */

/* Numbers of devices to their names. */
struct cgroup_devices;

/* What a parser may need beside the text. */
struct cgroup_parsing {
	struct arena *arena;
	uint64_t user_hz;
	struct cgroup_devices *devices; /* NULL: all are called by their numbers */
	uint64_t io_left_out;
};

/* How often a file is read; each with those before it. */
enum cgroup_read {
	CGROUP_READ_CPU,    /* at every tick: tells whether anything ran in it */
	CGROUP_READ_RANK,   /* tells with it which cgroups are shown, where there are too many */
	CGROUP_READ_USAGE,  /* in every tick in which something ran */
	CGROUP_READ_DETAIL, /* in turns */
	CGROUP_READ_LIMITS, /* seldom: what only an administrator changes */
};

/* Of files that say nothing of most cgroups. */
enum cgroup_condition {
	CGROUP_ALWAYS,
	CGROUP_DEVICES_FOUND, /* only says more of devices that were found before it */
	CGROUP_HAD_LIMIT,     /* more often than as a detail only where there is a limit of CPU time */
	CGROUP_HAD_IO,	      /* more often than as a detail only where it had something to say */
};

struct cgroup_file {
	const char *name;
	enum cgroup_controller controller;
	bool unified; /* of v2 */
	enum cgroup_read when;
	enum cgroup_condition condition;
	int (*parse)(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out);
};

#define CGROUP_FILES 32
extern const struct cgroup_file cgroup_files[CGROUP_FILES];
