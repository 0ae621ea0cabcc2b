/* Reading is a system call for each device and class, which is what comes with being off by default: nobody who does
 * not ask pays for memory that could be mapped. */
#include "agent/ebpf/block_io_tags.h"

#include "agent/ebpf/histogram.h"
#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include <block_io_tags.skel.h>

#include "bpf/block_io_tags.h"

struct block_io_tag_waits {
	struct probe *probe; /* NULL: refused */
	struct collector_state why;
	int error;
	int fd;
};

PROBE_SKELETON(block_io_tags)

/* Without one of them there is nothing to measure, or something wrong. */
static const char *const programs[] = {
	[BLOCK_IO_TAGS_METER_QUEUE] = "queue",
	[BLOCK_IO_TAGS_METER_BACKMERGE] = "backmerge",
	[BLOCK_IO_TAGS_METER_FRONTMERGE] = "frontmerge",
	[BLOCK_IO_TAGS_METER_START] = "start",
	[BLOCK_IO_TAGS_METERS] = NULL,
};

static const struct probe_kind kind = {
	.name = "block_io_tags",
	.what = "the probe of tag waits",
	.since = "6.5",
	.open = open_skeleton,
	.destroy = destroy_skeleton,
	.meters = programs,
};

static int start(const struct collector_context *context, struct block_io_tag_waits *tags,
		 struct collector_state *state)
{
	int r = probe_load(&kind, context, tags, &tags->probe, state);
	for (size_t i = 0; r == 0 && programs[i]; i++) {
		if (!probe_has(tags->probe, programs[i]))
			r = collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -EOPNOTSUPP, "no_tag_wait",
					   "the wait for a tag cannot be measured: %s",
					   probe_refusal(tags->probe, programs[i]));
		else if ((r = probe_attach(tags->probe, programs[i])) < 0)
			r = refusal_state(context, state, r, kind.what, "attach_failed");
	}
	if (r < 0) {
		probe_free(tags->probe);
		tags->probe = NULL;
		return r;
	}
	tags->fd = bpf_map__fd(((struct block_io_tags *)probe_skeleton(tags->probe))->maps.tag_waits);
	return 0;
}

void block_io_tag_waits_list_off(const struct collector_context *context)
{
	probe_list_off(&kind, context, "it costs two more runs a request: extra: block_io_tag_wait asks for it");
}

int block_io_tag_waits_switch(const struct collector_context *context, bool wanted, struct block_io_tag_waits **tags,
			      struct collector_state *state)
{
	if (!wanted) {
		if (*tags) {
			block_io_tag_waits_free(*tags);
			block_io_tag_waits_list_off(context);
		}
		*tags = NULL;
		return 0;
	}
	if (!*tags) {
		struct block_io_tag_waits *made = calloc(1, sizeof(*made));
		if (!made)
			return -ENOMEM;
		made->error = start(context, made, &made->why);
		*tags = made;
	}
	if ((*tags)->error < 0)
		*state = (*tags)->why;
	return (*tags)->error;
}

void block_io_tag_waits_free(struct block_io_tag_waits *tags)
{
	if (!tags)
		return;
	probe_free(tags->probe);
	free(tags);
}

bool block_io_tag_waits_are_on(const struct block_io_tag_waits *tags)
{
	return tags && tags->probe;
}

static struct block_io_tag_key key_of(const struct block_io_slot *slot, enum block_io_class class)
{
	return (struct block_io_tag_key){.generation = slot->generation, .queue = slot->queue, .class = class};
}

int block_io_tag_waits_fill(struct block_io_tag_waits *tags, const struct block_io_slot *slot,
			    enum block_io_class class, struct arena *arena, Sonde__V1__Histogram **ret)
{
	struct block_io_tag_key key = key_of(slot, class);
	struct probe_histogram histogram;
	if (bpf_map_lookup_elem(tags->fd, &key, &histogram) < 0)
		return 0;
	return histogram_fill(&histogram, arena, ret);
}

void block_io_tag_waits_forget(struct block_io_tag_waits *tags, const struct block_io_slot *slot)
{
	for (unsigned class = 0; block_io_tag_waits_are_on(tags) && class < BLOCK_IO_CLASSES; class ++) {
		struct block_io_tag_key key = key_of(slot, class);
		(void)bpf_map_delete_elem(tags->fd, &key); /* most were never there */
	}
}
