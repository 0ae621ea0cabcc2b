#include "agent/perf/cgroup_events.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define V1(name, point) "30 24 0:27 / " point " rw,relatime - cgroup cgroup rw," name "\n"
#define V2 "31 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"

static char dir[64] = "untouched";

static int mount(const char *text)
{
	return perf_cgroup_mount(text, strlen(text), dir, sizeof(dir));
}

static void v1_has_the_controller_or_v2(void **state)
{
	assert_int_equal(mount(V1("memory", "/sys/fs/cgroup/memory") V2), 0);
	assert_string_equal(dir, "sys/fs/cgroup/unified");
	assert_int_equal(mount(V2 V1("net_cls,perf_event", "/sys/fs/cgroup/perf_event")), 0);
	assert_string_equal(dir, "sys/fs/cgroup/perf_event");
	assert_int_equal(mount(V1("perf_event", "/a\\040b") V2), 0);
	assert_string_equal(dir, "a b");
}

static void what_is_no_hierarchy(void **state)
{
	memcpy(dir, "untouched", sizeof("untouched"));
	assert_int_equal(mount(""), -ENOENT);
	assert_int_equal(mount(V1("memory", "/m") V1("xperf_event", "/x")), -ENOENT);
	assert_int_equal(mount("30 24 0:27 / /x rw - cgroup"), -EPROTO);
	assert_int_equal(mount("garbage\n"), -EPROTO);
	assert_int_equal(mount(V1("perf_event", "/0123456789012345678901234567890123456789012345678901234567890123")),
			 -EMSGSIZE);
	assert_string_equal(dir, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1_has_the_controller_or_v2),
		cmocka_unit_test(what_is_no_hierarchy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
