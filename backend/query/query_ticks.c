#include "backend/query/query_ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void ticks_free(struct query_cached *cached)
{
	struct query_ticks *t = (struct query_ticks *)cached;
	if (t->read_us != t->time_us)
		free(t->read_us);
	free(t->time_us);
	free(t->runs);
	free(t);
}

static bool goes_on(const struct columns_tick *a, const struct columns_tick *b)
{
	return b->sequence == a->sequence + 1 && b->interval_ms == a->interval_ms &&
	       memcmp(a->instance, b->instance, sizeof(a->instance)) == 0 &&
	       memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) == 0;
}

static struct query_run run_at(const struct columns_tick *tick, uint32_t i)
{
	struct query_run run = {.first = i, .interval_ms = tick->interval_ms, .sequence = tick->sequence};
	memcpy(run.instance, tick->instance, sizeof(run.instance));
	memcpy(run.boot_id, tick->boot_id, sizeof(run.boot_id));
	return run;
}

int query_ticks_new(const struct columns_tick *ticks, uint32_t n, bool minutes, struct query_ticks **ret)
{
	uint32_t runs = n > 0;
	for (uint32_t i = 1; i < n; i++)
		runs += !goes_on(&ticks[i - 1], &ticks[i]);
	struct query_ticks *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->n = n;
	t->time_us = malloc((n + (size_t)1) * sizeof(*t->time_us));
	t->read_us = minutes ? malloc((n + (size_t)1) * sizeof(*t->read_us)) : t->time_us;
	t->runs = malloc((runs + (size_t)1) * sizeof(*t->runs));
	query_cached_init(&t->cached, ticks_free,
			  sizeof(*t) + n * sizeof(*t->time_us) * (1u + minutes) + runs * sizeof(*t->runs));
	if (!t->time_us || !t->read_us || !t->runs) {
		query_cached_unref(&t->cached);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		t->time_us[i] = ticks[i].time_us;
		if (minutes)
			t->read_us[i] = ticks[i].received_us;
		if (i == 0 || !goes_on(&ticks[i - 1], &ticks[i]))
			t->runs[t->n_runs++] = run_at(&ticks[i], i);
	}
	*ret = t;
	return 0;
}
