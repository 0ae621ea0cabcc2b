#include "agent/perf/events.h"

#include "tests/unit/agent/tree.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct tree tree;
static struct collector_settings settings;
static struct perf_event_set set;
static char why[PERF_WHY_SIZE];

static int set_up(void **state)
{
	settings_default(&settings);
	tree_make(&tree);
	tree_write(&tree, PERF_PMU_DIR "/cpu/type", "4\n");
	tree_write(&tree, PERF_PMU_DIR "/cpu/format/event", "config:0-7\n");
	tree_write(&tree, PERF_PMU_DIR "/cpu/format/umask", "config:8-15\n");
	return 0;
}

static int tear_down(void **state)
{
	tree_destroy(&tree);
	return 0;
}

static void want(const char *entry)
{
	(void)snprintf(settings.perf_events[settings.n_perf_events++], SETTINGS_PERF_ENTRY_SIZE, "%s", entry);
}

static void lists_that_nobody_asked_for(void **state)
{
	perf_events_hardware(&tree.root, &settings, &set);
	assert_string_equal(set.events[0].name, "cycles");
	assert_string_equal(set.events[1].name, "instructions");
	assert_int_equal(set.events[1].unit, 0);
	assert_true(set.n == 11 && set.why[0] == '\0');
	for (size_t i = 1; i < set.n; i++) {
		assert_true(set.events[i].unit == set.events[i - 1].unit ||
			    set.events[i].unit == set.events[i - 1].unit + 1);
		assert_int_equal(perf_events_find(&set, set.events[i].name), i);
		assert_int_equal(set.events[i].error, 0);
	}
	perf_events_software(&set);
	assert_true(set.n == 7 && set.events[set.n - 1].unit == 0);
	assert_int_equal(set.events[0].code.type, PERF_TYPE_SOFTWARE);
	assert_int_equal(perf_events_find(&set, "cycles"), -ENOENT);
}

static void a_configured_list(void **state)
{
	want("r01c2");
	want("{cycles,cpu/event=0x3c,umask=0x2/}");
	want("LLC-load-misses");
	assert_int_equal(perf_events_check(&tree.root, &settings, why), 0);
	perf_events_hardware(&tree.root, &settings, &set);
	assert_int_equal(set.n, 4);
	assert_int_equal(set.events[0].code.type, PERF_TYPE_RAW);
	assert_int_equal(set.events[0].code.config[0], 0x1c2);
	assert_false(set.events[0].forced);
	assert_true(set.events[1].forced && set.events[2].forced && set.events[1].unit == set.events[2].unit);
	assert_string_equal(set.events[2].name, "cpu/event=0x3c,umask=0x2/");
	assert_int_equal(set.events[2].code.config[0], 0x23c);
	assert_int_equal(set.events[3].code.type, PERF_TYPE_HW_CACHE);
	assert_int_equal(set.events[3].code.config[0], 0x10002);
}

static void names_of_another_host_are_said(void **state)
{
	want("cycles");
	want("armv8_cortex_a72/event=0x8/");
	assert_int_equal(perf_events_check(NULL, &settings, why), 0);
	assert_int_equal(perf_events_check(&tree.root, &settings, why), -EINVAL);
	assert_non_null(strstr(why, "no PMU \"armv8_cortex_a72\""));
	perf_events_hardware(&tree.root, &settings, &set);
	assert_int_equal(set.n, 2);
	assert_int_equal(set.events[1].error, -ENOENT);
	assert_string_equal(set.why, why);
}

static void refused(const char *entry, const char *words)
{
	size_t n = settings.n_perf_events;
	want(entry);
	assert_int_equal(perf_events_check(NULL, &settings, why), -EINVAL);
	if (!strstr(why, words))
		fail_msg("%s: %s", entry, why);
	settings.n_perf_events = n;
}

static void what_is_no_event_is_refused(void **state)
{
	want("cycles");
	refused("cylces", "\"cylces\" is no event");
	refused("cycles", "\"cycles\" occurs twice");
	refused("", "is no event");
	refused("{}", "is no event");
	refused("{r1", "is no event");
	refused("r1}", "is no event");
	refused("r1,r2", "is no event");
	refused("{r1,{r2}}", "is no event");
	refused("{r1,r2,r3,r4,r5,r6,r7,r8,r9}", "a group of more than 8");
	for (unsigned i = 1; i < PERF_MAX_EVENTS; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "r%x", i);
		want(name);
	}
	assert_int_equal(perf_events_check(NULL, &settings, why), 0);
	settings.n_perf_events--;
	refused("{r1f1,r1f2}", "more than 32 events");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists_that_nobody_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_configured_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_of_another_host_are_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_event_is_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
