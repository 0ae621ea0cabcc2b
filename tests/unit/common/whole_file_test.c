#include "common/whole_file.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/sonde-whole-file-XXXXXX";
static char path[64], temporary[80];

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)rmdir(temporary);
	(void)unlink(temporary);
	(void)unlink(path);
	return rmdir(folder);
}

static void assert_holds(const char *text, mode_t mode)
{
	char contents[64] = "";
	struct stat st;
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	size_t n = fread(contents, 1, sizeof(contents) - 1, in);
	fclose(in);
	assert_int_equal(n, strlen(text));
	assert_string_equal(contents, text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, mode);
	assert_int_equal(access(temporary, F_OK), -1);
}

static void test_makes_and_replaces(void **state)
{
	assert_int_equal(whole_file_write(path, "first", 5, 0600), 0);
	assert_holds("first", 0600);
	assert_int_equal(whole_file_write(path, "", 0, 0644), 0);
	assert_holds("", 0644);
}

/* What an earlier attempt left, or somebody put there to be written through. */
static void test_a_temporary_that_is_there_already(void **state)
{
	char other[96];
	snprintf(other, sizeof(other), "%s.other", path);
	assert_int_equal(symlink(other, temporary), 0);
	assert_int_equal(whole_file_write(path, "mine", 4, 0600), 0);
	assert_holds("mine", 0600);
	assert_int_equal(access(other, F_OK), -1);
}

static void test_failure_leaves_the_old_one(void **state)
{
	char long_path[PATH_MAX + 1];
	assert_int_equal(whole_file_write(path, "old", 3, 0600), 0);
	assert_int_equal(mkdir(temporary, 0700), 0);
	assert_true(whole_file_write(path, "new", 3, 0600) < 0);
	assert_int_equal(rmdir(temporary), 0);
	assert_holds("old", 0600);
	assert_int_equal(whole_file_write("/proc/none/file", "x", 1, 0600), -ENOENT);
	memset(long_path, 'a', PATH_MAX);
	long_path[PATH_MAX] = '\0';
	assert_int_equal(whole_file_write(long_path, "x", 1, 0600), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_makes_and_replaces),
		cmocka_unit_test(test_a_temporary_that_is_there_already),
		cmocka_unit_test(test_failure_leaves_the_old_one),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
