#include "agent/collectors/mount_table.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

static const char good[] = "22 27 0:21 / /proc rw - proc proc rw\n"
			   "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
			   "30 27 254:0 /srv/data /srv rw - ext4 /dev/vda rw\n" /* bound */
			   "31 27 8:1 / /mnt/a\\040disk rw - xfs /dev/sda1 rw\n"
			   "32 27 8:1 /x /b rw - xfs /dev/sda1 rw\n" /* shorter */
			   "33 27 0:40 / /home rw - tmpfs old rw\n"
			   "34 33 0:41 / /home rw - nfs4 server:/home rw\n" /* over it */
			   "35 27 0:42 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
			   "36 27 0:43 / /dev/shm rw - tmpfs tmpfs rw\n"
			   "37 27 0:44 / /var/lib/docker/overlay2/0a/merged rw - overlay overlay rw\n"
			   "38 27 8:2 / /var/lib/kubelet/pods/1/volume rw - ext4 /dev/sdb rw\n"
			   "39 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n"
			   "40 27 0:45 / /var/lib/dockerish rw - tmpfs tmpfs rw\n"
			   "41 27 0:46 @ /btrfs rw - btrfs /dev/sdc rw\n"
			   "42 27 0:46 /sub /btrfs/sub rw - btrfs /dev/sdc rw\n";

static void points(const struct mount_table *table, char *out, size_t size)
{
	out[0] = '\0';
	for (size_t i = 0; i < table->n; i++)
		snprintf(out + strlen(out), size - strlen(out), "%.*s ", (int)table->mounts[i].point.len,
			 table->mounts[i].point.text);
}

static void test_good(void **state)
{
	struct mount_table table;
	char got[512];
	assert_int_equal(mount_table_choose(good, sizeof(good) - 1, 100, &table), 0);
	points(&table, got, sizeof(got));
	assert_string_equal(got, "/ /b /btrfs /dev/shm /home /var/lib/dockerish /var/lib/kubelet/pods/1/volume ");
	assert_int_equal(table.left_out, 0);
	assert_true(word_is(table.mounts[4].type, "nfs4"));
	mount_table_free(&table);

	assert_int_equal(mount_table_choose(good, sizeof(good) - 1, 3, &table), 0);
	points(&table, got, sizeof(got));
	assert_string_equal(got, "/ /b /btrfs ");
	assert_int_equal(table.left_out, 4);
	mount_table_free(&table);
	mount_table_free(&table);
	mount_table_free(NULL);
}

static void test_forms(void **state)
{
	struct mount_table table;
	static const char twice[] = "1 0 8:1 / / rw - ext4 a rw\n1 0 8:1 / / rw - ext4 a rw\n";
	static const char itself[] = "1 1 8:1 / / rw - ext4 a rw\n";
	static const char largest[] =
		"18446744073709551615 18446744073709551614 4294967295:4294967295 / / rw - ext4 a rw\n";
	assert_int_equal(mount_table_choose("", 0, 100, &table), 0);
	assert_int_equal(table.n, 0);
	mount_table_free(&table);
	assert_int_equal(mount_table_choose(twice, sizeof(twice) - 1, 100, &table), 0);
	assert_int_equal(table.n, 1);
	mount_table_free(&table);
	assert_int_equal(mount_table_choose(itself, sizeof(itself) - 1, 100, &table), 0);
	assert_int_equal(table.n, 1);
	mount_table_free(&table);
	assert_int_equal(mount_table_choose(largest, sizeof(largest) - 1, 100, &table), 0);
	assert_int_equal(table.n, 1);
	mount_table_free(&table);
}

static void test_refused(void **state)
{
	struct mount_table table = {.n = 77};
	static const char *const bad[] = {"1 2 3\n", "1 0 8:1 / / rw - ext4 a rw", "1 0 8:1 / / rw ext4 a rw\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (mount_table_choose(bad[i], strlen(bad[i]), 100, &table) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
	}
	size_t n = MOUNT_TABLE_MAX_MOUNTS + 1;
	char *many = malloc(n);
	assert_non_null(many);
	memset(many, '\n', n);
	assert_int_equal(mount_table_choose(many, n, 100, &table), -EMSGSIZE);
	free(many);
	assert_int_equal(table.n, 77);
}

static void survive(const char *text, size_t len)
{
	struct mount_table table;
	int r = mount_table_choose(text, len, 5, &table);
	assert_true(r == 0 || r == -EPROTO);
	if (r < 0)
		return;
	assert_true(table.n <= 5);
	for (size_t i = 0; i < table.n; i++)
		assert_true(table.mounts[i].point.text >= text &&
			    table.mounts[i].point.text + table.mounts[i].point.len <= text + len);
	mount_table_free(&table);
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
