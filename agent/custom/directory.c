#include "agent/custom/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".prom"

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool is_wanted(const char *name)
{
	size_t len = strlen(name), suffix = strlen(SUFFIX);
	return name[0] != '.' && len > suffix && len <= NAME_MAX && strcmp(name + len - suffix, SUFFIX) == 0;
}

/* When there is no room, the name that sorts last goes: which files are read must not depend on the order in which a
 * file system lists them. */
static void add(struct prom_names *names, const char *name)
{
	size_t at = names->n;
	if (names->n == CUSTOM_MAX_FILES) {
		at = 0;
		for (size_t i = 1; i < names->n; i++) {
			if (strcmp(names->names[i], names->names[at]) > 0)
				at = i;
		}
		names->left_out++;
		if (strcmp(name, names->names[at]) > 0)
			return;
	} else {
		names->n++;
	}
	memcpy(names->names[at], name, strlen(name) + 1);
}

int prom_names_list(const char *dir, struct prom_names *names, int *ret_fd)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (!stream) {
		int r = -errno;
		close(fd);
		return r;
	}
	names->n = names->left_out = 0;
	const struct dirent *entry;
	errno = 0;
	while ((entry = readdir(stream))) {
		if (is_wanted(entry->d_name))
			add(names, entry->d_name);
	}
	int r = -errno;
	int copy = r == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (r == 0 && copy < 0)
		r = -errno;
	closedir(stream);
	if (r < 0)
		return r;
	qsort(names->names, names->n, sizeof(names->names[0]), by_text);
	*ret_fd = copy;
	return 0;
}

static int read_whole(int fd, struct prom_file *file)
{
	file->len = 0;
	for (;;) {
		ssize_t n = read(fd, file->text + file->len, CUSTOM_MAX_FILE_BYTES + 1 - file->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		file->len += (size_t)n;
		if (file->len > CUSTOM_MAX_FILE_BYTES)
			return -EMSGSIZE;
	}
}

int prom_file_read(int dir, const char *name, struct prom_file *file)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && !S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r == 0) {
		file->modified_seconds = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9;
		r = read_whole(fd, file);
	}
	close(fd);
	return r;
}
