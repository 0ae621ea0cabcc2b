/* Every access to /proc and /sys goes through here, so that a recorded host can be replayed (--root DIR reads DIR/proc
 * and DIR/sys) and a DaemonSet can read /host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct root {
	int dirfd;	 /* of the root directory */
	bool recorded;	 /* --root was given */
	char path[4096]; /* for messages */
};

/* dir NULL or "/" is the running host. 0 or negative errno. */
int root_open(struct root *root, const char *dir) __attribute__((nonnull(1), warn_unused_result));
void root_close(struct root *root);

/* A file that is read again at every tick: kept open, read with pread from the start into a buffer that grows to
 * `max` and stays. */
struct root_file {
	int fd;		  /* -1 when closed */
	const char *path; /* relative to the root, static: "proc/stat" */
	char *text;	  /* the last contents, terminated by '\0' beyond len */
	size_t len;
	size_t cap;
	size_t max;
	/* What the kernel writes at a time is never longer than ROOT_SHORT_RECORD, or is all of the file: then its end
	 * is seen without a reading that finds nothing. Often a line; of /proc/diskstats it is a disk with all its
	 * partitions, of lists of mounts a line of any length. Set by who opened it; false after opening. */
	bool has_short_records;
	/* For one whose records may be longer, but hardly ever are: as if they were short, and in every
	 * ROOT_END_TURNS-th reading the end is looked for; when it was not the end, in all from then on. */
	bool has_rarely_long_records;
	unsigned readings;
};

#define ROOT_SHORT_RECORD 1024
#define ROOT_END_TURNS 16

/* 0 or negative errno (-ENOENT, -EACCES). */
int root_file_open(const struct root *root, const char *path, size_t max, struct root_file *ret)
	__attribute__((nonnull, warn_unused_result));
/* Reads it whole. 0, negative errno, -EMSGSIZE if it is larger than max. */
int root_file_read(struct root_file *file) __attribute__((nonnull, warn_unused_result));
void root_file_close(struct root_file *file);

/* Small files read once (sysfs attributes): up to size - 1 bytes, terminated, trailing white space cut.
 * Length or negative errno. */
int root_read_text(const struct root *root, const char *path, char *text, size_t size)
	__attribute__((nonnull, warn_unused_result));
/* A file that holds one decimal number. 0, -EPROTO or negative errno. */
int root_read_u64(const struct root *root, const char *path, unsigned long long *ret)
	__attribute__((nonnull, warn_unused_result));

/* A descriptor (O_PATH) of a directory to open further ones below, or negative errno. */
int root_open_path(const struct root *root, const char *path) __attribute__((nonnull, warn_unused_result));

/* The same, readable: for who is given a descriptor to know the directory by (perf_event_open's cgroups). */
int root_open_dir(const struct root *root, const char *path) __attribute__((nonnull, warn_unused_result));

/* Where a symbolic link points to, terminated. Length, -ENAMETOOLONG if it does not fit, or negative errno. */
int root_read_link(const struct root *root, const char *path, char *target, size_t size)
	__attribute__((nonnull, warn_unused_result));

/* Whether it is there, symbolic links followed. */
bool root_exists(const struct root *root, const char *path) __attribute__((nonnull));
/* 1 if the directory holds anything, 0 if it is empty, negative errno. */
int root_dir_has_entries(const struct root *root, const char *path) __attribute__((nonnull, warn_unused_result));

/* What a directory holds, without "." and "..", in the kernel's order. 0 or negative errno. */
struct root_dir {
	void *stream;
};
int root_dir_open(const struct root *root, const char *path, struct root_dir *ret)
	__attribute__((nonnull, warn_unused_result));
/* The next name, good until the next call; NULL at the end. */
const char *root_dir_next(struct root_dir *dir) __attribute__((nonnull));
void root_dir_close(struct root_dir *dir) __attribute__((nonnull));
