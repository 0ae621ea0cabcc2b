#include "backend/columns/histogram_log.h"
#include "common/histogram.h"
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY 400

struct told {
	uint64_t sum, counts[HISTOGRAM_BUCKETS];
	bool has[HISTOGRAM_BUCKETS]; /* the message tells it, perhaps as 0 */
};

static void put(struct buf *out, uint64_t v)
{
	assert_int_equal(wire_put_varint(out, v), 0);
}

static void message(const struct told *t, struct buf *out)
{
	struct buf indexes BUF_CLEANUP = BUF_INIT(1 << 16), counts BUF_CLEANUP = BUF_INIT(1 << 16);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (t->has[i]) {
			put(&indexes, i);
			put(&counts, t->counts[i]);
		}
	}
	buf_reset(out);
	put(out, 1 << 3);
	put(out, 1);
	put(out, 2 << 3);
	put(out, t->sum);
	if (indexes.len == 0)
		return;
	put(out, 3 << 3 | 2);
	put(out, indexes.len);
	assert_int_equal(buf_append(out, indexes.data, indexes.len), 0);
	put(out, 4 << 3 | 2);
	put(out, counts.len);
	assert_int_equal(buf_append(out, counts.data, counts.len), 0);
}

/* As the table does it: 1 if it was known. */
static int add(struct histogram_log *log, struct pages *pages, const struct buf *m)
{
	struct schema_histogram h;
	uint8_t *exact = malloc(m->len + 1); /* so that the sanitizer sees a read beyond */
	memcpy(exact, m->data, m->len);
	uint8_t *data = realloc(exact, m->len);
	int r = histogram_log_again(log, pages, data, m->len);
	assert_true(r >= 0);
	if (r == 0) {
		assert_int_equal(schema_histogram_parse(data, m->len, &h), 0);
		assert_int_equal(histogram_log_add(log, pages, &h), 0);
	}
	free(data);
	return r;
}

static void expect(const struct histogram_log *log, const struct told *told, uint32_t n)
{
	struct columns_values v = {0};
	uint32_t part = 1;
	assert_int_equal(histogram_log_values(log, n, &v), 0);
	assert_int_equal(v.n, n);
	assert_int_equal(v.parts[0].part, COLUMNS_PART_SUM);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(v.parts[0].values[i], told[i].sum);
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		bool any = false;
		for (uint32_t i = 0; i < n; i++)
			any |= told[i].counts[b] != 0;
		if (!any)
			continue;
		assert_true(part < v.n_parts);
		assert_int_equal(v.parts[part].part, COLUMNS_PART_BUCKET + b);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(v.parts[part].values[i], told[i].counts[b]);
		part++;
	}
	assert_int_equal(part, v.n_parts);
	columns_values_free(&v);
}

static void change(struct told *t, uint64_t *seed)
{
	uint64_t what = fixture_random(seed) % 16;
	bool much = fixture_random(seed) % 64 == 0;
	if (what < 3)
		return;
	t->sum += fixture_random(seed) >> (much ? fixture_random(seed) % 64 : 40);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (t->has[i] && fixture_random(seed) % 3 == 0)
			t->counts[i] += fixture_random(seed) >> (much ? fixture_random(seed) % 64 : 56);
	}
	unsigned b = (unsigned)(fixture_random(seed) % HISTOGRAM_BUCKETS);
	if (what == 4) {
		t->has[b] = true;
	} else if (what == 5) {
		memset(t, 0, sizeof(*t));
		t->has[b] = true;
	}
}

static void what_was_added_comes_back(void **state)
{
	struct buf m BUF_CLEANUP = BUF_INIT(1 << 16);
	struct told *told = calloc(MANY, sizeof(*told));
	uint32_t known = 0;
	for (uint64_t round = 1; round <= 12; round++) {
		struct pages pages = PAGES_INIT(1 << 24);
		struct histogram_log log = {0};
		uint64_t seed = round;
		for (uint32_t i = 0; i < MANY; i++) {
			told[i] = i > 0 ? told[i - 1] : (struct told){.sum = 1};
			change(&told[i], &seed);
			message(&told[i], &m);
			known += (uint32_t)add(&log, &pages, &m);
			/* A snapshot that is dropped, and perhaps another in its place. */
			if (round % 3 == 0 && fixture_random(&seed) % 4 == 0) {
				histogram_log_drop(&log);
				histogram_log_drop(&log);
				change(&told[i], &seed);
				message(&told[i], &m);
				(void)add(&log, &pages, &m);
			}
			if (i % 67 == 0)
				expect(&log, told, i + 1);
		}
		expect(&log, told, MANY);
		pages_free(&pages);
	}
	assert_true(known > 2000);
	free(told);
}

static void what_is_no_histogram_is_left_to_the_parser(void **state)
{
	struct buf m BUF_CLEANUP = BUF_INIT(1 << 16);
	struct pages pages = PAGES_INIT(1 << 20);
	struct histogram_log log = {0};
	struct told told = {.sum = 1000};
	for (unsigned i = 7; i < 30; i++) {
		told.has[i] = true;
		told.counts[i] = i * 20;
	}
	message(&told, &m);
	assert_int_equal(add(&log, &pages, &m), 0);
	assert_int_equal(add(&log, &pages, &m), 1);
	expect(&log, (struct told[]){told, told}, 2);
	/* Cut anywhere, or with more behind it. */
	for (size_t len = 0; len < m.len; len++)
		assert_int_equal(histogram_log_again(&log, &pages, m.data, len), 0);
	put(&m, 5 << 3);
	put(&m, 1);
	assert_int_equal(histogram_log_again(&log, &pages, m.data, m.len), 0);
	/* A count more than indexes, one less, and one that does not end. */
	message(&told, &m);
	size_t at = m.len - 1;
	uint8_t last = m.data[at];
	m.data[at] = last | 0x80;
	assert_int_equal(histogram_log_again(&log, &pages, m.data, m.len), 0);
	m.data[at] = last;
	m.data[at - 1] &= 0x7f;
	assert_int_equal(histogram_log_again(&log, &pages, m.data, m.len), 0);
	/* Ten bytes and more of one number, wherever it stands. */
	for (size_t begin = at - 30; begin < at - 12; begin++) {
		message(&told, &m);
		memset(m.data + begin, 0xff, 10);
		assert_int_equal(histogram_log_again(&log, &pages, m.data, m.len), 0);
	}
	/* The scheme. */
	message(&told, &m);
	m.data[1] = 2;
	assert_int_equal(histogram_log_again(&log, &pages, m.data, m.len), 0);
	m.data[1] = 1;
	assert_int_equal(histogram_log_again(&log, &pages, m.data, m.len), 1);
	expect(&log, (struct told[]){told, told, told}, 3);
	pages_free(&pages);
}

static void what_does_not_fit_changes_nothing(void **state)
{
	struct buf m BUF_CLEANUP = BUF_INIT(1 << 16);
	struct pages pages = PAGES_INIT(1 << 14);
	struct histogram_log log = {0};
	struct told *told = calloc(MANY * 100, sizeof(*told));
	struct schema_histogram h;
	uint32_t n = 0;
	for (int r = 0; r == 0; n += r == 0) {
		assert_true(n < MANY * 100);
		told[n].sum = n;
		for (unsigned i = n / 8 % 40; i < 60; i++) {
			told[n].has[i] = true;
			told[n].counts[i] = n + i;
		}
		message(&told[n], &m);
		assert_int_equal(schema_histogram_parse(m.data, m.len, &h), 0);
		r = histogram_log_add(&log, &pages, &h);
		assert_true(r == 0 || r == -EMSGSIZE);
	}
	assert_true(n > 10);
	expect(&log, told, n);
	pages_free(&pages);
	free(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_comes_back),
		cmocka_unit_test(what_is_no_histogram_is_left_to_the_parser),
		cmocka_unit_test(what_does_not_fit_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
