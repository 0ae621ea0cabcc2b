/* What was decoded of chunks and may be asked for again: ticks, which all metrics of a host share, which series of a
 * metric there are, and values of series. Chunks never change, so nothing here is ever out of date; the least recently used goes when it is full.
 * Thread-safe.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept begins with one of these. */
struct query_cached {
	_Atomic unsigned references;
	size_t bytes; /* all that it takes */
	void (*free)(struct query_cached *cached);
};
/* One reference, the caller's. */
static inline void query_cached_init(struct query_cached *cached, void (*free)(struct query_cached *cached),
				     size_t bytes)
{
	cached->free = free;
	cached->bytes = bytes;
	atomic_init(&cached->references, 1);
}
static inline void query_cached_unref(struct query_cached *cached)
{
	if (cached && atomic_fetch_sub(&cached->references, 1) == 1)
		cached->free(cached);
}

struct query_cache;

/* Which part of which chunk. */
struct query_cache_key {
	uint8_t host_id[16];
	int64_t id, generation, first_us, last_us, made_us;
	uint64_t len;
	uint32_t tier, statistic;
	uint32_t section, series; /* of ticks both are UINT32_MAX */
	uint64_t metric;	  /* with series UINT32_MAX: the series of the one with this hash; else 0 */
};

/* 0 or -ENOMEM. */
int query_cache_new(size_t max_bytes, struct query_cache **ret) __attribute__((nonnull, warn_unused_result));
void query_cache_free(struct query_cache *cache); /* accepts NULL */

/* A reference for the caller, or NULL. */
struct query_cached *query_cache_get(struct query_cache *cache, const struct query_cache_key *key)
	__attribute__((nonnull));
/* The same, and it is not in the cache any more: for what only one may use at a time, and puts back when it has grown.
 */
struct query_cached *query_cache_take(struct query_cache *cache, const struct query_cache_key *key)
	__attribute__((nonnull));
/* Keeps a reference of its own, if there is room; what has the key already stays. */
void query_cache_put(struct query_cache *cache, const struct query_cache_key *key, struct query_cached *cached)
	__attribute__((nonnull));
