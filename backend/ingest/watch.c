/* Tells the agent what somebody looks at. Asked after each batch: an agent that sends nothing has nothing to show, and
 * one that does hears of a new watcher with its next snapshot. */
#include "backend/ingest/internal.h"

#include "common/clock.h"

#include <string.h>

#define AGAIN_NS 20000000000ull
#define SECONDS 60 /* it ends by itself when the backend goes away */

enum { BACKEND_WATCH = 4 };
enum { WATCH_SECTIONS = 1, WATCH_SECONDS = 2 };

static bool same(const struct watched *a, const struct watched *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->sections[i], b->sections[i]) != 0)
			return false;
	}
	return true;
}

void stream_tell_watched(struct stream *stream)
{
	struct watched now;
	uint64_t now_ns = clock_monotonic_ns();
	if (stream->unary || !stream->identified)
		return;
	watches_find(hub_watches(stream->source.ingest->hub), stream->source.key.tenant_id, stream->source.host_id_text,
		     stream->source.hostname, &now);
	if (same(&now, &stream->watched) && (now.n == 0 || now_ns - stream->watched_told_ns < AGAIN_NS))
		return;
	BUF_CLEANUP struct buf watch = BUF_INIT(INGEST_REPLY_MAX - 16);
	int r = wire_put_uint(&watch, WATCH_SECONDS, now.n > 0 ? SECONDS : 0);
	for (size_t i = 0; i < now.n && r == 0; i++)
		r = wire_put_bytes(&watch, WATCH_SECTIONS, now.sections[i], strlen(now.sections[i]));
	if (r < 0)
		return; /* the next batch tries again */
	stream->watched = now;
	stream->watched_told_ns = now_ns;
	stream_send(stream, BACKEND_WATCH, &watch);
}
