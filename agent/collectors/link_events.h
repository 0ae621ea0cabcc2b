/* The kernel's word that something about an interface changed (rtnetlink, group RTNLGRP_LINK): costs 0.3 us a tick
 * while nothing does, so that sysfs is read only then. Of the agent's own network namespace; what it tells of is looked
 * up in sysfs, and what it misses is found there in turn. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_EVENTS_MAX 64

struct link_changes {
	size_t n;
	uint32_t ifindexes[LINK_EVENTS_MAX];
	bool all; /* more than fit, or some were lost: any interface may have changed */
};

/* A descriptor, or negative errno (-EAFNOSUPPORT, -EPERM in a sandbox). */
int link_events_open(void) __attribute__((warn_unused_result));
/* Everything that came since the last time; fd -1 has nothing to tell. */
void link_events_read(int fd, struct link_changes *ret) __attribute__((nonnull));

/* Adds the interfaces that one message of rtnetlink names. Pure. Sets `all` for a message that is not whole. */
void link_events_parse(const void *data, size_t len, struct link_changes *changes) __attribute__((nonnull));
