#include "tests/integration/bpf/loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int configure(struct loop_device *loop, int number)
{
	char path[64];
	loop->number = number;
	(void)snprintf(loop->name, sizeof(loop->name), "loop%d", number);
	(void)snprintf(path, sizeof(path), "/dev/loop%d", number);
	loop->fd = open(path, O_RDWR | O_CLOEXEC);
	if (loop->fd < 0)
		return -errno;
	struct loop_config config = {.fd = (__u32)loop->backing_fd, .block_size = 512};
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	if (ioctl(loop->fd, LOOP_CONFIGURE, &config) < 0) {
		int error = -errno;
		close(loop->fd);
		loop->fd = -1;
		return error;
	}
	loop->direct_fd = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
	return loop->direct_fd < 0 ? -errno : 0;
}

static int control(unsigned long request, int number)
{
	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = ioctl(fd, request, number);
	if (r < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Another process may take the free number before us. */
static int configure_free(struct loop_device *loop)
{
	int r = -EBUSY;
	for (int i = 0; i < 20 && r == -EBUSY; i++) {
		int number = control(LOOP_CTL_GET_FREE, 0);
		r = number < 0 ? number : configure(loop, number);
	}
	return r;
}

static int configure_new(struct loop_device *loop)
{
	int number = control(LOOP_CTL_ADD, -1);
	if (number < 0)
		return number;
	loop->is_new = true;
	return configure(loop, number);
}

int loop_device_open(struct loop_device *loop, const char *directory, size_t bytes, int number)
{
	*loop = (struct loop_device){.fd = -1, .direct_fd = -1};
	loop->backing_fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (loop->backing_fd < 0)
		return -errno;
	int r = ftruncate(loop->backing_fd, (off_t)bytes) < 0 ? -errno : 0;
	if (r == 0)
		r = number == LOOP_DEVICE_NEW ? configure_new(loop)
		    : number < 0	      ? configure_free(loop)
					      : configure(loop, number);
	if (r < 0)
		loop_device_close(loop);
	return r;
}

int loop_device_over(struct loop_device *loop, const char *path)
{
	*loop = (struct loop_device){.fd = -1, .direct_fd = -1};
	loop->backing_fd = open(path, O_RDWR | O_CLOEXEC);
	if (loop->backing_fd < 0)
		return -errno;
	int r = configure_free(loop);
	if (r < 0)
		loop_device_close(loop);
	return r;
}

void loop_device_close(struct loop_device *loop)
{
	if (loop->direct_fd >= 0)
		close(loop->direct_fd);
	if (loop->fd >= 0)
		close(loop->fd);
	if (loop->backing_fd >= 0)
		close(loop->backing_fd);
	/* It detaches a moment after the last descriptor is closed. */
	for (int i = 0; loop->is_new && i < 100 && control(LOOP_CTL_REMOVE, loop->number) == -EBUSY; i++)
		usleep(10000);
	*loop = (struct loop_device){.fd = -1, .direct_fd = -1, .backing_fd = -1};
}

int diskstats_read(const char *name, struct diskstats *ret)
{
	FILE *file = fopen("/proc/diskstats", "re");
	char line[512];
	int r = -ENOENT;
	while (file && r < 0 && fgets(line, sizeof(line), file)) {
		char *save = NULL, *words[20] = {0};
		size_t n = 0;
		for (char *w = strtok_r(line, " \n", &save); w && n < 20; w = strtok_r(NULL, " \n", &save))
			words[n++] = w;
		if (n != 20 || strcmp(words[2], name) != 0)
			continue;
		uint64_t v[20];
		for (size_t i = 3; i < 20; i++)
			v[i] = strtoull(words[i], NULL, 10);
		*ret = (struct diskstats){v[3], v[5], v[7], v[9], v[14], v[16], v[18], v[11]};
		r = 0;
	}
	if (file)
		(void)fclose(file);
	return r;
}

int diskstats_settle(const char *name, struct diskstats *ret)
{
	struct diskstats last = {0}, now;
	for (int quiet = 0, i = 0; i < 500; i++) {
		int r = diskstats_read(name, &now);
		if (r < 0)
			return r;
		quiet = now.in_flight == 0 && memcmp(&now, &last, sizeof(now)) == 0 ? quiet + 1 : 0;
		last = now;
		if (quiet == 5) {
			*ret = now;
			return 0;
		}
		usleep(10000);
	}
	return -ETIMEDOUT;
}
