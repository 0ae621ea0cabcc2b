/* Plans for a PMU of this test's making: so many counters, of which others hold some. Real ones are under emulation
 * (tests/integration/perf). */
#include "agent/perf/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct perf_event_set set;
static size_t counters;	 /* free ones */
static size_t pinned;	 /* of them taken by groups that are open */
static uint32_t missing; /* events this PMU does not have */

int __wrap_perf_group_open(struct perf_group *group, const struct perf_event_set *events, const uint8_t list[],
			   size_t n, const struct perf_target *target, bool pin, int errors[]);
void __wrap_perf_group_close(struct perf_group *group);
int __wrap_perf_group_read(const struct perf_group *group, struct perf_reading readings[]);

int __wrap_perf_group_open(struct perf_group *group, const struct perf_event_set *events, const uint8_t list[],
			   size_t n, const struct perf_target *target, bool pin, int errors[])
{
	*group = (struct perf_group){.pinned = pin};
	for (size_t i = 0; i < n; i++) {
		errors[list[i]] = missing >> list[i] & 1 ? -ENOENT : 0;
		if (errors[list[i]] == 0)
			group->events[group->n++] = list[i];
	}
	if (group->n == 0)
		return -ENOENT;
	pinned += pin ? group->n : 0;
	return 0;
}

void __wrap_perf_group_close(struct perf_group *group)
{
	pinned -= group->pinned ? group->n : 0;
	group->n = 0;
}

int __wrap_perf_group_read(const struct perf_group *group, struct perf_reading readings[])
{
	return group->pinned && pinned > counters ? -EAGAIN : 0;
}

/* "01 23 4": units of events, "[56]" is a person's group. */
static void make_set(const char *units)
{
	unsigned unit = 0;
	bool forced = false;
	set.n = 0;
	for (const char *p = units; *p; p++) {
		unit += *p == ' ';
		forced = *p == '[' ? true : *p == ']' ? false : forced;
		if (*p < '0' || *p > '9')
			continue;
		struct perf_event *event = &set.events[set.n++];
		*event = (struct perf_event){.unit = unit, .forced = forced};
	}
}

/* The same notation; "!" is pinned. */
static void expect(size_t free_counters, const char *units, const char *groups)
{
	char text[128] = "";
	struct perf_plan plan;
	struct perf_target target = {.cpu = 0, .cgroup = -1};
	counters = free_counters;
	make_set(units);
	assert_int_equal(perf_plan_make(&set, &target, &plan), 0);
	assert_int_equal(pinned, 0);
	for (size_t g = 0; g < plan.n_groups; g++) {
		size_t used = strlen(text);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s", g > 0 ? " " : "",
					 plan.groups[g].pinned ? "!" : "", plan.groups[g].forced ? "[" : "");
		for (size_t i = 0; i < plan.groups[g].n; i++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%d", plan.groups[g].events[i]);
		if (plan.groups[g].forced)
			(void)snprintf(text + used, sizeof(text) - used, "]");
	}
	assert_string_equal(text, groups);
}

static void groups_are_as_large_as_run(void **state)
{
	missing = 0;
	expect(20, "01 23 45 67 8", "!01 2345678");
	expect(8, "01 23 45 67 8", "!01 234567 8");
	expect(6, "01 23 45 67 8", "!01 2345 678");
	expect(4, "01 23 45 67 8", "!01 23 45 67 8");
	expect(5, "01 23 45 67 8", "!01 23 45 678");
	expect(20, "01 23 45 67 89", "!01 23456789");
}

static void pairs_that_do_not_run_are_parted(void **state)
{
	missing = 0;
	expect(3, "01 23 4", "!01 2 3 4");
	expect(2, "01 23 4", "!01 2 3 4");
	expect(1, "01 23 4", "0 1 2 3 4");
	expect(0, "01 23", "0 1 2 3");
}

static void what_a_person_grouped_stays(void **state)
{
	missing = 0;
	expect(4, "[0123456] 78", "[0123456] 78");
	expect(4, "01 [2345] 6 [78]", "!01 [2345] [78] 6");
}

static void events_the_pmu_lacks_are_in_no_group(void **state)
{
	missing = 1 << 2 | 1 << 5 | 1 << 6;
	expect(20, "01 23 4 56 7", "!01 347");
	missing = 1 << 0;
	expect(20, "01 23", "!1 23");
	missing = 0x1ff;
	struct perf_plan plan;
	struct perf_target target = {.cgroup = -1};
	make_set("01 23 4");
	assert_int_equal(perf_plan_make(&set, &target, &plan), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_are_as_large_as_run),
		cmocka_unit_test(pairs_that_do_not_run_are_parted),
		cmocka_unit_test(what_a_person_grouped_stays),
		cmocka_unit_test(events_the_pmu_lacks_are_in_no_group),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
