/* One Batch, from its bytes to its acknowledgement. All snapshots are judged before any is shown, so that a batch out
 * of order has no effect at all; then what is news goes to the registry and the hub, and everything acceptable to the
 * store.
 *
 * While the store owns a batch nobody else touches it: its callback writes the outcomes and posts it back to the call's
 * thread, or frees it when the call is over. */
#include "backend/ingest/internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 5000 /* a database that is too slow at present */

enum { BACKEND_ACKNOWLEDGEMENT = 2 };
enum { DURABLE_HOST_ID = 1, DURABLE_INSTANCE = 2, DURABLE_SEQUENCE = 3 };

struct batch {
	struct ingest *ingest;
	struct grpc_call *call; /* a reference */
	int64_t tenant_id;
	uint8_t host_id[16];
	uint8_t instance[16];
	char host_id_text[UUID_TEXT_SIZE];
	char hostname[STORE_HOSTNAME_MAX + 1];
	bool live; /* something of it was broadcast, so its durability is news */
	bool lost; /* the store closed before it could write */

	uint8_t *copy; /* what the rows point into, when they outlive the message */
	size_t copy_len;
	size_t n, n_rows;
	struct outcome *outcomes;    /* n, in the batch's order */
	struct store_snapshot *rows; /* the acceptable ones */
	size_t *row_outcome;	     /* which outcome a row is */
};

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	if (batch->copy)
		atomic_fetch_sub(&batch->ingest->pending_bytes, batch->copy_len);
	grpc_call_unref(batch->call);
	free(batch->copy);
	free(batch->outcomes);
	free(batch->rows);
	free(batch->row_outcome);
	free(batch);
}

static struct batch *batch_new(struct stream *stream, size_t n)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		return NULL;
	batch->ingest = stream->ingest;
	batch->call = grpc_call_ref(stream->call);
	batch->tenant_id = stream->key.tenant_id;
	memcpy(batch->host_id, stream->host_id, sizeof(batch->host_id));
	memcpy(batch->instance, stream->instance, sizeof(batch->instance));
	memcpy(batch->host_id_text, stream->host_id_text, sizeof(batch->host_id_text));
	memcpy(batch->hostname, stream->hostname, sizeof(batch->hostname));
	batch->outcomes = calloc(n ? n : 1, sizeof(*batch->outcomes));
	batch->rows = calloc(n ? n : 1, sizeof(*batch->rows));
	batch->row_outcome = calloc(n ? n : 1, sizeof(*batch->row_outcome));
	if (!batch->outcomes || !batch->rows || !batch->row_outcome) {
		batch_free(batch);
		return NULL;
	}
	return batch;
}

/* --- judging and showing ----------------------------------------------------------------------------------------- */

static void judge(struct stream *stream, struct batch *batch, const struct wire_field *f, int64_t now_us)
{
	struct snapshot_index index;
	struct outcome *outcome = &batch->outcomes[batch->n];
	outcome->verdict = verdict_of(stream->schema, stream->instance, f->data, f->len, &outcome->sequence, &index);
	if (outcome->verdict == VERDICT_ACCEPTED) {
		struct store_snapshot *row = &batch->rows[batch->n_rows];
		*row = (struct store_snapshot){
			.sequence = index.sequence,
			.agent_us = index.timestamp_us,
			.boottime_us = index.boottime_us,
			.received_us = now_us,
			.payload = f->data,
			.len = f->len,
		};
		memcpy(row->descriptor_hash, stream->descriptor_hash, sizeof(row->descriptor_hash));
		batch->row_outcome[batch->n_rows++] = batch->n;
	} else if (!(stream->verdicts_logged & 1u << outcome->verdict)) {
		stream->verdicts_logged |= 1u << outcome->verdict;
		log_warn("a snapshot was refused", LOG_STR("host", stream->hostname),
			 LOG_UINT("sequence", outcome->sequence), LOG_STR("why", verdict_detail(outcome->verdict)),
			 LOG_STR("then", "further ones of this stream are refused without a line"));
	}
	batch->n++;
}

/* What a refused snapshot calls itself is believed only where it fits between its neighbours: a garbled number must not
 * make the agent let go of another snapshot. */
static void distrust(struct batch *batch)
{
	uint64_t before = 0, after = UINT64_MAX;
	for (size_t i = 0; i < batch->n; i++) {
		struct outcome *outcome = &batch->outcomes[i];
		if (outcome->verdict != VERDICT_ACCEPTED && outcome->sequence <= before)
			outcome->sequence = 0;
		if (outcome->verdict == VERDICT_ACCEPTED)
			before = outcome->sequence;
	}
	for (size_t i = batch->n; i-- > 0;) {
		struct outcome *outcome = &batch->outcomes[i];
		if (outcome->sequence >= after)
			outcome->sequence = 0;
		else if (outcome->sequence != 0)
			after = outcome->sequence;
	}
}

/* False when the order is wrong. */
static bool judge_all(struct stream *stream, struct batch *batch, const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	int64_t now_us = clock_wall_us();
	uint64_t before = 0;
	while (batch_next(&reader, &f) == 1) {
		judge(stream, batch, &f, now_us);
		const struct outcome *outcome = &batch->outcomes[batch->n - 1];
		if (outcome->verdict != VERDICT_ACCEPTED)
			continue;
		if (outcome->sequence <= before)
			return false;
		before = outcome->sequence;
	}
	distrust(batch);
	return true;
}

/* What was seen before, or is older than what was, goes to the store only. */
static void show(struct stream *stream, struct batch *batch)
{
	struct ingest *ingest = stream->ingest;
	for (size_t i = 0; i < batch->n_rows; i++) {
		const struct store_snapshot *row = &batch->rows[i];
		if (row->sequence <= stream->highest_live)
			continue;
		struct hub_frame *frame = hub_frame_new(HUB_SNAPSHOT, batch->tenant_id, batch->host_id_text,
							batch->hostname, stream->schema, row->payload, row->len);
		if (!frame)
			continue; /* out of memory: not shown, but stored */
		stream->highest_live = row->sequence;
		batch->live = true;
		registry_update(ingest->registry, frame, row->received_us);
		hub_publish(ingest->hub, frame);
		hub_frame_unref(frame);
	}
}

/* --- the answer -------------------------------------------------------------------------------------------------- */

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
	struct ingest *ingest = batch->ingest;
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
	ingest_unref(ingest);
}

static void publish_durable(struct batch *batch, uint64_t sequence)
{
	BUF_CLEANUP struct buf bytes = BUF_INIT(256);
	struct ingest *ingest = batch->ingest;
	int r = wire_put_bytes(&bytes, DURABLE_HOST_ID, batch->host_id_text, strlen(batch->host_id_text));
	if (r == 0)
		r = wire_put_bytes(&bytes, DURABLE_INSTANCE, batch->instance, sizeof(batch->instance));
	if (r == 0)
		r = wire_put_uint(&bytes, DURABLE_SEQUENCE, sequence);
	if (r < 0)
		return;
	struct hub_frame *frame = hub_frame_new(HUB_DURABLE, batch->tenant_id, batch->host_id_text, batch->hostname,
						ingest->own, bytes.data, bytes.len);
	if (frame) {
		frame->durable = true;
		hub_publish(ingest->hub, frame);
	}
	hub_frame_unref(frame);
}

static void tell_conflict(struct batch *batch, uint64_t sequence)
{
	char text[200];
	snprintf(text, sizeof(text),
		 "snapshot %llu came twice with different contents: two machines share this host id; delete the copied "
		 "agent state directory on one of them",
		 (unsigned long long)sequence);
	registry_warn(batch->ingest->registry, batch->host_id, text);
}

/* On the store's writer thread. */
static void stored(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct batch *batch = arg;
	struct ingest *ingest = batch->ingest;
	uint64_t highest = 0, conflict = 0;
	batch->lost = error < 0;
	for (size_t i = 0; !batch->lost && i < n; i++) {
		struct outcome *outcome = &batch->outcomes[batch->row_outcome[i]];
		if (fates[i] == STORE_CONFLICT) {
			outcome->verdict = VERDICT_CONFLICT;
			conflict = outcome->sequence;
		} else {
			highest = outcome->sequence;
		}
	}
	if (ingest_enter(ingest)) {
		if (highest > 0 && batch->live)
			publish_durable(batch, highest);
		if (conflict > 0)
			tell_conflict(batch, conflict);
		streams_wake(ingest);
		ingest_leave(ingest);
	}
	if (grpc_call_post(batch->call, committed, batch) < 0) {
		batch_free(batch);
		ingest_unref(ingest);
	}
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

/* As store_append(); on 0 the batch belongs to the store. */
static int append(struct stream *stream, struct batch *batch)
{
	struct ingest *ingest = stream->ingest;
	atomic_fetch_add(&ingest->refs, 1);
	stream->in_flight++;
	int r = store_append(ingest->store, batch->host_id, batch->instance, batch->rows, batch->n_rows, stored, batch);
	if (r < 0) {
		stream->in_flight--;
		ingest_unref(ingest);
	}
	return r;
}

static void refuse(struct stream *stream, struct batch *batch, int error)
{
	batch_free(batch);
	if (error == -ESHUTDOWN)
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is stopping: send it again");
	else if (error == -EAGAIN)
		stream_finish_later(stream, GRPC_UNAVAILABLE, "the database is too slow at present: send it again",
				    RETRY_MS);
	else
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: send it again");
}

/* Makes the rows independent of the message they came in. */
static int keep(struct batch *batch, const uint8_t *data, size_t len)
{
	struct ingest *ingest = batch->ingest;
	if (atomic_fetch_add(&ingest->pending_bytes, len) + len > INGEST_PENDING_MAX) {
		atomic_fetch_sub(&ingest->pending_bytes, len);
		return -EAGAIN;
	}
	batch->copy = malloc(len);
	if (!batch->copy) {
		atomic_fetch_sub(&ingest->pending_bytes, len);
		return -ENOMEM;
	}
	batch->copy_len = len;
	memcpy(batch->copy, data, len);
	for (size_t i = 0; i < batch->n_rows; i++)
		batch->rows[i].payload = batch->copy + (batch->rows[i].payload - data);
	return 0;
}

void batch_retry(struct stream *stream)
{
	struct batch *batch = stream->pending;
	if (!batch)
		return;
	/* Marked before the attempt: room that appears behind it wakes us again. */
	streams_wait(stream, true);
	stream->pending = NULL;
	int r = append(stream, batch);
	if (r == -EAGAIN) {
		stream->pending = batch;
		return;
	}
	streams_wait(stream, false);
	if (r < 0)
		refuse(stream, batch, r);
	else
		stream_resume(stream);
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
	stream->batch_snapshots = (size_t)count;
	struct batch *batch = batch_new(stream, (size_t)count);
	if (!batch) {
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: send it again");
		return;
	}
	if (!judge_all(stream, batch, data, len)) {
		batch_free(batch);
		grpc_call_finish(stream->call, GRPC_INVALID_ARGUMENT, "Batch.snapshots: sequences must ascend");
		return;
	}
	show(stream, batch);
	if (batch->n_rows == 0) {
		answer(stream, batch);
		batch_free(batch);
		return;
	}
	int r = append(stream, batch);
	if (r == -EAGAIN && !stream->unary) {
		r = keep(batch, data, len);
		if (r == 0) {
			stream->pending = batch;
			grpc_call_pause(stream->call);
			batch_retry(stream);
			return;
		}
	}
	if (r < 0)
		refuse(stream, batch, r);
}
