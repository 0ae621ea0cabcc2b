/* Identities and aggregates. */
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static struct columns_series cpu(uint32_t field, const char *device)
{
	struct columns_series s = {
		.section = 11, .numbers = {11, 3, field}, .n_numbers = 3, .custom = "", .kind = SCHEMA_KIND_COUNTER};
	s.labels[0] = (struct schema_label_value){
		.name = "cpu", .role = SCHEMA_LABEL_NAME, .is_text = true, .text = device, .len = strlen(device)};
	s.n_labels = 1;
	return s;
}

static int compare(const struct columns_series *a, const struct columns_series *b)
{
	struct buf x BUF_CLEANUP = BUF_INIT(1 << 20), y BUF_CLEANUP = BUF_INIT(1 << 20);
	size_t path_len;
	assert_int_equal(columns_series_key(a, &x, &path_len), 0);
	assert_in_range(path_len, 1, x.len - 1);
	assert_int_equal(columns_series_key(b, &y, &path_len), 0);
	int c = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
	return c ? c : x.len < y.len ? -1 : x.len > y.len;
}

static void what_differs_has_another_key(void **state)
{
	struct columns_series a = cpu(2, "0"), b = cpu(2, "0");
	assert_int_equal(compare(&a, &b), 0);
	b = cpu(2, "1");
	assert_true(compare(&a, &b) < 0);
	b = cpu(3, "0");
	assert_true(compare(&a, &b) < 0);
	b = cpu(2, "0");
	b.type = SCHEMA_VALUE_DOUBLE;
	assert_true(compare(&a, &b) != 0);
	b = cpu(2, "0");
	b.ordinal = 1;
	assert_true(compare(&a, &b) != 0);
	b = cpu(2, "0");
	b.labels[0].role = SCHEMA_LABEL_GENERATION;
	assert_true(compare(&a, &b) != 0);
	b.labels[0].is_text = false;
	assert_true(compare(&a, &b) != 0);
	/* Texts of other lengths that are alike where they are joined. */
	a = cpu(2, "ab");
	b = cpu(2, "a");
	assert_true(compare(&a, &b) != 0);
}

static void numbers_sort_as_numbers(void **state)
{
	const uint64_t ascending[] = {0, 1, 9, 10, 255, 256, 65535, 1ull << 40, UINT64_MAX};
	for (size_t i = 1; i < sizeof(ascending) / sizeof(ascending[0]); i++) {
		struct columns_series a = cpu(2, ""), b = cpu(2, "");
		a.labels[0].is_text = b.labels[0].is_text = false;
		a.labels[0].number = ascending[i - 1];
		b.labels[0].number = ascending[i];
		assert_true(compare(&a, &b) < 0);
	}
}

static void a_label_too_long_is_refused(void **state)
{
	static char text[COLUMNS_MAX_TEXT + 2];
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	size_t path_len;
	memset(text, 'x', COLUMNS_MAX_TEXT + 1);
	struct columns_series s = cpu(2, text);
	assert_int_equal(columns_series_key(&s, &out, &path_len), -EMSGSIZE);
	assert_int_equal(out.len, 0);
}

static void counters_grow_around_resets(void **state)
{
	const uint64_t v[] = {100, 150, 10, 10, 60};
	struct columns_aggregate a = columns_aggregate(v, 5, SCHEMA_VALUE_UINT, true);
	assert_int_equal(a.count, 5);
	assert_int_equal(a.first, 100);
	assert_int_equal(a.last, 60);
	assert_int_equal(a.min, 10);
	assert_int_equal(a.max, 150);
	assert_true(a.sum == 330 && a.increase == 100);
	a = columns_aggregate(v, 5, SCHEMA_VALUE_UINT, false);
	assert_true(a.increase == 0);
	const uint64_t big[] = {0, UINT64_MAX};
	a = columns_aggregate(big, 2, SCHEMA_VALUE_UINT, true);
	assert_true(a.increase == 18446744073709551615.0 && a.max == UINT64_MAX);
}

static void signed_values_order_as_such(void **state)
{
	const uint64_t v[] = {0, (uint64_t)-5, 3, (uint64_t)INT64_MIN};
	struct columns_aggregate a = columns_aggregate(v, 4, SCHEMA_VALUE_INT, false);
	assert_int_equal((int64_t)a.min, INT64_MIN);
	assert_int_equal(a.max, 3);
	assert_true(a.sum == -2.0 - 9223372036854775808.0);
}

static void what_is_nan_counts_apart(void **state)
{
	const uint64_t v[] = {wire_double_bits(NAN), wire_double_bits(2.5), wire_double_bits(-1),
			      wire_double_bits(NAN)};
	struct columns_aggregate a = columns_aggregate(v, 4, SCHEMA_VALUE_DOUBLE, false);
	assert_int_equal(a.count, 4);
	assert_int_equal(a.nans, 2);
	assert_int_equal(a.first, wire_double_bits(NAN));
	assert_int_equal(a.min, wire_double_bits(-1));
	assert_int_equal(a.max, wire_double_bits(2.5));
	assert_true(a.sum == 1.5);
	a = columns_aggregate(v, 1, SCHEMA_VALUE_DOUBLE, true);
	assert_true(a.nans == 1 && isnan(wire_double(a.min)) && a.sum == 0 && a.increase == 0);
}

/* One value after the other, as doubles: what is quicker must come to the same bits. */
static void aggregates_are_as_if_added_as_doubles(void **state)
{
	uint64_t v[200], seed = 23;
	for (int round = 0; round < 5000; round++) {
		uint32_t n = 1 + (uint32_t)(fixture_random(&seed) % 200);
		unsigned shift = (unsigned)(fixture_random(&seed) % 64);
		bool is_signed = round % 2, is_counter = round % 3 == 0, grows = round % 5 == 0;
		for (uint32_t i = 0; i < n; i++) {
			v[i] = fixture_random(&seed) >> shift;
			if (is_signed && fixture_random(&seed) % 2)
				v[i] = 0 - v[i];
			if (grows && i > 0 && fixture_random(&seed) % 20)
				v[i] = v[i - 1] + v[i] / 512;
		}
		double sum = 0, increase = 0;
		uint64_t least = v[0], most = v[0];
		for (uint32_t i = 0; i < n; i++) {
			bool below = is_signed ? (int64_t)v[i] < (int64_t)least : v[i] < least;
			bool above = is_signed ? (int64_t)v[i] > (int64_t)most : v[i] > most;
			least = below ? v[i] : least;
			most = above ? v[i] : most;
			sum += is_signed ? (double)(int64_t)v[i] : (double)v[i];
			bool grew = i > 0 && (is_signed ? (int64_t)v[i] > (int64_t)v[i - 1] : v[i] > v[i - 1]);
			increase += is_counter && grew ? (double)(v[i] - v[i - 1]) : 0;
		}
		struct columns_aggregate a =
			columns_aggregate(v, n, is_signed ? SCHEMA_VALUE_INT : SCHEMA_VALUE_UINT, is_counter);
		assert_int_equal(a.count, n);
		assert_true(a.first == v[0] && a.last == v[n - 1] && a.min == least && a.max == most);
		assert_memory_equal(&a.sum, &sum, sizeof(sum));
		assert_memory_equal(&a.increase, &increase, sizeof(increase));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aggregates_are_as_if_added_as_doubles),
		cmocka_unit_test(what_differs_has_another_key),
		cmocka_unit_test(numbers_sort_as_numbers),
		cmocka_unit_test(a_label_too_long_is_refused),
		cmocka_unit_test(counters_grow_around_resets),
		cmocka_unit_test(signed_values_order_as_such),
		cmocka_unit_test(what_is_nan_counts_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
