#include "agent/perf/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check(const struct perf_event_table *table)
{
	unsigned last = 0, in_group = 0;
	assert_true(table->n > 0 && table->n <= PERF_MAX_EVENTS);
	for (size_t i = 0; i < table->n; i++) {
		/* Groups are numbered in order, so that neighbours are a group. */
		assert_true(table->events[i].group == last || table->events[i].group == last + 1);
		in_group = table->events[i].group == last ? in_group + 1 : 1;
		last = table->events[i].group;
		assert_true(last < PERF_MAX_GROUPS && in_group <= PERF_MAX_IN_GROUP);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(table->events[i].name, table->events[j].name);
			assert_int_not_equal(table->events[i].config, table->events[j].config);
		}
	}
}

static void tables_keep_their_promises(void **state)
{
	check(&perf_hardware_events);
	check(&perf_software_events);
	assert_string_equal(perf_hardware_events.events[0].name, "cycles");
	assert_string_equal(perf_hardware_events.events[1].name, "instructions");
	assert_int_equal(perf_hardware_events.events[1].group, 0);
	assert_int_equal(perf_software_events.events[perf_software_events.n - 1].group, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(tables_keep_their_promises)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
