/* What the minutes of one series are. Most counters never go back and most hosts do not boot within six hours: then a
 * minute's growth is what LAST shows, which one look at the whole column tells. */
#include "backend/columns/rollup_state.h"
#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define NONE ROLLUP_NONE
#define INLINE static inline __attribute__((always_inline))

/* Which set of minutes, of those that a set of ticks leads to. */
enum minutes { ALL, BOOT, SOME };

static const struct presence *presence_of(const struct rollup *u, enum minutes minutes)
{
	return minutes == ALL ? &u->all : minutes == BOOT ? &u->boot : &u->some;
}

static struct section_writer_place place_of(const struct rollup *u, enum minutes minutes)
{
	struct section_writer_place place = *u->place;
	place.ticks = minutes == SOME			 ? SECTION_WRITER_UNKNOWN
		      : minutes == ALL || u->boot_is_all ? 2 * u->place->ticks
							 : 2 * u->place->ticks + 1;
	return place;
}

static int write_out(struct rollup *u, enum rollup_statistic statistic, const struct columns_series *series,
		     enum minutes minutes)
{
	struct section_writer *writer = u->outputs[statistic].writer;
	u->out.presence = presence_of(u, minutes);
	u->out.n = u->out.presence->count;
	if (u->out.n == 0)
		return 0;
	if (!u->place)
		return section_writer_add(writer, series, &u->out);
	const struct section_writer_place place = place_of(u, minutes);
	return section_writer_add_placed(writer, series, &u->out, &place);
}

static int write_last(struct rollup *u, const struct columns_series *series)
{
	bool gauge = series->kind != SCHEMA_KIND_COUNTER && series->kind != SCHEMA_KIND_HISTOGRAM;
	const struct columns_values *in = u->in;
	int r = columns_values_reserve(&u->out, in->n_parts, u->n_groups);
	if (r < 0)
		return r;
	for (uint32_t p = 0; p < in->n_parts; p++) {
		const uint64_t *from = in->parts[p].values;
		uint64_t *to = u->out.parts[p].values;
		uint32_t n = 0;
		for (uint32_t i = 0; i < u->n_groups; i++) {
			uint32_t k = gauge ? u->groups[i].to - 1 : u->groups[i].kept;
			if (k != NONE)
				to[n++] = from[k];
		}
		u->out.parts[p].part = in->parts[p].part;
	}
	u->out.n_parts = in->n_parts;
	return write_out(u, ROLLUP_LAST, series, gauge ? ALL : BOOT);
}

INLINE double as_double(uint64_t value, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE ? wire_double(value)
	       : type == SCHEMA_VALUE_INT  ? (double)(int64_t)value
					   : (double)value;
}

INLINE bool is_less(uint64_t a, uint64_t b, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE ? wire_double(a) < wire_double(b)
	       : type == SCHEMA_VALUE_INT  ? (int64_t)a < (int64_t)b
					   : a < b;
}

INLINE bool is_nan(uint64_t value, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE && isnan(wire_double(value));
}

/* --- gauges --- */

INLINE struct rollup_gauge look_at(const uint64_t *values, const struct rollup_group *g, enum schema_value_type type)
{
	struct rollup_gauge s = {0};
	for (uint32_t k = g->from; k < g->to; k++) {
		uint64_t v = values[k];
		if (is_nan(v, type))
			continue;
		s.min = s.count == 0 || is_less(v, s.min, type) ? v : s.min;
		s.max = s.count == 0 || is_less(s.max, v, type) ? v : s.max;
		s.sum += as_double(v, type);
		s.count++;
	}
	return s;
}

static void look_at_all(struct rollup *u, enum schema_value_type type)
{
	const uint64_t *values = u->in->parts[0].values;
	for (uint32_t i = 0; i < u->n_groups; i++) {
		const struct rollup_group *g = &u->groups[i];
		u->gauges[i] = type == SCHEMA_VALUE_DOUBLE ? look_at(values, g, SCHEMA_VALUE_DOUBLE)
			       : type == SCHEMA_VALUE_INT  ? look_at(values, g, SCHEMA_VALUE_INT)
							   : look_at(values, g, SCHEMA_VALUE_UINT);
	}
}

/* Without the type two series of a custom metric whose type changed are one, out of order: the second is not taken. */
static int may_write(struct rollup *u, const struct columns_series *s, bool *ret)
{
	struct columns_series *w = &u->written;
	size_t len = strlen(s->custom);
	bool same = u->has_written && w->n_numbers == s->n_numbers &&
		    memcmp(w->numbers, s->numbers, s->n_numbers * sizeof(*s->numbers)) == 0 && w->kind == s->kind &&
		    w->unit == s->unit && u->written_custom.len == len &&
		    (len == 0 || memcmp(u->written_custom.data, s->custom, len) == 0);
	*ret = !same || w->type == s->type;
	if (same)
		return 0;
	*w = *s;
	u->has_written = true;
	buf_reset(&u->written_custom);
	return len > 0 ? buf_append(&u->written_custom, s->custom, len) : 0;
}

static uint64_t told(const struct rollup_gauge *g, enum rollup_statistic statistic)
{
	switch (statistic) {
	case ROLLUP_MIN:
		return g->min;
	case ROLLUP_MAX:
		return g->max;
	case ROLLUP_SUM:
		return wire_double_bits(g->sum);
	default:
		return g->count;
	}
}

static int write_gauge_as(struct rollup *u, enum rollup_statistic statistic, const struct columns_series *series,
			  enum minutes minutes)
{
	uint32_t n = 0;
	int r = columns_values_reserve(&u->out, 1, u->n_groups);
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++) {
		if (u->gauges[i].count > 0)
			u->out.parts[0].values[n++] = told(&u->gauges[i], statistic);
	}
	u->out.parts[0].part = COLUMNS_PART_VALUE;
	u->out.n_parts = 1;
	return r < 0 ? r : write_out(u, statistic, series, minutes);
}

static int write_gauge(struct rollup *u, const struct columns_series *series)
{
	struct columns_series id = *series;
	enum minutes minutes = u->some.count == u->all.count ? ALL : SOME;
	bool may;
	int r = may_write(u, series, &may);
	u->result.left_out += !may;
	for (enum rollup_statistic s = ROLLUP_MIN; r == 0 && s <= (may ? ROLLUP_COUNT : ROLLUP_MAX); s++) {
		if (s == ROLLUP_SUM)
			id.type = SCHEMA_VALUE_DOUBLE;
		else if (s == ROLLUP_COUNT)
			id.type = SCHEMA_VALUE_UINT;
		r = write_gauge_as(u, s, &id, minutes);
	}
	return r;
}

static int write_gauges(struct rollup *u, const struct columns_series *series)
{
	int r = 0;
	look_at_all(u, series->type);
	u->some.n_runs = u->some.count = 0;
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++)
		r = u->gauges[i].count > 0 ? presence_add(&u->some, u->groups[i].minute) : 0;
	return r < 0 ? r : write_gauge(u, series);
}

/* --- growth that LAST does not show --- */

/* Growth as bits of the counter's own type. */
struct growth {
	uint64_t whole;
	double real;
};

static bool grows(uint64_t before, uint64_t after, enum schema_value_type type)
{
	return !is_less(after, before, type);
}

static void grow(struct growth *g, uint64_t before, uint64_t after, enum schema_value_type type)
{
	if (type == SCHEMA_VALUE_DOUBLE)
		g->real += wire_double(after) - wire_double(before);
	else if (__builtin_add_overflow(g->whole, after - before, &g->whole))
		g->whole = UINT64_MAX;
}

struct reading {
	bool there;
	uint64_t value;
	uint32_t boot;
};

static uint32_t boot_at(const struct rollup *u, uint32_t k)
{
	return u->n_boots > 1 ? u->boot_of[u->at[k]] : 0;
}

/* All pairs of the minute, that with the reading before it included. True when none was a reset or of two boots. */
static bool grow_minute(const struct rollup *u, const struct rollup_group *g, enum schema_value_type type,
			struct reading *before, struct growth *ret)
{
	const uint64_t *values = u->in->parts[0].values;
	bool plain = true;
	for (uint32_t k = g->from; k < g->to; k++) {
		uint32_t boot = boot_at(u, k);
		if (is_nan(values[k], type))
			continue;
		if (before->there && before->boot == boot && grows(before->value, values[k], type))
			grow(ret, before->value, values[k], type);
		else if (before->there)
			plain = false;
		*before = (struct reading){.there = true, .value = values[k], .boot = boot};
	}
	return plain;
}

/* What a reader of LAST takes for the growth of this minute. What was before the chunk's first minute is not known
 * here: its first reading stands for it. */
static uint64_t extra_of(const struct rollup *u, const struct rollup_group *g, enum schema_value_type type,
			 struct reading *before, struct reading *last)
{
	const uint64_t *values = u->in->parts[0].values;
	struct growth all = {0}, shown = {0};
	uint64_t value = values[g->kept];
	if (g->minute == 0)
		*last = (struct reading){.there = u->n_boots == 1 ||
						  rollup_same_boot(&u->ticks[u->at[g->from]], &u->minutes[0]),
					 .value = values[g->from],
					 .boot = u->minute_boot[0]};
	bool plain = grow_minute(u, g, type, before, &all);
	bool comparable = last->there && last->boot == u->minute_boot[g->minute];
	if (comparable && grows(last->value, value, type))
		grow(&shown, last->value, value, type);
	if (type == SCHEMA_VALUE_DOUBLE && (isnan(wire_double(value)) || (plain && comparable)))
		return wire_double_bits(0);
	if (type == SCHEMA_VALUE_DOUBLE)
		return wire_double_bits(all.real > shown.real ? all.real - shown.real : 0);
	return all.whole > shown.whole ? all.whole - shown.whole : 0;
}

INLINE bool never_back(const uint64_t *v, uint32_t n, enum schema_value_type type)
{
	unsigned back = is_nan(v[0], type);
	for (uint32_t i = 1; i < n; i++)
		back |= type == SCHEMA_VALUE_DOUBLE ? !(wire_double(v[i]) >= wire_double(v[i - 1]))
						    : is_less(v[i], v[i - 1], type);
	return !back;
}

/* Whether LAST shows all growth behind the first minute that there is: one boot, never smaller, nothing NaN. */
static bool is_plain(const struct rollup *u, enum schema_value_type type)
{
	const uint64_t *v = u->in->parts[0].values;
	return u->n_boots == 1 && (type == SCHEMA_VALUE_DOUBLE ? never_back(v, u->in->n, SCHEMA_VALUE_DOUBLE)
				   : type == SCHEMA_VALUE_INT  ? never_back(v, u->in->n, SCHEMA_VALUE_INT)
							       : never_back(v, u->in->n, SCHEMA_VALUE_UINT));
}

static int write_extra(struct rollup *u, const struct columns_series *series)
{
	struct reading before = {0}, last = {0};
	bool any = false, plain = is_plain(u, series->type);
	uint32_t n = 0;
	/* Its first reading stands for what was before the chunk: it shows that minute too. */
	if (plain && u->groups[0].minute == 0)
		return 0;
	int r = columns_values_reserve(&u->out, 1, u->n_groups);
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++) {
		const struct rollup_group *g = &u->groups[i];
		struct growth lost = {0};
		if (g->kept == NONE) {
			(void)grow_minute(u, g, series->type, &before, &lost);
			continue;
		}
		uint64_t extra = plain && i > 0 ? 0 : extra_of(u, g, series->type, &before, &last);
		last = (struct reading){
			.there = true, .value = u->in->parts[0].values[g->kept], .boot = u->minute_boot[g->minute]};
		u->out.parts[0].values[n++] = extra;
		any |= extra != 0;
		if (plain && !any)
			return 0;
	}
	u->out.parts[0].part = COLUMNS_PART_VALUE;
	u->out.n_parts = 1;
	return r < 0 || !any ? r : write_out(u, ROLLUP_EXTRA, series, BOOT);
}

int rollup_series(struct rollup *u, const struct columns_series *series)
{
	int r = write_last(u, series);
	if (series->type == SCHEMA_VALUE_HISTOGRAM || u->in->n_parts != 1)
		return r;
	if (series->kind == SCHEMA_KIND_COUNTER)
		return r < 0 ? r : write_extra(u, series);
	return r < 0 ? r : write_gauges(u, series);
}

/* --- one value --- */

static int write_one(struct rollup *u, enum rollup_statistic statistic, const struct columns_series *series,
		     uint64_t value, enum minutes minutes)
{
	const struct presence *presence = presence_of(u, minutes);
	const struct section_writer_place place = place_of(u, minutes);
	return presence->count == 0
		       ? 0
		       : section_writer_add_constant(u->outputs[statistic].writer, series, presence, value, &place);
}

/* Added one by one, as a sum of different ones is. */
static double sum_of(double value, uint64_t count)
{
	double sum = 0;
	for (uint64_t i = 0; i < count; i++)
		sum += value;
	return sum;
}

/* SUM and COUNT are as many as there are in a minute, which is mostly the same number. */
static int write_counts(struct rollup *u, const struct columns_series *series, uint64_t value)
{
	struct columns_series sum_id = *series, count_id = *series;
	struct rollup_gauge g = {0};
	double real = as_double(value, series->type);
	bool same = true;
	sum_id.type = SCHEMA_VALUE_DOUBLE;
	count_id.type = SCHEMA_VALUE_UINT;
	for (uint32_t i = 0; i < u->n_groups; i++) {
		uint64_t count = u->groups[i].to - u->groups[i].from;
		same &= i == 0 || count == g.count;
		if (count != g.count)
			g = (struct rollup_gauge){.count = count, .sum = sum_of(real, count)};
		u->gauges[i] = g;
	}
	if (same) {
		int r = write_one(u, ROLLUP_SUM, &sum_id, wire_double_bits(g.sum), ALL);
		return r < 0 ? r : write_one(u, ROLLUP_COUNT, &count_id, g.count, ALL);
	}
	int r = write_gauge_as(u, ROLLUP_SUM, &sum_id, ALL);
	return r < 0 ? r : write_gauge_as(u, ROLLUP_COUNT, &count_id, ALL);
}

int rollup_constant(struct rollup *u, const struct columns_series *series, uint64_t value)
{
	bool gauge = series->kind != SCHEMA_KIND_COUNTER, may;
	int r = write_one(u, ROLLUP_LAST, series, value, gauge ? ALL : BOOT);
	/* What never grows has nothing to say in EXTRA. */
	if (r < 0 || !gauge)
		return r;
	r = may_write(u, series, &may);
	u->result.left_out += !may;
	if (r < 0 || is_nan(value, series->type))
		return r;
	r = write_one(u, ROLLUP_MIN, series, value, ALL);
	if (r == 0)
		r = write_one(u, ROLLUP_MAX, series, value, ALL);
	return r < 0 || !may ? r : write_counts(u, series, value);
}
