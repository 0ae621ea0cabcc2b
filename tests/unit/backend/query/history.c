#include "tests/unit/backend/query/history.h"

#include "backend/columns/rollup.h"
#include "backend/columns/ticks.h"
#include "common/wire.h"
#include "proto/descriptors.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const uint8_t history_host[16] = "host-a";

static void ok(int r)
{
	assert_int_equal(r, 0);
}

void history_open(struct history *h)
{
	char url[128], *error = NULL;
	struct store_host host = {.tenant_id = STORE_TENANT_DEFAULT, .key_id = 1, .hostname = "a"};
	*h = (struct history){.sealed_us = INT64_MIN, .threads = 4, .window_us = tiers_window_us(STORE_TIER_RAW)};
	/* Nothing here is about disks. */
	snprintf(h->directory, sizeof(h->directory), "%s/sonde-query-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(h->directory));
	snprintf(url, sizeof(url), "sqlite:%s/s.db", h->directory);
	if (store_open(url, &h->store, &error) < 0)
		fail_msg("%s", error ? error : "store_open");
	memcpy(host.host_id, history_host, sizeof(host.host_id));
	ok(store_host_register(h->store, &host));
	ok(schemas_open(h->store, &h->schemas));
	ok(query_cache_new(1 << 20, &h->cache));
}

void history_close(struct history *h)
{
	static const char *const names[] = {"s.db", "s.db-wal", "s.db-shm", "s.db.lock", "s.db.reserve"};
	char path[128];
	query_cache_free(h->cache);
	recent_free(h->recent);
	schemas_close(h->schemas);
	store_close(h->store);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", h->directory, names[i]);
		unlink(path);
	}
	ok(rmdir(h->directory));
	for (size_t i = 0; i < h->n; i++)
		buf_free(&h->snapshots[i].payload);
	free(h->snapshots);
	*h = (struct history){.n = 0};
}

/* --- snapshots --------------------------------------------------------------------------------------------------- */

void history_add(struct history *h, const struct columns_tick *tick, const struct buf *sections)
{
	h->snapshots = realloc(h->snapshots, (h->n + 1) * sizeof(*h->snapshots));
	assert_non_null(h->snapshots);
	struct history_snapshot *s = &h->snapshots[h->n++];
	*s = (struct history_snapshot){.tick = *tick, .payload = BUF_INIT(1 << 20)};
	ok(wire_put_bytes(&s->payload, 1, tick->boot_id, 16));
	ok(wire_put_bytes(&s->payload, 2, tick->instance, 16));
	ok(wire_put_uint(&s->payload, 3, tick->sequence));
	ok(wire_put_uint(&s->payload, 5, tick->boottime_us));
	ok(wire_put_uint(&s->payload, 6, tick->interval_ms));
	ok(buf_append(&s->payload, sections->data, sections->len));
}

void history_make(struct history *h, uint64_t seed, bool wild, size_t n)
{
	struct buf sections BUF_CLEANUP = BUF_INIT(1 << 20);
	struct maker maker;
	maker_init(&maker, seed, wild);
	for (size_t i = 0; i < n; i++) {
		maker_next(&maker, &sections);
		history_add(h, &maker.tick, &sections);
	}
}

/* --- storing ----------------------------------------------------------------------------------------------------- */

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void on_appended(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct waiting *w = arg;
	pthread_mutex_lock(&w->lock);
	if (error < 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (fates[i] != STORE_ACCEPTED)
			abort();
	}
	w->done = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void append(struct history *h, const uint8_t instance[16], const struct store_snapshot *snapshots, size_t n)
{
	struct waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	ok(store_append(h->store, history_host, instance, snapshots, n, on_appended, &w));
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.changed, &w.lock);
	pthread_mutex_unlock(&w.lock);
}

void history_put_rows(struct history *h, history_keep_fn keep, size_t arg)
{
	struct store_snapshot batch[256];
	struct descriptor_blob own = descriptors_snapshot();
	uint8_t hash[32];
	crypto_hash_sha256(hash, own.data, own.len);
	for (size_t i = 0; i < h->n;) {
		const uint8_t *instance = h->snapshots[i].tick.instance;
		size_t n = 0;
		for (; i < h->n && n < 256 && memcmp(instance, h->snapshots[i].tick.instance, 16) == 0; i++) {
			const struct history_snapshot *s = &h->snapshots[i];
			if (keep && !keep(i, arg))
				continue;
			batch[n] = (struct store_snapshot){.sequence = s->tick.sequence,
							   .agent_us = s->tick.time_us,
							   .boottime_us = s->tick.boottime_us,
							   .received_us = s->tick.received_us,
							   .payload = s->payload.data,
							   .len = s->payload.len};
			memcpy(batch[n++].descriptor_hash, hash, sizeof(hash));
		}
		for (size_t k = 0; h->recent && k < n; k++)
			recent_add(h->recent, history_host, instance, &batch[k]);
		if (n > 0)
			append(h, instance, batch, n);
	}
}

void history_put_instead(struct history *h, enum store_tier tier, uint32_t statistic, bool compacted,
			 const struct buf *like, const struct buf *bytes)
{
	int64_t length = tier == STORE_TIER_RAW ? h->window_us : tiers_window_us(tier);
	struct chunk_reader reader;
	ok(chunk_open(like->data, like->len, &reader));
	const struct store_chunk chunk = {.tier = tier,
					  .statistic = statistic,
					  .compacted = compacted,
					  .window_us = reader.first_us / length * length,
					  .first_us = reader.first_us,
					  .last_us = reader.last_us,
					  .made_us = reader.last_us,
					  .len = bytes->len,
					  .data = bytes->data};
	int64_t upto_us = h->sealed_us == INT64_MIN ? 1 : h->sealed_us + 1;
	ok(store_seal(h->store, history_host, h->sealed_us, upto_us, 0, NULL, &chunk, 1));
	h->sealed_us = upto_us;
}

void history_put(struct history *h, enum store_tier tier, uint32_t statistic, bool compacted, const struct buf *chunk)
{
	history_put_instead(h, tier, statistic, compacted, chunk, chunk);
}

static int by_time(const void *a, const void *b, void *arg)
{
	const struct history *h = arg;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	int64_t x = h->snapshots[i].tick.time_us, y = h->snapshots[k].tick.time_us;
	return x != y ? (x > y) - (x < y) : (i > k) - (i < k);
}

/* The sections of one tier alone. */
static void take_part(enum store_tier tier, const struct buf *whole, struct buf *part)
{
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	struct chunk_reader reader;
	uint32_t n = 0;
	ok(chunk_open(whole->data, whole->len, &reader));
	struct columns_tick *ticks = calloc(reader.n_ticks + 1u, sizeof(*ticks));
	assert_non_null(ticks);
	ok(ticks_take(reader.ticks, reader.ticks_len, reader.n_ticks, ticks));
	for (uint32_t i = 0; i < reader.n_sections; i++) {
		if ((chunk_section_of(reader.sections[i].number) == 23) == (tier == STORE_TIER_PROCESSES))
			sections[n++] = reader.sections[i];
	}
	ok(chunk_put(ticks, reader.n_ticks, sections, n, part));
	free(ticks);
}

static void put_part(struct history *h, enum store_tier tier, bool compacted, const struct buf *whole)
{
	struct buf part BUF_CLEANUP = BUF_INIT(1 << 28);
	take_part(tier, whole, &part);
	history_put(h, tier, 0, compacted, &part);
}

void history_chunk(struct history *h, size_t first, size_t end, struct buf *out)
{
	struct buf whole BUF_CLEANUP = BUF_INIT(1 << 28);
	struct chunk_builder *builder;
	ok(chunk_builder_new(1 << 28, &builder));
	for (size_t i = first; i < end; i++)
		fixture_add(builder, &h->snapshots[i].tick, &h->snapshots[i].payload);
	fixture_finish(builder, &whole);
	take_part(STORE_TIER_RAW, &whole, out);
}

typedef void (*cut_fn)(struct history *h, const struct buf *chunk, void *arg);

static void cut(struct history *h, const struct history *values_of, history_keep_fn keep, size_t arg, size_t most,
		int64_t window_us, cut_fn fn, void *fn_arg)
{
	size_t *order = calloc(h->n + 1, sizeof(*order)), n = 0;
	assert_non_null(order);
	for (size_t i = 0; i < h->n; i++) {
		if (!keep || keep(i, arg))
			order[n++] = i;
	}
	qsort_r(order, n, sizeof(*order), by_time, h);
	for (size_t i = 0; i < n;) {
		struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 28);
		struct chunk_builder *builder;
		int64_t window = h->snapshots[order[i]].tick.time_us / window_us;
		ok(chunk_builder_new(1 << 28, &builder));
		for (size_t k = 0; k < most && i < n; k++, i++) {
			const struct history_snapshot *s = &h->snapshots[order[i]];
			if (s->tick.time_us / window_us != window)
				break;
			fixture_add(builder, &s->tick, &(values_of ? values_of : h)->snapshots[order[i]].payload);
		}
		fixture_finish(builder, &chunk);
		fn(h, &chunk, fn_arg);
	}
	free(order);
}

static void put_raw(struct history *h, const struct buf *chunk, void *compacted)
{
	put_part(h, STORE_TIER_RAW, *(bool *)compacted, chunk);
}

static void put_processes(struct history *h, const struct buf *chunk, void *compacted)
{
	put_part(h, STORE_TIER_PROCESSES, *(bool *)compacted, chunk);
}

void history_put_chunks(struct history *h, const struct history *values_of, history_keep_fn keep, size_t arg,
			size_t most, bool compacted)
{
	cut(h, values_of, keep, arg, most, h->window_us, put_raw, &compacted);
	cut(h, values_of, keep, arg, most, tiers_window_us(STORE_TIER_PROCESSES), put_processes, &compacted);
}

static void put_minutes(struct history *h, const struct buf *chunk, void *arg)
{
	struct buf out[ROLLUP_END];
	struct rollup_result result;
	for (unsigned s = 0; s < ROLLUP_END; s++)
		out[s] = BUF_INIT(1 << 28);
	ok(rollup_minutes(chunk->data, chunk->len, out, &result));
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		if (out[s].len > 0)
			history_put(h, STORE_TIER_MINUTE, s, true, &out[s]);
		buf_free(&out[s]);
	}
}

void history_put_minutes(struct history *h, history_keep_fn keep, size_t arg)
{
	cut(h, NULL, keep, arg, SIZE_MAX, h->window_us, put_minutes, NULL);
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

int history_ask(struct history *h, const struct history_question *q, struct range_result *ret, char *error, size_t size)
{
	struct query_store store = {.store = h->store,
				    .schemas = h->schemas,
				    .cache = h->cache,
				    .recent = h->recent,
				    .threads = h->threads};
	struct query_source source = query_source_store(&store);
	const struct range_host host = {.host_id = history_host, .hostname = "a"};
	struct selector selector;
	struct range_request request = {.selector = &selector,
					.from_us = q->from_us,
					.to_us = q->to_us,
					.step_us = q->step_us,
					.function = q->function,
					.now_us = q->to_us + 1000000};
	int r = selector_parse(q->selector, strlen(q->selector), &selector, error, size);
	if (r < 0)
		return r;
	if (q->group_by) {
		request.grouped = true;
		request.n_group_by = q->group_by[0] ? 1 : 0;
		snprintf(request.group_by[0], sizeof(request.group_by[0]), "%s", q->group_by);
	}
	r = store_view_open(h->store, &store.view);
	if (r == 0)
		r = range_run(&source, &request, &host, 1, ret, error, size);
	store_view_close(store.view);
	selector_free(&selector);
	return r;
}

struct range_result history_answer(struct history *h, const struct history_question *q)
{
	struct range_result result;
	char error[256] = "";
	int r = history_ask(h, q, &result, error, sizeof(error));
	if (r < 0)
		fail_msg("%s: %d %s", q->selector, r, error);
	return result;
}

static bool same_value(double a, double b, double tolerance)
{
	if (isnan(a) || isnan(b) || tolerance == 0)
		return isnan(a) == isnan(b) && (isnan(a) || wire_double_bits(a) == wire_double_bits(b));
	return a == b || fabs(a - b) <= tolerance * (fabs(a) + fabs(b));
}

void history_same_gaps(const struct range_result *a, const struct range_result *b, const char *what)
{
	if (a->n_gaps != b->n_gaps)
		fail_msg("%s: %zu gaps and %zu", what, a->n_gaps, b->n_gaps);
	for (size_t i = 0; i < a->n_gaps; i++) {
		const struct range_gap *x = &a->gaps[i], *y = &b->gaps[i];
		if (x->from_us != y->from_us || x->to_us != y->to_us || x->cause != y->cause)
			fail_msg("%s: gap %zu: %lld-%lld %s and %lld-%lld %s", what, i, (long long)x->from_us,
				 (long long)x->to_us, range_cause_text(x->cause), (long long)y->from_us,
				 (long long)y->to_us, range_cause_text(y->cause));
	}
}

void history_same(const struct range_result *a, const struct range_result *b, double tolerance, const char *what)
{
	if (a->points != b->points || a->n_groups != b->n_groups || a->function != b->function || a->kind != b->kind)
		fail_msg("%s: %zu points %zu groups function %d kind %d, and %zu %zu %d %d", what, a->points,
			 a->n_groups, a->function, a->kind, b->points, b->n_groups, b->function, b->kind);
	for (size_t i = 0; i < a->n_groups; i++) {
		const struct range_group *x = &a->groups[i], *y = &b->groups[i];
		if (x->key_len != y->key_len || memcmp(x->key, y->key, x->key_len) != 0)
			fail_msg("%s: line %zu has other labels", what, i);
		for (size_t k = 0; k < a->points; k++) {
			if (!same_value(x->values[k], y->values[k], tolerance))
				fail_msg("%s: line %zu point %zu: %.17g and %.17g", what, i, k, x->values[k],
					 y->values[k]);
		}
	}
}
