#include "agent/collectors/statfs_text.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char good[] = "/ 4096 100 50 40 1000 900 4096\n"
			   "/a\\040disk 512 18446744073709551615 0 0 0 0 1 later\n";

static int parse(const char *text, struct statfs_row *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	struct statfs_reader reader = statfs_reader(copy, len);
	int n = 0, r;
	while ((r = statfs_next(&reader, ret)) > 0)
		n++;
	free(copy);
	return r < 0 ? r : n;
}

static void test_good(void **state)
{
	struct statfs_reader reader = statfs_reader(good, sizeof(good) - 1);
	struct statfs_row row;
	assert_int_equal(statfs_next(&reader, &row), 1);
	assert_true(word_is(row.point, "/"));
	const struct mount_space *s = &row.space;
	assert_true(s->block_bytes == 4096 && s->blocks == 100 && s->free == 50 && s->available == 40);
	assert_true(s->inodes == 1000 && s->inodes_free == 900 && !s->read_only);
	assert_int_equal(statfs_next(&reader, &row), 1);
	assert_true(word_is(row.point, "/a\\040disk") && row.space.blocks == UINT64_MAX && row.space.read_only);
	assert_int_equal(statfs_next(&reader, &row), 0);
	assert_int_equal(parse("", &row), 0);
	assert_int_equal(parse("/ 1 1 1 1 1 1 0\n/ 1 1 1 1 1 1 0\n", &row), 2);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"\n",
					  "/\n",
					  "/ 1 2 3 4 5 6\n",
					  "/ 1 2 3 4 5 6 0",
					  "/ 1 2 -3 4 5 6 0\n",
					  "/ 1 2 18446744073709551616 4 5 6 0\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct statfs_row row = {.space.blocks = 77};
		if (parse(bad[i], &row) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(row.space.blocks, 77);
	}
}

static void survive(const char *text, size_t len)
{
	struct statfs_reader reader = statfs_reader(text, len);
	struct statfs_row row;
	int r;
	while ((r = statfs_next(&reader, &row)) > 0)
		assert_true(row.point.text >= text && row.point.text + row.point.len <= text + len);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
