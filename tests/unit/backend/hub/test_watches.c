#include "backend/hub/watches.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS(...)                                                                                                     \
	(char *[])                                                                                                     \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}
#define SECTIONS(...)                                                                                                  \
	(const char[][WATCHES_SECTION_MAX])                                                                            \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

static void expect(struct watches *w, int64_t tenant, const char *hostname, const char *sections)
{
	struct watched watched;
	char text[256] = "";
	watches_find(w, tenant, "id", hostname, &watched);
	for (size_t i = 0; i < watched.n; i++) {
		strcat(text, watched.sections[i]);
		strcat(text, " ");
	}
	assert_string_equal(text, sections);
}

static void sections_of_all_watchers_once(void **state)
{
	(void)state;
	int first, second;
	struct watches *w = watches_new();
	char a[] = "a", b[] = "b", id[] = "id";
	expect(w, 1, "a", "");
	assert_int_equal(watches_set(w, &first, 1, HOSTS(a, b), 2, SECTIONS("processes"), 1), 0);
	expect(w, 1, "a", "processes ");
	expect(w, 1, "b", "processes ");
	expect(w, 1, "c", "");
	expect(w, 2, "a", ""); /* another tenant's */
	assert_int_equal(watches_set(w, &second, 1, HOSTS(id), 1, SECTIONS("processes", "cgroups"), 2), 0);
	expect(w, 1, "a", "processes cgroups ");
	expect(w, 1, "c", "processes cgroups ");
	/* What an owner says replaces what it said. */
	assert_int_equal(watches_set(w, &second, 1, HOSTS(b), 1, SECTIONS("sensors"), 1), 0);
	expect(w, 1, "c", "");
	expect(w, 1, "b", "sensors processes ");
	assert_int_equal(watches_set(w, &second, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(watches_set(w, &first, 1, HOSTS(a), 1, NULL, 0), 0);
	expect(w, 1, "b", "");
	assert_int_equal(watches_set(w, &first, 0, NULL, 0, NULL, 0), 0);
	watches_free(w);
	watches_free(NULL);
}

static void limits(void **state)
{
	(void)state;
	static char owners[WATCHES_MAX + 1];
	struct watches *w = watches_new();
	char a[] = "a";
	for (size_t i = 0; i < WATCHES_MAX; i++)
		assert_int_equal(watches_set(w, &owners[i], 1, HOSTS(a), 1, SECTIONS("cpu"), 1), 0);
	assert_int_equal(watches_set(w, &owners[WATCHES_MAX], 1, HOSTS(a), 1, SECTIONS("cpu"), 1), -ENOSPC);
	assert_int_equal(watches_set(w, &owners[0], 1, HOSTS(a), 1, SECTIONS("disks"), 1), 0);
	expect(w, 1, "a", "disks cpu ");
	watches_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_of_all_watchers_once),
		cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
