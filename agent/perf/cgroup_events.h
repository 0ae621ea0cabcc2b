/* Events of single cgroups, on request (perf_cgroups): one group of a few events for each cgroup and CPU, opened by the
 * cgroup's directory in the hierarchy that has the perf_event controller (v1), else in v2. The kernel then switches
 * these events at each change from one cgroup to another on a CPU, which is what it costs, beside a file an event, CPU
 * and cgroup. */
#pragma once

#include "agent/perf/busy.h"
#include "agent/perf/source.h"

struct perf_cgroup_row {
	uint64_t id; /* the directory's inode; 0 when it is not open */
	bool open;
	int error;
	struct perf_source source;
};

struct perf_cgroup_rows {
	const struct root *root;
	struct collector_settings settings; /* whose perf_cgroups these are */
	struct perf_cgroup_row *rows;
	size_t n;
	unsigned limit;
	size_t max_descriptors;
	unsigned reads;
	char mount[256]; /* of the hierarchy */
	int mount_error;
};

/* Where mountinfo has the hierarchy: "sys/fs/cgroup/perf_event". 0; -ENOENT when there is none, -EPROTO for text that
 * is not mountinfo, -EMSGSIZE. Pure. */
int perf_cgroup_mount(const char *mountinfo, size_t len, char *ret, size_t size)
	__attribute__((nonnull, warn_unused_result));

/* 0 or -ENOMEM. */
int perf_cgroups_open(struct perf_cgroup_rows *rows, const struct root *root, const struct collector_settings *settings,
		      const struct perf_source *like, size_t max_descriptors, const struct cpu_set *online)
	__attribute__((nonnull, warn_unused_result));
void perf_cgroups_close(struct perf_cgroup_rows *rows) __attribute__((nonnull)); /* accepts a zeroed one */

/* Cgroups that come, go or are made anew are looked for every few readings. */
void perf_cgroups_read(struct perf_cgroup_rows *rows, const struct cpu_set *online, const struct perf_busy *busy)
	__attribute__((nonnull(1, 2)));
/* 0 or -ENOMEM. */
int perf_cgroups_fill(const struct perf_cgroup_rows *rows, struct arena *arena, Sonde__V1__PerfCgroups *message)
	__attribute__((nonnull, warn_unused_result));
