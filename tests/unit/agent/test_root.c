#include "agent/host/root.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void test_open(void **state)
{
	struct root root;
	assert_int_equal(root_open(&root, "/no/such/directory"), -ENOENT);
	assert_int_equal(root_open(&root, "/dev/null"), -ENOTDIR);
	assert_int_equal(root_open(&root, NULL), 0);
	assert_false(root.recorded);
	assert_string_equal(root.path, "/");
	assert_true(root_exists(&root, "proc/self"));
	root_close(&root);
	root_close(&root); /* twice does nothing */
	root_close(NULL);
	assert_int_equal(root_open(&root, "/"), 0);
	assert_false(root.recorded);
	root_close(&root);
}

static void test_file_is_read_again(void **state)
{
	struct tree tree;
	struct root_file file;
	tree_make(&tree);
	assert_true(tree.root.recorded);
	assert_int_equal(root_file_open(&tree.root, "proc/stat", 100, &file), -ENOENT);
	tree_write(&tree, "proc/stat", "one\n");
	assert_int_equal(root_file_open(&tree.root, "proc/stat", 100, &file), 0);
	assert_int_equal(root_file_read(&file), 0);
	assert_string_equal(file.text, "one\n");
	tree_write(&tree, "proc/stat", "three and more\n");
	assert_int_equal(root_file_read(&file), 0);
	assert_string_equal(file.text, "three and more\n");
	assert_int_equal(file.len, strlen("three and more\n"));
	tree_write(&tree, "proc/stat", "");
	assert_int_equal(root_file_read(&file), 0);
	assert_int_equal(file.len, 0);
	assert_string_equal(file.text, "");
	root_file_close(&file);
	root_file_close(&file);
	root_file_close(NULL);
	struct root_file zeroed = {.fd = 0};
	root_file_close(&zeroed); /* does not close standard input */
	assert_true(lseek(0, 0, SEEK_CUR) >= 0 || errno != EBADF);
	tree_destroy(&tree);
}

static void check_size(size_t size, size_t max, int want)
{
	struct tree tree;
	struct root_file file;
	char *text = malloc(size + 1);
	memset(text, 'x', size);
	text[size] = '\0';
	tree_make(&tree);
	tree_write(&tree, "f", text);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(root_file_open(&tree.root, "f", max, &file), 0);
		file.has_short_records = i == 1;
		assert_int_equal(root_file_read(&file), want);
		if (want == 0)
			assert_string_equal(file.text, text);
		if (i == 0)
			root_file_close(&file);
	}
	root_file_close(&file);
	tree_destroy(&tree);
	free(text);
}

static void test_maximum(void **state)
{
	static const size_t sizes[] = {1, 4094, 4095, 4096, 4097, 8192, 100000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		check_size(sizes[i], 100000, 0);
		check_size(sizes[i], sizes[i], 0);
		check_size(sizes[i], sizes[i] - 1, -EMSGSIZE);
	}
}

static size_t count_lines(const struct root_file *file)
{
	size_t lines = 0;
	for (size_t i = 0; i < file->len; i++)
		lines += file->text[i] == '\n';
	return lines;
}

/* Short readings before the end are the rule here: the kernel gives a page less what the next line has no room in. */
static void check_live(const char *path, size_t max)
{
	struct root root;
	struct root_file whole, quick;
	assert_int_equal(root_open(&root, NULL), 0);
	assert_int_equal(root_file_open(&root, path, max, &whole), 0);
	assert_int_equal(root_file_open(&root, path, max, &quick), 0);
	quick.has_short_records = true;
	bool equal = false;
	/* Lines come and go between two readings (kallsyms lists every BPF program); what is cut is cut every time. */
	for (int i = 0; i < 20 && !equal; i++) {
		assert_int_equal(root_file_read(&whole), 0);
		assert_int_equal(root_file_read(&quick), 0);
		assert_true(whole.len > 0);
		assert_int_equal(quick.text[quick.len - 1], '\n');
		equal = count_lines(&whole) == count_lines(&quick);
	}
	if (!equal)
		fail_msg("%s: %zu lines whole, %zu by one reading", path, count_lines(&whole), count_lines(&quick));
	root_file_close(&whole);
	root_file_close(&quick);
	root_close(&root);
}

/* Where a reading ends short of the file, as it does where the kernel has no room for its next record. */
static size_t short_at;

ssize_t pread(int fd, void *buffer, size_t size, off_t at)
{
	if ((size_t)at < short_at && size > short_at - (size_t)at)
		size = short_at - (size_t)at;
	return syscall(SYS_pread64, fd, buffer, size, at);
}

static void test_a_long_record_is_found_in_time(void **state)
{
	struct tree tree;
	struct root_file file;
	tree_make(&tree);
	tree_write(&tree, "f", "a line\nand a very long one\n");
	assert_int_equal(root_file_open(&tree.root, "f", 1000, &file), 0);
	file.has_rarely_long_records = true;
	assert_int_equal(root_file_read(&file), 0);
	assert_int_equal(count_lines(&file), 2);
	short_at = 7;
	for (int i = 1; i < ROOT_END_TURNS; i++) {
		assert_int_equal(root_file_read(&file), 0);
		assert_int_equal(count_lines(&file), 1);
	}
	for (int i = 0; i < 2 * ROOT_END_TURNS; i++) {
		assert_int_equal(root_file_read(&file), 0);
		assert_int_equal(count_lines(&file), 2);
	}
	short_at = 0;
	root_file_close(&file);
	tree_destroy(&tree);
}

static void test_the_end_is_seen(void **state)
{
	static const char *const paths[] = {
		"proc/stat",
		"proc/loadavg",
		"proc/meminfo",
		"proc/vmstat",
		"proc/sys/fs/file-nr",
		"proc/self/statm",
		"proc/self/net/dev",
		"proc/self/net/snmp",
		"proc/self/net/netstat",
		"proc/self/net/snmp6",
		"proc/self/net/sockstat",
		"proc/self/net/softnet_stat",
		"sys/devices/system/cpu/present",
		/* Not what the agent reads, but of the same kind and thousands of pages long. */
		"proc/kallsyms",
	};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char path[64] = "/";
		strcat(path, paths[i]);
		if (access(path, R_OK) == 0)
			check_live(paths[i], (size_t)64 << 20);
	}
}

static void test_small_files(void **state)
{
	struct tree tree;
	char text[8];
	unsigned long long n = 5;
	tree_make(&tree);
	tree_write(&tree, "a", "value \n\n");
	assert_int_equal(root_read_text(&tree.root, "a", text, sizeof(text)), 5);
	assert_string_equal(text, "value");
	tree_write(&tree, "a", "longerthanthat");
	assert_int_equal(root_read_text(&tree.root, "a", text, sizeof(text)), 7);
	assert_string_equal(text, "longert");
	assert_int_equal(root_read_text(&tree.root, "b", text, sizeof(text)), -ENOENT);

	static const char *const bad[] = {"", "\n", "-1\n", "1 2\n", "x", "18446744073709551616\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tree_write(&tree, "n", bad[i]);
		assert_int_equal(root_read_u64(&tree.root, "n", &n), -EPROTO);
	}
	assert_int_equal(root_read_u64(&tree.root, "none", &n), -ENOENT);
	assert_int_equal(n, 5);
	tree_write(&tree, "n", "18446744073709551615\n");
	assert_int_equal(root_read_u64(&tree.root, "n", &n), 0);
	assert_true(n == UINT64_MAX);
	tree_destroy(&tree);
}

static void test_directories(void **state)
{
	struct tree tree;
	tree_make(&tree);
	tree_mkdir(&tree, "empty");
	tree_write(&tree, "full/file", "");
	assert_int_equal(root_dir_has_entries(&tree.root, "empty"), 0);
	assert_int_equal(root_dir_has_entries(&tree.root, "full"), 1);
	assert_int_equal(root_dir_has_entries(&tree.root, "none"), -ENOENT);

	struct root_dir dir;
	assert_int_equal(root_dir_open(&tree.root, "none", &dir), -ENOENT);
	assert_int_equal(root_dir_open(&tree.root, "empty", &dir), 0);
	assert_null(root_dir_next(&dir));
	root_dir_close(&dir);
	assert_int_equal(root_dir_open(&tree.root, "full", &dir), 0);
	assert_non_null(root_dir_next(&dir));
	assert_null(root_dir_next(&dir));
	root_dir_close(&dir);
	assert_true(root_exists(&tree.root, "full/file"));
	assert_false(root_exists(&tree.root, "full/none"));
	tree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_file_is_read_again),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_a_long_record_is_found_in_time),
		cmocka_unit_test(test_the_end_is_seen),
		cmocka_unit_test(test_small_files),
		cmocka_unit_test(test_directories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
