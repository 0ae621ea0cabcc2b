/* The files of /proc/net a section is put together from. Each may be missing (a kernel without IPv6 or connection
 * tracking, a module that is loaded later): what stands in it is then absent, and the file is looked for again.
 *
 * /proc/net shows the network namespace of whoever opens it. An agent in a container that is given the host's tree
 * (--root /host) would see its own, so there the files are those of the tree's first process; a recorded tree may have
 * only proc/net. */
#pragma once

#include "agent/collector.h"

struct net_dir {
	const struct root *root;
	bool of_init; /* proc/1/net instead of proc/net */
};

struct net_dir net_dir(const struct root *root) __attribute__((nonnull));

/* A path in both directories, static, as root_file_open() wants it. */
struct net_path {
	const char *path[2];
};
#define NET_PATH(name)                                                                                                 \
	(struct net_path)                                                                                              \
	{                                                                                                              \
		{                                                                                                      \
			"proc/net/" name, "proc/1/net/" name                                                           \
		}                                                                                                      \
	}
static inline const char *net_path(const struct net_dir *dir, struct net_path path)
{
	return path.path[dir->of_init];
}

struct net_file {
	const struct root *root;
	const char *path;
	struct root_file file;
	bool is_open;
	uint64_t retry_us; /* look for it again then */
};

/* Opens nothing: the first reading does. path is static. */
void net_file_init(struct net_file *file, const struct root *root, const char *path) __attribute__((nonnull));
/* True when file->file holds its text. A file that cannot be read any more (its module was unloaded) is closed. */
bool net_file_read(struct net_file *file, uint64_t now_us) __attribute__((nonnull, warn_unused_result));
/* The section is DEGRADED: what this file would have filled is absent. */
void net_file_malformed(const struct net_file *file, struct collector_state *state) __attribute__((nonnull));
void net_file_close(struct net_file *file) __attribute__((nonnull));
