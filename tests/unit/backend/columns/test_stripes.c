/* Columns that can be entered: of the whole and of any part the same values come back. */
#include "backend/columns/stripes.h"

#include "backend/columns/section_reader.h"
#include "backend/columns/section_writer.h"
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY 1500
#define BEFORE 5 /* values that stand before a column, in its stream */

/* Values of which growth has any sign and size, now and then. */
static void make(uint64_t *values, uint32_t n, uint64_t seed, bool any)
{
	uint64_t value = fixture_value(&seed);
	for (uint32_t i = 0; i < n; i++) {
		values[i] = value;
		value += any ? fixture_value(&seed) : 1000000 + 6 * (fixture_random(&seed) % 50000);
	}
}

struct column {
	struct integers_plan plan;
	struct buf bytes;
	uint64_t values[MANY];
	uint32_t n;
};

static void put(struct column *c, enum integers_form form, uint64_t factor)
{
	static int64_t residuals[MANY];
	const int64_t before[BEFORE] = {1, -200, 0, 3, 1 << 20};
	struct residuals_model model;
	struct range_encoder encoder;
	c->plan = (struct integers_plan){.form = form, .first = c->values[0], .base = 77, .factor = factor};
	c->bytes = BUF_INIT(1 << 20);
	assert_int_equal(buf_append(&c->bytes, "head", 4), 0);
	assert_int_equal(buf_reserve(&c->bytes, 1000), 0);
	range_encoder_init(&encoder, c->bytes.data + 4, 1000);
	residuals_model_init(&model, RESIDUALS_VALUES);
	residuals_encode(&model, &encoder, before, BEFORE, NULL);
	/* What is a multiple of the factor, to begin with. */
	integers_split(&(struct integers_plan){.form = form, .first = c->values[0], .base = 77, .factor = 1}, c->values,
		       c->n, residuals);
	for (size_t i = 0; i < integers_residuals(form, c->n); i++)
		residuals[i] /= (int64_t)factor;
	integers_join(&c->plan, residuals, c->n, c->values);
	integers_split(&c->plan, c->values, c->n, residuals);
	assert_int_equal(stripes_put(&c->plan, residuals, c->n, &model, &encoder, 4, &c->bytes), 0);
	assert_memory_equal(c->bytes.data, "head", 4);
}

static int take(const struct column *c, size_t len, unsigned from, unsigned to, uint64_t *ret)
{
	int64_t before[BEFORE];
	struct stripes stripes;
	struct residuals_model model;
	struct range_decoder decoder;
	int r = stripes_take(&c->plan, c->n, wire_reader(c->bytes.data + 4, len), &stripes);
	if (r < 0)
		return r;
	range_decoder_init(&decoder, stripes.data[0], stripes.len[0]);
	residuals_model_init(&model, RESIDUALS_VALUES);
	residuals_decode(&model, &decoder, before, BEFORE, NULL);
	return stripes_decode(&stripes, &c->plan, from, to, &model, &decoder, ret);
}

static void expect_parts(const struct column *c)
{
	static uint64_t back[MANY];
	for (unsigned from = 0; from < STRIPES; from++) {
		for (unsigned to = from + 1; to <= STRIPES; to++) {
			uint32_t first = stripes_begin(c->n, from), end = stripes_begin(c->n, to);
			memset(back, 0x55, sizeof(back));
			assert_int_equal(take(c, c->bytes.len - 4, from, to, back), 0);
			for (uint32_t i = first; i < end; i++)
				assert_int_equal(back[i], c->values[i]);
			for (uint32_t i = stripes_begin(c->n, 1); i < first; i++)
				assert_int_equal(back[i], 0x5555555555555555);
			for (uint32_t i = end > stripes_begin(c->n, 1) ? end : stripes_begin(c->n, 1); i < MANY; i++)
				assert_int_equal(back[i], 0x5555555555555555);
		}
	}
}

static void every_part_comes_back(void **state)
{
	static struct column c;
	static const uint32_t numbers[] = {2 * STRIPES, 2 * STRIPES + 1, 33, 128, MANY};
	for (enum integers_form form = INTEGERS_PLAIN; form < INTEGERS_FORM_END; form++) {
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			for (int any = 0; any < 2; any++) {
				c.n = numbers[i];
				make(c.values, c.n, 17 + i, any);
				put(&c, form, any ? 1 : 3);
				expect_parts(&c);
				buf_free(&c.bytes);
			}
		}
	}
}

static void stripes_are_found_by_values(void **state)
{
	for (uint32_t n = 2 * STRIPES; n < 200; n++) {
		for (uint32_t i = 0; i < n; i++) {
			unsigned k = stripes_of(n, i);
			assert_true(k < STRIPES && stripes_begin(n, k) <= i && i < stripes_begin(n, k + 1));
		}
	}
}

/* Nothing is read that is not there; any bytes are some values. */
static void cut_and_forged_tables(void **state)
{
	static struct column c;
	static uint64_t back[MANY];
	uint64_t seed = 5;
	c.n = MANY;
	make(c.values, c.n, 3, false);
	put(&c, INTEGERS_DELTA2, 1);
	size_t len = c.bytes.len - 4;
	assert_int_equal(take(&c, 0, 0, STRIPES, back), -EPROTO);
	assert_int_equal(take(&c, 20, 0, STRIPES, back), -EPROTO);
	assert_int_equal(take(&c, len / 2, 0, STRIPES, back), -EPROTO);
	assert_int_equal(take(&c, len - 40, 0, STRIPES, back), -EPROTO);
	for (int round = 0; round < 2000; round++) {
		uint8_t *at = &c.bytes.data[4 + fixture_random(&seed) % 60], was = *at;
		*at = (uint8_t)fixture_random(&seed);
		int r = take(&c, len, 0, STRIPES, back);
		assert_true(r == 0 || r == -EPROTO);
		*at = was;
	}
	buf_free(&c.bytes);
}

/* --- in a section ------------------------------------------------------------------------------------------------ */

#define SERIES 12

static struct columns_series series_of(uint32_t i)
{
	struct columns_series s = {
		.section = 11, .numbers = {11, 3, i + 1}, .n_numbers = 3, .custom = "", .kind = SCHEMA_KIND_COUNTER};
	if (i % 3 == 1) {
		s.type = SCHEMA_VALUE_DOUBLE;
		s.kind = SCHEMA_KIND_GAUGE;
	}
	return s;
}

/* Counters, decimals, and what costs next to nothing. */
static uint64_t value_of(uint32_t series, uint32_t i, uint64_t *seed, uint64_t before)
{
	if (series % 3 == 0)
		return before + 100000 + fixture_random(seed) % 65536;
	if (series % 3 == 1)
		return wire_double_bits((double)(fixture_random(seed) % 100000) / 100);
	return before + (i % 100 == 0);
}

struct written {
	struct buf bytes;
	struct presence presences[SERIES];
	uint64_t values[SERIES][MANY];
	struct section_reader *reader;
};

static void write_section(struct written *w, enum columns_form form)
{
	struct section_writer *writer;
	uint64_t seed = 31;
	*w = (struct written){.bytes = BUF_INIT(1 << 24)};
	assert_int_equal(section_writer_new(11, MANY, form, &writer), 0);
	for (uint32_t s = 0; s < SERIES; s++) {
		struct presence *p = &w->presences[s];
		struct columns_series series = series_of(s);
		for (uint32_t tick = 0; tick < MANY; tick++) {
			/* All ticks; with gaps; not there at the beginning and at the end. */
			bool there = s % 4 == 0 || (s % 4 == 1 && tick % 7 != 3) ||
				     (s % 4 > 1 && tick > MANY / 5 && tick < MANY * 4 / 5);
			if (!there)
				continue;
			uint64_t before = p->count > 0 ? w->values[s][p->count - 1] : 0;
			w->values[s][p->count] = value_of(s, tick, &seed, before);
			assert_int_equal(presence_add(p, tick), 0);
		}
		struct columns_values values = {.presence = p, .n = p->count, .n_parts = 1};
		values.parts[0] = (struct columns_part){.part = COLUMNS_PART_VALUE, .values = w->values[s]};
		assert_int_equal(section_writer_add(writer, &series, &values), 0);
	}
	assert_int_equal(section_writer_finish(writer, &w->bytes), 0);
	section_writer_free(writer);
	assert_int_equal(section_reader_open(w->bytes.data, w->bytes.len, MANY, &w->reader), 0);
}

static void written_free(struct written *w)
{
	section_reader_free(w->reader);
	for (uint32_t s = 0; s < SERIES; s++)
		presence_free(&w->presences[s]);
	buf_free(&w->bytes);
}

/* What is told is right, and all that was asked for is told. */
static bool expect_span(const struct written *w, uint32_t s, struct section_span asked, struct columns_values *values)
{
	struct section_span span = asked;
	uint32_t tick, i = presence_rank(&w->presences[s], 0), known = 0;
	assert_int_equal(section_reader_values_within(w->reader, s, &span, values), 0);
	assert_true(span.first <= asked.first && span.end >= asked.end && span.end <= MANY);
	assert_int_equal(values->n, values->presence->count);
	struct presence_cursor cursor = {.presence = &w->presences[s]};
	struct presence_cursor told = {.presence = values->presence};
	for (; presence_next(&cursor, &tick); i++) {
		uint32_t other;
		if (tick < span.first || tick >= span.end)
			continue;
		assert_true(presence_next(&told, &other));
		assert_int_equal(other, tick);
		assert_int_equal(values->parts[0].values[known++], w->values[s][i]);
	}
	assert_int_equal(known, values->n);
	return span.first > 0 || span.end < MANY;
}

static uint32_t expect_spans(const struct written *w)
{
	struct columns_values values = {0};
	uint64_t seed = 41;
	uint32_t parts = 0;
	for (uint32_t s = 0; s < SERIES; s++) {
		assert_false(expect_span(w, s, (struct section_span){.first = 0, .end = MANY}, &values));
		(void)expect_span(w, s, (struct section_span){.first = MANY - 1, .end = MANY}, &values);
	}
	for (int round = 0; round < 1000; round++) {
		uint32_t first = (uint32_t)(fixture_random(&seed) % MANY),
			 n = (uint32_t)(1 + fixture_random(&seed) % (round % 2 ? MANY : 100));
		uint32_t end = first + n < MANY ? first + n : MANY;
		parts += expect_span(w, (uint32_t)(fixture_random(&seed) % SERIES),
				     (struct section_span){.first = first, .end = end}, &values);
	}
	columns_values_free(&values);
	return parts;
}

static void any_span_of_a_series(void **state)
{
	static struct written w;
	write_section(&w, COLUMNS_DENSE);
	assert_in_range(expect_spans(&w), 300, 999);
	written_free(&w);
	write_section(&w, COLUMNS_QUICK);
	assert_int_equal(expect_spans(&w), 0);
	written_free(&w);
}

/* A damaged block costs the series in it, wherever they are entered. */
static void damage_is_told(void **state)
{
	static struct written w;
	struct columns_values values = {0};
	uint32_t damaged = 0;
	write_section(&w, COLUMNS_DENSE);
	w.bytes.data[w.bytes.len - 1] ^= 1;
	for (uint32_t s = 0; s < SERIES; s++) {
		struct section_span span = {.first = 10, .end = 20};
		int r = section_reader_values_within(w.reader, s, &span, &values);
		assert_true(r == 0 || r == -EBADMSG);
		damaged += r < 0;
	}
	assert_in_range(damaged, 1, SERIES / 2);
	columns_values_free(&values);
	written_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_comes_back), cmocka_unit_test(stripes_are_found_by_values),
		cmocka_unit_test(cut_and_forged_tables), cmocka_unit_test(any_span_of_a_series),
		cmocka_unit_test(damage_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
