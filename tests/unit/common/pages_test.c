#include "common/pages.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What was taken stays as it is, whatever is taken after it. */
static void room_stays(void **state)
{
	struct pages pages = PAGES_INIT(1 << 20);
	const void *kept[500];
	unsigned char text[700];
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 500; i++) {
			size_t len = i * 37 % sizeof(text);
			memset(text, (int)(i + (unsigned)round), len);
			assert_int_equal(pages_keep(&pages, text, len, &kept[i]), 0);
			assert_int_equal((uintptr_t)kept[i] % 16, 0);
		}
		for (unsigned i = 0; i < 500; i++) {
			size_t len = i * 37 % sizeof(text);
			memset(text, (int)(i + (unsigned)round), len);
			assert_memory_equal(kept[i], text, len);
		}
		pages_clear(&pages);
		assert_int_equal(pages.bytes, 0);
	}
	pages_free(&pages);
}

static void there_is_a_maximum(void **state)
{
	struct pages pages = PAGES_INIT(100000);
	const void *const untouched = &pages;
	void *room = (void *)untouched;
	assert_int_equal(pages_take(&pages, 100001, &room), -EMSGSIZE);
	assert_ptr_equal(room, untouched);
	assert_int_equal(pages_take(&pages, 90000, &room), 0);
	assert_int_equal(pages_charge(&pages, 10001), -EMSGSIZE);
	assert_int_equal(pages_charge(&pages, 10000), 0);
	assert_int_equal(pages_charge(&pages, 1), -EMSGSIZE);
	assert_int_equal(pages_take(&pages, 1, &room), -EMSGSIZE);
	assert_true(pages.bytes <= pages.max_bytes);
	/* A page that is there counts again when it is taken again, and one that is too small is not taken. */
	pages_clear(&pages);
	assert_int_equal(pages_take(&pages, 90000, &room), 0);
	memset(room, 1, 90000);
	assert_int_equal(pages.bytes, 90000);
	pages_clear(&pages);
	assert_int_equal(pages_take(&pages, 95000, &room), 0);
	memset(room, 1, 95000);
	assert_int_equal(pages_take(&pages, 6000, &room), -EMSGSIZE);
	pages_free(&pages);
	assert_int_equal(pages.bytes, 0);
	assert_int_equal(pages_take(&pages, 1, &room), 0);
	pages_free(&pages);
	pages_free(NULL);
}

static void arrays_grow(void **state)
{
	uint32_t *numbers = NULL, cap = 0;
	for (uint32_t n = 0; n < 1000; n++) {
		assert_int_equal(pages_grow_array((void **)&numbers, &cap, n, sizeof(*numbers)), 0);
		assert_true(cap > n);
		numbers[n] = n;
	}
	for (uint32_t n = 0; n < 1000; n++)
		assert_int_equal(numbers[n], n);
	free(numbers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(room_stays),
		cmocka_unit_test(there_is_a_maximum),
		cmocka_unit_test(arrays_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
