#include "agent/cgroups/hierarchies.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
#define MEMORY "31 25 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
#define CPU "32 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
#define SYSTEMD "30 25 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
#define UNIFIED "29 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
#define V2 "29 25 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"

static struct cgroup_hierarchies parse(const char *text)
{
	struct cgroup_hierarchies h;
	assert_int_equal(cgroup_hierarchies_parse(text, strlen(text), &h), 0);
	return h;
}

static void v2(void **state)
{
	(void)state;
	struct cgroup_hierarchies h = parse(ROOT V2);
	assert_int_equal(h.layout, CGROUP_V2);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.list[h.tree].dir, "sys/fs/cgroup");
	for (size_t c = 0; c < CGROUP_CONTROLLERS; c++)
		assert_int_equal(h.of[c], 0);
}

static void v1(void **state)
{
	(void)state;
	struct cgroup_hierarchies h = parse(SYSTEMD CPU MEMORY);
	assert_int_equal(h.layout, CGROUP_V1);
	assert_int_equal(h.n, 2);
	assert_string_equal(h.list[h.tree].dir, "sys/fs/cgroup/memory");
	assert_int_equal(h.of[CGROUP_CPU], 0);
	assert_int_equal(h.of[CGROUP_CPUACCT], 0);
	assert_int_equal(h.of[CGROUP_MEMORY], 1);
	assert_int_equal(h.of[CGROUP_PIDS], -1);
	assert_int_equal(h.of[CGROUP_CORE], -1);
	h = parse(CPU);
	assert_string_equal(h.list[h.tree].dir, "sys/fs/cgroup/cpu,cpuacct");
}

static void hybrid(void **state)
{
	(void)state;
	struct cgroup_hierarchies h = parse(UNIFIED SYSTEMD MEMORY CPU);
	assert_int_equal(h.layout, CGROUP_HYBRID);
	assert_string_equal(h.list[h.tree].dir, "sys/fs/cgroup/memory");
	assert_true(h.list[h.of[CGROUP_PIDS]].unified);
	assert_true(h.list[h.of[CGROUP_CORE]].unified);
	assert_false(h.list[h.of[CGROUP_CPU]].unified);
}

static void mounted_twice(void **state)
{
	(void)state;
	struct cgroup_hierarchies h = parse(V2 "99 25 0:25 / /mnt/again rw - cgroup2 cgroup2 rw\n" MEMORY
					       "98 25 0:27 / /mnt/memory rw - cgroup cgroup rw,memory\n");
	assert_int_equal(h.n, 2);
	assert_string_equal(h.list[0].dir, "sys/fs/cgroup");
	assert_string_equal(h.list[h.of[CGROUP_MEMORY]].dir, "sys/fs/cgroup/memory");
}

static void nothing_and_rubbish(void **state)
{
	(void)state;
	struct cgroup_hierarchies h = parse("");
	assert_int_equal(h.layout, CGROUP_NONE);
	assert_int_equal(h.n, 0);
	assert_int_equal(parse(ROOT SYSTEMD).layout, CGROUP_NONE);
	assert_int_equal(cgroup_hierarchies_parse("29 25 0:25 / /sys", 17, &h), -EPROTO);
	assert_int_equal(cgroup_hierarchies_parse("rubbish\n", 8, &h), -EPROTO);

	/* A path that is too long, and more hierarchies than there is room for. */
	char text[8192];
	size_t len = (size_t)snprintf(text, sizeof(text), "29 25 0:25 / /");
	memset(text + len, 'x', 400);
	(void)snprintf(text + len + 400, sizeof(text) - len - 400, " rw - cgroup2 cgroup2 rw\n");
	assert_int_equal(parse(text).layout, CGROUP_NONE);
	static const char *const one_each[] = {"memory", "cpuacct", "cpu", "pids", "blkio"};
	text[0] = '\0';
	for (size_t i = 0; i < 40; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
			       "29 25 0:25 / /c/%zu rw - cgroup cgroup rw,%s\n", i, one_each[i % 5]);
	assert_int_equal(parse(text).n, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v2),
		cmocka_unit_test(v1),
		cmocka_unit_test(hybrid),
		cmocka_unit_test(mounted_twice),
		cmocka_unit_test(nothing_and_rubbish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
