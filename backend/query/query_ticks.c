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
static bool goes_on(const struct query_run *run, const struct columns_tick *tick, uint32_t i)
{
	uint64_t step = tick->sequence - (run->sequence + run->step * (i - 1 - run->first));
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

/* Of ticks [first, t->end), which are at `ticks`; the runs of those before are there. */
static int make_runs(struct query_ticks *t, const struct columns_tick *ticks, uint32_t first)
{
	uint32_t cap = t->n_runs;
	for (uint32_t i = first; i < t->end; i++) {
		const struct columns_tick *tick = &ticks[i - first];
		struct query_run *last = t->n_runs > 0 ? &t->runs[t->n_runs - 1] : NULL;
		if (last && goes_on(last, tick, i)) {
			if (last->step == 0)
				last->step = tick->sequence - last->sequence;
			continue;
		}
		if (t->n_runs == cap) {
			cap = cap ? cap * 2 : 4;
			struct query_run *runs = realloc(t->runs, cap * sizeof(*runs));
			if (!runs)
				return -ENOMEM;
			t->runs = runs;
		}
		t->runs[t->n_runs++] = run_at(tick, i);
	}
	t->cached.bytes += cap * sizeof(*t->runs);
	return 0;
}

static int copy_runs(struct query_ticks *t, const struct query_ticks *old)
{
	if (!old || old->n_runs == 0)
		return 0;
	t->runs = malloc(old->n_runs * sizeof(*t->runs));
	if (!t->runs)
		return -ENOMEM;
	memcpy(t->runs, old->runs, old->n_runs * sizeof(*t->runs));
	t->n_runs = old->n_runs;
	return 0;
}

/* All of them. */
static struct query_ticks *new_ticks(uint32_t n, bool minutes)
{
	struct query_ticks *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	query_cached_init(&t->cached, ticks_free, sizeof(*t) + n * sizeof(*t->time_us) * (1u + minutes));
	t->n = t->end = n;
	t->from_us = INT64_MIN;
	t->to_us = INT64_MAX;
	t->time_us = malloc((n + (size_t)1) * sizeof(*t->time_us));
	t->read_us = minutes ? malloc((n + (size_t)1) * sizeof(*t->read_us)) : t->time_us;
	if (!t->time_us || !t->read_us) {
		query_cached_unref(&t->cached);
		return NULL;
	}
	return t;
}

static int make(const struct query_ticks *old, const struct columns_tick *ticks, uint32_t more, bool minutes,
		struct query_ticks **ret)
{
	uint32_t first = old ? old->n : 0, n = first + more;
	struct query_ticks *t = new_ticks(n, minutes);
	if (!t)
		return -ENOMEM;
	if (copy_runs(t, old) < 0 || make_runs(t, ticks, first) < 0) {
		query_cached_unref(&t->cached);
		return -ENOMEM;
	}
	if (old)
		memcpy(t->time_us, old->time_us, first * sizeof(*t->time_us));
	for (uint32_t i = first; i < n; i++) {
		t->time_us[i] = ticks[i - first].time_us;
		if (minutes)
			t->read_us[i] = ticks[i - first].received_us;
	}
	*ret = t;
	return 0;
}

/* More than was asked for: what a panel that moves on asks for next. */
static void know(struct query_ticks *t, int64_t from_us, int64_t to_us)
{
	if (t->first > 0)
		t->from_us = from_us <= t->time_us[t->first] ? from_us : t->time_us[t->first] + 1;
	if (t->end < t->n)
		t->to_us = to_us >= t->time_us[t->end - 1] ? to_us : t->time_us[t->end - 1] - 1;
}

int query_ticks_within(const struct columns_tick *ticks, uint32_t n, uint32_t first, uint32_t end, int64_t from_us,
		       int64_t to_us, struct query_ticks **ret)
{
	struct query_ticks *t = new_ticks(n, false);
	if (!t)
		return -ENOMEM;
	t->first = first;
	t->end = end;
	if (make_runs(t, ticks, first) < 0) {
		query_cached_unref(&t->cached);
		return -ENOMEM;
	}
	for (uint32_t i = first; i < end; i++)
		t->time_us[i] = ticks[i - first].time_us;
	know(t, from_us, to_us);
	*ret = t;
	return 0;
}

int query_ticks_new(const struct columns_tick *ticks, uint32_t n, bool minutes, struct query_ticks **ret)
{
	return make(NULL, ticks, n, minutes, ret);
}

int query_ticks_more(const struct query_ticks *old, const struct columns_tick *ticks, uint32_t n,
		     struct query_ticks **ret)
{
	return make(old, ticks, n, false, ret);
}
