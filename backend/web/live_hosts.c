/* A table that only grows, like the fleet that it mirrors; the chains hold places, because the array moves. */
#include "backend/web/live_hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct entry {
	struct hub_frame *newest;
	size_t next; /* place + 1 of the next one in the chain; 0: none */
};

struct live_hosts {
	size_t n, cap;
	struct entry *entries;
	size_t buckets[BUCKETS]; /* place + 1 */
};

struct live_hosts *live_hosts_new(void)
{
	return calloc(1, sizeof(struct live_hosts));
}

void live_hosts_free(struct live_hosts *hosts)
{
	if (!hosts)
		return;
	for (size_t i = 0; i < hosts->n; i++)
		hub_frame_unref(hosts->entries[i].newest);
	free(hosts->entries);
	free(hosts);
}

static size_t bucket_of(const struct hub_frame *frame)
{
	uint32_t hash = 2166136261u ^ (uint32_t)frame->tenant_id;
	for (const char *p = frame->host_id; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return hash % BUCKETS;
}

static int add(struct live_hosts *hosts, struct hub_frame *frame, size_t bucket)
{
	if (hosts->n == LIVE_HOSTS_MAX)
		return -ENOSPC;
	if (hosts->n == hosts->cap) {
		size_t cap = hosts->cap ? hosts->cap * 2 : 64;
		struct entry *entries = reallocarray(hosts->entries, cap, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		hosts->entries = entries;
		hosts->cap = cap;
	}
	hosts->entries[hosts->n] = (struct entry){.newest = hub_frame_ref(frame), .next = hosts->buckets[bucket]};
	hosts->buckets[bucket] = ++hosts->n;
	return 1;
}

int live_hosts_update(struct live_hosts *hosts, struct hub_frame *frame, size_t *ret_place)
{
	size_t bucket = bucket_of(frame);
	for (size_t at = hosts->buckets[bucket]; at > 0; at = hosts->entries[at - 1].next) {
		struct entry *entry = &hosts->entries[at - 1];
		if (entry->newest->tenant_id != frame->tenant_id || strcmp(entry->newest->host_id, frame->host_id) != 0)
			continue;
		if (!snapshot_index_newer(&frame->index, &entry->newest->index))
			return 0;
		hub_frame_unref(entry->newest);
		entry->newest = hub_frame_ref(frame);
		*ret_place = at - 1;
		return 1;
	}
	int r = add(hosts, frame, bucket);
	if (r > 0)
		*ret_place = hosts->n - 1;
	return r;
}

size_t live_hosts_count(const struct live_hosts *hosts)
{
	return hosts->n;
}

struct hub_frame *live_hosts_newest(struct live_hosts *hosts, size_t place)
{
	return hosts->entries[place].newest;
}
