/* The files of every cgroup of the tree, kept open as far as descriptors go. A place belongs to one cgroup for as long
 * as it lives; what its user keeps from tick to tick stands in it too.
 *
 * A file kept open costs 4.4 KiB of kernel memory (the page it was written into) and 0.9 us a reading; one opened each
 * time nothing and 6 us. So what is read at every tick is kept first, and the rest only where all of it fits.
 * Scheduler's thread. */
#pragma once

#include "agent/cgroups/files.h"
#include "agent/cgroups/kept.h"
#include "agent/cgroups/tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_OPEN_MAX 4096	   /* descriptors; half of the limit where that is less */
#define CGROUP_LOOK_AGAIN_MS 60000 /* for files a cgroup had not: controllers may be switched on later */

struct cgroup_places;

struct cgroup_place {
	/* The user's own; zeroed when the place is given to a cgroup. */
	uint64_t turn_us;  /* when its turn comes next */
	uint64_t whole_us; /* when all of it was read */
	uint64_t cpu_us;   /* as it was at read_us */
	uint64_t read_us;
	struct cgroup_kept kept;
	bool has_cpu;
	bool worked;  /* something ran in it since its details were read */
	bool limited; /* of CPU time */
	bool shown;   /* at the last tick */
	bool empty;   /* nothing could be read of it, it may be gone */

	uint64_t generation; /* whose it is */
	uint64_t missing;    /* files it has not, one bit each */
	uint64_t look_again_us;
	int fds[]; /* of the files of this host's hierarchies; -1: not open */
};

/* Borrows both. open_max is lowered to CGROUP_OPEN_MAX. NULL when out of memory. */
struct cgroup_places *cgroup_places_new(const struct root *root, struct cgroup_tree *tree, size_t open_max)
	__attribute__((nonnull));
void cgroup_places_free(struct cgroup_places *places); /* accepts NULL */

/* To be called after the tree's refresh: finds the files of the hierarchies, lets go of cgroups that are gone. 0, or
 * the negative errno of a hierarchy that cannot be opened. */
int cgroup_places_begin(struct cgroup_places *places, uint64_t now_us) __attribute__((nonnull, warn_unused_result));

/* NULL when out of memory. */
struct cgroup_place *cgroup_places_of(struct cgroup_places *places, const struct cgroup *cgroup)
	__attribute__((nonnull));
/* The files of this host's hierarchies, those that are read more often first, in the order in which they are to be
 * read. */
size_t cgroup_places_files(const struct cgroup_places *places) __attribute__((nonnull));
const struct cgroup_file *cgroup_places_file(const struct cgroup_places *places, size_t i) __attribute__((nonnull));

/* Length of what file i holds (whole lines of what is longer than 64 KiB) and *ret_text, valid until the next reading;
 * or negative errno: -ENOENT where the cgroup has no such file, -ENODEV where it has gone. */
ssize_t cgroup_places_read(struct cgroup_places *places, struct cgroup_place *place, const struct cgroup *cgroup,
			   size_t i, const char **ret_text) __attribute__((nonnull, warn_unused_result));
/* Lets go of its files. */
void cgroup_places_close(struct cgroup_places *places, struct cgroup_place *place) __attribute__((nonnull));
size_t cgroup_places_open(const struct cgroup_places *places) __attribute__((nonnull));
