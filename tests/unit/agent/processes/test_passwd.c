#include "agent/processes/passwd.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static void test_parse(void **state)
{
	char text[] = "zoe:x:1000:1000::/home/zoe:/bin/sh\n"
		      "root:x:0:0:root:/root:/bin/bash\n"
		      "toor:x:0:0::/:/bin/sh\n"
		      "# a comment\n"
		      ":x:5:5::/:/\n"
		      "neg:x:-1:5::/:/\n"
		      "big:x:4294967296:5::/:/\n"
		      "last:x:4294967295:5::/:/\n"
		      "cut:x:7:7::/:/";
	struct passwd_user users[16];
	assert_int_equal(passwd_parse(text, strlen(text), users, 16), 3);
	assert_int_equal(users[0].id, 0);
	assert_string_equal(text + users[0].name, "root");
	assert_int_equal(users[1].id, 1000);
	assert_string_equal(text + users[1].name, "zoe");
	assert_true(users[2].id == UINT32_MAX);
	char again[] = "a:x:1:1::/:\nb:x:2:1::/:\n";
	assert_int_equal(passwd_parse(again, strlen(again), users, 1), 1);
	assert_int_equal(passwd_parse(again, 0, users, 1), 0);
}

static void survive(const char *text, size_t len)
{
	struct passwd_user users[4];
	char *copy = exact_copy(text, len);
	size_t n = passwd_parse(copy, len, users, 4);
	for (size_t i = 0; i < n; i++)
		assert_true(strnlen(copy + users[i].name, len - users[i].name) < len - users[i].name);
	free(copy);
}

static void test_torture(void **state)
{
	exact_torture("zoe:x:1000:1000::/home/zoe:/bin/sh\nroot:x:0:0:root:/root:/bin/bash\n", survive);
}

static void set_time(const struct tree *tree, time_t seconds)
{
	struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
	assert_int_equal(utimensat(tree->root.dirfd, "etc/passwd", times, 0), 0);
}

static void test_refresh(void **state)
{
	struct tree tree;
	tree_make(&tree);
	struct passwd passwd = passwd_init(&tree.root);
	uint64_t now = 1;
	passwd_refresh(&passwd, now);
	assert_null(passwd_name(&passwd, 0));

	tree_write(&tree, "etc/passwd", "root:x:0:0:::\none:x:1:1:::\n");
	set_time(&tree, 100);
	passwd_refresh(&passwd, now += PASSWD_CHECK_US);
	assert_string_equal(passwd_name(&passwd, 0), "root");
	assert_string_equal(passwd_name(&passwd, 1), "one");
	assert_null(passwd_name(&passwd, 2));

	/* The same length: it is the time that tells. */
	tree_write(&tree, "etc/passwd", "root:x:0:0:::\ntwo:x:2:1:::\n");
	set_time(&tree, 100);
	passwd_refresh(&passwd, now += PASSWD_CHECK_US);
	assert_null(passwd_name(&passwd, 2));
	set_time(&tree, 101);
	passwd_refresh(&passwd, now + PASSWD_CHECK_US - 1); /* too early to look */
	assert_null(passwd_name(&passwd, 2));
	passwd_refresh(&passwd, now += PASSWD_CHECK_US);
	assert_string_equal(passwd_name(&passwd, 2), "two");
	assert_null(passwd_name(&passwd, 1));

	tree_remove(&tree, "etc/passwd");
	passwd_refresh(&passwd, now += PASSWD_CHECK_US);
	assert_null(passwd_name(&passwd, 0));
	passwd_free(&passwd);
	passwd_free(NULL);
	tree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_torture),
		cmocka_unit_test(test_refresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
