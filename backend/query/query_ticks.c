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

/* Whether tick i, the one behind the run's last, is of it too. */
static bool goes_on(const struct query_run *run, const struct columns_tick *ticks, uint32_t i)
{
	const struct columns_tick *tick = &ticks[i];
	uint64_t step = tick->sequence - ticks[i - 1].sequence;
	return (run->step == 0 || run->step == step) && step > 0 && step <= UINT32_MAX &&
	       tick->interval_ms == run->interval_ms &&
	       memcmp(tick->instance, run->instance, sizeof(run->instance)) == 0 &&
	       memcmp(tick->boot_id, run->boot_id, sizeof(run->boot_id)) == 0;
}

static struct query_run run_at(const struct columns_tick *tick, uint32_t i)
{
	struct query_run run = {.first = i, .interval_ms = tick->interval_ms, .sequence = tick->sequence};
	memcpy(run.instance, tick->instance, sizeof(run.instance));
	memcpy(run.boot_id, tick->boot_id, sizeof(run.boot_id));
	return run;
}

static int make_runs(struct query_ticks *t, const struct columns_tick *ticks)
{
	uint32_t cap = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		struct query_run *last = t->n_runs > 0 ? &t->runs[t->n_runs - 1] : NULL;
		if (last && goes_on(last, ticks, i)) {
			last->step = ticks[i].sequence - ticks[i - 1].sequence;
			continue;
		}
		if (t->n_runs == cap) {
			cap = cap ? cap * 2 : 4;
			struct query_run *runs = realloc(t->runs, cap * sizeof(*runs));
			if (!runs)
				return -ENOMEM;
			t->runs = runs;
		}
		t->runs[t->n_runs++] = run_at(&ticks[i], i);
	}
	t->cached.bytes += cap * sizeof(*t->runs);
	return 0;
}

int query_ticks_new(const struct columns_tick *ticks, uint32_t n, bool minutes, struct query_ticks **ret)
{
	struct query_ticks *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	query_cached_init(&t->cached, ticks_free, sizeof(*t) + n * sizeof(*t->time_us) * (1u + minutes));
	t->n = n;
	t->time_us = malloc((n + (size_t)1) * sizeof(*t->time_us));
	t->read_us = minutes ? malloc((n + (size_t)1) * sizeof(*t->read_us)) : t->time_us;
	if (!t->time_us || !t->read_us || make_runs(t, ticks) < 0) {
		query_cached_unref(&t->cached);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		t->time_us[i] = ticks[i].time_us;
		if (minutes)
			t->read_us[i] = ticks[i].received_us;
	}
	*ret = t;
	return 0;
}
