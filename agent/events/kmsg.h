/* The kernel's messages as they are written: /dev/kmsg, kept open, read to its end at every tick. What was written
 * before the agent started is not read. */
#pragma once

#include "agent/events/clock_watch.h"
#include "agent/host/root.h"

#define KMSG_RECORD_SIZE 8192 /* no record is longer */
#define KMSG_MAX_RECORDS 2000 /* a tick; the rest is read at the next one */

struct kmsg {
	int fd;	    /* -1: not open */
	bool begun; /* next_sequence is known */
	uint64_t next_sequence;
	uint64_t records; /* read so far */
	uint64_t lost;	  /* overwritten before they were read */
	char text[KMSG_RECORD_SIZE];
};

/* 0 or negative errno: -EPERM without CAP_SYSLOG where kernel.dmesg_restrict is set. *kmsg may be zeroed. */
int kmsg_open(const struct root *root, struct kmsg *kmsg) __attribute__((nonnull, warn_unused_result));
/* Takes a descriptor that gives a record a read(), for tests. */
void kmsg_init(struct kmsg *kmsg, int fd) __attribute__((nonnull));
void kmsg_close(struct kmsg *kmsg); /* accepts NULL and one that is not open */

/* Reads what there is into the log. since_us: when it did so last, by CLOCK_BOOTTIME; no event is older. 0 or negative
 * errno when it cannot be read any more. */
int kmsg_take(struct kmsg *kmsg, uint64_t since_us, const struct clock_reading *now, struct event_log *log)
	__attribute__((nonnull, warn_unused_result));
