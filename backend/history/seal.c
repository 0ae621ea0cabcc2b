/* One pass over the rows in the order of the agent's clock: a chunk ends where a window of processes (the smallest)
 * does, or when the builder is full. Which rows belong is told by their receipt, which the store keeps above what was
 * sealed before: none is sealed twice, and none that comes late is missed. */
#include "backend/history/seal.h"

#include "backend/columns/chunk.h"
#include "backend/history/tiers.h"
#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CHUNKS 4096
#define MAX_CHUNK_BYTES (512u << 20)
#define MAX_DAMAGED 500 /* then what lies between counts as damaged too, in the same window */
#define DAMAGE_NEAR_US 60000000
#define DAMAGE_LEN 1

/* A stretch of rows that cannot be read, within one window of processes. */
struct damage {
	int64_t first_us, last_us;
};

struct sealing {
	const struct seal_job *job;
	int64_t upto_us;
	struct chunk_builder *builder; /* of the chunk that is open */
	struct chunk_builder *spare;   /* cleared */
	int64_t window_us;	       /* of the builder */
	struct schema *schema;
	uint8_t hash[32];
	struct store_chunk *chunks; /* data is malloc'd */
	size_t n_chunks;
	struct store_row latest; /* its payload is malloc'd */
	bool has_latest;
	struct damage *damaged; /* in the order of time, and of the agent's clock */
	size_t n_damaged, damaged_cap;
	bool damage_goes_on; /* no row has come since the last of it */
	struct seal_result result;
};

/* What a chunk took in memory the next one takes again. */
static void put_aside(struct sealing *s)
{
	chunk_builder_free(s->spare);
	s->spare = NULL;
	if (s->builder && chunk_builder_bytes(s->builder) <= SEAL_KEPT_BYTES) {
		chunk_builder_clear(s->builder);
		s->spare = s->builder;
	} else {
		chunk_builder_free(s->builder);
	}
	s->builder = NULL;
}

static void sealing_free(struct sealing *s)
{
	if (s->builder)
		put_aside(s);
	if (s->job->builder)
		*s->job->builder = s->spare;
	else
		chunk_builder_free(s->spare);
	schema_unref(s->schema);
	for (size_t i = 0; i < s->n_chunks; i++)
		free((void *)s->chunks[i].data);
	free(s->chunks);
	free(s->damaged);
	free((void *)s->latest.payload);
}

int64_t seal_due_us(const uint8_t host_id[16], int64_t now_us, int64_t period_us)
{
	uint64_t hash = 0xcbf29ce484222325;
	for (size_t i = 0; i < 16; i++)
		hash = (hash ^ host_id[i]) * 0x100000001b3;
	int64_t phase = (int64_t)(hash % (uint64_t)period_us), within = (now_us - phase) % period_us;
	return now_us - (within < 0 ? within + period_us : within);
}

/* --- chunks --- */

/* Takes the bytes over. */
static int append_chunk(struct sealing *s, enum store_tier tier, int64_t first_us, int64_t last_us, struct buf *bytes)
{
	struct store_chunk *chunks = realloc(s->chunks, (s->n_chunks + 1) * sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	s->chunks = chunks;
	chunks[s->n_chunks++] = (struct store_chunk){
		.tier = tier,
		.window_us = tiers_window_of(tier, first_us),
		.first_us = first_us,
		.last_us = last_us,
		.made_us = s->job->now_us,
		.len = bytes->len,
		.data = bytes->data,
	};
	*bytes = BUF_INIT(0);
	return 0;
}

static int add_chunk(struct sealing *s, enum store_tier tier, const struct chunk_reader *chunk)
{
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	struct buf bytes BUF_CLEANUP = BUF_INIT(MAX_CHUNK_BYTES);
	uint32_t n = 0;
	for (uint32_t i = 0; i < chunk->n_sections; i++) {
		if (tiers_of_section(chunk->sections[i].number) == tier)
			sections[n++] = chunk->sections[i];
	}
	/* Snapshots without sections are history too: somebody was there. */
	if (n == 0 && tier != STORE_TIER_RAW)
		return 0;
	if (s->n_chunks == MAX_CHUNKS)
		return -EMSGSIZE;
	int r = chunk_put_with_ticks_of(chunk, sections, n, &bytes);
	if (r < 0)
		return r;
	r = append_chunk(s, tier, chunk->first_us, chunk->last_us, &bytes);
	if (r < 0)
		return r;
	s->result.chunks++;
	s->result.bytes += s->chunks[s->n_chunks - 1].len;
	return 0;
}

static int finish_chunk(struct sealing *s)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(MAX_CHUNK_BYTES);
	struct chunk_reader chunk;
	if (!s->builder)
		return 0;
	int r = chunk_builder_ticks(s->builder) > 0 ? chunk_builder_finish(s->builder, COLUMNS_QUICK, &bytes) : 0;
	if (r == -EMSGSIZE) {
		/* Beyond the limits of columns.h, which the builder's memory does not reach: said, and the host goes
		 * on. */
		s->result.bad_rows += chunk_builder_ticks(s->builder);
		r = 0;
	} else if (r == 0 && bytes.len > 0) {
		s->result.samples += chunk_builder_samples(s->builder);
		r = chunk_open(bytes.data, bytes.len, &chunk);
		for (enum store_tier tier = STORE_TIER_RAW; r == 0 && tier <= STORE_TIER_PROCESSES; tier++)
			r = add_chunk(s, tier, &chunk);
	}
	s->result.duplicates += chunk_builder_duplicates(s->builder);
	put_aside(s);
	return r;
}

/* --- damage --- */

static int add_damage(struct sealing *s, int64_t time_us)
{
	struct damage *last = s->n_damaged > 0 ? &s->damaged[s->n_damaged - 1] : NULL;
	bool same = last && tiers_window_of(STORE_TIER_PROCESSES, last->first_us) ==
				    tiers_window_of(STORE_TIER_PROCESSES, time_us);
	bool near = same && s->damage_goes_on && time_us - last->last_us <= DAMAGE_NEAR_US;
	s->damage_goes_on = true;
	if (near || (same && s->n_damaged >= MAX_DAMAGED)) {
		last->last_us = time_us;
		return 0;
	}
	if (s->n_damaged == s->damaged_cap) {
		size_t cap = s->damaged_cap ? s->damaged_cap * 2 : 16;
		struct damage *more = reallocarray(s->damaged, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->damaged = more;
		s->damaged_cap = cap;
	}
	s->damaged[s->n_damaged++] = (struct damage){time_us, time_us};
	return 0;
}

/* Lost rows are seen until their part of the table goes: an earlier sealing may have told of them. */
static bool is_told(const struct store_chunk *chunks, size_t n, const struct damage *damage)
{
	for (size_t i = 0; i < n; i++) {
		if (chunks[i].len == DAMAGE_LEN && chunks[i].first_us <= damage->first_us &&
		    chunks[i].last_us >= damage->last_us)
			return true;
	}
	return false;
}

/* In its place stands a chunk that is none: it is told as damaged for as long as its neighbours are kept. */
static int put_damage(struct sealing *s, enum store_tier tier, const struct damage *damage)
{
	static const uint8_t no_chunk[DAMAGE_LEN] = {0};
	struct buf bytes BUF_CLEANUP = BUF_INIT(DAMAGE_LEN);
	if (s->n_chunks == MAX_CHUNKS)
		return 0;
	int r = buf_append(&bytes, no_chunk, sizeof(no_chunk));
	return r < 0 ? r : append_chunk(s, tier, damage->first_us, damage->last_us, &bytes);
}

static int put_damaged(struct sealing *s, struct store_view *view)
{
	struct store_chunk *told = NULL;
	size_t n = 0;
	if (s->n_damaged == 0)
		return 0;
	int r = store_view_chunks(view, s->job->host->host_id, STORE_TIER_RAW, 0, s->damaged[0].first_us,
				  s->damaged[s->n_damaged - 1].last_us, &told, &n);
	for (size_t i = 0; r == 0 && i < s->n_damaged; i++) {
		if (is_told(told, n, &s->damaged[i]))
			continue;
		s->result.bad_rows++;
		for (enum store_tier tier = STORE_TIER_RAW; r == 0 && tier <= STORE_TIER_PROCESSES; tier++)
			r = put_damage(s, tier, &s->damaged[i]);
	}
	free(told);
	return r;
}

/* --- rows --- */

static int take_schema(struct sealing *s, const uint8_t hash[32])
{
	struct schema *schema;
	if (s->schema && memcmp(s->hash, hash, sizeof(s->hash)) == 0)
		return 0;
	int r = schemas_get_or_own(s->job->schemas, hash, &schema);
	if (r < 0)
		return r;
	schema_unref(s->schema);
	s->schema = schema;
	memcpy(s->hash, hash, sizeof(s->hash));
	return 0;
}

static int add_row(struct sealing *s, const struct store_row *row, const struct columns_tick *tick)
{
	if (!s->builder) {
		int r = s->spare ? 0 : chunk_builder_new(SEAL_BUILDER_BYTES, &s->spare);
		if (r < 0)
			return r;
		s->builder = s->spare;
		s->spare = NULL;
		s->window_us = tiers_window_of(STORE_TIER_PROCESSES, tick->time_us);
	}
	return chunk_builder_add(s->builder, tick, s->schema, row->payload, row->len);
}

/* The reason of one row is no reason to leave out the others. */
static int on_row(void *arg, const struct store_row *row)
{
	struct sealing *s = arg;
	struct snapshot_index index;
	if (row->lost)
		return add_damage(s, row->agent_us);
	if (row->received_us > s->upto_us)
		return 0;
	if (s->job->stop && atomic_load_explicit(s->job->stop, memory_order_relaxed))
		return -ECANCELED;
	s->result.rows++;
	if (row->damaged)
		return add_damage(s, row->agent_us);
	s->damage_goes_on = false;
	struct columns_tick tick = {.time_us = row->agent_us,
				    .received_us = row->received_us,
				    .boottime_us = row->boottime_us,
				    .sequence = row->sequence};
	memcpy(tick.instance, row->instance, sizeof(tick.instance));
	if (snapshot_index_parse(row->payload, row->len, &index) < 0) {
		s->result.bad_rows++;
		return 0;
	}
	tick.interval_ms = index.interval_ms;
	memcpy(tick.boot_id, index.boot_id, sizeof(tick.boot_id));
	int r = take_schema(s, row->descriptor_hash);
	if (r == 0 && s->builder && tiers_window_of(STORE_TIER_PROCESSES, tick.time_us) != s->window_us)
		r = finish_chunk(s);
	if (r == 0)
		r = add_row(s, row, &tick);
	if (r == -EMSGSIZE) {
		r = finish_chunk(s);
		if (r == 0)
			r = add_row(s, row, &tick);
	}
	/* -EMSGSIZE of a row by itself: it fits nowhere. */
	if (r == -EPROTO || r == -EMSGSIZE) {
		s->result.bad_rows++;
		r = 0;
	}
	return r;
}

/* --- which rows --- */

struct counting {
	int64_t upto_us;
	int64_t *received;
	size_t n, cap;
};

static int count_row(void *arg, const struct store_row *row)
{
	struct counting *c = arg;
	if (row->received_us > c->upto_us || row->lost)
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 4096;
		int64_t *received = realloc(c->received, cap * sizeof(*received));
		if (!received)
			return -ENOMEM;
		c->received = received;
		c->cap = cap;
	}
	c->received[c->n++] = row->received_us;
	return 0;
}

static int by_time(const void *a, const void *b)
{
	int64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Moves upto_us down so far that the rows up to it are not too many. */
static int limit_rows(struct sealing *s, struct store_view *view)
{
	struct counting c = {.upto_us = s->upto_us};
	unsigned max = s->job->max_rows > 0 ? s->job->max_rows : SEAL_MAX_ROWS;
	if (s->job->host->rows <= max)
		return 0;
	int r = store_view_rows(view, s->job->host->host_id, INT64_MIN, INT64_MAX, false, count_row, &c);
	if (r == 0 && c.n > max) {
		qsort(c.received, c.n, sizeof(*c.received), by_time);
		int64_t upto = c.received[max - 1];
		s->result.more = c.received[c.n - 1] > upto;
		s->upto_us = s->result.more ? upto : s->upto_us;
	}
	free(c.received);
	return r;
}

/* --- the newest row --- */

static int take_latest(void *arg, const struct store_row *row)
{
	struct sealing *s = arg;
	if (row->received_us > s->upto_us || row->damaged)
		return 0;
	uint8_t *payload = malloc(row->len > 0 ? row->len : 1);
	if (!payload)
		return -ENOMEM;
	memcpy(payload, row->payload, row->len);
	s->latest = *row;
	s->latest.payload = payload;
	s->has_latest = true;
	return 1;
}

int seal_host(const struct seal_job *job, struct seal_result *ret)
{
	struct sealing s __attribute__((cleanup(sealing_free))) = {.job = job, .upto_us = job->upto_us};
	const struct store_unsealed *host = job->host;
	struct store_view *view;
	s.spare = job->builder ? *job->builder : NULL;
	int r = store_view_open(job->store, &view);
	if (r < 0)
		return r;
	r = limit_rows(&s, view);
	if (r == 0)
		r = store_view_rows(view, host->host_id, INT64_MIN, INT64_MAX, false, on_row, &s);
	if (r == 0 && s.result.rows > 0)
		r = store_view_rows(view, host->host_id, INT64_MIN, INT64_MAX, true, take_latest, &s);
	r = r > 0 ? 0 : r;
	if (r == 0)
		r = put_damaged(&s, view);
	store_view_close(view);
	if (r == 0)
		r = finish_chunk(&s);
	if (r == 0)
		r = store_seal(job->store, host->host_id, host->sealed_us, s.upto_us, s.result.rows,
			       s.has_latest ? &s.latest : NULL, s.chunks, s.n_chunks);
	if (r < 0)
		return r;
	*ret = s.result;
	ret->sealed_us = s.upto_us;
	return 0;
}
