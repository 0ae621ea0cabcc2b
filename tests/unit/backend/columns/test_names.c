/* Ranks of labels are the order of keys, whatever these have in common. */
#include "backend/columns/table_names.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define SETS 3000

/* Texts that are alike for long, that begin each other, and that hold zeros. */
static size_t make_text(uint64_t *seed, char text[200])
{
	static const char letters[] = {'\0', 'a', '\xff'};
	size_t alike = fixture_random(seed) % 5 * 40, len = alike;
	memset(text, 'x', alike);
	for (size_t more = fixture_random(seed) % 12; more > 0; more--)
		text[len++] = letters[fixture_random(seed) % 3];
	return len;
}

static uint32_t add(struct table_names *names, uint64_t *seed)
{
	static const char *const keys[] = {"pid", "p", "device"};
	struct schema_label_value labels[2];
	char text[200];
	uint32_t number;
	size_t n = fixture_random(seed) % 3;
	for (size_t i = 0; i < n; i++)
		labels[i] = (struct schema_label_value){.name = keys[fixture_random(seed) % 3],
							.role = SCHEMA_LABEL_NAME,
							.number = fixture_random(seed) >> fixture_random(seed) % 64};
	if (n > 0 && fixture_random(seed) % 2 == 0) {
		labels[n - 1].is_text = true;
		labels[n - 1].text = text;
		labels[n - 1].len = make_text(seed, text);
	}
	assert_int_equal(table_names_labels(names, labels, n, 0, &number), 0);
	if (fixture_random(seed) % 8 == 0)
		assert_int_equal(table_names_twin(names, number, &number), 0);
	return number;
}

static int compare(const struct table_labels *a, const struct table_labels *b)
{
	int c = memcmp(a->key, b->key, a->key_len < b->key_len ? a->key_len : b->key_len);
	return c ? c : a->key_len < b->key_len ? -1 : a->key_len > b->key_len;
}

static void ranks_are_the_order_of_keys(void **state)
{
	struct table_names names = {.pages = PAGES_INIT(16 << 20), .key = BUF_INIT(1 << 20)};
	struct table_ranks ranks;
	uint64_t seed = 7;
	for (uint32_t i = 0; i < SETS; i++)
		add(&names, &seed);
	assert_true(names.n_labels > SETS / 2);
	assert_int_equal(table_names_rank(&names, &ranks), 0);
	uint32_t *sorted = calloc(names.n_labels, sizeof(*sorted));
	assert_non_null(sorted);
	for (uint32_t i = 0; i < names.n_labels; i++) {
		assert_true(ranks.labels[i] < names.n_labels);
		sorted[ranks.labels[i]] = i;
	}
	for (uint32_t i = 1; i < names.n_labels; i++)
		assert_true(compare(&names.labels[sorted[i - 1]], &names.labels[sorted[i]]) < 0);
	free(sorted);
	table_ranks_free(&ranks);
	table_names_free(&names);
}

static void the_same_labels_have_one_number(void **state)
{
	struct table_names names = {.pages = PAGES_INIT(1 << 20), .key = BUF_INIT(1 << 20)};
	struct schema_label_value label = {.name = "pid", .role = SCHEMA_LABEL_NAME};
	uint32_t first, again, twin;
	for (uint64_t pid = 0; pid < 1000; pid++) {
		label.number = pid;
		assert_int_equal(table_names_labels(&names, &label, 1, 0, &first), 0);
		assert_int_equal(first, pid);
	}
	label.number = 5;
	assert_int_equal(table_names_labels(&names, &label, 1, 0, &again), 0);
	assert_int_equal(again, 5);
	assert_int_equal(table_names_twin(&names, again, &twin), 0);
	assert_int_equal(twin, 1000);
	assert_int_equal(names.labels[twin].ordinal, 1);
	assert_int_equal(names.labels[twin].labels[0].number, 5);
	table_names_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranks_are_the_order_of_keys),
		cmocka_unit_test(the_same_labels_have_one_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
