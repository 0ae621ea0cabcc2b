/* An agent's live snapshots share its stream with its backlog, and a stream is read in order: one that pauses for the
 * one stops the other. So the agent is told to keep the backlog for a while. What came of it is dropped here, still in
 * the agent's queue, and comes again: nothing of it was acknowledged. */
#include "backend/ingest/internal.h"

#include "common/clock.h"

#include <string.h>

enum { BACKEND_HOLD = 6 };
enum { HOLD_FIELD_WAIT_MS = 1, HOLD_FIELD_REASON = 2, HOLD_FIELD_REFUSED = 3 };

void stream_hold(struct stream *stream, uint64_t wait_ms, const char *reason, uint64_t refused)
{
	BUF_CLEANUP struct buf hold = BUF_INIT(512);
	int r = wire_put_uint(&hold, HOLD_FIELD_WAIT_MS, wait_ms);
	if (r == 0 && reason)
		r = wire_put_bytes(&hold, HOLD_FIELD_REASON, reason, strlen(reason));
	if (r == 0 && refused > 0)
		r = wire_put_uint(&hold, HOLD_FIELD_REFUSED, refused);
	stream->holds_until_ns = clock_monotonic_ns() + wait_ms * 1000000u;
	if (r == 0)
		stream_send(stream, BACKEND_HOLD, &hold);
	else /* the agent would wait for an acknowledgement that never comes */
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
}

void stream_hold_again(struct grpc_call *call, bool alive, void *arg)
{
	if (!alive)
		return;
	struct stream *stream = grpc_call_data(call);
	streams_hold(stream);
	if (stream->takes_hold)
		stream_hold(stream, HOLD_MS, HOLD_REASON, 0);
}

void stream_release(struct grpc_call *call, bool alive, void *arg)
{
	struct stream *stream = alive ? grpc_call_data(call) : NULL;
	if (stream && stream->takes_hold)
		stream_hold(stream, 0, NULL, 0);
}
