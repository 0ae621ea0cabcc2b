/* Paths are relative to one directory descriptor, so that a recorded host needs no string handling anywhere else.
 * Files that are read at every tick stay open: opening /proc/stat costs more than reading it. */
#include "agent/host/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BUFFER 4096
#define LEAST_PAGE 4096

int root_open(struct root *root, const char *dir)
{
	bool recorded = dir && strcmp(dir, "/") != 0;
	const char *path = recorded ? dir : "/";
	size_t len = strlen(path);
	if (len >= sizeof(root->path))
		return -ENAMETOOLONG;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	root->dirfd = fd;
	root->recorded = recorded;
	memcpy(root->path, path, len + 1);
	return 0;
}

void root_close(struct root *root)
{
	if (!root || root->dirfd < 0)
		return;
	close(root->dirfd);
	root->dirfd = -1;
}

static int open_below(const struct root *root, const char *path)
{
	int fd = openat(root->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int root_file_open(const struct root *root, const char *path, size_t max, struct root_file *ret)
{
	int fd = open_below(root, path);
	if (fd < 0)
		return fd;
	*ret = (struct root_file){.fd = fd, .path = path, .max = max};
	return 0;
}

/* One byte beyond what may be kept is always there: for the terminator, and to notice that a file is too large. */
static int make_room(struct root_file *file)
{
	if (file->cap > file->max)
		return -EMSGSIZE;
	size_t cap = file->cap == 0 ? FIRST_BUFFER : file->cap * 2;
	if (cap > file->max)
		cap = file->max + 1;
	char *text = realloc(file->text, cap);
	if (!text)
		return -ENOMEM;
	file->text = text;
	file->cap = cap;
	return 0;
}

/* The kernel makes the text of /proc and cgroup files in a buffer of a page at least and gives what fits: records as
 * long as the next one has room, or one record that is larger, for which the buffer grows. So what comes back short of
 * the room there was, and leaves place in a page for one more, was the rest. (fs/seq_file.c, seq_read_iter(); sysfs
 * and sysctl files are one record.) */
static bool looks_like_end(size_t asked, size_t got)
{
	return got < asked && got + ROOT_SHORT_RECORD <= LEAST_PAGE;
}

static bool is_end(const struct root_file *file, size_t asked, size_t got)
{
	if (got == 0)
		return true;
	bool trusts =
		file->has_short_records || (file->has_rarely_long_records && file->readings % ROOT_END_TURNS != 0);
	return trusts && looks_like_end(asked, got);
}

int root_file_read(struct root_file *file)
{
	size_t len = 0;
	bool looked_ended = false;
	for (;;) {
		if (len + 1 >= file->cap) {
			char extra;
			if (file->cap > file->max && pread(file->fd, &extra, 1, (off_t)len) == 0)
				break;
			int r = make_room(file);
			if (r < 0)
				return r;
			continue;
		}
		size_t asked = file->cap - 1 - len;
		ssize_t n = pread(file->fd, file->text + len, asked, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n > 0 && looked_ended)
			file->has_rarely_long_records = false;
		len += (size_t)n;
		if (is_end(file, asked, (size_t)n))
			break;
		looked_ended = looks_like_end(asked, (size_t)n);
	}
	file->readings++;
	file->len = len;
	file->text[len] = '\0';
	return 0;
}

void root_file_close(struct root_file *file)
{
	if (!file)
		return;
	/* A zeroed one was never opened: descriptor 0 is not ours to close. */
	if (file->path && file->fd >= 0)
		close(file->fd);
	free(file->text);
	*file = (struct root_file){.fd = -1};
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

int root_read_text(const struct root *root, const char *path, char *text, size_t size)
{
	if (size == 0)
		return -EINVAL;
	int fd = open_below(root, path);
	if (fd < 0)
		return fd;
	size_t len = 0;
	int r = 0;
	while (len < size - 1) {
		ssize_t n = read(fd, text + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	if (r < 0)
		len = 0;
	while (len > 0 && is_space(text[len - 1]))
		len--;
	text[len] = '\0';
	return r < 0 ? r : (int)len;
}

int root_read_u64(const struct root *root, const char *path, unsigned long long *ret)
{
	char text[32];
	int len = root_read_text(root, path, text, sizeof(text));
	if (len < 0)
		return len;
	unsigned long long value = 0;
	for (int i = 0; i < len; i++) {
		unsigned digit = (unsigned)(text[i] - '0');
		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return -EPROTO;
	}
	if (len == 0)
		return -EPROTO;
	*ret = value;
	return 0;
}

int root_open_path(const struct root *root, const char *path)
{
	int fd = openat(root->dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int root_open_dir(const struct root *root, const char *path)
{
	int fd = openat(root->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int root_read_link(const struct root *root, const char *path, char *target, size_t size)
{
	ssize_t n = readlinkat(root->dirfd, path, target, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	target[n] = '\0';
	return (int)n;
}

bool root_exists(const struct root *root, const char *path)
{
	struct stat st;
	return fstatat(root->dirfd, path, &st, 0) == 0;
}

int root_dir_open(const struct root *root, const char *path, struct root_dir *ret)
{
	int fd = openat(root->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (!stream) {
		int r = -errno;
		close(fd);
		return r;
	}
	ret->stream = stream;
	return 0;
}

const char *root_dir_next(struct root_dir *dir)
{
	struct dirent *e;
	do {
		e = readdir(dir->stream);
	} while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
	return e ? e->d_name : NULL;
}

void root_dir_close(struct root_dir *dir)
{
	closedir(dir->stream);
}

int root_dir_has_entries(const struct root *root, const char *path)
{
	struct root_dir dir;
	int r = root_dir_open(root, path, &dir);
	if (r < 0)
		return r;
	errno = 0;
	bool found = root_dir_next(&dir) != NULL;
	r = !found && errno != 0 ? -errno : found;
	root_dir_close(&dir);
	return r;
}
