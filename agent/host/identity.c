#include "agent/host/identity.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "host_id"

/* 0, -ENOENT, -EPROTO or negative errno. */
static int read_id(int dirfd, char ret[UUID_TEXT_SIZE])
{
	char text[UUID_TEXT_SIZE + 8];
	uint8_t uuid[16];
	int fd = openat(dirfd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text));
	int r = n < 0 ? -errno : encoding_uuid_parse(text, (size_t)n, uuid);
	close(fd);
	if (r < 0)
		return r;
	encoding_uuid_format(uuid, ret);
	return 0;
}

static int write_whole(int fd, const char *text, size_t len)
{
	ssize_t n = write(fd, text, len);
	if (n < 0)
		return -errno;
	if ((size_t)n != len)
		return -ENOSPC;
	return fsync(fd) < 0 ? -errno : 0;
}

/* link(2) either makes the name with all its contents behind it or finds that somebody was faster. */
static int make_id(int dirfd)
{
	char temporary[64], line[UUID_TEXT_SIZE + 1];
	uint8_t uuid[16];
	encoding_uuid_random(uuid);
	encoding_uuid_format(uuid, line);
	(void)snprintf(temporary, sizeof(temporary), ".%s.%s", FILE_NAME, line);
	line[UUID_TEXT_SIZE - 1] = '\n';

	int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = write_whole(fd, line, UUID_TEXT_SIZE);
	close(fd);
	if (r == 0 && linkat(dirfd, temporary, dirfd, FILE_NAME, 0) < 0 && errno != EEXIST)
		r = -errno;
	(void)unlinkat(dirfd, temporary, 0); /* what is left behind does no harm */
	if (r == 0 && fsync(dirfd) < 0)
		r = -errno;
	return r;
}

int identity_host_id(const char *state_dir, char ret[UUID_TEXT_SIZE], char error[IDENTITY_ERROR_SIZE])
{
	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST) {
		int r = -errno;
		(void)snprintf(
			error, IDENTITY_ERROR_SIZE,
			"the state directory %s cannot be made (%s): make it, or choose another with --state-dir",
			state_dir, log_strerror(r));
		return r;
	}
	int dirfd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0) {
		int r = -errno;
		(void)snprintf(error, IDENTITY_ERROR_SIZE, "the state directory %s cannot be opened: %s", state_dir,
			       log_strerror(r));
		return r;
	}
	int r = read_id(dirfd, ret);
	if (r == -ENOENT) {
		r = make_id(dirfd);
		if (r == 0)
			r = read_id(dirfd, ret);
	}
	close(dirfd);
	if (r == -EPROTO)
		(void)snprintf(
			error, IDENTITY_ERROR_SIZE,
			"%s/%s does not hold a UUID: restore it from a backup, or delete it to make this a new host",
			state_dir, FILE_NAME);
	else if (r < 0)
		(void)snprintf(error, IDENTITY_ERROR_SIZE, "%s/%s cannot be read or made: %s", state_dir, FILE_NAME,
			       log_strerror(r));
	return r;
}

int identity_boot_id(const struct root *root, uint8_t ret[16])
{
	char text[64];
	uint8_t uuid[16];
	int len = root_read_text(root, "proc/sys/kernel/random/boot_id", text, sizeof(text));
	if (len < 0)
		return len;
	int r = encoding_uuid_parse(text, (size_t)len, uuid);
	if (r < 0)
		return r;
	memcpy(ret, uuid, sizeof(uuid));
	return 0;
}
