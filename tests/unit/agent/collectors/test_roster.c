#include "agent/collectors/roster.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

struct item {
	struct roster_entry entry;
	int number;
};

static int take(struct roster *roster, const char *name, struct item **ret)
{
	void *item = NULL;
	int r = roster_take(roster, name, strlen(name), &item);
	*ret = item;
	return r;
}

static void test_rounds(void **state)
{
	struct roster roster;
	struct item *item;
	assert_int_equal(roster_init(&roster, sizeof(struct item), 3), 0);
	static const char *const names[] = {"a", "ab", "c"};
	roster_begin(&roster);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(take(&roster, names[i], &item), 1);
		assert_int_equal(item->number, 0);
		item->number = i + 1;
	}
	assert_false(roster_end(&roster));

	/* "ab" is gone, the others are known, in another order. */
	roster_begin(&roster);
	assert_int_equal(take(&roster, "c", &item), 0);
	assert_int_equal(item->number, 3);
	assert_int_equal(take(&roster, "a", &item), 0);
	assert_int_equal(item->number, 1);
	assert_int_equal(take(&roster, "a", &item), -EEXIST);
	assert_true(roster_end(&roster));
	assert_int_equal(roster.n, 2);

	/* It comes back as another one. */
	roster_begin(&roster);
	assert_int_equal(take(&roster, "ab", &item), 1);
	assert_int_equal(item->number, 0);
	roster_free(&roster);
}

static void test_limits(void **state)
{
	struct roster roster;
	struct item *item;
	char name[ROSTER_NAME_MAX + 2];
	memset(name, 'x', sizeof(name));
	name[ROSTER_NAME_MAX + 1] = '\0';
	assert_int_equal(roster_init(&roster, sizeof(struct item), 1), 0);
	roster_begin(&roster);
	assert_int_equal(take(&roster, name, &item), -EMSGSIZE);
	name[ROSTER_NAME_MAX] = '\0';
	assert_int_equal(take(&roster, name, &item), 1);
	assert_int_equal(take(&roster, "y", &item), -ENOSPC);
	roster_begin(&roster);
	assert_int_equal(take(&roster, name, &item), 0);
	roster_free(&roster);
	roster_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounds), cmocka_unit_test(test_limits)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
