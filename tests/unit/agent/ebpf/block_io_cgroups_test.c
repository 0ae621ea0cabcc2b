#include "agent/ebpf/block_io_cgroups.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct block_io_cgroup_path path_of(const char *names, size_t len)
{
	struct block_io_cgroup_path path = {.len = (__u32)len};
	memcpy(path.names, names, len);
	return path;
}

static void names_are_put_together_from_the_root(void **state)
{
	char text[64];
	static const char names[] = "ssh.service\0system.slice";
	struct block_io_cgroup_path path = path_of(names, sizeof(names));
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), 0);
	assert_string_equal(text, "/system.slice/ssh.service");
	path = path_of("one", 4);
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), 0);
	assert_string_equal(text, "/one");
	path.len = 0;
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), 0);
	assert_string_equal(text, "/");
}

static void what_does_not_fit_is_refused(void **state)
{
	char text[8] = "kept";
	struct block_io_cgroup_path path = path_of("1234567", 8);
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), -EMSGSIZE);
	path = path_of("123456", 7);
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), 0);
	assert_string_equal(text, "/123456");
	path.is_cut = 1;
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), -EMSGSIZE);
	path = path_of("abc", 3);
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), -EPROTO);
	path.len = BLOCK_IO_CGROUP_PATH + 1;
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), -EMSGSIZE);
}

static void the_longest_path_fits(void **state)
{
	char text[BLOCK_IO_CGROUP_PATH + 2];
	struct block_io_cgroup_path path = {.len = BLOCK_IO_CGROUP_PATH};
	memset(path.names, 'a', sizeof(path.names));
	for (size_t i = 1; i < sizeof(path.names); i += 2)
		path.names[i] = '\0';
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), 0);
	assert_int_equal(strlen(text), BLOCK_IO_CGROUP_PATH);
	assert_memory_equal(text, "/a/a/a", 6);
}

static void names_are_clean_text(void **state)
{
	char text[16];
	struct block_io_cgroup_path path = path_of("a\xff\nb", 5);
	assert_int_equal(block_io_cgroup_path_text(&path, text, sizeof(text)), 0);
	assert_string_equal(text, "/a??b");
}

static void an_ancestor_is_charged_for_those_without_io(void **state)
{
	static const char three[] = "nr_descendants 3\nnr_dying_descendants 0\n";
	assert_true(block_io_charged_from_below("", three));
	assert_true(block_io_charged_from_below("cpu memory pids", three));
	assert_false(block_io_charged_from_below("cpuset cpu io pids", three));
	assert_false(block_io_charged_from_below("cpuset cpu io memory pids", three));
	assert_true(block_io_charged_from_below("iocost memory", three));
	assert_false(block_io_charged_from_below("", "nr_descendants 0\nnr_dying_descendants 4\n"));
	assert_false(block_io_charged_from_below("", "nr_descendants"));
	assert_false(block_io_charged_from_below("", "nr_descendants -1\n"));
	assert_false(block_io_charged_from_below("", "nr_descendants 99999999999999999999\n"));
	assert_false(block_io_charged_from_below("", "something 3\n"));
	assert_false(block_io_charged_from_below("", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_put_together_from_the_root),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(the_longest_path_fits),
		cmocka_unit_test(names_are_clean_text),
		cmocka_unit_test(an_ancestor_is_charged_for_those_without_io),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
