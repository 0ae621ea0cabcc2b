/* The newest snapshot of each host that the hub has brought since the start, so that a subscriber sees something at
 * once. Hosts keep their place for good: a place is a cursor for whoever walks through them. One thread. */
#pragma once

#include "backend/hub/hub.h"

#include <stddef.h>
#include <stdint.h>

#define LIVE_HOSTS_MAX 100000

struct live_hosts;

struct live_hosts *live_hosts_new(void);
void live_hosts_free(struct live_hosts *hosts); /* accepts NULL */

/* Keeps a snapshot if it is newer than what is there. 1 and the host's place; 0 when it is not newer (backfill);
 * -ENOSPC, -ENOMEM. */
int live_hosts_update(struct live_hosts *hosts, struct hub_frame *frame, size_t *ret_place)
	__attribute__((nonnull, warn_unused_result));
size_t live_hosts_count(const struct live_hosts *hosts);
struct hub_frame *live_hosts_newest(struct live_hosts *hosts, size_t place);
