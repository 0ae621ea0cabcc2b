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
	CGROUP_READ_RANK,   /* tells which cgroups are shown, where there are too many */
	CGROUP_READ_USAGE,  /* at every tick */
	CGROUP_READ_DETAIL, /* in turns */
};

struct cgroup_file {
	const char *name;
	enum cgroup_controller controller;
	bool unified; /* of v2 */
	enum cgroup_read when;
	bool of_devices; /* only says more of devices that were found before it */
	int (*parse)(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out);
};

#define CGROUP_FILES 32
extern const struct cgroup_file cgroup_files[CGROUP_FILES];
