/* One lock: it is held for a look into a short chain, and what a hit saves is a thousand times that. */
#include "backend/query/query_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8192
#define ENTRY_OVERHEAD 192 /* of an entry and what malloc adds */
#define LARGEST_SHARE 4	   /* nothing takes more than one part in so many */

struct entry {
	struct query_cache_key key;
	struct query_cached *cached;
	struct entry *next;	     /* of the slot */
	struct entry *newer, *older; /* by use */
};

struct query_cache {
	pthread_mutex_t lock;
	size_t bytes, max_bytes;
	struct entry *newest, *oldest;
	struct entry *slots[SLOTS];
};

int query_cache_new(size_t max_bytes, struct query_cache **ret)
{
	struct query_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	cache->max_bytes = max_bytes;
	pthread_mutex_init(&cache->lock, NULL);
	*ret = cache;
	return 0;
}

static struct entry **slot_of(struct query_cache *cache, const struct query_cache_key *key)
{
	uint64_t words[sizeof(*key) / sizeof(uint64_t)], h = 0;
	_Static_assert(sizeof(*key) % sizeof(uint64_t) == 0, "no padding: keys are compared as bytes");
	memcpy(words, key, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	struct entry **at = &cache->slots[h % SLOTS];
	while (*at && memcmp(&(*at)->key, key, sizeof(*key)) != 0)
		at = &(*at)->next;
	return at;
}

static void unlink_use(struct query_cache *cache, struct entry *e)
{
	*(e->newer ? &e->newer->older : &cache->newest) = e->older;
	*(e->older ? &e->older->newer : &cache->oldest) = e->newer;
}

static void link_use(struct query_cache *cache, struct entry *e)
{
	e->newer = NULL;
	e->older = cache->newest;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = e;
	cache->newest = e;
}

static void forget(struct query_cache *cache, struct entry *e)
{
	*slot_of(cache, &e->key) = e->next;
	unlink_use(cache, e);
	cache->bytes -= e->cached->bytes + ENTRY_OVERHEAD;
	query_cached_unref(e->cached);
	free(e);
}

void query_cache_free(struct query_cache *cache)
{
	if (!cache)
		return;
	while (cache->oldest)
		forget(cache, cache->oldest);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

struct query_cached *query_cache_get(struct query_cache *cache, const struct query_cache_key *key)
{
	struct query_cached *cached = NULL;
	pthread_mutex_lock(&cache->lock);
	struct entry *e = *slot_of(cache, key);
	if (e) {
		unlink_use(cache, e);
		link_use(cache, e);
		cached = e->cached;
		atomic_fetch_add(&cached->references, 1);
	}
	pthread_mutex_unlock(&cache->lock);
	return cached;
}

struct query_cached *query_cache_take(struct query_cache *cache, const struct query_cache_key *key)
{
	struct query_cached *cached = NULL;
	pthread_mutex_lock(&cache->lock);
	struct entry *e = *slot_of(cache, key);
	if (e) {
		cached = e->cached;
		atomic_fetch_add(&cached->references, 1);
		forget(cache, e);
	}
	pthread_mutex_unlock(&cache->lock);
	return cached;
}

void query_cache_put(struct query_cache *cache, const struct query_cache_key *key, struct query_cached *cached)
{
	struct entry *e = malloc(sizeof(*e));
	size_t bytes = cached->bytes + ENTRY_OVERHEAD;
	if (!e || bytes > cache->max_bytes / LARGEST_SHARE) {
		free(e);
		return;
	}
	pthread_mutex_lock(&cache->lock);
	struct entry **at = slot_of(cache, key);
	if (*at) {
		pthread_mutex_unlock(&cache->lock);
		free(e);
		return;
	}
	*e = (struct entry){.key = *key, .cached = cached};
	atomic_fetch_add(&cached->references, 1);
	*at = e;
	link_use(cache, e);
	cache->bytes += bytes;
	while (cache->bytes > cache->max_bytes)
		forget(cache, cache->oldest);
	pthread_mutex_unlock(&cache->lock);
}
