#include "agent/collectors/proc_mdstat.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

/* Made by hand from drivers/md/md.c, raid1.c, raid5.c and raid0.c. */
static const char good[] =
	"Personalities : [raid1] [raid6] [raid5] [raid4] [raid0] \n"
	"md2 : active raid0 sdf1[1] sde1[0]\n"
	"      4096 blocks super 1.2 512k chunks\n"
	"      \n"
	"md1 : active (auto-read-only) raid1 sdb1[1] sda1[0](W)\n"
	"      976630464 blocks super 1.2 [2/2] [UU]\n"
	"      \tresync=PENDING\n"
	"      bitmap: 0/8 pages [0KB], 65536KB chunk\n"
	"\n"
	"md0 : active raid5 sdg1[4](S) sdd1[3] sdc1[1](F) sda1[0]\n"
	"      1953260544 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [U_U]\n"
	"      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec\n"
	"      \n"
	"md127 : inactive sdh[1](S) sdi[0](S)\n"
	"      5032 blocks super external:imsm\n"
	"       \n"
	"unused devices: <none>\n";

static int parse(const char *text, struct mdstat_row *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	struct proc_mdstat_reader reader = proc_mdstat_reader(copy, len);
	int n = 0, r;
	while ((r = proc_mdstat_next(&reader, ret)) > 0)
		n++;
	free(copy);
	return r < 0 ? r : n;
}

#define IS(row, field, text)                                                                                           \
	do {                                                                                                           \
		assert_int_equal((row).field##_len, strlen(text));                                                     \
		assert_memory_equal((row).field, text, strlen(text));                                                  \
	} while (0)

static void test_good(void **state)
{
	struct proc_mdstat_reader reader = proc_mdstat_reader(good, sizeof(good) - 1);
	struct mdstat_row row;
	assert_int_equal(proc_mdstat_next(&reader, &row), 1);
	IS(row, name, "md2");
	IS(row, state, "active");
	IS(row, level, "raid0");
	assert_int_equal(row.blocks, 4096);
	assert_false(row.has_disks);
	assert_int_equal(row.sync, MDSTAT_SYNC_NONE);

	assert_int_equal(proc_mdstat_next(&reader, &row), 1);
	IS(row, name, "md1");
	IS(row, state, "auto-read-only");
	IS(row, level, "raid1");
	assert_int_equal(row.sync, MDSTAT_SYNC_PENDING);
	IS(row, action, "resync");
	assert_false(row.has_progress);
	assert_int_equal(row.total, 2);
	assert_int_equal(row.failed + row.spare, 0);

	assert_int_equal(proc_mdstat_next(&reader, &row), 1);
	IS(row, name, "md0");
	IS(row, level, "raid5");
	assert_int_equal(row.failed, 1);
	assert_int_equal(row.spare, 1);
	assert_true(row.has_disks);
	assert_int_equal(row.total, 3);
	assert_int_equal(row.active, 2);
	assert_int_equal(row.sync, MDSTAT_SYNC_RUNNING);
	IS(row, action, "recovery");
	assert_true(row.has_progress);
	assert_int_equal(row.done, 37043392);
	assert_int_equal(row.todo, 292945152);
	assert_int_equal(row.speed_kib, 33440);

	assert_int_equal(proc_mdstat_next(&reader, &row), 1);
	IS(row, name, "md127");
	IS(row, state, "inactive");
	assert_null(row.level);
	assert_int_equal(row.spare, 2);
	assert_int_equal(row.blocks, 5032);
	assert_int_equal(proc_mdstat_next(&reader, &row), 0);
}

static void test_forms(void **state)
{
	struct mdstat_row row;
	assert_int_equal(parse("", &row), 0);
	assert_int_equal(parse("Personalities : \nunused devices: <none>\n", &row), 0);
	assert_int_equal(parse("Personalities : [raid1]\nread_ahead 1024 sectors\n", &row), 0);
	/* The same twice is two rows. */
	assert_int_equal(parse("md0 : active raid1 sda[0]\nmd0 : active raid1 sda[0]\n", &row), 2);
	/* Words to come. */
	assert_int_equal(
		parse("md0 : active (broken) raid1 sda[0](X) sdb[1](J) new\n   8 blocks odd [1/1/1] [2/1] x\n", &row),
		1);
	IS(row, level, "raid1");
	assert_int_equal(row.total, 2);
	/* More done than there is to do, and nothing to do: no progress, but an action. */
	assert_int_equal(parse("md0 : active raid1 sda[0]\n check = 0.0% (9/8) speed=1K/sec\n", &row), 1);
	assert_int_equal(row.sync, MDSTAT_SYNC_RUNNING);
	assert_false(row.has_progress);
	assert_int_equal(parse("md0 : active raid1 sda[0]\n check = 0.0% (0/0) speed=1K/sec\n", &row), 1);
	assert_false(row.has_progress);
	assert_int_equal(parse("md0 : active raid1 a[0]\n 18446744073709551615 blocks [4294967295/4294967295]\n", &row),
			 1);
	assert_true(row.blocks == UINT64_MAX && row.total == UINT32_MAX);
	assert_int_equal(parse("md0 : active raid1 a[0]\n 18446744073709551616 blocks [4294967296/1]\n", &row), 1);
	assert_false(row.has_blocks || row.has_disks);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"md0",
		"md0\n",
		"md0 :\n",
		"md0 active raid1\n",
		"md0 : active raid1 sda[0]", /* cut */
		"md0 : active raid1 sda[0]\n      12 blo",
		"a123456789b123456789c123456789d123456789e123456789f123456789g123 : active raid1\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mdstat_row row = {.failed = 77};
		if (parse(bad[i], &row) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(row.failed, 77);
	}
}

static void survive(const char *text, size_t len)
{
	struct proc_mdstat_reader reader = proc_mdstat_reader(text, len);
	struct mdstat_row row;
	int r, n = 0;
	while ((r = proc_mdstat_next(&reader, &row)) > 0) {
		assert_true(row.name >= text && row.name + row.name_len <= text + len &&
			    row.name_len <= MDSTAT_NAME_MAX);
		assert_true(row.state >= text && row.state + row.state_len <= text + len && ++n < 10);
		assert_true(!row.has_progress || (row.todo > 0 && row.done <= row.todo));
	}
	assert_true(r == 0 || r == -EPROTO);
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
