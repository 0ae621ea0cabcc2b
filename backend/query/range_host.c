/* The source tells ticks and series, range_values.c makes points of them. What is known of the ticks of a block (steps,
 * boots, gaps) is found once for all of its series. */
#include "backend/query/range_host.h"

#include "backend/query/range_ahead.h"
#include "common/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKBACK_MIN_US 5000000ll
#define LOOKBACK_MAX_US 120000000ll

struct run {
	const struct range_request *request;
	struct range_partial *partial;
	struct range_result *result; /* the partial's */
	const struct range_limits *limits;
	const struct query_source *source;
	const struct query_range *range;
	struct range_ahead *ahead; /* NULL: not, or not yet */
	struct range_values values;
	struct range_series_table *table;
	size_t host;
	const char *hostname;
	struct query_run last;	       /* of the last tick, as if it had begun there */
	int64_t last_time_us, last_us; /* its time; when it was read: of a minute its last reading */
	uint32_t sequences;	       /* that a whole minute had; 0 until one is known */
	int64_t damaged_us;	       /* up to here damage was told */
	bool has_last, last_is_minute, has_damaged;
	uint32_t epoch;		     /* one more at each boot */
	uint64_t block;		     /* number of the one at hand */
	enum schema_value_type type; /* of the series at hand */
};

__attribute__((format(printf, 3, 4))) static int fail(struct run *run, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(run->partial->error, sizeof(run->partial->error), format, args);
	va_end(args);
	return error;
}

/* --- gaps -------------------------------------------------------------------------------------------------------- */

static int add_gap(struct run *run, int64_t from_us, int64_t to_us, enum range_cause cause)
{
	struct range_result *result = run->result;
	const struct range_request *request = run->request;
	if (to_us <= request->from_us || from_us >= request->to_us || result->n_gaps == RANGE_MAX_GAPS)
		return 0;
	if (!result->gaps) {
		result->gaps = calloc(RANGE_MAX_GAPS, sizeof(*result->gaps));
		if (!result->gaps)
			return -ENOMEM;
	}
	result->gaps[result->n_gaps++] =
		(struct range_gap){.host = run->host, .from_us = from_us, .to_us = to_us, .cause = cause};
	return 0;
}

static int64_t longest_us(uint32_t interval_ms)
{
	return (int64_t)interval_ms * 2500;
}

/* Whether sequences of one instance are missing when they went on by `step`: between snapshots all that lie between,
 * between minutes more than the later one can have read itself. */
static bool were_lost(const struct run *run, uint64_t step, bool minutes)
{
	uint64_t own = 1;
	if (minutes || run->last_is_minute)
		own = run->sequences > 0 ? run->sequences + 1 : QUERY_MINUTE_US / 1000000 + 1;
	return step > own;
}

/* What lies between is known to be damaged, but for less than would be missed. */
static bool is_explained(const struct run *run, int64_t from_us, int64_t to_us, int64_t missed_us)
{
	for (size_t i = run->result->n_gaps; i > 0; i--) {
		const struct range_gap *gap = &run->result->gaps[i - 1];
		if (gap->host == run->host && gap->cause == RANGE_DAMAGED && gap->from_us - from_us <= missed_us &&
		    to_us - gap->to_us <= missed_us)
			return true;
	}
	return false;
}

/* Between the last tick and one of this run that has this sequence. */
static int look_for_gap(struct run *run, const struct query_run *next, uint64_t sequence, int64_t time_us, bool minutes)
{
	const struct query_run *last = &run->last;
	enum range_cause cause = RANGE_PAUSED;
	uint32_t longest = last->interval_ms > next->interval_ms ? last->interval_ms : next->interval_ms;
	/* Who does not say how often it speaks is never late. */
	if (last->interval_ms == 0 || next->interval_ms == 0 || time_us - run->last_time_us <= longest_us(longest))
		return 0;
	if (memcmp(next->boot_id, last->boot_id, sizeof(next->boot_id)) != 0)
		cause = RANGE_HOST_RESTARTED;
	else if (memcmp(next->instance, last->instance, sizeof(next->instance)) != 0)
		cause = RANGE_AGENT_RESTARTED;
	else if (sequence > last->sequence && were_lost(run, sequence - last->sequence, minutes))
		cause = RANGE_LOST;
	if (cause == RANGE_LOST && is_explained(run, run->last_us, time_us, longest_us(longest)))
		return 0;
	return add_gap(run, run->last_us, time_us, cause);
}

static int on_damaged(void *arg, int64_t from_us, int64_t to_us)
{
	struct run *run = arg;
	struct range_result *result = run->result;
	struct range_gap *former = result->n_gaps > 0 ? &result->gaps[result->n_gaps - 1] : NULL;
	/* Rows are told in their turn, chunks before what lies among them. */
	bool goes_on = from_us == to_us && run->has_damaged && run->damaged_us < from_us &&
		       (!run->has_last || run->last_time_us <= run->damaged_us) && former &&
		       former->cause == RANGE_DAMAGED && former->host == run->host;
	run->has_damaged = true;
	run->damaged_us = to_us;
	/* That nothing comes from there is explained by this. */
	if (run->has_last && run->last_time_us < to_us)
		run->last_time_us = run->last_us = to_us;
	if (goes_on) {
		former->to_us = to_us > from_us ? to_us : from_us + 1;
		return 0;
	}
	return add_gap(run, from_us, to_us > from_us ? to_us : from_us + 1, RANGE_DAMAGED);
}

/* --- what the source tells --------------------------------------------------------------------------------------- */

static int check_limits(struct run *run)
{
	if (atomic_load_explicit(run->limits->stopped, memory_order_relaxed))
		return -ECANCELED;
	if (run->partial->decoded_bytes > run->limits->decoded_bytes)
		return fail(run, -EMSGSIZE, RANGE_TOO_MUCH_READ, RANGE_MAX_READ);
	if (clock_monotonic_ns() > run->limits->deadline_ns)
		return fail(run, -ETIME, "the query takes more than %d s: ask for a shorter range or fewer hosts",
			    RANGE_MAX_SECONDS);
	return 0;
}

static unsigned statistics_of(enum schema_kind kind, enum range_function function)
{
	if (kind == SCHEMA_KIND_HISTOGRAM)
		return 1u << QUERY_LAST;
	if (function == RANGE_RATE || function == RANGE_INCREASE)
		return 1u << QUERY_LAST | 1u << QUERY_EXTRA;
	if (kind == SCHEMA_KIND_COUNTER)
		return 1u << QUERY_LAST;
	return function == RANGE_AVG   ? 1u << QUERY_SUM | 1u << QUERY_COUNT
	       : function == RANGE_MIN ? 1u << QUERY_MIN
	       : function == RANGE_MAX ? 1u << QUERY_MAX
	       : function == RANGE_SUM ? 1u << QUERY_SUM
				       : 1u << QUERY_LAST;
}

/* The first to be found says what all of the answer is. */
static int on_metric(void *arg, enum schema_kind kind, enum schema_unit unit, unsigned *ret_statistics)
{
	struct run *run = arg;
	struct range_result *result = run->result;
	if (!run->partial->has_metric) {
		enum range_function function = run->request->function;
		if (range_function_of(kind, &function, run->partial->error, sizeof(run->partial->error)) < 0)
			return -EINVAL;
		run->partial->has_metric = true;
		result->kind = kind;
		result->unit = unit;
		result->function = function;
	}
	run->values.aggregate = range_aggregate_of(run->request, result->function);
	*ret_statistics = statistics_of(result->kind, result->function);
	return 0;
}

static int on_due(void *arg, const struct query_due *due)
{
	struct run *run = arg;
	const struct range_result *result = run->result;
	if (run->ahead) {
		range_ahead_wait(run->ahead, due);
		return 0;
	}
	const struct range_ahead_wish wish = {.source = run->source,
					      .range = run->range,
					      .selector = run->request->selector,
					      .hostname = run->hostname,
					      .deadline_ns = run->limits->deadline_ns,
					      .kind = result->kind,
					      .statistics = statistics_of(result->kind, result->function)};
	if (run->limits->ahead && run->partial->has_metric)
		run->ahead = range_ahead_start(&wish, due);
	return 0;
}

/* The steps that ticks [first, end) lie in; where what is asked for ends. */
static uint32_t find_steps(const struct run *run, const struct query_ticks *ticks, uint32_t first, uint32_t end,
			   int32_t *at)
{
	const struct range_request *request = run->request;
	int64_t step = -1, next_us = request->from_us; /* where the step after it begins */
	for (uint32_t i = first; i < end; i++) {
		int64_t time_us = ticks->time_us[i];
		if (time_us >= next_us) {
			step = (time_us - request->from_us) / request->step_us;
			next_us = request->from_us + (step + 1) * request->step_us;
			if (step >= (int64_t)run->result->points)
				return i;
		}
		at[i] = (int32_t)step;
	}
	return end;
}

/* Ticks [first, end) of a block, all of one run. */
static int take_run(struct run *run, const struct query_block *block, const struct query_run *of, uint32_t first,
		    uint32_t end)
{
	const int64_t *time_us = block->ticks->time_us;
	struct range_ticks *t = &run->values.ticks;
	uint64_t sequence = of->sequence + of->step * (first - of->first);
	int r = 0;
	if (run->has_last && memcmp(of->boot_id, run->last.boot_id, sizeof(of->boot_id)) != 0)
		run->epoch++;
	if (run->has_last)
		r = look_for_gap(run, of, sequence, time_us[first], block->minutes);
	if (block->minutes && run->has_last && run->last_is_minute && sequence > run->last.sequence &&
	    time_us[first] == run->last_time_us + QUERY_MINUTE_US)
		run->sequences = (uint32_t)(sequence - run->last.sequence);
	run->has_last = true;
	run->last = *of;
	run->last_is_minute = block->minutes;
	if (block->minutes)
		run->last.interval_ms = QUERY_MINUTE_US / 1000;
	int64_t longest = longest_us(run->last.interval_ms);
	enum range_cause cause = were_lost(run, of->step, block->minutes) ? RANGE_LOST : RANGE_PAUSED;
	for (uint32_t i = first; r == 0 && i < end; i++) {
		t->epoch[i] = run->epoch;
		if (i > first && longest > 0 && time_us[i] - time_us[i - 1] > longest)
			r = add_gap(run, block->ticks->read_us[i - 1], time_us[i], cause);
	}
	if (block->minutes && end - first > 1 && cause == RANGE_PAUSED)
		run->sequences = (uint32_t)of->step;
	run->last.sequence = sequence + of->step * (end - 1 - first);
	run->last_time_us = time_us[end - 1];
	run->last_us = block->ticks->read_us[end - 1];
	return r;
}

static int on_ticks(void *arg, const struct query_block *block)
{
	struct run *run = arg;
	const struct query_ticks *ticks = block->ticks;
	struct range_ticks *t = &run->values.ticks;
	int r = range_ticks_reserve(t, ticks->n);
	if (r < 0)
		return r;
	t->first = block->first;
	t->end = find_steps(run, ticks, block->first, block->end, t->at);
	t->minutes = block->minutes;
	t->time_us = ticks->read_us;
	run->block++;
	for (uint32_t i = 0; r == 0 && i < ticks->n_runs; i++) {
		uint32_t first = ticks->runs[i].first,
			 end = i + 1 < ticks->n_runs ? ticks->runs[i + 1].first : ticks->n;
		first = first > t->first ? first : t->first;
		end = end < t->end ? end : t->end;
		if (first < end)
			r = take_run(run, block, &ticks->runs[i], first, end);
	}
	run->result->snapshots += t->end > t->first ? t->end - t->first : 0;
	run->partial->decoded_bytes += (uint64_t)ticks->n * sizeof(uint64_t);
	return r < 0 ? r : check_limits(run);
}

static int open_series(struct run *run, const struct columns_series *id, struct range_series *series)
{
	bool exhausted = false;
	if (run->table->n > RANGE_MAX_SERIES)
		return fail(run, -EMSGSIZE, "more than %d series of one host: narrow the selector", RANGE_MAX_SERIES);
	if (!range_series_matches(series, run->request->selector, &exhausted))
		return exhausted ? fail(run, -EMSGSIZE,
					"a regular expression takes more steps than are allowed: make it simpler")
				 : 0;
	bool quantiles = id->type == SCHEMA_VALUE_HISTOGRAM && run->result->function != RANGE_RATE &&
			 run->result->function != RANGE_INCREASE;
	int r = range_group_find(run->result, run->request, series, quantiles, &series->group);
	if (r == -EMSGSIZE)
		return fail(run, r, RANGE_TOO_MANY_GROUPS, RANGE_MAX_GROUPS, RANGE_MAX_VALUES, RANGE_MAX_POINTS);
	return r;
}

static int on_series(void *arg, const struct columns_series *id, void **ret)
{
	struct run *run = arg;
	struct range_series *series;
	if (!run->partial->has_metric || id->kind != run->result->kind)
		return 0;
	int r = range_series_find(run->table, run->hostname, id, &series);
	if (r == 1)
		r = open_series(run, id, series);
	/* A custom metric may have changed its type within a block: then its times would not ascend. */
	if (r < 0 || !series->group || series->block == run->block)
		return r;
	series->block = run->block;
	run->type = id->type;
	*ret = series;
	return 1;
}

static int on_values(void *arg, void *wanted, const struct columns_values *const of[QUERY_STATISTICS])
{
	struct run *run = arg;
	const struct range_ticks *t = &run->values.ticks;
	struct range_series *series = wanted;
	uint64_t most = 0;
	for (size_t i = 0; i < QUERY_STATISTICS; i++) {
		if (!of[i])
			continue;
		most = of[i]->n > most ? of[i]->n : most;
		run->partial->decoded_bytes += (uint64_t)of[i]->n * of[i]->n_parts * sizeof(uint64_t);
	}
	run->result->samples += most < t->end - t->first ? most : t->end - t->first;
	int r = range_values_take(&run->values, series, run->type, of);
	return r < 0 ? r : check_limits(run);
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static int64_t lookback_us(int64_t step_us)
{
	int64_t lookback = 2 * step_us;
	return lookback < LOOKBACK_MIN_US ? LOOKBACK_MIN_US : lookback > LOOKBACK_MAX_US ? LOOKBACK_MAX_US : lookback;
}

static void close_series(struct run *run)
{
	struct range_series_table *table = run->table;
	for (size_t i = 0; i < table->cap; i++) {
		struct range_series *series = table->slots[i];
		if (series && series->group)
			range_values_close(&run->values, series);
	}
	range_series_clear(table);
}

int range_host_read(const struct query_source *source, const struct range_request *request,
		    const struct range_host *host, size_t index, const struct range_limits *limits,
		    struct range_scratch *scratch, struct range_partial *partial)
{
	struct run run = {.request = request,
			  .partial = partial,
			  .result = &partial->result,
			  .limits = limits,
			  .source = source,
			  .values = {.request = request, .result = &partial->result, .ticks = scratch->ticks},
			  .table = &scratch->table,
			  .host = index,
			  .hostname = host->hostname};
	const struct query_sink sink = {.metric = on_metric,
					.ticks = on_ticks,
					.series = on_series,
					.values = on_values,
					.damaged = on_damaged,
					.due = on_due,
					.arg = &run};
	const struct query_range range = {.host_id = host->host_id,
					  .from_us = request->from_us - lookback_us(request->step_us),
					  .to_us = request->to_us - 1,
					  .step_us = request->step_us,
					  .metric = request->selector->metric};
	run.range = &range;
	int r = source->read(source->source, &range, &sink);
	range_ahead_end(run.ahead);
	if (r != -ENODATA && run.has_last)
		partial->result.known = true;
	if (r == -ENODATA)
		r = 0;
	close_series(&run);
	scratch->ticks = run.values.ticks;
	int64_t end = request->to_us < request->now_us ? request->to_us : request->now_us;
	if (r == 0 && run.has_last && run.last.interval_ms > 0 &&
	    end - run.last_us > longest_us(run.last.interval_ms) + 5000000)
		r = add_gap(&run, run.last_us, end, RANGE_SILENT);
	return r;
}

void range_scratch_free(struct range_scratch *scratch)
{
	range_series_free(&scratch->table);
	range_ticks_free(&scratch->ticks);
}
