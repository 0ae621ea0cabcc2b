/* A batch that came with a call: acknowledged there, kept and tried again while the store has no room. */
#include "backend/ingest/internal.h"

#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY_MS 5000		  /* a database that is too slow at present */
#define PATIENCE_NS 2000000000ull /* how long what is live waits behind a backlog that will have room soon */
#define SLOW "the database is too slow at present: send it again"
#define STILL_HELD "the backlog is to be held: send it again"
#define TURN_MS 30000 /* backlogs of others come first: each try costs what is sent for nothing */

enum { BACKEND_ACKNOWLEDGEMENT = 2 };

static void answer(struct stream *stream, const struct batch *batch)
{
	BUF_CLEANUP struct buf ack = BUF_INIT(INGEST_REPLY_MAX - 512);
	if (acknowledgement_put(&ack, batch->outcomes, batch->n) < 0)
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
	else if (stream->unary)
		push_reply(stream, &ack);
	else
		stream_send(stream, BACKEND_ACKNOWLEDGEMENT, &ack);
}

static void committed(struct grpc_call *call, bool alive, void *arg)
{
	struct batch *batch = arg;
	if (alive) {
		struct stream *stream = grpc_call_data(call);
		stream->in_flight--;
		if (batch->lost) {
			grpc_call_finish(call, GRPC_UNAVAILABLE, "the backend is stopping: send it again");
		} else {
			answer(stream, batch);
			stream_settle(stream);
		}
	}
	batch_free(batch);
}

/* On the store's writer thread. */
static void stored(struct batch *batch)
{
	if (grpc_call_post(batch->call, committed, batch) < 0)
		batch_free(batch);
}

/* As batch_append(). */
static int append(struct stream *stream, struct batch *batch)
{
	stream->in_flight++;
	int r = batch_append(batch, stored);
	if (r < 0)
		stream->in_flight--;
	return r;
}

/* What is not kept of a backlog. An agent that knows Hold goes on with what is live. */
static void put_off(struct stream *stream, uint64_t last, uint64_t wait_ms, const char *reason)
{
	if (stream->takes_hold) {
		stream->batch_snapshots = 0; /* its key pays when they come again */
		stream_hold(stream, wait_ms, reason, last);
	} else {
		stream_finish_later(stream, GRPC_UNAVAILABLE, reason, wait_ms);
	}
}

static void put_off_history(struct stream *stream, uint64_t last)
{
	if (stream->takes_hold || stream->unary)
		streams_hold(stream);
	put_off(stream, last, HOLD_MS, HOLD_REASON);
}

static void put_off_turn(struct stream *stream, uint64_t last)
{
	put_off(stream, last, TURN_MS, "older snapshots of other hosts come first: send it again");
}

/* A late batch of a stream for which there is no room. */
static void put_off_late(struct stream *stream, const struct batch *batch)
{
	uint64_t now = clock_monotonic_ns(), last = batch_last(batch);
	if (batch_is_held(batch))
		put_off_history(stream, last);
	else if (now < stream->holds_until_ns)
		put_off(stream, last, (stream->holds_until_ns - now) / 1000000 + 1, STILL_HELD);
	else if (batch == stream->pending)
		put_off(stream, last, RETRY_MS, SLOW);
	else
		put_off_turn(stream, last);
}

static void refuse(struct stream *stream, struct batch *batch, int error)
{
	if (error == -ESHUTDOWN)
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is stopping: send it again");
	else if (error == -EAGAIN && batch->late && !stream->unary)
		put_off_late(stream, batch);
	else if (error == -EAGAIN && batch_is_held(batch))
		put_off_history(stream, 0);
	else if (error == -EAGAIN)
		stream_finish_later(stream, GRPC_UNAVAILABLE, SLOW, RETRY_MS);
	else
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: send it again");
	batch_free(batch);
}

/* A backlog that may not keep what is live waiting (any longer). What an agent sent before it heard of a hold is not
 * waited for one by one. */
static bool is_in_the_way(const struct stream *stream, const struct batch *batch)
{
	uint64_t now = clock_monotonic_ns();
	if (!stream->takes_hold || !batch->late)
		return false;
	return batch_is_held(batch) || now < stream->holds_until_ns ||
	       (batch == stream->pending && now - stream->pending_ns > PATIENCE_NS);
}

/* Room was not found for it in time. */
static void drop_pending(struct stream *stream)
{
	struct batch *batch = stream->pending;
	streams_wait(stream, false, false);
	put_off_late(stream, batch);
	stream->pending = NULL;
	batch_free(batch);
	stream_resume(stream);
}

void batch_retry(struct stream *stream)
{
	struct batch *batch = stream->pending;
	if (!batch)
		return;
	if (is_in_the_way(stream, batch)) {
		drop_pending(stream);
		return;
	}
	/* Marked before the attempt: room that appears behind it wakes us again. */
	streams_wait(stream, true, batch_is_held(batch));
	stream->pending = NULL;
	int r = append(stream, batch);
	if (r == -EAGAIN) {
		stream->pending = batch;
		return;
	}
	streams_wait(stream, false, false);
	if (r < 0)
		refuse(stream, batch, r);
	else
		stream_resume(stream);
}

/* What is not going to be kept is not looked at either: of a thousand hosts that come back most are told to wait. A
 * live stream is shown all the same, whatever its clock says of it. */
static bool has_no_room(struct stream *stream, const uint8_t *data, size_t len)
{
	struct ingest *ingest = stream->source.ingest;
	bool held = stream->takes_hold && atomic_load(&ingest->hold_backfill);
	if (stream->unary || (!held && !batch_is_crowded_out(ingest, len)))
		return false;
	uint64_t last = batch_backlog(data, len);
	if (last == 0 || (stream->takes_hold && last > stream->source.highest_live))
		return false;
	if (held)
		put_off_history(stream, last);
	else
		put_off_turn(stream, last);
	return true;
}

void batch_take(struct stream *stream, const uint8_t *data, size_t len)
{
	int count = batch_count(data, len);
	stream->batch_snapshots = 0;
	if (count < 0 || count > INGEST_MAX_BATCH) {
		grpc_call_finish(stream->call, GRPC_INVALID_ARGUMENT,
				 count < 0 ? "Batch is malformed" : "Batch.snapshots: at most 1000");
		return;
	}
	if (atomic_load(&stream->superseded))
		return;
	if (has_no_room(stream, data, len))
		return;
	stream->batch_snapshots = (size_t)count;
	atomic_store(&stream->batch_ns, clock_monotonic_ns());
	struct batch *batch = batch_new(&stream->source, (size_t)count);
	if (!batch) {
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: send it again");
		return;
	}
	batch->call = grpc_call_ref(stream->call);
	if (!batch_judge(&stream->source, batch, data, len)) {
		batch_free(batch);
		grpc_call_finish(stream->call, GRPC_INVALID_ARGUMENT, "Batch.snapshots: sequences must ascend");
		return;
	}
	batch_show(&stream->source, batch);
	if (batch->n_rows == 0) {
		answer(stream, batch);
		batch_free(batch);
		return;
	}
	int r = append(stream, batch);
	if (r == -EAGAIN && !stream->unary && !is_in_the_way(stream, batch)) {
		r = batch_keep(batch, data, len);
		if (r == 0) {
			stream->pending = batch;
			stream->pending_ns = clock_monotonic_ns();
			grpc_call_pause(stream->call);
			batch_retry(stream);
			return;
		}
	}
	if (r < 0)
		refuse(stream, batch, r);
}
