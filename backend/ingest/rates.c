/* Keys are few, made by an administrator: a sorted array. Levels are in seconds of each limit, so that one arithmetic
 * does for both. */
#include "backend/ingest/rates.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct bucket {
	int64_t key_id;
	uint64_t at_ns;
	double snapshots_s, bytes_s; /* what is saved up, at most RATES_BURST_SECONDS */
};

struct rates {
	struct rates_limits limits;
	pthread_mutex_t lock; /* what follows */
	struct bucket *buckets;
	size_t n, cap;
};

struct rates *rates_new(struct rates_limits limits)
{
	struct rates *rates = calloc(1, sizeof(*rates));
	if (!rates || pthread_mutex_init(&rates->lock, NULL) != 0) {
		free(rates);
		return NULL;
	}
	rates->limits = limits;
	return rates;
}

void rates_free(struct rates *rates)
{
	if (!rates)
		return;
	pthread_mutex_destroy(&rates->lock);
	free(rates->buckets);
	free(rates);
}

static struct bucket *obtain(struct rates *rates, int64_t key_id, uint64_t now_ns)
{
	size_t low = 0, high = rates->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (rates->buckets[mid].key_id < key_id)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < rates->n && rates->buckets[low].key_id == key_id)
		return &rates->buckets[low];
	if (rates->n == rates->cap) {
		size_t cap = rates->cap ? 2 * rates->cap : 16;
		struct bucket *bigger = reallocarray(rates->buckets, cap, sizeof(*bigger));
		if (!bigger)
			return NULL;
		rates->buckets = bigger;
		rates->cap = cap;
	}
	memmove(rates->buckets + low + 1, rates->buckets + low, (rates->n - low) * sizeof(*rates->buckets));
	rates->n++;
	rates->buckets[low] = (struct bucket){
		.key_id = key_id, .at_ns = now_ns, .snapshots_s = RATES_BURST_SECONDS, .bytes_s = RATES_BURST_SECONDS};
	return &rates->buckets[low];
}

static double refilled(double level, double elapsed_s)
{
	return level + elapsed_s < RATES_BURST_SECONDS ? level + elapsed_s : RATES_BURST_SECONDS;
}

uint64_t rates_charge(struct rates *rates, int64_t key_id, size_t snapshots, size_t bytes, uint64_t now_ns)
{
	uint64_t wait_ms = 0;
	if (rates->limits.snapshots == 0 && rates->limits.bytes == 0)
		return 0;
	pthread_mutex_lock(&rates->lock);
	struct bucket *bucket = obtain(rates, key_id, now_ns);
	if (bucket) {
		/* Threads read the clock before they come here: one may be late. */
		double elapsed_s = now_ns > bucket->at_ns ? (double)(now_ns - bucket->at_ns) / 1e9 : 0;
		bucket->at_ns = now_ns > bucket->at_ns ? now_ns : bucket->at_ns;
		bucket->snapshots_s = refilled(bucket->snapshots_s, elapsed_s);
		bucket->bytes_s = refilled(bucket->bytes_s, elapsed_s);
		if (rates->limits.snapshots > 0)
			bucket->snapshots_s -= (double)snapshots / rates->limits.snapshots;
		if (rates->limits.bytes > 0)
			bucket->bytes_s -= (double)bytes / (double)rates->limits.bytes;
		double level = bucket->snapshots_s < bucket->bytes_s ? bucket->snapshots_s : bucket->bytes_s;
		wait_ms = level < 0 ? (uint64_t)(-level * 1e3) + 1 : 0;
	}
	pthread_mutex_unlock(&rates->lock);
	return wait_ms;
}

uint64_t rates_wait_ms(struct rates *rates, int64_t key_id, uint64_t now_ns)
{
	return rates_charge(rates, key_id, 0, 0, now_ns);
}
