#include "backend/query/whole.h"

#include "backend/query/past.h"
#include "backend/registry/held_sections.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROCESSES_SECTION PAST_PROCESSES_SECTION
#define WHOLE_MAX_BYTES (16u << 20)
#define DONE 1

static int add_processes(struct whole *whole, const struct store_row *row, const struct snapshot_slice *slice)
{
	struct wire_reader reader = wire_reader(row->payload + slice->offset, slice->len);
	struct wire_field f;
	if (wire_next(&reader, &f) != 1 || f.type != WIRE_BYTES)
		return -EPROTO;
	return process_table_add(&whole->processes, f.data, f.len, row->agent_us);
}

static int begin(struct whole *whole, const struct store_row *row, const struct snapshot_index *index)
{
	whole->found = true;
	whole->agent_us = row->agent_us;
	whole->index = *index;
	memcpy(whole->instance, row->instance, sizeof(whole->instance));
	memcpy(whole->descriptor_hash, row->descriptor_hash, sizeof(whole->descriptor_hash));
	for (uint32_t i = 0; i < index->n_sections; i++)
		whole->sections[i].wanted = held_section_not_due(row->payload, &index->sections[i]);
	return buf_append(&whole->base, row->payload, row->len);
}

static int hold(struct whole *whole, size_t i, const struct store_row *row, const struct snapshot_slice *slice)
{
	whole->sections[i].wanted = false;
	whole->sections[i].offset = whole->held.len;
	whole->sections[i].len = slice->len;
	return buf_append(&whole->held, row->payload + slice->offset, slice->len);
}

/* Takes from a row what is still missing; DONE when nothing is. */
static int take(struct whole *whole, const struct store_row *row, const struct snapshot_index *index)
{
	bool missing = false;
	for (uint32_t i = 0; i < whole->index.n_sections; i++) {
		bool processes = whole->index.sections[i].number == PROCESSES_SECTION;
		if (!whole->sections[i].wanted && (!processes || whole->processes.complete))
			continue;
		missing = true;
		for (uint32_t k = 0; k < index->n_sections; k++) {
			const struct snapshot_slice *slice = &index->sections[k];
			if (slice->number != whole->index.sections[i].number ||
			    held_section_not_due(row->payload, slice))
				continue;
			int r = processes ? add_processes(whole, row, slice) : hold(whole, i, row, slice);
			if (processes && r == 0)
				whole->sections[i].wanted = false;
			if (r < 0)
				return r;
		}
	}
	return missing ? 0 : DONE;
}

static int on_row(void *arg, const struct store_row *row)
{
	struct whole *whole = arg;
	struct snapshot_index index;
	if (snapshot_index_parse(row->payload, row->len, &index) < 0)
		return 0; /* one damaged row costs itself */
	if (!whole->found) {
		int r = begin(whole, row, &index);
		if (r < 0)
			return r;
	}
	if (whole->agent_us - row->agent_us > WHOLE_LOOKBACK_US || ++whole->rows > WHOLE_MAX_ROWS)
		return DONE;
	if (memcmp(row->instance, whole->instance, sizeof(row->instance)) != 0)
		return 0; /* an agent's last snapshots may come after its successor's first */
	return take(whole, row, &index);
}

/* --- rows and chunks --- */

/* Rows come newest first; of the time behind a row the chunks are asked before it. */
struct travel {
	struct whole *whole;
	struct store_view *view;
	const uint8_t *host_id;
	struct schema *schema;
	uint8_t hash[32];
	int64_t base_us, chunks_us; /* the newest of all, and of chunks: INT64_MIN without any */
	struct past *past;
	struct buf payload;
};

static void travel_free(struct travel *t)
{
	past_free(t->past);
	schema_unref(t->schema);
	buf_free(&t->payload);
	store_view_close(t->view);
}

struct newest {
	bool found, damaged; /* of those that are newer one cannot be read */
	int64_t agent_us;
	uint8_t hash[32];
};

static int on_newest(void *arg, const struct store_row *row)
{
	struct newest *newest = arg;
	if (row->damaged) {
		newest->damaged = true;
		return 0;
	}
	newest->found = true;
	newest->agent_us = row->agent_us;
	memcpy(newest->hash, row->descriptor_hash, sizeof(newest->hash));
	return DONE;
}

/* Chunks do not say by which schema they were made: an agent's newest has all fields of its former ones. */
static int take_schema(struct travel *t, struct store *store, struct schemas *schemas, const struct newest *newest)
{
	uint8_t *payload = NULL;
	size_t len;
	int64_t received_us;
	int r = 1;
	memcpy(t->hash, newest->hash, sizeof(t->hash));
	if (!newest->found)
		r = store_latest(store, t->host_id, &payload, &len, t->hash, &received_us);
	free(payload);
	if (r == 1)
		r = schemas_get(schemas, t->hash, &t->schema);
	if (r < 0 && r != -EPROTO && r != -ENOENT && r != -EMSGSIZE)
		return r;
	/* A set that is lost or damaged: ours reads what it knows. */
	if (r <= 0)
		t->schema = schema_ref(schemas_own(schemas));
	return 0;
}

static uint64_t wanted_sections(const struct whole *whole)
{
	uint64_t wanted = 0;
	if (!whole->found)
		return UINT64_MAX;
	for (uint32_t i = 0; i < whole->index.n_sections; i++) {
		uint32_t number = whole->index.sections[i].number;
		bool processes = number == PROCESSES_SECTION && !whole->processes.complete;
		if (number < 64 && (whole->sections[i].wanted || processes))
			wanted |= 1ull << number;
	}
	return wanted;
}

/* The snapshot of chunks at hand, as if it were a row. */
static int take_sealed(struct travel *t)
{
	const struct columns_tick *tick = past_tick(t->past);
	struct whole *whole = t->whole;
	struct store_row row = {.sequence = tick->sequence,
				.agent_us = tick->time_us,
				.boottime_us = tick->boottime_us,
				.received_us = tick->received_us};
	uint32_t sections = 0;
	uint64_t wanted = wanted_sections(whole);
	if (wanted == 0)
		return DONE;
	if (whole->found && memcmp(tick->instance, whole->instance, sizeof(whole->instance)) != 0)
		return 0;
	buf_reset(&t->payload);
	int r = past_put(t->past, wanted, whole->found, &t->payload, &sections);
	if (r < 0)
		return r;
	if (whole->found && sections == 0)
		return ++whole->rows > WHOLE_MAX_ROWS ? DONE : 0;
	memcpy(row.instance, tick->instance, sizeof(row.instance));
	memcpy(row.descriptor_hash, t->hash, sizeof(row.descriptor_hash));
	row.payload = t->payload.data;
	row.len = t->payload.len;
	return on_row(whole, &row);
}

/* What chunks have after this time. At one time the row is right: it came later than what is sealed. */
static int take_after(struct travel *t, int64_t time_us, bool and_at)
{
	const struct columns_tick *tick;
	int r = 0;
	if (t->chunks_us == INT64_MIN || t->chunks_us < time_us)
		return 0;
	if (!t->past)
		r = past_open(t->view, t->host_id, t->base_us - WHOLE_LOOKBACK_US, t->base_us, t->schema, &t->past);
	for (; r == 0 && (tick = past_tick(t->past)) && (tick->time_us > time_us || and_at); past_advance(t->past))
		r = take_sealed(t);
	while (r == 0 && (tick = past_tick(t->past)) && tick->time_us == time_us)
		past_advance(t->past);
	return r;
}

static int on_travel_row(void *arg, const struct store_row *row)
{
	struct travel *t = arg;
	int r = take_after(t, row->agent_us, false);
	return r != 0 ? r : on_row(t->whole, row);
}

static int travel(struct travel *t, struct store *store, struct schemas *schemas, int64_t at_us)
{
	struct newest newest = {.agent_us = 0};
	int r = store_view_rows(t->view, t->host_id, 0, at_us, true, on_newest, &newest);
	if (r >= 0)
		r = take_schema(t, store, schemas, &newest);
	if (r < 0)
		return r;
	t->base_us = newest.agent_us;
	/* Chunks are looked at from where sections of the newest row may have to be taken from. */
	int64_t from_us = newest.found ? newest.agent_us - WHOLE_LOOKBACK_US : INT64_MIN / 2;
	r = past_newest(t->view, t->schema, t->host_id, from_us, at_us, &t->chunks_us, &t->whole->damaged);
	t->whole->damaged |= newest.damaged;
	if (r == 0)
		t->chunks_us = INT64_MIN;
	if (r < 0 || (r == 0 && !newest.found))
		return r;
	if (t->chunks_us > t->base_us || !newest.found)
		t->base_us = t->chunks_us;
	r = store_view_rows(t->view, t->host_id, t->base_us - WHOLE_LOOKBACK_US, t->base_us, true, on_travel_row, t);
	return r != 0 ? r : take_after(t, t->base_us - WHOLE_LOOKBACK_US, true);
}

int whole_read(struct store *store, struct schemas *schemas, const uint8_t host_id[16], int64_t at_us,
	       struct whole *ret)
{
	struct travel t = {.whole = ret, .host_id = host_id, .payload = BUF_INIT(WHOLE_MAX_BYTES)};
	*ret = (struct whole){.base = BUF_INIT(WHOLE_MAX_BYTES), .held = BUF_INIT(WHOLE_MAX_BYTES)};
	int r = store_view_open(store, &t.view);
	if (r == 0)
		r = travel(&t, store, schemas, at_us < 0 ? 0 : at_us);
	ret->damaged |= t.past && past_damaged(t.past);
	travel_free(&t);
	return r == DONE ? 0 : r;
}

int whole_compose(const struct whole *whole, struct buf *out)
{
	BUF_CLEANUP struct buf processes = BUF_INIT(PROCESS_TABLE_MAX_BYTES);
	int r = snapshot_index_copy(whole->base.data, whole->base.len, 0, out);
	for (uint32_t i = 0; i < whole->index.n_sections && r == 0; i++) {
		const struct snapshot_slice *slice = &whole->index.sections[i];
		if (slice->number == PROCESSES_SECTION && whole->processes.begun) {
			r = process_table_compose(&whole->processes, &processes);
			if (r == 0)
				r = wire_put_bytes(out, PROCESSES_SECTION, processes.data, processes.len);
		} else if (whole->sections[i].len > 0) {
			r = buf_append(out, whole->held.data + whole->sections[i].offset, whole->sections[i].len);
		} else {
			r = buf_append(out, whole->base.data + slice->offset, slice->len);
		}
	}
	return r;
}

void whole_free(struct whole *whole)
{
	buf_free(&whole->base);
	buf_free(&whole->held);
	process_table_free(&whole->processes);
}
