/* While the store owns a batch nobody else touches it: its callback writes the outcomes and hands it on. */
#include "backend/ingest/internal.h"

#include "backend/registry/host_message.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DURABLE_HOST_ID = 1, DURABLE_INSTANCE = 2, DURABLE_SEQUENCE = 3 };

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	struct ingest *ingest = batch->holds_ingest ? batch->ingest : NULL;
	if (batch->copy)
		atomic_fetch_sub(&batch->ingest->pending_bytes, batch->copy_len);
	if (batch->call)
		grpc_call_unref(batch->call);
	free(batch->copy);
	free(batch->outcomes);
	free(batch->rows);
	free(batch->row_outcome);
	free(batch);
	if (ingest)
		ingest_unref(ingest);
}

struct batch *batch_new(const struct source *source, size_t n)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		return NULL;
	batch->ingest = source->ingest;
	batch->tenant_id = source->key.tenant_id;
	memcpy(batch->host_id, source->host_id, sizeof(batch->host_id));
	memcpy(batch->instance, source->instance, sizeof(batch->instance));
	memcpy(batch->host_id_text, source->host_id_text, sizeof(batch->host_id_text));
	memcpy(batch->hostname, source->hostname, sizeof(batch->hostname));
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

/* Said where the host is shown, until a day goes by without it. */
static void warn_of_rows(struct source *source, struct cardinality_host *host)
{
	if (cardinality_exceeded(host))
		registry_warn(
			source->ingest->registry, source->host_id,
			"snapshots are refused: more rows (disks, cgroups, custom series ...) with names of their "
			"own than a host may bring in a day; find what has ever new names, and leave it out");
}

static void judge(struct source *source, struct cardinality_host *host, struct batch *batch, const struct wire_field *f,
		  int64_t now_us)
{
	struct snapshot_index index;
	struct outcome *outcome = &batch->outcomes[batch->n];
	outcome->verdict = verdict_of(source->schema, cardinality_rows(host), source->instance, f->data, f->len,
				      &outcome->sequence, &index);
	if (outcome->verdict == VERDICT_TOO_MANY_ROWS)
		warn_of_rows(source, host);
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
		memcpy(row->descriptor_hash, source->descriptor_hash, sizeof(row->descriptor_hash));
		batch->row_outcome[batch->n_rows++] = batch->n;
	} else if (!(source->verdicts_logged & 1u << outcome->verdict)) {
		source->verdicts_logged |= 1u << outcome->verdict;
		log_warn("a snapshot was refused", LOG_STR("host", source->hostname),
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
static bool judge_all(struct source *source, struct cardinality_host *host, struct batch *batch, const uint8_t *data,
		      size_t len, int64_t now_us)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	uint64_t before = 0;
	while (batch_next(&reader, &f) == 1) {
		judge(source, host, batch, &f, now_us);
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

bool batch_judge(struct source *source, struct batch *batch, const uint8_t *data, size_t len)
{
	int64_t now_us = clock_wall_us();
	struct cardinality_host *host = cardinality_enter(source->ingest->cardinality, source->host_id, now_us);
	if (host && cardinality_recovered(host))
		registry_warn(source->ingest->registry, source->host_id, NULL);
	bool ordered = judge_all(source, host, batch, data, len, now_us);
	cardinality_leave(host);
	batch->late = store_is_late(batch->rows, batch->n_rows);
	return ordered;
}

/* Kept all the same: both times are, and which of the clocks is wrong the backend cannot know. */
static void check_clock(struct source *source, const struct store_snapshot *row)
{
	int64_t skew_ms = (row->agent_us - row->received_us) / 1000;
	const char *words = row->agent_us != 0 ? host_skew_words(skew_ms) : NULL;
	if (!words || source->skew_logged)
		return;
	source->skew_logged = true;
	log_warn("an agent's clock is off", LOG_STR("host", source->hostname), LOG_INT("skew_ms", skew_ms),
		 LOG_STR("how", words), LOG_STR("then", "its snapshots are kept with both times"));
}

/* What was seen before, or is older than what was, goes to the store only. */
void batch_show(struct source *source, struct batch *batch)
{
	struct ingest *ingest = source->ingest;
	for (size_t i = 0; i < batch->n_rows; i++) {
		const struct store_snapshot *row = &batch->rows[i];
		if (row->sequence <= source->highest_live)
			continue;
		struct hub_frame *frame = hub_frame_new(HUB_SNAPSHOT, batch->tenant_id, batch->host_id_text,
							batch->hostname, source->schema, row->payload, row->len);
		if (!frame)
			continue; /* out of memory: not shown, but stored */
		source->highest_live = row->sequence;
		check_clock(source, row);
		batch->live = true;
		registry_update(ingest->registry, frame, row->received_us);
		hub_publish(ingest->hub, frame);
		hub_frame_unref(frame);
	}
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

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
		if (highest > 0 && batch->live) {
			registry_durable(ingest->registry, batch->host_id, batch->instance, highest);
			publish_durable(batch, highest);
		}
		if (conflict > 0)
			tell_conflict(batch, conflict);
		streams_wake(ingest);
		ingest_leave(ingest);
	}
	batch->done(batch);
}

bool batch_is_held(const struct batch *batch)
{
	return batch->late && atomic_load_explicit(&batch->ingest->hold_backfill, memory_order_relaxed);
}

uint64_t batch_last(const struct batch *batch)
{
	uint64_t last = 0;
	for (size_t i = 0; i < batch->n; i++)
		last = batch->outcomes[i].sequence > last ? batch->outcomes[i].sequence : last;
	return last;
}

/* Before they are rows: of a row that never comes nobody asks. */
static void tell_recent(struct batch *batch)
{
	struct recent *recent = registry_recent(batch->ingest->registry);
	if (batch->told || batch->late)
		return;
	for (size_t i = 0; i < batch->n_rows; i++)
		recent_add(recent, batch->host_id, batch->instance, &batch->rows[i]);
	batch->told = true;
}

int batch_append(struct batch *batch, void (*done)(struct batch *batch))
{
	struct store *store = batch->ingest->store;
	if (batch_is_held(batch))
		return -EAGAIN;
	if (!batch->holds_ingest)
		atomic_fetch_add(&batch->ingest->refs, 1);
	batch->holds_ingest = true;
	batch->done = done;
	tell_recent(batch);
	return store_append_known(store, batch->host_id, batch->instance, batch->rows, batch->n_rows, batch->late,
				  stored, batch);
}

uint64_t batch_backlog(const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f, last = {0};
	struct snapshot_index index;
	while (batch_next(&reader, &f) == 1)
		last = f;
	if (!last.data || snapshot_index_parse(last.data, last.len, &index) < 0)
		return 0;
	return clock_wall_us() - index.timestamp_us > STORE_LATE_US ? index.sequence : 0;
}

bool batch_is_crowded_out(struct ingest *ingest, size_t len)
{
	return atomic_load(&ingest->pending_bytes) + len > INGEST_PENDING_LATE_MAX;
}

int batch_keep(struct batch *batch, const uint8_t *data, size_t len)
{
	struct ingest *ingest = batch->ingest;
	size_t max = batch->late ? INGEST_PENDING_LATE_MAX : INGEST_PENDING_MAX;
	if (atomic_fetch_add(&ingest->pending_bytes, len) + len > max) {
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
