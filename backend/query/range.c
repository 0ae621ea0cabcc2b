/* Samples come host by host in the order of time, so a series needs no more than the step it is in: when it leaves that
 * step, the step's value is folded into its group's points. Memory is that of the answer. */
#include "backend/query/range.h"

#include "backend/query/range_groups.h"
#include "common/clock.h"
#include "common/histogram.h"
#include "common/rate.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKBACK_MIN_US 5000000ll
#define LOOKBACK_MAX_US 120000000ll
#define CHECK_CLOCK_EVERY 32

struct run {
	const struct range_request *request;
	struct range_result *result;
	struct range_series_table table;
	size_t host;
	const char *hostname;
	enum range_aggregate aggregate;
	struct query_tick last;
	bool has_last;
	uint32_t epoch; /* one more at each boot */
	uint64_t deadline_ns, since_clock;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct run *run, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(run->error, run->error_size, format, args);
	va_end(args);
	return error;
}

int range_function_of(enum schema_kind kind, enum range_function *function, char *error, size_t error_size)
{
	enum range_function f = *function;
	const char *why = NULL;
	if (f == RANGE_DEFAULT)
		f = kind == SCHEMA_KIND_HISTOGRAM ? RANGE_P99 : kind == SCHEMA_KIND_COUNTER ? RANGE_RATE : RANGE_AVG;
	bool quantile = f == RANGE_P50 || f == RANGE_P90 || f == RANGE_P99;
	bool growth = f == RANGE_RATE || f == RANGE_INCREASE;
	if (quantile && kind != SCHEMA_KIND_HISTOGRAM)
		why = "p50, p90 and p99 are of histograms, which this metric is not";
	else if (growth && kind == SCHEMA_KIND_GAUGE)
		why = "rate and increase are of counters, and this metric is a gauge: use avg, min, max, sum or last";
	else if (kind == SCHEMA_KIND_HISTOGRAM && !quantile && !growth && f != RANGE_AVG)
		why = "of a histogram there are p50, p90, p99, avg, and rate and increase of its count";
	if (why) {
		(void)snprintf(error, error_size, "%s", why);
		return -EINVAL;
	}
	*function = f;
	return 0;
}

const char *range_cause_text(enum range_cause cause)
{
	static const char *const texts[] = {
		[RANGE_HOST_RESTARTED] = "host_restarted",
		[RANGE_AGENT_RESTARTED] = "agent_restarted",
		[RANGE_LOST] = "lost",
		[RANGE_PAUSED] = "agent_paused",
		[RANGE_SILENT] = "silent",
	};
	return texts[cause];
}

/* --- points ------------------------------------------------------------------------------------------------------ */

static void fold(const struct run *run, struct range_group *group, size_t at, double value)
{
	double *point = &group->values[at];
	if (group->counts[at]++ == 0)
		*point = value;
	else if (run->aggregate == RANGE_OF_MIN)
		*point = value < *point ? value : *point;
	else if (run->aggregate == RANGE_OF_MAX)
		*point = value > *point ? value : *point;
	else
		*point += value;
}

/* What a series did in the step it leaves. */
static void close_step(struct run *run, struct range_series *series)
{
	struct range_step *step = &series->step;
	double value = NAN;
	if (series->at < 0)
		return;
	switch (run->result->function) {
	case RANGE_AVG:
		value = step->n > 0 ? step->sum / (double)step->n : NAN;
		break;
	case RANGE_MIN:
		value = step->n > 0 ? step->min : NAN;
		break;
	case RANGE_MAX:
		value = step->n > 0 ? step->max : NAN;
		break;
	case RANGE_SUM:
		value = step->n > 0 ? step->sum : NAN;
		break;
	case RANGE_LAST:
		value = step->n > 0 ? step->last : NAN;
		break;
	case RANGE_INCREASE:
		value = step->pairs > 0 ? step->increase : NAN;
		break;
	case RANGE_RATE:
		value = step->elapsed_us > 0 ? step->increase * 1e6 / (double)step->elapsed_us : NAN;
		break;
	default: /* quantiles stand in the group */
		break;
	}
	if (!isnan(value))
		fold(run, series->group, (size_t)series->at, value);
}

static void take_gauge(struct range_step *step, double value)
{
	if (step->n == 0 || value < step->min)
		step->min = value;
	if (step->n == 0 || value > step->max)
		step->max = value;
	step->sum += value;
	step->last = value;
	step->n++;
}

/* A pair of readings further apart than this tells nothing of the step that the second lies in. */
static bool is_close(const struct run *run, struct range_series *series, int64_t elapsed_us)
{
	int64_t most = run->request->step_us > LOOKBACK_MIN_US ? run->request->step_us : LOOKBACK_MIN_US;
	if (series->spacing_us == 0 || elapsed_us < series->spacing_us)
		series->spacing_us = elapsed_us;
	return elapsed_us <= most || elapsed_us <= 3 * series->spacing_us;
}

static void take_counter(struct run *run, struct range_series *series, const struct range_value *value, int64_t time_us)
{
	const struct range_value *before = &series->before;
	int64_t elapsed_us = time_us - series->before_us;
	double increase;
	if (!series->has_before || series->epoch != run->epoch || elapsed_us <= 0)
		return;
	bool close = is_close(run, series, elapsed_us);
	double rate; /* only whether there is one */
	if (value->is_real ? value->d < before->d : !rate_per_second(before->u, value->u, (uint64_t)elapsed_us, &rate))
		return;
	increase = value->is_real ? value->d - before->d : (double)rate_delta(before->u, value->u);
	if (run->result->function == RANGE_RATE && !close)
		return;
	series->step.increase += increase;
	series->step.elapsed_us += elapsed_us;
	series->step.pairs++;
}

/* --- histograms -------------------------------------------------------------------------------------------------- */

#define HISTOGRAM_SUM_SLOT HISTOGRAM_BUCKETS
#define HISTOGRAM_SLOTS (HISTOGRAM_BUCKETS + 1)

static int take_histogram(struct run *run, struct range_series *series, const struct schema_histogram *now,
			  int64_t time_us)
{
	uint64_t dense[HISTOGRAM_SLOTS] = {0};
	for (size_t i = 0; i < now->n; i++)
		dense[now->buckets[i].index] = now->buckets[i].count;
	dense[HISTOGRAM_SUM_SLOT] = now->sum;
	if (!series->buckets) {
		series->buckets = malloc(sizeof(dense));
		if (!series->buckets)
			return -ENOMEM;
	}
	bool grew = series->has_before && series->epoch == run->epoch && time_us > series->before_us;
	for (size_t i = 0; grew && i < HISTOGRAM_SLOTS; i++)
		grew = dense[i] >= series->buckets[i];
	if (grew && series->at >= 0 && is_close(run, series, time_us - series->before_us)) {
		uint64_t **sum = &series->group->histograms[series->at];
		if (!*sum) {
			*sum = calloc(HISTOGRAM_SLOTS, sizeof(**sum));
			if (!*sum)
				return -ENOMEM;
		}
		for (size_t i = 0; i < HISTOGRAM_SLOTS; i++)
			(*sum)[i] += rate_delta(series->buckets[i], dense[i]);
	}
	memcpy(series->buckets, dense, sizeof(dense));
	return 0;
}

static double histogram_value(const uint64_t *slots, enum range_function function)
{
	double q = function == RANGE_P50 ? 0.5 : function == RANGE_P90 ? 0.9 : 0.99;
	uint64_t count = 0, below = 0;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += slots[i];
	if (count == 0)
		return NAN;
	if (function == RANGE_AVG)
		return (double)slots[HISTOGRAM_SUM_SLOT] / (double)count;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += slots[i];
		if ((double)below >= q * (double)count && slots[i] > 0) {
			double low = (double)histogram_bucket_lower(i), high = (double)histogram_bucket_lower(i + 1);
			return (low + high - 1) / 2;
		}
	}
	return NAN;
}

/* --- what the source tells --------------------------------------------------------------------------------------- */

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

static int64_t longest_us(const struct query_tick *tick)
{
	return (int64_t)tick->interval_ms * 2500;
}

/* Who does not say how often it speaks is never late. */
static bool is_regular(const struct query_tick *tick)
{
	return tick->interval_ms > 0;
}

static int look_for_gap(struct run *run, const struct query_tick *tick)
{
	const struct query_tick *last = &run->last;
	enum range_cause cause = RANGE_PAUSED;
	int64_t longest = longest_us(last) > longest_us(tick) ? longest_us(last) : longest_us(tick);
	if (!is_regular(last) || !is_regular(tick) || tick->time_us - last->time_us <= longest)
		return 0;
	if (memcmp(tick->boot_id, last->boot_id, sizeof(tick->boot_id)) != 0)
		cause = RANGE_HOST_RESTARTED;
	else if (memcmp(tick->instance, last->instance, sizeof(tick->instance)) != 0)
		cause = RANGE_AGENT_RESTARTED;
	else if (tick->sequence > last->sequence + 1)
		cause = RANGE_LOST;
	return add_gap(run, last->time_us, tick->time_us, cause);
}

static int on_tick(void *arg, const struct query_tick *tick)
{
	struct run *run = arg;
	int r = run->has_last ? look_for_gap(run, tick) : 0;
	if (run->has_last && memcmp(tick->boot_id, run->last.boot_id, sizeof(tick->boot_id)) != 0)
		run->epoch++;
	run->last = *tick;
	run->has_last = true;
	run->result->snapshots++;
	if (++run->since_clock >= CHECK_CLOCK_EVERY) {
		run->since_clock = 0;
		if (clock_monotonic_ns() > run->deadline_ns)
			return fail(run, -ETIME,
				    "the query takes more than %d s: ask for a shorter range or fewer hosts",
				    RANGE_MAX_SECONDS);
	}
	return r;
}

static int open_series(struct run *run, const struct schema_sample *sample, struct range_series *series)
{
	bool exhausted = false;
	if (run->table.n > RANGE_MAX_SERIES)
		return fail(run, -EMSGSIZE, "more than %d series of one host: narrow the selector", RANGE_MAX_SERIES);
	if (!range_series_matches(series, run->request->selector, &exhausted))
		return exhausted ? fail(run, -EMSGSIZE,
					"a regular expression takes more steps than are allowed: make it simpler")
				 : 0;
	bool quantiles = sample->type == SCHEMA_VALUE_HISTOGRAM && run->result->function != RANGE_RATE &&
			 run->result->function != RANGE_INCREASE;
	int r = range_group_find(run->result, run->request, series, quantiles, &series->group);
	if (r == -EMSGSIZE)
		return fail(run, r,
			    "more than %d series, %d values or %d points of histograms: narrow the selector, "
			    "group, or take a longer step",
			    RANGE_MAX_GROUPS, RANGE_MAX_VALUES, RANGE_MAX_POINTS);
	return r;
}

static int first_sample(struct run *run, const struct schema_sample *sample)
{
	struct range_result *result = run->result;
	result->kind = sample->metric->kind;
	result->unit = sample->metric->unit;
	result->function = run->request->function;
	if (range_function_of(result->kind, &result->function, run->error, run->error_size) < 0)
		return -EINVAL;
	run->aggregate = run->request->aggregate;
	if (run->aggregate == RANGE_BY_FUNCTION)
		run->aggregate = result->function == RANGE_AVG	 ? RANGE_OF_AVG
				 : result->function == RANGE_MIN ? RANGE_OF_MIN
				 : result->function == RANGE_MAX ? RANGE_OF_MAX
								 : RANGE_OF_SUM;
	return 0;
}

static int take_value(struct run *run, struct range_series *series, const struct schema_sample *sample, int64_t time_us)
{
	struct schema_histogram histogram;
	struct range_value value = {.is_real = sample->type == SCHEMA_VALUE_DOUBLE};
	bool growth = run->result->function == RANGE_RATE || run->result->function == RANGE_INCREASE;
	if (sample->type == SCHEMA_VALUE_HISTOGRAM) {
		if (schema_histogram_parse(sample->histogram.data, sample->histogram.len, &histogram) < 0)
			return 0;
		value.u = histogram.count;
		value.d = (double)histogram.count;
		if (!growth)
			return take_histogram(run, series, &histogram, time_us);
	} else if (sample->type == SCHEMA_VALUE_DOUBLE) {
		value.d = sample->d;
	} else if (sample->type == SCHEMA_VALUE_INT) {
		value.is_real = true;
		value.d = (double)sample->i;
	} else {
		value.u = sample->u;
		value.d = (double)sample->u;
	}
	if (growth && series->at >= 0)
		take_counter(run, series, &value, time_us);
	else if (!growth && series->at >= 0 && !isnan(value.d))
		take_gauge(&series->step, value.d);
	series->before = value;
	return 0;
}

static int on_sample(void *arg, const struct query_tick *tick, const struct schema_sample *sample)
{
	struct run *run = arg;
	struct range_series *series;
	int r = run->result->samples++ == 0 ? first_sample(run, sample) : 0;
	if (r < 0 || sample->metric->kind != run->result->kind)
		return r;
	r = range_series_find(&run->table, run->hostname, sample, &series);
	if (r == 1)
		r = open_series(run, sample, series);
	if (r < 0 || !series->group)
		return r;
	int64_t at = tick->time_us < run->request->from_us
			     ? -1
			     : (tick->time_us - run->request->from_us) / run->request->step_us;
	if (at >= (int64_t)run->result->points)
		return 0;
	if (at != series->at) {
		close_step(run, series);
		series->step = (struct range_step){0};
		series->at = at;
	}
	r = take_value(run, series, sample, tick->time_us);
	series->before_us = tick->time_us;
	series->epoch = run->epoch;
	series->has_before = true;
	return r;
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static int read_host(struct run *run, const struct query_source *source, const struct range_host *host)
{
	const struct range_request *request = run->request;
	const struct query_sink sink = {.tick = on_tick, .sample = on_sample, .arg = run};
	int64_t lookback = 2 * request->step_us;
	if (lookback < LOOKBACK_MIN_US)
		lookback = LOOKBACK_MIN_US;
	if (lookback > LOOKBACK_MAX_US)
		lookback = LOOKBACK_MAX_US;
	run->hostname = host->hostname;
	run->has_last = false;
	int r = source->read(source->source, host->host_id, request->from_us - lookback, request->to_us - 1,
			     request->selector->metric, &sink);
	if (r != -ENODATA && run->has_last)
		run->result->known = true;
	if (r == -ENODATA)
		r = 0;
	for (size_t i = 0; i < run->table.cap; i++) {
		struct range_series *series = run->table.slots[i];
		if (series && series->group)
			close_step(run, series);
	}
	range_series_clear(&run->table);
	int64_t end = request->to_us < request->now_us ? request->to_us : request->now_us;
	if (r == 0 && run->has_last && is_regular(&run->last) &&
	    end - run->last.time_us > longest_us(&run->last) + 5000000)
		r = add_gap(run, run->last.time_us, end, RANGE_SILENT);
	return r;
}

static void finish(struct run *run)
{
	struct range_result *result = run->result;
	for (size_t i = 0; i < result->n_groups; i++) {
		struct range_group *group = &result->groups[i];
		for (size_t k = 0; k < result->points; k++) {
			if (group->histograms)
				group->values[k] = group->histograms[k]
							   ? histogram_value(group->histograms[k], result->function)
							   : NAN;
			else if (group->counts[k] == 0)
				group->values[k] = NAN;
			else if (run->aggregate == RANGE_OF_AVG)
				group->values[k] /= group->counts[k];
		}
	}
	range_groups_sort(result);
}

int range_run(const struct query_source *source, const struct range_request *request, const struct range_host *hosts,
	      size_t n_hosts, struct range_result *ret, char *error, size_t error_size)
{
	struct range_result result = {.n_groups = 0};
	struct run run = {.request = request,
			  .result = &result,
			  .deadline_ns = clock_monotonic_ns() + RANGE_MAX_SECONDS * 1000000000ull,
			  .error = error,
			  .error_size = error_size};
	if (request->from_us < 0 || request->to_us <= request->from_us)
		return fail(&run, -EINVAL, "from must be before to");
	if (request->step_us < 1000)
		return fail(&run, -EINVAL, "step must be at least 1 ms");
	int64_t points = (request->to_us - request->from_us - 1) / request->step_us + 1;
	if (points > RANGE_MAX_POINTS)
		return fail(&run, -EINVAL, "the range has %lld steps, and at most %d are answered: take a longer step",
			    (long long)points, RANGE_MAX_POINTS);
	result.points = (size_t)points;
	int r = 0;
	for (size_t i = 0; i < n_hosts && r == 0; i++) {
		bool exhausted = false;
		run.host = i;
		if (selector_label_matches(request->selector, "host", hosts[i].hostname, strlen(hosts[i].hostname),
					   &exhausted))
			r = read_host(&run, source, &hosts[i]);
		else if (exhausted)
			r = fail(&run, -EMSGSIZE,
				 "a regular expression takes more steps than are allowed: make it simpler");
	}
	range_series_free(&run.table);
	if (r < 0) {
		range_result_free(&result);
		return r;
	}
	finish(&run);
	*ret = result;
	return 0;
}
