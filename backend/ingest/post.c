/* Snapshots that come in one request over another wire than gRPC: judged, shown and stored as a stream's are, and
 * waited for. Whoever waits may give up; the batches then end with what the store does. */
#include "backend/ingest/internal.h"

#include "common/clock.h"
#include "common/condition.h"
#include "common/log.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S 10
#define BUSY_RETRY_MS 5000
#define PREPARED_MAX (INGEST_MAX_MESSAGE + INGEST_MAX_BATCH * 64)

enum { BATCH_SNAPSHOTS = 1 };
enum { SNAPSHOT_INSTANCE = 2, SNAPSHOT_SEQUENCE = 3, SNAPSHOT_TIMESTAMP = 4 };

/* What a post waits for: its batches, one for each run of an instance. */
struct waiter {
	atomic_uint refs;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t changed;
	unsigned under_way;
	bool lost;
	size_t stored;
	uint64_t conflict; /* the first sequence of another content; 0: none */
};

struct post {
	struct ingest *ingest;
	const struct ingest_post *given;
	struct ingest_posted *posted;
	struct source source; /* of the run at hand */
	uint8_t own_instance[16];
	uint64_t next_number; /* 0: not asked for yet */
	bool numbering;	      /* the lock is held */
	struct buf prepared;  /* a Batch; each snapshot has its header */
	struct batch *batches[INGEST_POST_MAX_INSTANCES];
	uint64_t highest[INGEST_POST_MAX_INSTANCES];
	size_t n_batches;
	struct timespec deadline; /* of the monotonic clock */
	struct waiter *waiter;
};

static void waiter_unref(struct waiter *waiter)
{
	if (!waiter || atomic_fetch_sub(&waiter->refs, 1) != 1)
		return;
	pthread_cond_destroy(&waiter->changed);
	pthread_mutex_destroy(&waiter->lock);
	free(waiter);
}

/* On the store's writer thread. */
static void stored(struct batch *batch)
{
	struct waiter *waiter = batch->arg;
	pthread_mutex_lock(&waiter->lock);
	for (size_t i = 0; i < batch->n && !batch->lost; i++) {
		if (batch->outcomes[i].verdict == VERDICT_ACCEPTED)
			waiter->stored++;
		else if (waiter->conflict == 0)
			waiter->conflict = batch->outcomes[i].sequence;
	}
	waiter->lost = waiter->lost || batch->lost;
	waiter->under_way--;
	pthread_cond_signal(&waiter->changed);
	pthread_mutex_unlock(&waiter->lock);
	batch_free(batch);
	waiter_unref(waiter);
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

/* The highest durable sequence of an instance, 0 if there is none. */
static int newest_durable(struct post *post, const uint8_t instance[16], uint64_t *ret)
{
	struct store_range *ranges;
	size_t n;
	int r = store_durable(post->ingest->store, post->given->host_id, instance, &ranges, &n);
	if (r < 0)
		return r;
	*ret = n > 0 ? ranges[n - 1].last : 0;
	free(ranges);
	return 0;
}

/* A number for a snapshot that has none. Numbers of a host without gaps need whoever takes one to keep others out until
 * it is durable. */
static int take_number(struct post *post, uint64_t *ret)
{
	uint64_t newest;
	if (!post->numbering) {
		if (pthread_mutex_clocklock(&post->ingest->numbering, CLOCK_MONOTONIC, &post->deadline) != 0)
			return -EBUSY;
		post->numbering = true;
		int r = newest_durable(post, post->own_instance, &newest);
		if (r < 0)
			return r;
		post->next_number = newest + 1;
	}
	*ret = post->next_number++;
	return 0;
}

static int put_now(struct buf *out)
{
	BUF_CLEANUP struct buf time = BUF_INIT(32);
	int64_t us = clock_wall_us();
	int r = wire_put_uint(&time, 1, (uint64_t)(us / 1000000));
	if (r == 0)
		r = wire_put_uint(&time, 2, (uint64_t)(us % 1000000 * 1000));
	return r < 0 ? r : wire_put_bytes(out, SNAPSHOT_TIMESTAMP, time.data, time.len);
}

/* What a script need not know: number and time. */
static int put_header(struct post *post, const struct snapshot_index *index, struct buf *out)
{
	static const uint8_t none[16];
	bool has_instance = memcmp(index->instance, none, sizeof(none)) != 0;
	uint64_t number;
	int r = index->timestamp_us == 0 ? put_now(out) : 0;
	if (r < 0 || (has_instance && index->sequence > 0))
		return r;
	if (has_instance || index->sequence > 0)
		return -EINVAL;
	r = take_number(post, &number);
	if (r == 0)
		r = wire_put_uint(out, SNAPSHOT_SEQUENCE, number);
	return r < 0 ? r : wire_put_bytes(out, SNAPSHOT_INSTANCE, post->own_instance, sizeof(post->own_instance));
}

static int refuse(struct post *post, enum verdict verdict, uint64_t sequence)
{
	post->posted->verdict = verdict;
	post->posted->sequence = sequence;
	return -EINVAL;
}

static int prepare(struct post *post)
{
	struct wire_reader reader = wire_reader(post->given->batch, post->given->len);
	struct wire_field f;
	struct snapshot_index index;
	int n;
	post->prepared = BUF_INIT(PREPARED_MAX);
	while ((n = batch_next(&reader, &f)) == 1) {
		BUF_CLEANUP struct buf header = BUF_INIT(128);
		post->posted->at++;
		if (f.len > INGEST_MAX_SNAPSHOT)
			return refuse(post, VERDICT_TOO_LARGE, 0);
		if (snapshot_index_parse(f.data, f.len, &index) < 0)
			return refuse(post, VERDICT_MALFORMED, 0);
		int r = put_header(post, &index, &header);
		if (r == -EINVAL)
			return refuse(post, VERDICT_WRONG_INSTANCE, index.sequence);
		if (r == 0)
			r = wire_put_tag(&post->prepared, BATCH_SNAPSHOTS, WIRE_BYTES);
		if (r == 0)
			r = wire_put_varint(&post->prepared, f.len + header.len);
		if (r == 0)
			r = buf_append(&post->prepared, f.data, f.len);
		if (r == 0)
			r = buf_append(&post->prepared, header.data, header.len);
		if (r < 0)
			return r;
	}
	return n;
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

/* Snapshots of one instance that stand behind each other, as a Batch of their own. */
static int judge_run(struct post *post, const uint8_t *data, size_t len, size_t n)
{
	struct source *source = &post->source;
	if (post->n_batches == INGEST_POST_MAX_INSTANCES)
		return -E2BIG;
	int r = newest_durable(post, source->instance, &post->highest[post->n_batches]);
	if (r < 0)
		return r;
	struct batch *batch = batch_new(source, n);
	if (!batch)
		return -ENOMEM;
	post->batches[post->n_batches++] = batch;
	if (!batch_judge(source, batch, data, len))
		return -EPROTO;
	for (size_t i = 0; i < batch->n; i++) {
		post->posted->at++;
		if (batch->outcomes[i].verdict != VERDICT_ACCEPTED)
			return refuse(post, batch->outcomes[i].verdict, batch->outcomes[i].sequence);
	}
	return 0;
}

static int judge(struct post *post)
{
	struct wire_reader reader = wire_reader(post->prepared.data, post->prepared.len);
	struct wire_field f;
	struct snapshot_index index;
	const uint8_t *begin = reader.p;
	size_t n = 0;
	int r = 0;
	post->posted->at = 0;
	while (r == 0 && batch_next(&reader, &f) == 1) {
		if (snapshot_index_parse(f.data, f.len, &index) < 0)
			return -EPROTO;
		if (n > 0 && memcmp(index.instance, post->source.instance, sizeof(index.instance)) != 0) {
			r = judge_run(post, begin, (size_t)(f.begin - begin), n);
			begin = f.begin;
			n = 0;
		}
		memcpy(post->source.instance, index.instance, sizeof(index.instance));
		n++;
	}
	return r < 0 || n == 0 ? r : judge_run(post, begin, (size_t)(reader.p - begin), n);
}

static int submit(struct post *post)
{
	struct waiter *waiter = post->waiter;
	for (size_t i = 0; i < post->n_batches; i++) {
		struct batch *batch = post->batches[i];
		memcpy(post->source.instance, batch->instance, sizeof(batch->instance));
		uint64_t newest =
			registry_newest_sequence(post->ingest->registry, post->given->host_id, batch->instance);
		post->source.highest_live = newest > post->highest[i] ? newest : post->highest[i];
		batch_show(&post->source, batch);
		batch->arg = waiter;
		atomic_fetch_add(&waiter->refs, 1);
		pthread_mutex_lock(&waiter->lock);
		waiter->under_way++;
		pthread_mutex_unlock(&waiter->lock);
		int r = batch_append(batch, stored);
		if (r < 0) {
			pthread_mutex_lock(&waiter->lock);
			waiter->under_way--;
			pthread_mutex_unlock(&waiter->lock);
			waiter_unref(waiter);
			return r == -EAGAIN ? -EBUSY : r;
		}
		post->batches[i] = NULL;
	}
	return 0;
}

static int await(struct post *post, int r)
{
	struct waiter *waiter = post->waiter;
	int timeout = 0;
	pthread_mutex_lock(&waiter->lock);
	while (waiter->under_way > 0 && timeout == 0)
		timeout = pthread_cond_timedwait(&waiter->changed, &waiter->lock, &post->deadline);
	post->posted->stored = waiter->stored;
	post->posted->sequence = waiter->conflict;
	if (r == 0 && waiter->under_way > 0)
		r = -EBUSY;
	else if (r == 0 && waiter->lost)
		r = -ESHUTDOWN;
	else if (r == 0 && waiter->conflict > 0)
		r = -EEXIST;
	pthread_mutex_unlock(&waiter->lock);
	return r;
}

static int run(struct post *post)
{
	const struct ingest_post *given = post->given;
	struct rates *rates = post->ingest->rates;
	int count = batch_count(given->batch, given->len);
	if (count < 0 || count > INGEST_MAX_BATCH)
		return count < 0 ? count : -E2BIG;
	post->posted->n = (size_t)count;
	post->posted->retry_ms = rates_wait_ms(rates, given->key.key_id, clock_monotonic_ns());
	if (post->posted->retry_ms > 0)
		return -EAGAIN;
	(void)rates_charge(rates, given->key.key_id, (size_t)count, given->len, clock_monotonic_ns());
	int r = prepare(post);
	if (r == 0)
		r = judge(post);
	if (r < 0)
		return r;
	post->posted->at = 0;
	return await(post, submit(post));
}

static int begin(struct post *post)
{
	static const char salt[] = "sonde: snapshots without a number of their own";
	const struct ingest_post *given = post->given;
	struct source *source = &post->source;
	uint8_t hash[crypto_hash_sha256_BYTES], text[sizeof(salt) + 16];
	memcpy(text, salt, sizeof(salt));
	memcpy(text + sizeof(salt), given->host_id, 16);
	crypto_hash_sha256(hash, text, sizeof(text));
	memcpy(post->own_instance, hash, sizeof(post->own_instance));
	*source = (struct source){.ingest = post->ingest, .key = given->key, .schema = post->ingest->own};
	memcpy(source->host_id, given->host_id, sizeof(source->host_id));
	memcpy(source->hostname, given->hostname, sizeof(source->hostname));
	encoding_uuid_format(given->host_id, source->host_id_text);
	memcpy(source->descriptor_hash, descriptors_snapshot().sha256, sizeof(source->descriptor_hash));
	post->deadline = condition_in_ms(WAIT_S * 1000);
	post->waiter = calloc(1, sizeof(*post->waiter));
	if (!post->waiter)
		return -ENOMEM;
	atomic_init(&post->waiter->refs, 1);
	(void)pthread_mutex_init(&post->waiter->lock, NULL); /* these cannot fail on Linux */
	(void)condition_init(&post->waiter->changed);
	return 0;
}

int ingest_post(struct ingest *ingest, const struct ingest_post *given, struct ingest_posted *ret)
{
	struct post *post = calloc(1, sizeof(*post));
	*ret = (struct ingest_posted){.n = 0};
	if (!post)
		return -ENOMEM;
	*post = (struct post){.ingest = ingest, .given = given, .posted = ret};
	int r = begin(post);
	if (r == 0)
		r = run(post);
	if (post->numbering)
		pthread_mutex_unlock(&ingest->numbering);
	if (r == -EBUSY)
		ret->retry_ms = BUSY_RETRY_MS;
	for (size_t i = 0; i < post->n_batches; i++)
		batch_free(post->batches[i]);
	waiter_unref(post->waiter);
	buf_free(&post->prepared);
	free(post);
	return r;
}
