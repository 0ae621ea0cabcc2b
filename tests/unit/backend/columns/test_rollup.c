/* Minutes of chunks made by chance, against a model that looks at every reading of a chunk anew for each minute. */
#include "backend/columns/rollup.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (1u << 28)

/* A chunk, wholly unpacked. */
struct open_series {
	struct columns_series id;
	struct buf key; /* without its type */
	struct columns_values values;
	uint32_t *at; /* the tick of each value */
};
struct opened {
	struct columns_tick *ticks;
	uint32_t n_ticks;
	struct section_reader *sections[COLUMNS_MAX_SECTIONS];
	uint32_t n_sections;
	struct open_series *series;
	uint32_t n_series;
};

static void open_series(struct opened *o, struct section_reader *section, uint32_t i)
{
	o->series = realloc(o->series, (o->n_series + 1u) * sizeof(*o->series));
	assert_non_null(o->series);
	struct open_series *s = &o->series[o->n_series++];
	*s = (struct open_series){.key = BUF_INIT(1 << 20)};
	section_reader_get(section, i, &s->id);
	assert_int_equal(section_reader_values(section, i, &s->values), 0);
	s->at = calloc(s->values.n + 1u, sizeof(*s->at));
	struct presence_cursor cursor = {.presence = s->values.presence};
	for (uint32_t k = 0; presence_next(&cursor, &s->at[k]);)
		k++;
	struct columns_series plain = s->id;
	size_t path_len;
	plain.type = SCHEMA_VALUE_UINT;
	assert_int_equal(columns_series_key(&plain, &s->key, &path_len), 0);
}

static void open_chunk(const struct buf *bytes, struct opened *o)
{
	struct chunk_reader chunk;
	*o = (struct opened){0};
	assert_int_equal(chunk_open(bytes->data, bytes->len, &chunk), 0);
	o->n_ticks = chunk.n_ticks;
	o->ticks = calloc(chunk.n_ticks + 1u, sizeof(*o->ticks));
	assert_int_equal(ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, o->ticks), 0);
	for (uint32_t i = 0; i < chunk.n_sections; i++) {
		if (chunk_section_has_texts(chunk.sections[i].number))
			continue;
		struct section_reader **section = &o->sections[o->n_sections++];
		assert_int_equal(
			section_reader_open(chunk.sections[i].data, chunk.sections[i].len, chunk.n_ticks, section), 0);
		for (uint32_t k = 0; k < section_reader_series(*section); k++)
			open_series(o, *section, k);
	}
}

static void close_chunk(struct opened *o)
{
	for (uint32_t i = 0; i < o->n_series; i++) {
		buf_free(&o->series[i].key);
		columns_values_free(&o->series[i].values);
		free(o->series[i].at);
	}
	for (uint32_t i = 0; i < o->n_sections; i++)
		section_reader_free(o->sections[i]);
	free(o->series);
	free(o->ticks);
}

static const struct open_series *find(const struct opened *o, const struct open_series *like)
{
	for (uint32_t i = 0; i < o->n_series; i++) {
		const struct open_series *s = &o->series[i];
		if (s->id.section == like->id.section && s->key.len == like->key.len &&
		    memcmp(s->key.data, like->key.data, s->key.len) == 0)
			return s;
	}
	return NULL;
}

/* The value at the tick of a minute; false when there is none. */
static bool value_at(const struct opened *o, const struct open_series *s, int64_t minute_us, uint32_t part,
		     uint64_t *ret)
{
	for (uint32_t k = 0; s && k < s->values.n; k++) {
		if (o->ticks[s->at[k]].time_us != minute_us)
			continue;
		*ret = 0;
		for (uint32_t p = 0; p < s->values.n_parts; p++) {
			if (s->values.parts[p].part == part)
				*ret = s->values.parts[p].values[k];
		}
		return true;
	}
	return false;
}

/* --- the model --- */

static bool in_minute(const struct opened *raw, uint32_t tick, int64_t minute_us)
{
	return raw->ticks[tick].time_us >= minute_us && raw->ticks[tick].time_us < minute_us + 60000000;
}

static const uint8_t *boot_of_minute(const struct opened *raw, int64_t minute_us)
{
	const uint8_t *boot = NULL;
	for (uint32_t i = 0; i < raw->n_ticks; i++) {
		if (in_minute(raw, i, minute_us))
			boot = raw->ticks[i].boot_id;
	}
	return boot;
}

/* The index of what LAST is to be, or -1. */
static int64_t model_last(const struct opened *raw, const struct open_series *s, int64_t minute_us)
{
	bool grows = s->id.kind == SCHEMA_KIND_COUNTER || s->id.kind == SCHEMA_KIND_HISTOGRAM;
	int64_t last = -1;
	for (uint32_t k = 0; k < s->values.n; k++) {
		if (in_minute(raw, s->at[k], minute_us) &&
		    (!grows || memcmp(raw->ticks[s->at[k]].boot_id, boot_of_minute(raw, minute_us), 16) == 0))
			last = k;
	}
	return last;
}

static double real_value(uint64_t v, enum schema_value_type type)
{
	return type == SCHEMA_VALUE_DOUBLE ? wire_double(v) : type == SCHEMA_VALUE_INT ? (double)(int64_t)v : (double)v;
}

static void expect_gauge(const struct opened *raw, const struct open_series *s, const struct opened *stats,
			 int64_t minute_us)
{
	uint64_t got[ROLLUP_END] = {0};
	bool has[ROLLUP_END] = {false};
	double sum = 0, min = INFINITY, max = -INFINITY;
	uint64_t count = 0;
	for (uint32_t k = 0; k < s->values.n; k++) {
		double v = real_value(s->values.parts[0].values[k], s->id.type);
		if (!in_minute(raw, s->at[k], minute_us) || isnan(v))
			continue;
		min = v < min ? v : min;
		max = v > max ? v : max;
		sum += v;
		count++;
	}
	for (unsigned i = ROLLUP_MIN; i <= ROLLUP_COUNT; i++) {
		has[i] = value_at(&stats[i], find(&stats[i], s), minute_us, COLUMNS_PART_VALUE, &got[i]);
		assert_int_equal(has[i], count > 0);
	}
	if (count == 0)
		return;
	assert_true(real_value(got[ROLLUP_MIN], s->id.type) == min);
	assert_true(real_value(got[ROLLUP_MAX], s->id.type) == max);
	assert_int_equal(got[ROLLUP_COUNT], count);
	double s_got = wire_double(got[ROLLUP_SUM]);
	assert_true(s_got == sum || (isnan(s_got) && isnan(sum)));
}

/* What a reader of minutes reckons, and what one of raw readings does: the same, but for what lies before the chunk. */
static void expect_growth(const struct opened *raw, const struct open_series *s, const struct opened *stats)
{
	const struct opened *last = &stats[ROLLUP_LAST], *extra = &stats[ROLLUP_EXTRA];
	const struct open_series *lasts = find(last, s), *extras = find(extra, s);
	__extension__ unsigned __int128 true_growth = 0, told = 0;
	uint64_t first_seen = 0;
	bool all_kept = true;
	if (!lasts)
		return;
	for (uint32_t k = 0; k < s->values.n; k++) {
		const struct columns_tick *t = &raw->ticks[s->at[k]];
		all_kept &= model_last(raw, s, rollup_minute(t->time_us)) >= 0;
		bool boot_changed = false;
		for (uint32_t i = k > 0 ? s->at[k - 1] : s->at[k]; i < s->at[k]; i++)
			boot_changed |= memcmp(raw->ticks[i].boot_id, raw->ticks[i + 1].boot_id, 16) != 0;
		if (k > 0 && !boot_changed && s->values.parts[0].values[k] > s->values.parts[0].values[k - 1])
			true_growth += s->values.parts[0].values[k] - s->values.parts[0].values[k - 1];
	}
	for (uint32_t k = 0; k < lasts->values.n; k++) {
		uint64_t v = lasts->values.parts[0].values[k], e = 0;
		bool boot_changed = false;
		for (uint32_t i = k > 0 ? lasts->at[k - 1] : 0; k > 0 && i < lasts->at[k]; i++)
			boot_changed |= memcmp(last->ticks[i].boot_id, last->ticks[i + 1].boot_id, 16) != 0;
		if (extras && value_at(extra, extras, last->ticks[lasts->at[k]].time_us, 0, &e))
			told += e;
		if (k > 0 && !boot_changed && v > lasts->values.parts[0].values[k - 1])
			told += v - lasts->values.parts[0].values[k - 1];
		if (k == 0 && lasts->at[0] == 0 &&
		    memcmp(raw->ticks[s->at[0]].boot_id, last->ticks[0].boot_id, 16) == 0) {
			first_seen = s->values.parts[0].values[0];
			told += v > first_seen ? v - first_seen : 0;
		}
	}
	/* Growth within a minute beyond 64 bits is not kept. */
	if (all_kept && true_growth <= UINT64_MAX)
		assert_true(true_growth == told);
	else
		assert_true(true_growth >= told);
}

static void expect_last(const struct opened *raw, const struct open_series *s, const struct opened *stats,
			int64_t minute_us)
{
	const struct opened *last = &stats[ROLLUP_LAST];
	int64_t k = model_last(raw, s, minute_us);
	for (uint32_t p = 0; p < s->values.n_parts; p++) {
		uint64_t got;
		bool has = value_at(last, find(last, s), minute_us, s->values.parts[p].part, &got);
		assert_int_equal(has, k >= 0);
		assert_true(!has || got == s->values.parts[p].values[k]);
	}
}

static void expect_ticks(const struct opened *raw, const struct opened *minutes)
{
	uint32_t m = 0;
	for (uint32_t i = 0; i < raw->n_ticks; i++) {
		int64_t begin = raw->ticks[i].time_us - raw->ticks[i].time_us % 60000000;
		if (i + 1 < raw->n_ticks && raw->ticks[i + 1].time_us < begin + 60000000)
			continue;
		struct columns_tick expected = raw->ticks[i];
		expected.time_us = begin;
		expected.received_us = raw->ticks[i].time_us;
		assert_true(m < minutes->n_ticks);
		assert_memory_equal(&minutes->ticks[m++], &expected, sizeof(expected));
	}
	assert_int_equal(m, minutes->n_ticks);
}

static void roll_up(const struct buf *chunk, struct buf out[ROLLUP_END], struct opened stats[ROLLUP_END],
		    struct rollup_result *result)
{
	for (unsigned i = 0; i < ROLLUP_END; i++) {
		out[i] = BUF_INIT(MAX_BYTES);
		stats[i] = (struct opened){0};
	}
	assert_int_equal(rollup_minutes(chunk->data, chunk->len, out, result), 0);
	for (unsigned i = ROLLUP_LAST; i < ROLLUP_END; i++) {
		if (out[i].len > 0)
			open_chunk(&out[i], &stats[i]);
	}
}

static void put_away(struct buf out[ROLLUP_END], struct opened stats[ROLLUP_END])
{
	for (unsigned i = 0; i < ROLLUP_END; i++) {
		buf_free(&out[i]);
		close_chunk(&stats[i]);
	}
}

static void check(uint64_t seed, bool wild, uint32_t n)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(MAX_BYTES), out[ROLLUP_END];
	struct opened raw, stats[ROLLUP_END];
	struct rollup_result result;
	uint64_t samples = 0;
	fixture_chunk(seed, wild, n, &chunk);
	roll_up(&chunk, out, stats, &result);
	open_chunk(&chunk, &raw);
	expect_ticks(&raw, &stats[ROLLUP_LAST]);
	for (uint32_t i = 0; i < raw.n_series; i++) {
		const struct open_series *s = &raw.series[i];
		bool gauge = s->id.kind == SCHEMA_KIND_GAUGE;
		samples += s->values.n;
		for (uint32_t m = 0; m < stats[ROLLUP_LAST].n_ticks; m++) {
			expect_last(&raw, s, stats, stats[ROLLUP_LAST].ticks[m].time_us);
			if (gauge)
				expect_gauge(&raw, s, stats, stats[ROLLUP_LAST].ticks[m].time_us);
		}
		for (unsigned k = ROLLUP_MIN; !gauge && k <= ROLLUP_COUNT; k++)
			assert_null(find(&stats[k], s));
		if (s->id.kind == SCHEMA_KIND_COUNTER && s->id.type != SCHEMA_VALUE_DOUBLE)
			expect_growth(&raw, s, stats);
		else
			assert_null(find(&stats[ROLLUP_EXTRA], s));
	}
	assert_int_equal(result.samples, samples);
	assert_int_equal(result.minutes, stats[ROLLUP_LAST].n_ticks);
	assert_int_equal(result.damaged_sections + result.damaged_series + result.left_out, 0);
	close_chunk(&raw);
	put_away(out, stats);
}

static void minutes_are_those_of_the_model(void **state)
{
	for (uint64_t seed = 1; seed < 4; seed++)
		check(seed, false, 300);
}

static void any_values_too(void **state)
{
	for (uint64_t seed = 21; seed < 24; seed++)
		check(seed, true, 200);
}

/* --- by hand --- */

static void add(struct chunk_builder *b, int64_t second, uint8_t boot, const struct buf *metrics)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 16);
	struct columns_tick tick = {.time_us = 1795258800000000 + second * 1000000,
				    .sequence = (uint64_t)second + 1,
				    .interval_ms = 1000,
				    .boot_id = {boot}};
	fixture_custom_section(metrics, &payload);
	fixture_add(b, &tick, &payload);
}

static void add_counter(struct chunk_builder *b, int64_t second, uint8_t boot, uint64_t value)
{
	struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16);
	fixture_custom_uint(&metrics, "c", value);
	add(b, second, boot, &metrics);
}

static void expect_extras(struct chunk_builder *b, const uint64_t *extras, uint32_t n)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(MAX_BYTES), out[ROLLUP_END];
	struct opened stats[ROLLUP_END];
	struct rollup_result result;
	fixture_finish(b, &chunk);
	roll_up(&chunk, out, stats, &result);
	assert_int_equal(stats[ROLLUP_EXTRA].n_series, n > 0);
	assert_int_equal(out[ROLLUP_EXTRA].len > 0, n > 0);
	assert_int_equal(out[ROLLUP_MIN].len, 0);
	if (n > 0) {
		assert_int_equal(stats[ROLLUP_EXTRA].series[0].values.n, n);
		assert_memory_equal(stats[ROLLUP_EXTRA].series[0].values.parts[0].values, extras, n * sizeof(*extras));
	}
	put_away(out, stats);
}

static struct chunk_builder *builder(void)
{
	struct chunk_builder *b;
	assert_int_equal(chunk_builder_new(1 << 24, &b), 0);
	return b;
}

/* 100 110 | 120 5 25 | 40: what the second minute's 25 after 110 hides is 10 + 20, and the third hides nothing. */
static void a_reset_is_made_up_for(void **state)
{
	struct chunk_builder *b = builder();
	const int64_t at[] = {0, 30, 70, 80, 90, 150};
	const uint64_t v[] = {100, 110, 120, 5, 25, 40};
	for (size_t i = 0; i < 6; i++)
		add_counter(b, at[i], 1, v[i]);
	expect_extras(b, (const uint64_t[]){0, 30, 0}, 3);
	/* Where nothing is hidden there is no series, and no chunk. */
	b = builder();
	for (uint64_t i = 0; i < 6; i++)
		add_counter(b, at[i], 1, i * i);
	expect_extras(b, NULL, 0);
}

/* 10 20 | 30 and, after a restart, 50 60 | 90: nobody knows what was between 30 and 50. */
static void a_restart_parts_readings(void **state)
{
	struct chunk_builder *b = builder();
	const int64_t at[] = {0, 30, 70, 80, 90, 150};
	const uint64_t v[] = {10, 20, 30, 50, 60, 90};
	for (size_t i = 0; i < 6; i++)
		add_counter(b, at[i], i < 3 ? 1 : 2, v[i]);
	expect_extras(b, (const uint64_t[]){0, 20, 0}, 3);
}

/* A counter that comes in the second minute: its growth there has no reading before it to show it. */
static void a_new_series_has_grown_too(void **state)
{
	struct chunk_builder *b = builder();
	struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16);
	add(b, 0, 1, &metrics);
	add_counter(b, 70, 1, 7);
	add_counter(b, 80, 1, 17);
	add_counter(b, 130, 1, 20);
	expect_extras(b, (const uint64_t[]){10, 0}, 2);
}

/* One name, gauges of two types: each has its extremes, and one of them sum and count. */
static void a_type_that_changed_is_said(void **state)
{
	struct chunk_builder *b = builder();
	struct buf chunk BUF_CLEANUP = BUF_INIT(MAX_BYTES), out[ROLLUP_END];
	struct opened stats[ROLLUP_END];
	struct rollup_result result;
	for (int64_t i = 0; i < 10; i++) {
		struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16);
		if (i < 5)
			fixture_custom_int(&metrics, "g", i - 3);
		else
			fixture_custom_double(&metrics, "g", wire_double_bits((double)i / 2));
		add(b, i, 1, &metrics);
	}
	fixture_finish(b, &chunk);
	roll_up(&chunk, out, stats, &result);
	assert_int_equal(result.left_out, 1);
	assert_int_equal(stats[ROLLUP_LAST].n_series, 2);
	assert_int_equal(stats[ROLLUP_MIN].n_series, 2);
	assert_int_equal(stats[ROLLUP_SUM].n_series, 1);
	assert_int_equal(stats[ROLLUP_COUNT].series[0].values.parts[0].values[0], 5);
	put_away(out, stats);
}

static void damage_is_told(void **state)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(MAX_BYTES), out[ROLLUP_END];
	struct chunk_reader reader;
	struct opened stats[ROLLUP_END];
	struct rollup_result result;
	fixture_chunk(47, true, 600, &chunk);
	assert_int_equal(chunk_open(chunk.data, chunk.len, &reader), 0);
	size_t section = (size_t)(chunk_find(&reader, 23)->data - chunk.data), len = chunk_find(&reader, 23)->len;
	chunk.data[section + len - 10] ^= 0x40;
	roll_up(&chunk, out, stats, &result);
	assert_true(result.damaged_series > 0);
	assert_int_equal(result.damaged_sections, 0);
	put_away(out, stats);
	chunk.data[section + 20] ^= 1;
	roll_up(&chunk, out, stats, &result);
	assert_int_equal(result.damaged_sections, 1);
	assert_true(stats[ROLLUP_LAST].n_series > 10);
	for (uint32_t i = 0; i < stats[ROLLUP_LAST].n_series; i++)
		assert_int_not_equal(stats[ROLLUP_LAST].series[i].id.section, 23);
	put_away(out, stats);
	/* Ticks that cannot be read leave nothing, header neither. */
	chunk.data[(size_t)(reader.ticks - chunk.data) + 6] ^= 1;
	for (unsigned i = 0; i < ROLLUP_END; i++)
		out[i] = BUF_INIT(MAX_BYTES);
	assert_int_equal(rollup_minutes(chunk.data, chunk.len, out, &result), -EBADMSG);
	assert_int_equal(rollup_minutes(chunk.data, 40, out, &result), -EBADMSG);
	assert_int_equal(out[ROLLUP_LAST].len, 0);
}

static void nothing_is_nothing(void **state)
{
	struct chunk_builder *b = builder();
	struct buf chunk BUF_CLEANUP = BUF_INIT(MAX_BYTES), out[ROLLUP_END];
	struct opened stats[ROLLUP_END];
	struct rollup_result result;
	fixture_finish(b, &chunk);
	roll_up(&chunk, out, stats, &result);
	for (unsigned i = 0; i < ROLLUP_END; i++)
		assert_int_equal(out[i].len, 0);
	put_away(out, stats);
}

static void minutes_begin_where_they_should(void **state)
{
	assert_true(rollup_minute(0) == 0);
	assert_true(rollup_minute(59999999) == 0);
	assert_true(rollup_minute(60000000) == 60000000);
	assert_true(rollup_minute(-1) == -60000000);
	assert_true(rollup_minute(-60000000) == -60000000);
	assert_true(rollup_minute(INT64_MIN) == INT64_MIN);
	assert_true(rollup_minute(INT64_MAX) <= INT64_MAX - INT64_MAX % 60000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minutes_are_those_of_the_model),
		cmocka_unit_test(any_values_too),
		cmocka_unit_test(a_reset_is_made_up_for),
		cmocka_unit_test(a_restart_parts_readings),
		cmocka_unit_test(a_new_series_has_grown_too),
		cmocka_unit_test(a_type_that_changed_is_said),
		cmocka_unit_test(damage_is_told),
		cmocka_unit_test(nothing_is_nothing),
		cmocka_unit_test(minutes_begin_where_they_should),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
