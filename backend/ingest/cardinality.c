/* Hosts are few and never forgotten while the backend runs, as in the registry: a sorted array. A host's lock is never
 * held when the table's is taken. */
#include "backend/ingest/cardinality.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US (86400 * 1000000ll)

struct cardinality_host {
	uint8_t host_id[16];
	pthread_mutex_t lock; /* what follows */
	struct row_set rows;
	bool exceeded;	/* today */
	bool recovered; /* since it was */
};

struct cardinality {
	size_t max_rows;
	struct row_budget budget;
	pthread_mutex_t lock; /* what follows */
	int64_t day;
	struct cardinality_host **hosts;
	size_t n, cap;
};

struct cardinality *cardinality_new(uint32_t max_rows)
{
	struct cardinality *c = calloc(1, sizeof(*c));
	if (!c || pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c);
		return NULL;
	}
	c->max_rows = max_rows;
	c->budget.max = CARDINALITY_MAX_BYTES;
	return c;
}

void cardinality_free(struct cardinality *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		row_set_clear(&c->hosts[i]->rows);
		pthread_mutex_destroy(&c->hosts[i]->lock);
		free(c->hosts[i]);
	}
	free(c->hosts);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct cardinality_host *insert(struct cardinality *c, size_t at, const uint8_t host_id[16])
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct cardinality_host **bigger = reallocarray(c->hosts, cap, sizeof(*bigger));
		if (!bigger)
			return NULL;
		c->hosts = bigger;
		c->cap = cap;
	}
	struct cardinality_host *host = calloc(1, sizeof(*host));
	if (!host || pthread_mutex_init(&host->lock, NULL) != 0) {
		free(host);
		return NULL;
	}
	memcpy(host->host_id, host_id, sizeof(host->host_id));
	host->rows = (struct row_set){.max = c->max_rows, .budget = &c->budget};
	memmove(c->hosts + at + 1, c->hosts + at, (c->n - at) * sizeof(*c->hosts));
	c->hosts[at] = host;
	c->n++;
	return host;
}

static struct cardinality_host *obtain(struct cardinality *c, const uint8_t host_id[16])
{
	size_t low = 0, high = c->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = memcmp(c->hosts[mid]->host_id, host_id, 16);
		if (order == 0)
			return c->hosts[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return insert(c, low, host_id);
}

static void begin_day(struct cardinality_host *host)
{
	pthread_mutex_lock(&host->lock);
	row_set_clear(&host->rows);
	host->recovered |= host->exceeded;
	host->exceeded = false;
	pthread_mutex_unlock(&host->lock);
}

struct cardinality_host *cardinality_enter(struct cardinality *c, const uint8_t host_id[16], int64_t now_us)
{
	int64_t day = now_us / DAY_US;
	if (c->max_rows == 0)
		return NULL;
	pthread_mutex_lock(&c->lock);
	/* For all of them: those that are gone give their memory back. A clock that is set back changes nothing. */
	if (day > c->day) {
		c->day = day;
		for (size_t i = 0; i < c->n; i++)
			begin_day(c->hosts[i]);
	}
	struct cardinality_host *host = obtain(c, host_id);
	pthread_mutex_unlock(&c->lock);
	if (host)
		pthread_mutex_lock(&host->lock);
	return host;
}

void cardinality_leave(struct cardinality_host *host)
{
	if (host)
		pthread_mutex_unlock(&host->lock);
}

struct row_set *cardinality_rows(struct cardinality_host *host)
{
	return host ? &host->rows : NULL;
}

bool cardinality_exceeded(struct cardinality_host *host)
{
	bool first = !host->exceeded;
	host->exceeded = true;
	host->recovered = false;
	return first;
}

bool cardinality_recovered(struct cardinality_host *host)
{
	bool recovered = host->recovered;
	host->recovered = false;
	return recovered;
}
