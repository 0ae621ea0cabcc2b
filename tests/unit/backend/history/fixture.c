#include "tests/unit/backend/history/fixture.h"

#include "backend/history/seal.h"
#include "common/wire.h"
#include "tests/unit/backend/store/database.h"
#include "tests/unit/cmocka_all.h"

#include <dirent.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void remove_directory(const char *directory)
{
	DIR *dir = opendir(directory);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		if (e->d_name[0] != '.' && unlink(path) < 0)
			perror(path);
	}
	if (dir)
		closedir(dir);
	if (rmdir(directory) < 0)
		perror(directory);
}

static void empty_postgres(const char *url)
{
	PGconn *conn = database_connect(url);
	PGresult *result = PQexec(conn, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS sonde CASCADE");
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_msg("%s", PQerrorMessage(conn));
	PQclear(result);
	PQfinish(conn);
}

int history_setup(void **state)
{
	struct history *h = calloc(1, sizeof(*h));
	char *error = NULL;
	assert_non_null(h);
	snprintf(h->directory, sizeof(h->directory), "/tmp/sonde-history-XXXXXX");
	assert_non_null(mkdtemp(h->directory));
	snprintf(h->path, sizeof(h->path), "%s/s.db", h->directory);
	const char *postgres = getenv("SONDE_TEST_STORE");
	if (postgres)
		empty_postgres(postgres);
	snprintf(h->url, sizeof(h->url), "%s%s", postgres ? "" : "sqlite:", postgres ? postgres : h->path);
	if (store_open(h->url, &h->store, &error) < 0)
		fail_msg("store_open: %s", error ? error : "");
	assert_int_equal(schemas_open(h->store, &h->schemas), 0);
	memcpy(h->host, "a-host-of-its-own", 16);
	memcpy(h->instance, "one-run-of-agent", 16);
	struct store_host host = {.tenant_id = STORE_TENANT_DEFAULT, .key_id = 1, .hostname = "history"};
	memcpy(host.host_id, h->host, 16);
	assert_int_equal(store_host_register(h->store, &host), 0);
	maker_init(&h->maker, 7, false);
	h->received_us = h->maker.tick.time_us;
	*state = h;
	return 0;
}

int history_teardown(void **state)
{
	struct history *h = *state;
	schemas_close(h->schemas);
	store_close(h->store);
	facts_free(&h->sent);
	remove_directory(h->directory);
	free(h);
	return 0;
}

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	int error;
};

static void done(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct waiting *w = arg;
	pthread_mutex_lock(&w->lock);
	w->done = true;
	w->error = error;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void append(struct history *h, const struct store_snapshot *snapshots, size_t n)
{
	struct waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	assert_int_equal(store_append(h->store, h->host, h->instance, snapshots, n, done, &w), 0);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.changed, &w.lock);
	pthread_mutex_unlock(&w.lock);
	assert_int_equal(w.error, 0);
}

void history_payload(const struct history *h, const struct columns_tick *tick, const struct buf *sections,
		     struct buf *payload)
{
	buf_reset(payload);
	assert_int_equal(wire_put_bytes(payload, 1, tick->boot_id, 16), 0);
	assert_int_equal(wire_put_bytes(payload, 2, h->instance, 16), 0);
	assert_int_equal(wire_put_uint(payload, 3, tick->sequence), 0);
	assert_int_equal(wire_put_uint(payload, 5, tick->boottime_us), 0);
	assert_int_equal(wire_put_uint(payload, 6, tick->interval_ms), 0);
	assert_int_equal(buf_append(payload, sections->data, sections->len), 0);
}

#define BATCH 50

int64_t history_append(struct history *h, uint32_t n)
{
	struct store_snapshot batch[BATCH];
	struct buf payloads[BATCH], sections BUF_CLEANUP = BUF_INIT(1 << 20);
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++) {
		maker_next(&h->maker, &sections);
		/* The maker begins anew now and then, and turns the clock. */
		struct columns_tick tick = h->maker.tick;
		tick.sequence = ++h->sequence;
		tick.received_us = h->received_us += 1000000;
		memcpy(tick.instance, h->instance, 16);
		payloads[k] = BUF_INIT(1 << 20);
		history_payload(h, &tick, &sections, &payloads[k]);
		facts_of_payload(&h->sent, &tick, fixture_schema(), sections.data, sections.len);
		batch[k] = (struct store_snapshot){.sequence = tick.sequence,
						   .agent_us = tick.time_us,
						   .boottime_us = tick.boottime_us,
						   .received_us = tick.received_us,
						   .payload = payloads[k].data,
						   .len = payloads[k].len};
		k++;
		if (k < BATCH && i + 1 < n)
			continue;
		append(h, batch, k);
		while (k > 0)
			buf_free(&payloads[--k]);
	}
	return h->received_us;
}

void history_append_payload(struct history *h, int64_t agent_us, int64_t received_us, const void *payload, size_t len)
{
	const struct store_snapshot one = {.sequence = ++h->sequence,
					   .agent_us = agent_us,
					   .received_us = received_us,
					   .payload = payload,
					   .len = len};
	append(h, &one, 1);
}

size_t history_unsealed(struct history *h, struct store_unsealed *ret)
{
	struct store_unsealed *hosts;
	size_t n;
	assert_int_equal(store_unsealed(h->store, &hosts, &n), 0);
	if (n > 0)
		*ret = hosts[0];
	free(hosts);
	return n;
}

void history_append_sections(struct history *h, int64_t agent_us, const struct buf *sections, size_t n)
{
	struct store_snapshot batch[BATCH];
	struct buf payloads[BATCH];
	assert_true(n <= BATCH);
	for (size_t i = 0; i < n; i++) {
		struct columns_tick tick = {
			.time_us = agent_us + 1000000 * (int64_t)i, .boottime_us = 1, .interval_ms = 1000};
		tick.sequence = ++h->sequence;
		tick.received_us = h->received_us += 1000000;
		memcpy(tick.instance, h->instance, 16);
		payloads[i] = BUF_INIT(1 << 20);
		history_payload(h, &tick, &sections[i], &payloads[i]);
		facts_of_payload(&h->sent, &tick, fixture_schema(), sections[i].data, sections[i].len);
		batch[i] = (struct store_snapshot){.sequence = tick.sequence,
						   .agent_us = tick.time_us,
						   .boottime_us = tick.boottime_us,
						   .received_us = tick.received_us,
						   .payload = payloads[i].data,
						   .len = payloads[i].len};
	}
	append(h, batch, n);
	for (size_t i = 0; i < n; i++)
		buf_free(&payloads[i]);
}

static int count(void *arg, const struct store_row *row)
{
	size_t *n = arg;
	(*n)++;
	return 0;
}

size_t history_rows(struct history *h)
{
	size_t n = 0;
	assert_int_equal(store_snapshots_between(h->store, h->host, INT64_MIN, INT64_MAX, false, count, &n), 0);
	return n;
}

size_t history_chunks(struct history *h, enum store_tier tier, uint32_t statistic, struct store_chunk **ret)
{
	struct store_view *view;
	size_t n;
	assert_int_equal(store_view_open(h->store, &view), 0);
	assert_int_equal(store_view_chunks(view, h->host, tier, statistic, INT64_MIN, INT64_MAX, ret, &n), 0);
	store_view_close(view);
	return n;
}

void history_read(struct history *h, const struct store_chunk *chunk, struct buf *bytes)
{
	struct store_view *view;
	*bytes = BUF_INIT(1 << 28);
	assert_int_equal(buf_reserve(bytes, chunk->len), 0);
	assert_int_equal(store_view_open(h->store, &view), 0);
	assert_int_equal(store_view_read(view, chunk, 0, chunk->len, bytes->data), 0);
	store_view_close(view);
	bytes->len = chunk->len;
}

/* All facts of a tier; returns how many ticks. */
static size_t read_tier(struct history *h, enum store_tier tier, struct facts *facts)
{
	struct store_chunk *chunks;
	size_t n = history_chunks(h, tier, 0, &chunks), ticks = 0;
	for (size_t i = 0; i < n; i++) {
		struct buf bytes BUF_CLEANUP = {0};
		struct chunk_reader chunk;
		history_read(h, &chunks[i], &bytes);
		assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
		assert_true(chunk.first_us == chunks[i].first_us && chunk.last_us == chunks[i].last_us);
		assert_int_equal(facts_of_chunk(facts, bytes.data, bytes.len), 0);
		ticks += chunk.n_ticks;
	}
	free(chunks);
	return ticks;
}

void history_expect_sent(struct history *h)
{
	struct facts kept = {0};
	read_tier(h, STORE_TIER_RAW, &kept);
	size_t again = read_tier(h, STORE_TIER_PROCESSES, &kept);
	assert_int_equal(kept.n, h->sent.n + again);
	assert_int_equal(facts_common(&kept, &h->sent), h->sent.n);
	facts_free(&kept);
}

void history_seal_all(struct history *h)
{
	struct store_unsealed host;
	struct seal_result result;
	while (history_unsealed(h, &host) > 0 && history_rows(h) > 0) {
		const struct seal_job job = {.store = h->store,
					     .schemas = h->schemas,
					     .host = &host,
					     .upto_us = h->received_us,
					     .now_us = h->received_us + 30000000};
		assert_int_equal(seal_host(&job, &result), 0);
	}
}
