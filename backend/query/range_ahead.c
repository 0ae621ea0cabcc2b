/* Out of the page cache a block is a few hundred microseconds of waiting for each of its pages, and the next page is
 * known only when the one before it is there: several blocks wait at once.
 *
 *     blocks     | passed | at hand | done | read by 1 | read by 2 | done | free ...
 *                           the answer     '----- claims, as many as there is room for -----'
 *
 * A claim is made when a thread comes to a block that has none, and goes when the answer has passed it. */
#include "backend/query/range_ahead.h"

#include "backend/query/range_groups.h"
#include "common/clock.h"
#include "common/condition.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MAX_THREADS 8
#define BLOCKS_FOR_A_THREAD 2 /* fewer are not worth one more */
#define FEWEST_BLOCKS 4
#define MAX_CLAIMS 32
#define MAX_BYTES (16u << 20)	   /* decoded and waiting: the cache is to keep them until they are asked for */
#define MAX_BLOCK_BYTES (4u << 20) /* of more the beginning may be forgotten before its end is there */

struct claim {
	int64_t first_us;
	size_t bytes;
	bool minutes, taken, done;
};

struct along {
	struct range_ahead *ahead;
	pthread_t thread;
	struct claim *claim; /* what it is reading */
	struct selector selector;
	struct range_series_table table;
};

struct range_ahead {
	struct range_ahead_wish wish;
	atomic_bool ended;
	/* All else under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct claim claims[MAX_CLAIMS];
	int64_t passed_us; /* the answer has come to this block */
	size_t bytes;	   /* of all claims */
	struct along along[MAX_THREADS];
	size_t n;
};

/* --- claims, under the lock -------------------------------------------------------------------------------------- */

static struct claim *find(struct range_ahead *a, const struct query_due *due)
{
	for (size_t i = 0; i < MAX_CLAIMS; i++) {
		struct claim *claim = &a->claims[i];
		if (claim->taken && claim->first_us == due->first_us && claim->minutes == due->minutes)
			return claim;
	}
	return NULL;
}

static struct claim *find_free(struct range_ahead *a)
{
	for (size_t i = 0; i < MAX_CLAIMS && a->bytes < MAX_BYTES; i++) {
		if (!a->claims[i].taken)
			return &a->claims[i];
	}
	return NULL;
}

/* What is read and passed. */
static void forget_passed(struct range_ahead *a)
{
	for (size_t i = 0; i < MAX_CLAIMS; i++) {
		struct claim *claim = &a->claims[i];
		if (!claim->taken || !claim->done || claim->first_us > a->passed_us)
			continue;
		a->bytes -= claim->bytes;
		*claim = (struct claim){.taken = false};
	}
	pthread_cond_broadcast(&a->changed);
}

static void finish(struct along *along)
{
	if (!along->claim)
		return;
	along->claim->done = true;
	along->claim = NULL;
	forget_passed(along->ahead);
}

/* --- what another thread is told --------------------------------------------------------------------------------- */

static int on_metric(void *arg, enum schema_kind kind, enum schema_unit unit, unsigned *ret_statistics)
{
	const struct along *along = arg;
	(void)kind;
	(void)unit;
	*ret_statistics = along->ahead->wish.statistics;
	return 0;
}

/* 0 when the block is now this thread's. */
static int on_due(void *arg, const struct query_due *due)
{
	struct along *along = arg;
	struct range_ahead *a = along->ahead;
	struct claim *claim = NULL;
	pthread_mutex_lock(&a->lock);
	finish(along);
	while (!a->ended && due->first_us > a->passed_us && !find(a, due) && !(claim = find_free(a)))
		pthread_cond_wait(&a->changed, &a->lock);
	int r = a->ended ? -ECANCELED : claim ? 0 : 1;
	if (r == 0) {
		*claim = (struct claim){.first_us = due->first_us, .minutes = due->minutes, .taken = true};
		along->claim = claim;
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}

static int count(struct along *along, size_t bytes)
{
	struct range_ahead *a = along->ahead;
	bool over = false;
	if (along->claim) {
		pthread_mutex_lock(&a->lock);
		a->bytes += bytes;
		along->claim->bytes += bytes;
		over = along->claim->bytes > MAX_BLOCK_BYTES;
		pthread_mutex_unlock(&a->lock);
	}
	if (atomic_load_explicit(&a->ended, memory_order_relaxed))
		return -ECANCELED;
	return over ? -EMSGSIZE : clock_monotonic_ns() > a->wish.deadline_ns ? -ETIME : 0;
}

static int on_ticks(void *arg, const struct query_block *block)
{
	return count(arg, block->ticks->n * sizeof(uint64_t));
}

static int on_series(void *arg, const struct columns_series *id, void **ret)
{
	struct along *along = arg;
	const struct range_ahead_wish *wish = &along->ahead->wish;
	struct range_series *series;
	bool exhausted = false;
	if (id->kind != wish->kind)
		return 0;
	int r = range_series_find(&along->table, wish->hostname, id, &series);
	/* A series that matches has been in block 1, any other in none. */
	if (r == 1)
		series->block = range_series_matches(series, &along->selector, &exhausted);
	if (r == 1 && along->table.n > RANGE_MAX_SERIES)
		r = -EMSGSIZE;
	if (r < 0 || series->block == 0)
		return r < 0 ? r : 0;
	*ret = series;
	return 1;
}

static int on_values(void *arg, void *series, const struct columns_values *const of[QUERY_STATISTICS])
{
	size_t bytes = 0;
	(void)series;
	for (size_t i = 0; i < QUERY_STATISTICS; i++)
		bytes += of[i] ? (size_t)of[i]->n * of[i]->n_parts * sizeof(uint64_t) : 0;
	return count(arg, bytes);
}

/* It is found again, and told, by who makes the answer. */
static int on_damaged(void *arg, int64_t from_us, int64_t to_us)
{
	(void)arg;
	(void)from_us;
	(void)to_us;
	return 0;
}

/* What fails here is read, and told if it fails again, by who makes the answer. */
static void *read_along(void *arg)
{
	struct along *along = arg;
	struct range_ahead *a = along->ahead;
	const struct query_source *from = a->wish.source;
	const struct query_sink sink = {.metric = on_metric,
					.ticks = on_ticks,
					.series = on_series,
					.values = on_values,
					.damaged = on_damaged,
					.due = on_due,
					.arg = along};
	struct query_range range = *a->wish.range;
	void *source;
	range.ahead = true;
	if (from->open(from->source, &source) < 0)
		return NULL;
	int r = selector_copy(a->wish.selector, &along->selector);
	if (r == 0)
		r = from->read(source, &range, &sink);
	pthread_mutex_lock(&a->lock);
	finish(along);
	pthread_mutex_unlock(&a->lock);
	selector_free(&along->selector);
	range_series_free(&along->table);
	from->close(source);
	return NULL;
}

/* --- who makes the answer ---------------------------------------------------------------------------------------- */

struct range_ahead *range_ahead_start(const struct range_ahead_wish *wish, const struct query_due *due)
{
	size_t threads = wish->source->threads_ahead > 0 ? wish->source->threads_ahead - 1 : 0;
	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	if (threads > due->left / BLOCKS_FOR_A_THREAD)
		threads = due->left / BLOCKS_FOR_A_THREAD;
	struct range_ahead *a = threads > 0 && due->left >= FEWEST_BLOCKS ? calloc(1, sizeof(*a)) : NULL;
	if (!a)
		return NULL;
	a->wish = *wish;
	a->passed_us = due->first_us;
	pthread_mutex_init(&a->lock, NULL);
	if (condition_init(&a->changed) < 0) {
		pthread_mutex_destroy(&a->lock);
		free(a);
		return NULL;
	}
	for (; a->n < threads; a->n++) {
		struct along *along = &a->along[a->n];
		along->ahead = a;
		if (pthread_create(&along->thread, NULL, read_along, along) != 0)
			break;
	}
	return a;
}

void range_ahead_wait(struct range_ahead *a, const struct query_due *due)
{
	uint64_t now_ns = clock_monotonic_ns(), deadline_ns = a->wish.deadline_ns;
	const struct timespec until = condition_in_ms(deadline_ns > now_ns ? (deadline_ns - now_ns) / 1000000 : 0);
	const struct claim *claim;
	int error = 0;
	pthread_mutex_lock(&a->lock);
	while (error == 0 && (claim = find(a, due)) && !claim->done)
		error = pthread_cond_timedwait(&a->changed, &a->lock, &until);
	a->passed_us = due->first_us;
	forget_passed(a);
	pthread_mutex_unlock(&a->lock);
}

void range_ahead_end(struct range_ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	atomic_store(&a->ended, true);
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < a->n; i++)
		pthread_join(a->along[i].thread, NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
