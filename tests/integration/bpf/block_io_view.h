/* The section block_io through the collector's public interface, and its steps beside those of /proc/diskstats. Asserts
 * by cmocka: what cannot be read fails the test. One probe a process. */
#pragma once

#include "agent/arena.h"
#include "agent/collector.h"
#include "tests/integration/bpf/loop_device.h"

#include <sonde/v1/block_io.pb-c.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { READ, WRITE, FLUSH, DISCARD, WRITE_ZEROES, OTHER, KINDS };

struct view_probe {
	struct root root;
	struct cgroup_tree *cgroups;
	struct collector_context context;
	struct arena *arena;
	struct collector_state state;
	void *self;
	Sonde__V1__BlockIo section; /* of the last collect */
};

extern struct view_probe view_probe;

/* Numbers of samples and sums of the histograms. */
struct operation {
	uint64_t operations, bytes, errors, request, request_sum, device, device_sum, queue, queue_sum, size, size_sum,
		requeues;
};

struct view {
	bool present;
	bool leaf;
	uint64_t diskseq;
	int64_t untraced;
	uint64_t merges[KINDS];
	struct operation by[KINDS];
};

/* What happened between two views, and between two readings of diskstats. */
struct step {
	struct view view;
	struct diskstats stats;
	struct operation by[KINDS];
	struct diskstats in_stats;
	uint64_t began_ns;
	uint64_t elapsed_ns;
};

void view_collect(void);
/* The last collect's row of one device. */
struct view view_of(const char *device);

/* Both wait until the device is quiet; the second demands that no operation is reported as untraced. */
void view_begin(struct step *step, const char *device);
void view_end(struct step *step, const char *device);
void view_assert_equals_diskstats(const struct step *step);

/* For cmocka. */
int view_set_up(void **state);
int view_tear_down(void **state);

/* What a test wants of the host besides root, BTF and loop devices. */
struct view_need {
	const char *path;
	int access; /* as of access() */
	const char *otherwise;
};

/* The main() of a test: how many failed, or 77 with the reason where the host lacks something; `need` may be NULL. Each
 * runs in a process of its own, which takes its loop devices and mounts with it whatever happens, and again when it
 * fails: see the head of block_io_test.c. */
int view_main(const struct CMUnitTest *tests, size_t n, const struct view_need *need);
