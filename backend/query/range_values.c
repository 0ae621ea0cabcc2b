/* A series needs no more than the step it is in and the reading before: when it leaves a step, the step's value is
 * folded into its group's points. Memory is that of the answer and of one block's ticks. */
#include "backend/query/range_values.h"

#include "common/histogram.h"
#include "common/rate.h"
#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOKBACK_MIN_US 5000000ll

int range_ticks_reserve(struct range_ticks *t, uint32_t n)
{
	if (n <= t->cap)
		return 0;
	range_ticks_free(t);
	t->at = malloc(n * sizeof(*t->at));
	t->epoch = malloc(n * sizeof(*t->epoch));
	t->grew = malloc(n * sizeof(*t->grew));
	if (!t->at || !t->epoch || !t->grew) {
		range_ticks_free(t);
		return -ENOMEM;
	}
	t->cap = n;
	return 0;
}

void range_ticks_free(struct range_ticks *t)
{
	free(t->at);
	free(t->epoch);
	free(t->grew);
	*t = (struct range_ticks){.cap = 0};
}

/* --- points ------------------------------------------------------------------------------------------------------ */

static void fold(const struct range_values *run, struct range_group *group, size_t at, double value)
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

void range_values_close(const struct range_values *run, struct range_series *series)
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

static void enter(const struct range_values *run, struct range_series *series, int32_t at)
{
	if (at == series->at)
		return;
	range_values_close(run, series);
	series->step = (struct range_step){0};
	series->at = at;
}

/* --- runs of values ---------------------------------------------------------------------------------------------- */

/* Neighbours of a block, all in one step: values k, k + 1, ... belong to ticks tick, tick + 1, ... */
struct stretch {
	uint32_t tick, k, n;
	int32_t at;
};

struct stretches {
	const struct range_ticks *ticks;
	const struct presence *presence;
	uint32_t run, offset, k; /* how far */
};

static bool next_stretch(struct stretches *s, struct stretch *ret)
{
	const struct range_ticks *t = s->ticks;
	for (; s->run < s->presence->n_runs; s->run++, s->offset = 0) {
		const struct presence_run *run = &s->presence->runs[s->run];
		uint32_t tick = run->first + s->offset, end = run->first + run->n;
		uint32_t skip = tick >= t->first ? 0 : (t->first < end ? t->first : end) - tick;
		tick += skip;
		s->offset += skip;
		s->k += skip;
		if (end > t->end)
			end = t->end;
		if (tick >= end) {
			s->k += run->n - s->offset;
			continue;
		}
		uint32_t n = 1;
		while (tick + n < end && t->at[tick + n] == t->at[tick])
			n++;
		*ret = (struct stretch){.tick = tick, .k = s->k, .n = n, .at = t->at[tick]};
		s->offset += n;
		s->k += n;
		return true;
	}
	return false;
}

static double real_of(uint64_t bits, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE ? wire_double(bits)
	       : type == SCHEMA_VALUE_INT  ? (double)(int64_t)bits
					   : (double)bits;
}

static void take_readings(struct range_step *step, const uint64_t *values, uint32_t n, enum schema_value_type type)
{
	double sum = step->sum, min = step->min, max = step->max;
	uint64_t taken = step->n;
	for (uint32_t i = 0; i < n; i++) {
		double value = real_of(values[i], type);
		if (isnan(value))
			continue;
		if (taken == 0 || value < min)
			min = value;
		if (taken == 0 || value > max)
			max = value;
		sum += value;
		step->last = value;
		taken++;
	}
	*step = (struct range_step){.n = taken, .sum = sum, .min = min, .max = max, .last = step->last};
}

static void take_gauge(struct range_values *run, struct range_series *series, enum schema_value_type type,
		       const struct columns_values *values)
{
	struct stretches all = {.ticks = &run->ticks, .presence = values->presence};
	struct stretch s;
	while (next_stretch(&all, &s)) {
		enter(run, series, s.at);
		if (s.at >= 0)
			take_readings(&series->step, values->parts[0].values + s.k, s.n, type);
	}
}

/* The average of minutes: what they sum up to, and of how many readings. Both are of the same minutes. */
static void take_average(struct range_values *run, struct range_series *series, const struct columns_values *sums,
			 const struct columns_values *counts)
{
	struct stretches all = {.ticks = &run->ticks, .presence = sums->presence};
	struct stretch s;
	if (!presence_equal(sums->presence, counts->presence))
		return;
	while (next_stretch(&all, &s)) {
		enter(run, series, s.at);
		for (uint32_t i = 0; s.at >= 0 && i < s.n; i++) {
			series->step.sum += wire_double(sums->parts[0].values[s.k + i]);
			series->step.n += counts->parts[0].values[s.k + i];
		}
	}
}

/* --- counters ---------------------------------------------------------------------------------------------------- */

/* A pair of readings further apart than this tells nothing of the step that the second lies in. */
static bool is_close(const struct range_values *run, struct range_series *series, int64_t elapsed_us)
{
	int64_t most = run->request->step_us > LOOKBACK_MIN_US ? run->request->step_us : LOOKBACK_MIN_US;
	if (series->spacing_us == 0 || elapsed_us < series->spacing_us)
		series->spacing_us = elapsed_us;
	return elapsed_us <= most || elapsed_us <= 3 * series->spacing_us;
}

static bool grown(const struct range_value *before, const struct range_value *value, double *ret)
{
	if (value->is_real || before->is_real) {
		*ret = value->d - before->d;
		return value->d >= before->d;
	}
	*ret = (double)rate_delta(before->u, value->u);
	return value->u >= before->u;
}

static void take_reading(const struct range_values *run, struct range_series *series, const struct range_value *value,
			 int64_t time_us, uint32_t epoch)
{
	int64_t elapsed_us = time_us - series->before_us;
	double increase;
	if (series->has_before && series->epoch == epoch && elapsed_us > 0) {
		bool close = is_close(run, series, elapsed_us);
		if (grown(&series->before, value, &increase) && (close || run->result->function != RANGE_RATE)) {
			series->step.increase += increase;
			series->step.elapsed_us += elapsed_us;
			series->step.pairs++;
		}
	}
	series->before = *value;
	series->before_us = time_us;
	series->epoch = epoch;
	series->has_before = true;
}

/* Growth of a minute that readings at its end do not show, as after a reset. Its time is that of the minute where the
 * readings tell none. */
static void take_extra(struct range_step *step, double extra, uint64_t pairs_before, int64_t minute_us)
{
	if (!(extra > 0))
		return;
	step->increase += extra;
	if (step->pairs == pairs_before) {
		step->elapsed_us += minute_us;
		step->pairs++;
	}
}

struct extras {
	const struct columns_values *values;
	struct presence_cursor cursor;
	uint32_t k, tick;
	bool more;
	enum schema_value_type type;
};

static double extra_at(struct extras *e, uint32_t tick)
{
	while (e->more && e->tick < tick) {
		e->k++;
		e->more = presence_next(&e->cursor, &e->tick);
	}
	return e->more && e->tick == tick ? real_of(e->values->parts[0].values[e->k], e->type) : 0;
}

static struct extras extras_of(const struct columns_values *values, enum schema_value_type type)
{
	struct extras e = {.values = values, .type = type};
	if (!values)
		return e;
	e.cursor.presence = values->presence;
	e.more = presence_next(&e.cursor, &e.tick);
	return e;
}

static void take_counter(struct range_values *run, struct range_series *series, enum schema_value_type type,
			 const uint64_t *values, const struct presence *presence, const struct columns_values *extra)
{
	const struct range_ticks *t = &run->ticks;
	struct stretches all = {.ticks = t, .presence = presence};
	struct extras extras = extras_of(extra, type);
	struct stretch s;
	while (next_stretch(&all, &s)) {
		enter(run, series, s.at);
		for (uint32_t i = 0; i < s.n; i++) {
			uint64_t bits = values[s.k + i], pairs = series->step.pairs;
			struct range_value value = {.is_real = type == SCHEMA_VALUE_DOUBLE || type == SCHEMA_VALUE_INT,
						    .u = bits,
						    .d = real_of(bits, type)};
			if (isnan(value.d))
				continue;
			take_reading(run, series, &value, t->time_us[s.tick + i], t->epoch[s.tick + i]);
			if (extra)
				take_extra(&series->step, extra_at(&extras, s.tick + i), pairs, QUERY_MINUTE_US);
		}
	}
}

/* --- histograms -------------------------------------------------------------------------------------------------- */

#define HISTOGRAM_SUM_SLOT HISTOGRAM_BUCKETS
#define HISTOGRAM_SLOTS (HISTOGRAM_BUCKETS + 1)

static uint32_t slot_of(const struct columns_part *part)
{
	return part->part == COLUMNS_PART_SUM ? HISTOGRAM_SUM_SLOT : part->part - COLUMNS_PART_BUCKET;
}

/* The reading before the first of a block. A bucket that the block does not have counts 0 there: one that had a count
 * before was reset. */
static bool was_reset(const struct range_series *series, const struct columns_values *values, uint32_t k)
{
	bool there[HISTOGRAM_SLOTS] = {false};
	for (uint32_t p = 0; p < values->n_parts; p++) {
		uint32_t slot = slot_of(&values->parts[p]);
		there[slot] = true;
		if (values->parts[p].values[k] < series->buckets[slot])
			return true;
	}
	for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
		if (!there[slot] && series->buckets[slot] > 0)
			return true;
	}
	return false;
}

/* Which readings tell what happened since the ones before: to ticks.grew, by value. */
static void look_at_pairs(struct range_values *run, struct range_series *series, const struct columns_values *values)
{
	struct range_ticks *t = &run->ticks;
	struct stretches all = {.ticks = t, .presence = values->presence};
	struct stretch s;
	while (next_stretch(&all, &s)) {
		for (uint32_t i = 0; i < s.n; i++) {
			uint32_t k = s.k + i, tick = s.tick + i;
			bool same = series->has_before && series->epoch == t->epoch[tick];
			int64_t elapsed_us = t->time_us[tick] - series->before_us;
			t->grew[k] = same && elapsed_us > 0 && is_close(run, series, elapsed_us);
			series->before_us = t->time_us[tick];
			series->epoch = t->epoch[tick];
			series->has_before = true;
		}
	}
}

static uint64_t *slots_of(struct range_series *series, int32_t at)
{
	uint64_t **slots = &series->group->histograms[at];
	if (!*slots)
		*slots = calloc(HISTOGRAM_SLOTS, sizeof(**slots));
	return *slots;
}

/* The growth of each part in each step. `first` is the block's first value that counts. */
static int add_growth(struct range_values *run, struct range_series *series, const struct columns_values *values,
		      uint32_t first)
{
	struct range_ticks *t = &run->ticks;
	struct stretches all = {.ticks = t, .presence = values->presence};
	struct stretch s;
	while (next_stretch(&all, &s)) {
		bool any = false;
		for (uint32_t i = 0; i < s.n; i++)
			any |= t->grew[s.k + i];
		uint64_t *slots = s.at >= 0 && any ? slots_of(series, s.at) : NULL;
		if (s.at < 0 || !any)
			continue;
		if (!slots)
			return -ENOMEM;
		for (uint32_t p = 0; p < values->n_parts; p++) {
			const uint64_t *v = values->parts[p].values;
			uint32_t slot = slot_of(&values->parts[p]);
			for (uint32_t k = s.k; k < s.k + s.n; k++)
				slots[slot] += !t->grew[k] ? 0 : v[k] - (k == first ? series->buckets[slot] : v[k - 1]);
		}
	}
	return 0;
}

static int take_histogram(struct range_values *run, struct range_series *series, const struct columns_values *values)
{
	struct range_ticks *t = &run->ticks;
	struct stretches all = {.ticks = t, .presence = values->presence};
	struct stretch s;
	uint32_t first = UINT32_MAX, last = 0;
	if (!series->buckets)
		series->buckets = calloc(HISTOGRAM_SLOTS, sizeof(*series->buckets));
	if (!series->buckets)
		return -ENOMEM;
	while (next_stretch(&all, &s)) {
		first = first == UINT32_MAX ? s.k : first;
		last = s.k + s.n - 1;
		series->at = s.at;
	}
	if (first == UINT32_MAX)
		return 0;
	look_at_pairs(run, series, values);
	t->grew[first] &= !was_reset(series, values, first);
	for (uint32_t p = 0; p < values->n_parts; p++) {
		const uint64_t *v = values->parts[p].values;
		for (uint32_t k = first + 1; k <= last; k++)
			t->grew[k] &= v[k] >= v[k - 1];
	}
	int r = add_growth(run, series, values, first);
	memset(series->buckets, 0, HISTOGRAM_SLOTS * sizeof(*series->buckets));
	for (uint32_t p = 0; p < values->n_parts; p++)
		series->buckets[slot_of(&values->parts[p])] = values->parts[p].values[last];
	return r;
}

/* How many a histogram counted, reading by reading. */
static int take_counts(struct range_values *run, struct range_series *series, const struct columns_values *values)
{
	uint64_t *counts = calloc(values->n + 1u, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	for (uint32_t p = 0; p < values->n_parts; p++) {
		if (values->parts[p].part < COLUMNS_PART_BUCKET)
			continue;
		for (uint32_t k = 0; k < values->n; k++)
			counts[k] += values->parts[p].values[k];
	}
	take_counter(run, series, SCHEMA_VALUE_UINT, counts, values->presence, NULL);
	free(counts);
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

/* --- all of them ------------------------------------------------------------------------------------------------- */

int range_values_take(struct range_values *run, struct range_series *series, enum schema_value_type type,
		      const struct columns_values *const of[QUERY_STATISTICS])
{
	enum range_function function = run->result->function;
	bool growth = function == RANGE_RATE || function == RANGE_INCREASE;
	const struct columns_values *last = of[QUERY_LAST];
	if (last && type == SCHEMA_VALUE_HISTOGRAM)
		return growth ? take_counts(run, series, last) : take_histogram(run, series, last);
	if (last && growth)
		take_counter(run, series, type, last->parts[0].values, last->presence, of[QUERY_EXTRA]);
	else if (last)
		take_gauge(run, series, type, last);
	else if (function == RANGE_AVG && of[QUERY_SUM] && of[QUERY_COUNT])
		take_average(run, series, of[QUERY_SUM], of[QUERY_COUNT]);
	else if (function == RANGE_SUM && of[QUERY_SUM])
		take_gauge(run, series, SCHEMA_VALUE_DOUBLE, of[QUERY_SUM]);
	else if (function == RANGE_MIN && of[QUERY_MIN])
		take_gauge(run, series, type, of[QUERY_MIN]);
	else if (function == RANGE_MAX && of[QUERY_MAX])
		take_gauge(run, series, type, of[QUERY_MAX]);
	return 0;
}

void range_values_finish(const struct range_values *run)
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
}
