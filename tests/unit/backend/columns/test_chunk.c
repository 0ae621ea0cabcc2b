/* What snapshots say is what their chunk says, to the bit. */
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/backend/columns/told.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A constant's is a product and not a sum. */
static bool same_sum(const struct columns_aggregate *a, const struct columns_aggregate *b)
{
	if (a->sum == b->sum || (isnan(a->sum) && isnan(b->sum)))
		return true;
	return a->min == a->max && fabs(a->sum / b->sum - 1) < 1e-9;
}

/* Aggregates of the directory are those of the values. */
static void check_aggregates(const struct buf *bytes)
{
	struct chunk_reader chunk;
	struct columns_values values = {0};
	assert_int_equal(chunk_open(bytes->data, bytes->len, &chunk), 0);
	for (uint32_t s = 0; s < chunk.n_sections; s++) {
		struct section_reader *reader;
		const struct chunk_section *section = &chunk.sections[s];
		if (chunk_section_has_texts(section->number))
			continue;
		assert_int_equal(section_reader_open(section->data, section->len, chunk.n_ticks, &reader), 0);
		assert_int_equal(section_reader_number(reader), section->number);
		assert_int_equal(section_reader_series(reader), section->n_series);
		for (uint32_t i = section->n_series; i-- > 0;) { /* backwards: each block again from its beginning */
			struct columns_series id;
			section_reader_get(reader, i, &id);
			assert_int_equal(section_reader_values(reader, i, &values), 0);
			assert_int_equal(values.n_parts, section_reader_parts(reader, i));
			for (uint32_t p = 0; p < values.n_parts; p++) {
				struct columns_aggregate is, must;
				assert_int_equal(section_reader_aggregate(reader, i, p, &is), values.parts[p].part);
				must = columns_aggregate(values.parts[p].values, values.n, id.type,
							 id.kind != SCHEMA_KIND_GAUGE);
				assert_int_equal(is.count, must.count);
				assert_int_equal(is.nans, must.nans);
				assert_int_equal(is.first, must.first);
				assert_int_equal(is.last, must.last);
				assert_int_equal(is.min, must.min);
				assert_int_equal(is.max, must.max);
				assert_true(is.increase == must.increase);
				assert_true(same_sum(&is, &must));
			}
		}
		section_reader_free(reader);
	}
	columns_values_free(&values);
}

/* The chunk says what was sent, in either form. Frees the builder and the facts. */
static void comes_back(struct chunk_builder *b, struct facts *sent)
{
	for (enum columns_form form = COLUMNS_QUICK; form <= COLUMNS_DENSE; form++) {
		struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 28);
		assert_int_equal(chunk_builder_finish(b, form, &chunk), 0);
		facts_expect(sent, &chunk);
		check_aggregates(&chunk);
	}
	chunk_builder_free(b);
	facts_free(sent);
}

static void round_trip(uint64_t seed, uint32_t n, bool wild)
{
	struct facts sent = {0};
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	struct maker maker;
	assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
	maker_init(&maker, seed, wild);
	for (uint32_t i = 0; i < n; i++) {
		maker_next(&maker, &payload);
		facts_of_payload(&sent, &maker.tick, fixture_schema(), payload.data, payload.len);
		fixture_add(b, &maker.tick, &payload);
		if (i % 7 == 0)
			fixture_add(b, &maker.tick, &payload); /* sent again */
	}
	assert_int_equal(chunk_builder_ticks(b), n);
	assert_int_equal(chunk_builder_duplicates(b), (n + 6) / 7);
	assert_int_equal(chunk_builder_samples(b) + n, sent.n);
	comes_back(b, &sent);
}

static void plausible_snapshots_come_back(void **state)
{
	for (uint64_t seed = 1; seed < 6; seed++)
		round_trip(seed, 400, false);
}

static void wild_snapshots_come_back(void **state)
{
	for (uint64_t seed = 100; seed < 106; seed++)
		round_trip(seed, 300, true);
}

static void few_and_none_come_back(void **state)
{
	for (uint32_t n = 0; n < 8; n++)
		round_trip(50 + n, n, true);
}

static void add_by(struct chunk_builder *b, struct schema *schema, const struct columns_tick *tick,
		   const struct buf *payload)
{
	assert_int_equal(chunk_builder_add(b, tick, schema, payload->data, payload->len), 0);
}

/* Whatever was gathered before: more, by another schema, or malformed at its end. */
static void a_cleared_builder_is_a_new_one(void **state)
{
	struct schema *other = fixture_schema_new();
	struct chunk_builder *used;
	assert_int_equal(chunk_builder_new(1 << 28, &used), 0);
	for (uint64_t seed = 1; seed < 13; seed++) {
		struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20), fresh BUF_CLEANUP = BUF_INIT(1 << 28),
				   again BUF_CLEANUP = BUF_INIT(1 << 28);
		struct schema *schema = seed % 4 == 3 ? other : fixture_schema();
		struct chunk_builder *b;
		struct maker maker;
		assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
		maker_init(&maker, seed, seed % 2 == 0);
		for (uint32_t i = 0; i < 20 + seed * 37 % 200; i++) {
			maker_next(&maker, &payload);
			add_by(b, schema, &maker.tick, &payload);
			add_by(used, schema, &maker.tick, &payload);
		}
		assert_int_equal(chunk_builder_samples(b), chunk_builder_samples(used));
		assert_int_equal(chunk_builder_finish(b, COLUMNS_QUICK, &fresh), 0);
		assert_int_equal(chunk_builder_finish(used, COLUMNS_QUICK, &again), 0);
		assert_int_equal(fresh.len, again.len);
		assert_memory_equal(fresh.data, again.data, fresh.len);
		assert_true(chunk_builder_bytes(used) > 0);
		if (seed % 5 == 0) {
			maker.tick.sequence++;
			assert_int_equal(chunk_builder_add(used, &maker.tick, schema, payload.data, payload.len - 1),
					 -EPROTO);
		}
		chunk_builder_clear(used);
		assert_int_equal(chunk_builder_bytes(used), 0);
		assert_int_equal(chunk_builder_ticks(used) + chunk_builder_samples(used), 0);
		chunk_builder_free(b);
	}
	chunk_builder_free(used);
	schema_unref(other);
}

/* What is remembered from snapshot to snapshot, which a change of schema ends, makes no difference. */
static void what_is_remembered_changes_nothing(void **state)
{
	struct schema *other = fixture_schema_new();
	for (uint64_t seed = 1; seed < 9; seed++) {
		struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20), remembered BUF_CLEANUP = BUF_INIT(1 << 28),
				   forgotten BUF_CLEANUP = BUF_INIT(1 << 28);
		struct chunk_builder *a, *b;
		struct maker maker;
		struct told told;
		assert_int_equal(chunk_builder_new(1 << 28, &a), 0);
		assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
		maker_init(&maker, seed, seed % 4 == 0);
		told_init(&told, seed);
		for (uint32_t i = 0; i < 150; i++) {
			if (seed % 2 == 0)
				maker_next(&maker, &payload);
			else
				told_next(&told, &payload);
			const struct columns_tick *tick = seed % 2 == 0 ? &maker.tick : &told.tick;
			add_by(a, fixture_schema(), tick, &payload);
			add_by(b, i % 2 == 0 ? fixture_schema() : other, tick, &payload);
		}
		fixture_finish(a, &remembered);
		fixture_finish(b, &forgotten);
		assert_int_equal(remembered.len, forgotten.len);
		assert_memory_equal(remembered.data, forgotten.data, remembered.len);
	}
	schema_unref(other);
}

/* Late snapshots: in the order of their time, not of their coming. */
static void late_snapshots_take_their_place(void **state)
{
	struct facts sent = {0};
	struct buf payloads[60];
	struct columns_tick ticks[60];
	struct chunk_builder *b;
	struct maker maker;
	assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
	maker_init(&maker, 7, false);
	for (size_t i = 0; i < 60; i++) {
		payloads[i] = BUF_INIT(1 << 20);
		maker_next(&maker, &payloads[i]);
		ticks[i] = maker.tick;
		facts_of_payload(&sent, &ticks[i], fixture_schema(), payloads[i].data, payloads[i].len);
	}
	for (size_t i = 0; i < 60; i++)
		fixture_add(b, &ticks[(i * 37 + 11) % 60], &payloads[(i * 37 + 11) % 60]);
	comes_back(b, &sent);
	for (size_t i = 0; i < 60; i++)
		buf_free(&payloads[i]);
}

static const uint64_t extremes[] = {0,	     1, UINT64_MAX, 1ull << 63, (1ull << 63) - 1, UINT64_MAX, 0, 42,
				    1 << 20, 5, 5,	    5};
#define N_EXTREMES (sizeof(extremes) / sizeof(extremes[0]))

static void extremes_of_every_kind_come_back(void **state)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
	struct columns_values values = {0};
	struct columns_series id;
	struct chunk_builder *b;
	assert_int_equal(chunk_builder_new(1 << 24, &b), 0);
	for (size_t i = 0; i < N_EXTREMES; i++) {
		struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16), payload BUF_CLEANUP = BUF_INIT(1 << 16);
		struct columns_tick tick = {.time_us = (int64_t)i * 1000000, .sequence = i + 1, .interval_ms = 1000};
		fixture_custom_uint(&metrics, "u", extremes[i]);
		fixture_custom_int(&metrics, "i", (int64_t)extremes[i]);
		fixture_custom_double(&metrics, "d", extremes[i]);
		fixture_custom_section(&metrics, &payload);
		fixture_add(b, &tick, &payload);
	}
	assert_int_equal(chunk_builder_series(b), 3);
	const char *names[] = {"u", "i", "d"};
	const enum schema_value_type types[] = {SCHEMA_VALUE_UINT, SCHEMA_VALUE_INT, SCHEMA_VALUE_DOUBLE};
	for (size_t i = 0; i < 6; i++) {
		size_t k = i % 3;
		buf_reset(&bytes);
		assert_int_equal(chunk_builder_finish(b, i < 3 ? COLUMNS_DENSE : COLUMNS_QUICK, &bytes), 0);
		fixture_custom_find(&bytes, names[k], &values, &id);
		assert_int_equal(id.type, types[k]);
		assert_int_equal(id.kind, k == 0 ? SCHEMA_KIND_COUNTER : SCHEMA_KIND_GAUGE);
		assert_int_equal(values.n, N_EXTREMES);
		assert_memory_equal(values.parts[0].values, extremes, sizeof(extremes));
	}
	chunk_builder_free(b);
	columns_values_free(&values);
}

/* What is not due costs nothing: series at every fifth tick are no larger for the ticks between. */
static size_t size_of(uint32_t n, uint32_t every)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
	struct chunk_builder *b;
	uint64_t seed = 31, value = 0;
	assert_int_equal(chunk_builder_new(1 << 24, &b), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16), payload BUF_CLEANUP = BUF_INIT(1 << 16);
		struct columns_tick tick = {.time_us = i * 1000000ll, .sequence = i + 1, .interval_ms = 1000};
		if (i % every == 0) {
			value += fixture_random(&seed) % 1000;
			fixture_custom_uint(&metrics, "u", value);
			fixture_custom_section(&metrics, &payload);
		}
		fixture_add(b, &tick, &payload);
	}
	fixture_finish(b, &bytes);
	struct chunk_reader chunk;
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
	return chunk_find(&chunk, COLUMNS_CUSTOM_SECTION)->len;
}

static void absence_costs_nothing(void **state)
{
	size_t dense = size_of(1000, 1), sparse = size_of(5000, 5);
	/* Of the same thousand values; the set of ticks itself takes a little. */
	assert_in_range(sparse, dense - 20, dense + 60);
}

static void a_full_builder_says_so(void **state)
{
	struct facts sent = {0};
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	struct maker maker;
	int r = 0;
	assert_int_equal(chunk_builder_new(1 << 20, &b), 0);
	maker_init(&maker, 77, true);
	for (uint32_t i = 0; i < 100000 && r == 0; i++) {
		maker_next(&maker, &payload);
		r = chunk_builder_add(b, &maker.tick, fixture_schema(), payload.data, payload.len);
		if (r == 0)
			facts_of_payload(&sent, &maker.tick, fixture_schema(), payload.data, payload.len);
	}
	assert_int_equal(r, -EMSGSIZE);
	/* The one that found no room is not in it, not even in part. */
	comes_back(b, &sent);
}

static void malformed_payloads_are_told(void **state)
{
	const uint8_t cut[] = {0x5a, 0x7f, 0x01};
	struct columns_tick tick = {.time_us = 1, .sequence = 1};
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	assert_int_equal(chunk_builder_new(1 << 20, &b), 0);
	assert_int_equal(chunk_builder_add(b, &tick, fixture_schema(), cut, sizeof(cut)), -EPROTO);
	assert_int_equal(chunk_builder_ticks(b), 1);
	fixture_finish(b, &bytes);
}

/* A schema made anew has its metrics elsewhere, or other metrics at the same place. */
static void schemas_may_change(void **state)
{
	struct facts sent = {0};
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	struct maker maker;
	assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
	maker_init(&maker, 5, false);
	for (int i = 0; i < 30; i++) {
		struct schema *other = i % 3 ? schema_ref(fixture_schema()) : fixture_schema_new();
		maker_next(&maker, &payload);
		facts_of_payload(&sent, &maker.tick, other, payload.data, payload.len);
		assert_int_equal(chunk_builder_add(b, &maker.tick, other, payload.data, payload.len), 0);
		schema_unref(other);
	}
	comes_back(b, &sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plausible_snapshots_come_back),   cmocka_unit_test(wild_snapshots_come_back),
		cmocka_unit_test(few_and_none_come_back),	   cmocka_unit_test(what_is_remembered_changes_nothing),
		cmocka_unit_test(late_snapshots_take_their_place), cmocka_unit_test(extremes_of_every_kind_come_back),
		cmocka_unit_test(absence_costs_nothing),	   cmocka_unit_test(a_full_builder_says_so),
		cmocka_unit_test(malformed_payloads_are_told),	   cmocka_unit_test(schemas_may_change),
		cmocka_unit_test(a_cleared_builder_is_a_new_one),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
