/* A loop device over a file that has no name, on tmpfs: nothing of it survives the test, however the test ends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop_device {
	char name[32]; /* "loop7" */
	int number;
	int backing_fd;
	int fd;	       /* buffered */
	int direct_fd; /* O_DIRECT */
	bool is_new;   /* was made for us, and goes when it is closed */
};

#define LOOP_DEVICE_FREE (-1) /* one that nobody uses; the kernel may remember things of it */
#define LOOP_DEVICE_NEW (-2)

/* Of that number, or one of the above. 0 or negative errno. */
int loop_device_open(struct loop_device *loop, const char *directory, size_t bytes, int number);
/* On top of another block device. */
int loop_device_over(struct loop_device *loop, const char *path);
/* Detaches at once, so that the same number can be attached anew. */
void loop_device_close(struct loop_device *loop);

/* One line of /proc/diskstats. */
struct diskstats {
	uint64_t reads, read_sectors, writes, write_sectors, discards, discard_sectors, flushes, in_flight;
};

int diskstats_read(const char *name, struct diskstats *ret);
/* Waits until the device has done nothing for a while. 0, or -ETIMEDOUT. */
int diskstats_settle(const char *name, struct diskstats *ret);
