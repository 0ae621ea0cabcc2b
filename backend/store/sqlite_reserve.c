/* A file of nothing beside the database. To delete takes room too, for pages that change go to the log first: on a full
 * disk this file is given up, and until there is room to make it again nothing but deleting may have what it held. */
#include "backend/store/sqlite_engine.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE_BYTES (64ull << 20)
#define RESERVE_BYTES_LEAST (1ull << 20) /* less would not hold a step of deleting */
#define SHARE_OF_DISK 8

uint64_t sqlite_disk_free(const struct sqlite_engine *e)
{
	struct statvfs fs;
	return statvfs(e->path, &fs) == 0 ? (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize : UINT64_MAX;
}

/* 0 or negative errno; a file that cannot have its size goes again. */
static int make(const char *path, uint64_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = fallocate(fd, 0, 0, (off_t)bytes) < 0 ? -errno : 0;
	if (r < 0)
		unlink(path); /* what cannot be removed either does no harm */
	close(fd);
	return r;
}

/* What is there is taken out of the disk's free space already. */
static uint64_t wanted(const struct sqlite_engine *e, uint64_t there)
{
	uint64_t free_bytes = sqlite_disk_free(e);
	uint64_t share = free_bytes == UINT64_MAX ? 0 : (free_bytes + there) / SHARE_OF_DISK;
	return share < RESERVE_BYTES ? share : RESERVE_BYTES;
}

void sqlite_reserve_make(struct sqlite_engine *e)
{
	char path[SQLITE_PATH_MAX];
	struct stat st;
	if (sqlite_path_beside(e, ".reserve", path) < 0)
		return;
	uint64_t there = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
	uint64_t bytes = wanted(e, there);
	if (e->reserve_given)
		bytes = e->reserve_bytes;
	/* As much again has to be left for what it is to be written for. */
	if (e->reserve_given && sqlite_disk_free(e) < 2 * bytes)
		return;
	if (bytes < RESERVE_BYTES_LEAST || bytes <= there) {
		e->reserve_bytes = there;
		return;
	}
	if (make(path, bytes) < 0) {
		e->reserve_bytes = e->reserve_given ? e->reserve_bytes : 0;
		return;
	}
	if (e->reserve_given)
		log_info("the disk has room again", LOG_STR("then", "snapshots are written"));
	e->reserve_bytes = bytes;
	e->reserve_given = false;
}

bool sqlite_reserve_give(struct sqlite_engine *e)
{
	char path[SQLITE_PATH_MAX];
	if (e->reserve_given || e->reserve_bytes == 0 || sqlite_path_beside(e, ".reserve", path) < 0 ||
	    unlink(path) < 0)
		return false;
	e->reserve_given = true;
	log_warn("the disk is full", LOG_STR("then", "old history is deleted in the room kept for that"));
	return true;
}

int sqlite_reserve_check(struct sqlite_engine *e)
{
	if (e->reserve_given)
		sqlite_reserve_make(e);
	return e->reserve_given ? -ENOSPC : 0;
}
