/* SIGBUS is the only way in which the kernel can say that a page of a mapping is not to be had. The handler leaves by
 * siglongjmp() where a thread is inside one of the two copies, which hold nothing that would be lost; anywhere else the
 * signal does what it does without us. The thread's landing place is the one thing here that is not in a struct: a
 * handler is given nothing of ours. */
#include "agent/delivery/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)256 << 10)

static _Thread_local sigjmp_buf *volatile landing;

static void on_bus_error(int signal_number)
{
	if (landing) {
		/* The jump leaves the mask as it is in here, which is cheaper than keeping it at every copy. */
		sigset_t set;
		(void)sigemptyset(&set);
		(void)sigaddset(&set, signal_number);
		(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		siglongjmp(*landing, 1);
	}
	/* Not ours: the instruction is run again and ends the process as it would have. */
	(void)signal(signal_number, SIG_DFL);
}

/* With every file anew: whoever took the signal since then is not in the way. */
static void install(void)
{
	struct sigaction action = {.sa_handler = on_bus_error};
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGBUS, &action, NULL); /* fails for no valid signal */
}

int mapping_read(const struct mapping *m, uint64_t at, void *to, size_t len)
{
	sigjmp_buf here;
	if (sigsetjmp(here, 0) != 0) {
		landing = NULL;
		return -EIO;
	}
	landing = &here;
	memcpy(to, m->bytes + at, len);
	__asm__ volatile("" ::: "memory"); /* the copy ends before the landing place goes */
	landing = NULL;
	return 0;
}

int mapping_write(struct mapping *m, uint64_t at, const void *from, size_t len)
{
	sigjmp_buf here;
	if (sigsetjmp(here, 0) != 0) {
		landing = NULL;
		return -EIO;
	}
	landing = &here;
	memcpy(m->bytes + at, from, len);
	/* A process killed behind this line has written all that stands above it. */
	__asm__ volatile("" ::: "memory");
	landing = NULL;
	return 0;
}

int mapping_lock(const char *path, struct mapping *ret, uint64_t *ret_size)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	int r = 0;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	/* The size under the lock: who had it may have changed it. */
	else if (fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = (struct mapping){.fd = fd};
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int write_zeroes(int fd, uint64_t from, uint64_t size)
{
	uint8_t *zeroes = calloc(1, CHUNK);
	int r = zeroes ? 0 : -ENOMEM;
	while (r == 0 && from < size) {
		size_t len = size - from < CHUNK ? (size_t)(size - from) : CHUNK;
		ssize_t n = pwrite(fd, zeroes, len, (off_t)from);
		if (n > 0)
			from += (uint64_t)n;
		else if (n == 0 || errno != EINTR)
			r = n == 0 ? -ENOSPC : -errno;
	}
	free(zeroes);
	return r;
}

/* Where a hole begins at or behind `from`; file systems that know of no holes name the end of the file. */
static int fill_holes(int fd, uint64_t size)
{
	uint64_t at = 0;
	while (at < size) {
		off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);
		if (hole < 0 && errno != ENXIO)
			return -errno;
		uint64_t begin = hole < 0 ? at : (uint64_t)hole; /* ENXIO: the file ends before */
		if (begin >= size)
			return 0;
		off_t data = lseek(fd, (off_t)begin, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
		uint64_t end = data < 0 || (uint64_t)data > size ? size : (uint64_t)data;
		int r = write_zeroes(fd, begin, end);
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

int mapping_fill(struct mapping *m, uint64_t size)
{
	int r;
	do
		r = fallocate(m->fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r == -EOPNOTSUPP || r == -ENOSYS ? fill_holes(m->fd, size) : r;
}

int mapping_allocate(struct mapping *m, uint64_t size)
{
	if (ftruncate(m->fd, 0) < 0)
		return -errno;
	/* btrfs writes elsewhere what is written again, for which there may be no room; it can be told not to while a
	 * file is empty. Others have no such flag and do not need it. */
	int flags;
	if (ioctl(m->fd, FS_IOC_GETFLAGS, &flags) == 0 && !(flags & FS_NOCOW_FL)) {
		flags |= FS_NOCOW_FL;
		int ignored = ioctl(m->fd, FS_IOC_SETFLAGS, &flags);
		(void)ignored;
	}
	int r = mapping_fill(m, size);
	if (r < 0 && ftruncate(m->fd, 0) < 0)
		r = -errno;
	return r;
}

int mapping_peek(const struct mapping *m, uint64_t at, void *to, size_t len)
{
	ssize_t n;
	do
		n = pread(m->fd, to, len, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENODATA;
}

int mapping_map(struct mapping *m, uint64_t size)
{
	install();
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	m->bytes = bytes;
	m->size = size;
	return 0;
}

void mapping_unmap(struct mapping *m)
{
	if (m->bytes)
		(void)munmap(m->bytes, m->size);
	m->bytes = NULL;
	m->size = 0;
}

void mapping_close(struct mapping *m)
{
	mapping_unmap(m);
	if (m->fd >= 0)
		close(m->fd);
	*m = (struct mapping){.fd = -1};
}

void mapping_forget(struct mapping *m)
{
	(void)madvise(m->bytes, m->size, MADV_DONTNEED);
}
