/* Written beside its name and renamed, so that a name never stands for half a set. Not synced before the process goes
 * on: at worst a power failure leaves a set the backend refuses, and the snapshots are read with its own. */
#include "agent/delivery/descriptor_sets.h"

#include "common/encoding.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "spool-set-"
#define NAME_SIZE (sizeof(PREFIX) + 64)

static void name_of(const uint8_t hash[32], char ret[NAME_SIZE])
{
	memcpy(ret, PREFIX, sizeof(PREFIX));
	encoding_hex(hash, 32, ret + sizeof(PREFIX) - 1);
}

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int write_file(int dirfd, const char *name, const void *set, size_t len)
{
	static const char temporary[] = ".spool-set";
	int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, set, len);
	int r = n < 0 ? -errno : (size_t)n == len ? 0 : -ENOSPC;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, temporary, 0); /* what is left is written over the next time */
	return r;
}

int descriptor_sets_keep(const char *dir, const uint8_t hash[32], const void *set, size_t len)
{
	char name[NAME_SIZE];
	struct stat st;
	name_of(hash, name);
	int dirfd = open_dir(dir);
	if (dirfd < 0)
		return dirfd;
	int r = 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (uint64_t)st.st_size != len)
		r = write_file(dirfd, name, set, len);
	close(dirfd);
	return r;
}

int descriptor_sets_read(const char *dir, const uint8_t hash[32], struct buf *out)
{
	char name[NAME_SIZE];
	struct stat st;
	name_of(hash, name);
	int dirfd = open_dir(dir);
	if (dirfd < 0)
		return dirfd;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r = fd < 0 ? -errno : 0;
	close(dirfd);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size > (off_t)DESCRIPTOR_SET_MAX))
		r = -EMSGSIZE;
	if (r == 0)
		r = buf_reserve(out, (size_t)st.st_size + 1);
	if (r == 0) {
		ssize_t n = read(fd, out->data + out->len, (size_t)st.st_size);
		r = n < 0 ? -errno : 0;
		out->len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

void descriptor_sets_prune(const char *dir, const uint8_t own_hash[32], struct queue *queue)
{
	DIR *entries = opendir(dir);
	const size_t prefix = sizeof(PREFIX) - 1;
	for (struct dirent *e; entries && (e = readdir(entries));) {
		uint8_t hash[32];
		if (strncmp(e->d_name, PREFIX, prefix) != 0 || strlen(e->d_name) != NAME_SIZE - 1 ||
		    encoding_unhex(e->d_name + prefix, 64, hash, sizeof(hash)) < 0 ||
		    memcmp(hash, own_hash, sizeof(hash)) == 0 || queue_backlog_has_set(queue, hash))
			continue;
		(void)unlinkat(dirfd(entries), e->d_name, 0); /* tried again the next time */
	}
	if (entries)
		(void)closedir(entries);
}
