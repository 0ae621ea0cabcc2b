#include "agent/delivery/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void doubles_up_to_half_a_minute(void **state)
{
	static const uint32_t full[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
	for (uint32_t i = 0; i < sizeof(full) / sizeof(full[0]); i++)
		assert_int_equal(backoff_ms(i + 1, 0), full[i]);
	assert_int_equal(backoff_ms(UINT32_MAX, 0), 30000);
}

static void jitter_takes_at_most_half(void **state)
{
	for (uint32_t failures = 1; failures < 10; failures++) {
		uint32_t full = backoff_ms(failures, 0), smallest = full;
		for (uint32_t random = 0; random < 100000; random += 7) {
			uint32_t ms = backoff_ms(failures, random * 2654435761u);
			assert_in_range(ms, full / 2, full);
			smallest = ms < smallest ? ms : smallest;
		}
		assert_true(smallest < full * 6 / 10); /* it does spread */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_half_a_minute),
		cmocka_unit_test(jitter_takes_at_most_half),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
