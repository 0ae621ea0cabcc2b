/* An open statm belongs to the process and not to its number: reading it after the end is -ESRCH, whoever has the pid.
 */
#include "agent/processes/resident.h"

#include "agent/collectors/scale.h"
#include "agent/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TEXT_SIZE 256
#define PATH_SIZE 64

void resident_init(struct resident *resident, const struct root *root)
{
	long page = sysconf(_SC_PAGESIZE);
	*resident = (struct resident){.root = root, .page_bytes = page > 0 ? (uint64_t)page : 4096};
}

static void drop(struct resident *resident, size_t i)
{
	close(resident->files[i].fd);
	resident->files[i] = resident->files[--resident->n];
}

void resident_free(struct resident *resident)
{
	while (resident && resident->n > 0)
		drop(resident, 0);
}

void resident_begin(struct resident *resident)
{
	for (size_t i = 0; i < resident->n;) {
		if (resident->files[i].used < resident->tick)
			drop(resident, i);
		else
			i++;
	}
	resident->tick++;
}

/* 19932 1318 1069 203 0 466 0
 * Size, resident, shared, code, nothing, data, nothing. */
int resident_parse(const char *text, size_t len, uint64_t *ret_pages)
{
	struct scan rest = scan_text(text, len), line;
	uint64_t size, pages;
	if (scan_line(&rest, &line) <= 0 || scan_u64(&line, &size) < 0 || scan_u64(&line, &pages) < 0)
		return -EPROTO;
	*ret_pages = pages;
	return 0;
}

/* Index of the open file, or negative errno. */
static int find_or_open(struct resident *resident, uint32_t pid, uint64_t start_ns)
{
	for (size_t i = 0; i < resident->n; i++) {
		if (resident->files[i].pid != pid)
			continue;
		if (resident->files[i].start_ns == start_ns)
			return (int)i;
		drop(resident, i);
		break;
	}
	if (resident->n == RESIDENT_FILES_MAX)
		return -ENFILE;
	char path[PATH_SIZE];
	(void)snprintf(path, sizeof(path), "proc/%u/statm", pid);
	int fd = openat(resident->root->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	resident->files[resident->n] = (struct resident_file){.pid = pid, .fd = fd, .start_ns = start_ns};
	return (int)resident->n++;
}

static bool is_due(const struct resident *resident, const struct resident_file *file, bool has_run)
{
	return has_run || !file->known || (file->pid + resident->tick) % RESIDENT_TURNS == 0;
}

int resident_read(struct resident *resident, uint32_t pid, uint64_t start_ns, bool has_run, uint64_t *ret_bytes)
{
	char text[TEXT_SIZE];
	uint64_t pages = 0;
	int at = find_or_open(resident, pid, start_ns);
	if (at < 0)
		return at;
	struct resident_file *file = &resident->files[at];
	file->used = resident->tick;
	if (!is_due(resident, file, has_run)) {
		*ret_bytes = file->bytes;
		return 0;
	}
	ssize_t len = pread(file->fd, text, sizeof(text), 0);
	int r = len < 0 ? -errno : resident_parse(text, (size_t)len, &pages);
	if (r < 0) {
		drop(resident, (size_t)at);
		return r;
	}
	file->known = true;
	file->bytes = *ret_bytes = scale_times(pages, resident->page_bytes);
	return 0;
}
