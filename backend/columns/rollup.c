/* All statistics of a section are written in one pass over it: values are decoded once, which is what costs. Which
 * values make a minute is found out once for all series that were there at the same ticks. */
#include "backend/columns/rollup.h"

#include "backend/columns/chunk.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/section_writer.h"
#include "backend/columns/ticks.h"
#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* The values of one series that lie in one minute: [from, to). */
struct group {
	uint32_t minute, from, to;
	uint32_t kept; /* the last within the boot of the minute's tick, or NONE */
};

struct output {
	struct section_writer *writer;
	struct buf sections;
	struct chunk_section table[COLUMNS_MAX_SECTIONS];
	size_t offsets[COLUMNS_MAX_SECTIONS];
	uint32_t n;
	struct buf written; /* path of the gauge written last, without its type */
	enum schema_value_type written_type;
};

struct rollup {
	struct chunk_reader chunk;
	struct columns_tick *ticks, *minutes;
	uint32_t n_minutes;
	uint32_t *minute_of;		 /* tick */
	uint32_t *boot_of, *minute_boot; /* one more at every change, of ticks and of minutes */
	/* Of the series at hand, and of those that share its ticks. */
	const struct presence *from;
	struct group *groups;
	uint32_t n_groups;
	uint32_t *at;			 /* the tick of each value */
	struct presence all, boot, some; /* minutes: with values; with kept ones; whatever is written */
	struct columns_values in, out;
	struct output outputs[ROLLUP_END];
	struct rollup_result result;
	const struct columns_patience *patience; /* NULL: without end */
};

static void rollup_free(struct rollup **pointer)
{
	struct rollup *u = *pointer;
	if (!u)
		return;
	free(u->ticks);
	free(u->minutes);
	free(u->minute_of);
	free(u->boot_of);
	free(u->minute_boot);
	free(u->groups);
	free(u->at);
	presence_free(&u->all);
	presence_free(&u->boot);
	presence_free(&u->some);
	columns_values_free(&u->in);
	columns_values_free(&u->out);
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		section_writer_free(u->outputs[s].writer);
		buf_free(&u->outputs[s].sections);
		buf_free(&u->outputs[s].written);
	}
	free(u);
}

/* --- ticks --- */

int64_t rollup_minute(int64_t time_us)
{
	int64_t within = time_us % ROLLUP_MINUTE_US;
	if (within < 0)
		within += ROLLUP_MINUTE_US;
	return time_us < INT64_MIN + within ? INT64_MIN : time_us - within;
}

static bool same_boot(const struct columns_tick *a, const struct columns_tick *b)
{
	return memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) == 0;
}

static int read_ticks(struct rollup *u)
{
	size_t n = u->chunk.n_ticks + (size_t)1;
	u->ticks = calloc(n, sizeof(*u->ticks));
	u->minutes = calloc(n, sizeof(*u->minutes));
	u->minute_of = calloc(n, sizeof(*u->minute_of));
	u->boot_of = calloc(n, sizeof(*u->boot_of));
	u->minute_boot = calloc(n, sizeof(*u->minute_boot));
	u->groups = calloc(n, sizeof(*u->groups));
	u->at = calloc(n, sizeof(*u->at));
	if (!u->ticks || !u->minutes || !u->minute_of || !u->boot_of || !u->minute_boot || !u->groups || !u->at)
		return -ENOMEM;
	int r = ticks_take(u->chunk.ticks, u->chunk.ticks_len, u->chunk.n_ticks, u->ticks);
	for (uint32_t i = 0; r == 0 && i < u->chunk.n_ticks; i++) {
		int64_t minute = rollup_minute(u->ticks[i].time_us);
		if (i > 0 && u->ticks[i].time_us < u->ticks[i - 1].time_us)
			return -EPROTO;
		if (u->n_minutes == 0 || u->minutes[u->n_minutes - 1].time_us != minute)
			u->n_minutes++;
		struct columns_tick *m = &u->minutes[u->n_minutes - 1];
		*m = u->ticks[i];
		m->time_us = minute;
		m->received_us = u->ticks[i].time_us;
		u->minute_of[i] = u->n_minutes - 1;
		u->boot_of[i] = i == 0 ? 0 : u->boot_of[i - 1] + !same_boot(&u->ticks[i], &u->ticks[i - 1]);
	}
	for (uint32_t i = 1; r == 0 && i < u->n_minutes; i++)
		u->minute_boot[i] = u->minute_boot[i - 1] + !same_boot(&u->minutes[i], &u->minutes[i - 1]);
	u->result.minutes = u->n_minutes;
	return r;
}

static int find_groups(struct rollup *u)
{
	struct presence_cursor cursor = {.presence = u->in.presence};
	uint32_t tick;
	int r = 0;
	if (u->from == u->in.presence)
		return 0;
	u->from = NULL;
	u->n_groups = 0;
	u->all.n_runs = u->all.count = u->boot.n_runs = u->boot.count = 0;
	for (uint32_t k = 0; presence_next(&cursor, &tick); k++) {
		uint32_t minute = u->minute_of[tick];
		if (u->n_groups == 0 || u->groups[u->n_groups - 1].minute != minute)
			u->groups[u->n_groups++] = (struct group){.minute = minute, .from = k, .kept = NONE};
		struct group *g = &u->groups[u->n_groups - 1];
		g->to = k + 1;
		if (same_boot(&u->ticks[tick], &u->minutes[minute]))
			g->kept = k;
		u->at[k] = tick;
	}
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++) {
		r = presence_add(&u->all, u->groups[i].minute);
		if (r == 0 && u->groups[i].kept != NONE)
			r = presence_add(&u->boot, u->groups[i].minute);
	}
	u->from = r == 0 ? u->in.presence : NULL;
	return r;
}

/* --- what is written --- */

static int write_out(struct rollup *u, enum rollup_statistic statistic, const struct columns_series *series,
		     const struct presence *presence)
{
	u->out.presence = presence;
	u->out.n = presence->count;
	return presence->count == 0 ? 0 : section_writer_add(u->outputs[statistic].writer, series, &u->out);
}

static int write_last(struct rollup *u, const struct columns_series *series)
{
	bool gauge = series->kind != SCHEMA_KIND_COUNTER && series->kind != SCHEMA_KIND_HISTOGRAM;
	int r = columns_values_reserve(&u->out, u->in.n_parts, u->n_groups);
	if (r < 0)
		return r;
	for (uint32_t p = 0; p < u->in.n_parts; p++) {
		const uint64_t *from = u->in.parts[p].values;
		uint32_t n = 0;
		for (uint32_t i = 0; i < u->n_groups; i++) {
			uint32_t k = gauge ? u->groups[i].to - 1 : u->groups[i].kept;
			if (k != NONE)
				u->out.parts[p].values[n++] = from[k];
		}
		u->out.parts[p].part = u->in.parts[p].part;
	}
	u->out.n_parts = u->in.n_parts;
	return write_out(u, ROLLUP_LAST, series, gauge ? &u->all : &u->boot);
}

static double as_double(uint64_t value, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE ? wire_double(value)
	       : type == SCHEMA_VALUE_INT  ? (double)(int64_t)value
					   : (double)value;
}

static bool is_less(uint64_t a, uint64_t b, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE ? wire_double(a) < wire_double(b)
	       : type == SCHEMA_VALUE_INT  ? (int64_t)a < (int64_t)b
					   : a < b;
}

struct gauge {
	uint64_t min, max, count;
	double sum;
};

static struct gauge look_at(const uint64_t *values, const struct group *g, enum schema_value_type type)
{
	struct gauge s = {0};
	for (uint32_t k = g->from; k < g->to; k++) {
		double d = as_double(values[k], type);
		if (isnan(d))
			continue;
		if (s.count == 0 || is_less(values[k], s.min, type))
			s.min = values[k];
		if (s.count == 0 || is_less(s.max, values[k], type))
			s.max = values[k];
		s.sum += d;
		s.count++;
	}
	return s;
}

/* Without the type two series of a custom metric whose type changed are one, out of order: the second is not taken. */
static int may_write(struct output *output, const struct columns_series *series, bool *ret)
{
	struct columns_series plain = *series;
	struct buf path BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	size_t path_len;
	plain.type = SCHEMA_VALUE_UINT;
	plain.n_labels = 0;
	int r = columns_series_key(&plain, &path, &path_len);
	if (r < 0)
		return r;
	bool same = output->written.len == path_len && memcmp(output->written.data, path.data, path_len) == 0;
	*ret = !same || output->written_type == series->type;
	if (same)
		return 0;
	buf_reset(&output->written);
	output->written_type = series->type;
	return buf_append(&output->written, path.data, path_len);
}

static int write_gauge(struct rollup *u, const struct columns_series *series, enum rollup_statistic statistic)
{
	struct columns_series id = *series;
	uint32_t n = 0;
	bool may = true;
	int r = 0;
	if (statistic == ROLLUP_SUM || statistic == ROLLUP_COUNT) {
		r = may_write(&u->outputs[statistic], series, &may);
		id.type = statistic == ROLLUP_SUM ? SCHEMA_VALUE_DOUBLE : SCHEMA_VALUE_UINT;
		u->result.left_out += !may && statistic == ROLLUP_SUM;
	}
	if (r < 0 || !may)
		return r;
	u->some.n_runs = u->some.count = 0;
	r = columns_values_reserve(&u->out, 1, u->n_groups);
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++) {
		struct gauge s = look_at(u->in.parts[0].values, &u->groups[i], series->type);
		if (s.count == 0)
			continue;
		u->out.parts[0].values[n++] = statistic == ROLLUP_MIN	? s.min
					      : statistic == ROLLUP_MAX ? s.max
					      : statistic == ROLLUP_SUM ? wire_double_bits(s.sum)
									: s.count;
		r = presence_add(&u->some, u->groups[i].minute);
	}
	u->out.parts[0].part = COLUMNS_PART_VALUE;
	u->out.n_parts = 1;
	return r < 0 ? r : write_out(u, statistic, &id, &u->some);
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

/* All pairs of the minute, that with the reading before it included. True when none was a reset or of two boots. */
static bool grow_minute(const struct rollup *u, const struct group *g, enum schema_value_type type,
			struct reading *before, struct growth *ret)
{
	const uint64_t *values = u->in.parts[0].values;
	bool plain = true;
	for (uint32_t k = g->from; k < g->to; k++) {
		uint32_t boot = u->boot_of[u->at[k]];
		if (type == SCHEMA_VALUE_DOUBLE && isnan(wire_double(values[k])))
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
static uint64_t extra_of(const struct rollup *u, const struct group *g, enum schema_value_type type,
			 struct reading *before, struct reading *last)
{
	const uint64_t *values = u->in.parts[0].values;
	struct growth all = {0}, shown = {0};
	uint64_t value = values[g->kept];
	if (g->minute == 0)
		*last = (struct reading){.there = same_boot(&u->ticks[u->at[g->from]], &u->minutes[0]),
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

static int write_extra(struct rollup *u, const struct columns_series *series)
{
	struct reading before = {0}, last = {0};
	bool any = false;
	uint32_t n = 0;
	int r = columns_values_reserve(&u->out, 1, u->n_groups);
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++) {
		const struct group *g = &u->groups[i];
		struct growth lost = {0};
		if (g->kept == NONE) {
			(void)grow_minute(u, g, series->type, &before, &lost);
			continue;
		}
		uint64_t extra = extra_of(u, g, series->type, &before, &last);
		last = (struct reading){
			.there = true, .value = u->in.parts[0].values[g->kept], .boot = u->minute_boot[g->minute]};
		u->out.parts[0].values[n++] = extra;
		any |= extra != 0;
	}
	u->out.parts[0].part = COLUMNS_PART_VALUE;
	u->out.n_parts = 1;
	return r < 0 || !any ? r : write_out(u, ROLLUP_EXTRA, series, &u->boot);
}

/* --- sections --- */

static int take_series(struct rollup *u, const struct columns_series *series)
{
	int r = find_groups(u);
	u->result.samples += u->in.n;
	if (r == 0)
		r = write_last(u, series);
	if (series->type == SCHEMA_VALUE_HISTOGRAM || u->in.n_parts != 1)
		return r;
	if (series->kind == SCHEMA_KIND_COUNTER)
		return r < 0 ? r : write_extra(u, series);
	for (enum rollup_statistic s = ROLLUP_MIN; r == 0 && s <= ROLLUP_COUNT; s++)
		r = write_gauge(u, series, s);
	return r;
}

static int read_section(struct rollup *u, struct section_reader *reader)
{
	struct columns_series series;
	int r = 0;
	u->from = NULL;
	for (uint32_t i = 0; r == 0 && i < section_reader_series(reader); i++) {
		if (u->patience && !u->patience->go_on(u->patience->arg))
			return -ECANCELED;
		section_reader_get(reader, i, &series);
		r = section_reader_values(reader, i, &u->in);
		if (r == 0) {
			r = take_series(u, &series);
		} else if (r == -EBADMSG || r == -EPROTO) {
			u->result.damaged_series++;
			r = 0;
		}
	}
	return r;
}

static int begin_section(struct rollup *u, uint32_t number)
{
	int r = 0;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		buf_reset(&u->outputs[s].written);
		r = section_writer_new(number, u->n_minutes, COLUMNS_DENSE, &u->outputs[s].writer);
	}
	return r;
}

static int end_section(struct rollup *u, uint32_t number)
{
	int r = 0;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		struct output *o = &u->outputs[s];
		uint32_t n_series = section_writer_series(o->writer);
		size_t before = o->sections.len;
		if (n_series > 0) {
			r = section_writer_finish(o->writer, &o->sections);
			o->offsets[o->n] = before;
			o->table[o->n++] = (struct chunk_section){
				.number = number, .n_series = n_series, .len = (uint32_t)(o->sections.len - before)};
		}
		section_writer_free(o->writer);
		o->writer = NULL;
	}
	return r;
}

static int take_section(struct rollup *u, const struct chunk_section *section)
{
	struct section_reader *reader = NULL;
	int r = section_reader_open(section->data, section->len, u->chunk.n_ticks, &reader);
	if (r == 0 && section_reader_number(reader) != section->number)
		r = -EPROTO;
	if (r == 0)
		r = begin_section(u, section->number);
	else if (r == -EBADMSG || r == -EPROTO) {
		u->result.damaged_sections++;
		section_reader_free(reader);
		return 0;
	}
	if (r == 0)
		r = read_section(u, reader);
	if (r == 0)
		r = end_section(u, section->number);
	section_reader_free(reader);
	return r;
}

static int put_chunks(struct rollup *u, struct buf out[ROLLUP_END])
{
	size_t before[ROLLUP_END];
	int r = 0;
	for (enum rollup_statistic s = ROLLUP_LAST; s < ROLLUP_END; s++)
		before[s] = out[s].len;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		struct output *o = &u->outputs[s];
		for (uint32_t i = 0; i < o->n; i++)
			o->table[i].data = o->sections.data + o->offsets[i];
		if (o->n > 0)
			r = chunk_put(u->minutes, u->n_minutes, o->table, o->n, &out[s]);
	}
	for (enum rollup_statistic s = ROLLUP_LAST; r < 0 && s < ROLLUP_END; s++)
		out[s].len = before[s];
	return r;
}

static int roll_up(const uint8_t *data, size_t len, const struct columns_patience *patience, struct buf out[ROLLUP_END],
		   struct rollup_result *ret)
{
	struct rollup *u __attribute__((cleanup(rollup_free))) = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->patience = patience;
	for (enum rollup_statistic s = ROLLUP_LAST; s < ROLLUP_END; s++) {
		u->outputs[s].sections = BUF_INIT(COLUMNS_MAX_SECTION);
		u->outputs[s].written = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	}
	int r = chunk_open(data, len, &u->chunk);
	if (r == 0)
		r = read_ticks(u);
	for (uint32_t i = 0; r == 0 && i < u->chunk.n_sections; i++)
		r = chunk_section_has_texts(u->chunk.sections[i].number) ? 0 : take_section(u, &u->chunk.sections[i]);
	if (r == 0)
		r = put_chunks(u, out);
	if (r == 0)
		*ret = u->result;
	/* Series out of order: a section no writer wrote. */
	return r == -EINVAL ? -EPROTO : r;
}

int rollup_minutes(const uint8_t *data, size_t len, struct buf out[ROLLUP_END], struct rollup_result *ret)
{
	return roll_up(data, len, NULL, out, ret);
}

int rollup_minutes_while(const uint8_t *data, size_t len, const struct columns_patience *patience,
			 struct buf out[ROLLUP_END], struct rollup_result *ret)
{
	return roll_up(data, len, patience, out, ret);
}
