/* The files of one process. */
#include "agent/processes/proc_pid_cgroup.h"
#include "agent/processes/proc_pid_io.h"
#include "agent/processes/proc_pid_stat.h"
#include "agent/processes/proc_pid_status.h"
#include "agent/processes/resident.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

#define BEHIND                                                                                                         \
	" S 1 612 612 0 -1 4194624 7152 11 9 12 183 95 3 4 20 0 21 0 2391 8298496 1203 18446744073709551615 1 1 0 0 "  \
	"0 "                                                                                                           \
	"0 0 4096 134498817 0 0 0 17 1 0 0 33"
#define STAT BEHIND " 0 0 0 0 0 0 0 0 0 0\n"

static int parse_stat(const char *text, size_t len, struct proc_pid_stat *ret)
{
	char *copy = exact_copy(text, len);
	int r = proc_pid_stat_parse(copy, len, ret);
	free(copy);
	return r;
}

static void test_stat(void **state)
{
	struct proc_pid_stat stat;
	assert_int_equal(parse_stat("612 (sshd)" STAT, strlen("612 (sshd)" STAT), &stat), 0);
	assert_int_equal(stat.pid, 612);
	assert_int_equal(stat.parent_pid, 1);
	assert_int_equal(stat.comm_len, 4);
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.minor_faults, 7152);
	assert_int_equal(stat.major_faults, 9);
	assert_int_equal(stat.user_ticks, 183);
	assert_int_equal(stat.system_ticks, 95);
	assert_int_equal(stat.threads, 21);
	assert_int_equal(stat.start_ticks, 2391);
	assert_int_equal(stat.resident_pages, 1203);
	assert_int_equal(stat.io_delay_ticks, 33);
	/* With no newline, as it is after white space at the end was cut off, and without the fields of newer kernels.
	 */
	assert_int_equal(parse_stat("612 (sshd)" BEHIND, strlen("612 (sshd)" BEHIND), &stat), 0);
	assert_int_equal(stat.io_delay_ticks, 33);
}

static void test_stat_names(void **state)
{
	static const char *const names[] = {"", "a b", "tmux: (server)", ") S 1 2", "(", ")", "a\nb", "((()", "\xff"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[512];
		struct proc_pid_stat stat;
		int len = snprintf(text, sizeof(text), "1 (%s)" STAT, names[i]);
		assert_int_equal(proc_pid_stat_parse(text, (size_t)len, &stat), 0);
		assert_int_equal(stat.comm_len, strlen(names[i]));
		assert_memory_equal(stat.comm, names[i], stat.comm_len);
		assert_int_equal(stat.threads, 21);
	}
}

static void test_stat_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"612 (sshd)",
		"612 sshd" STAT,
		"612 )sshd(" STAT,
		"(sshd)" STAT,
		"0 (sshd)" STAT,
		"4294967296 (sshd)" STAT,
		"6x (sshd)" STAT,
		"6 7 (sshd)" STAT,
		"-1 (sshd)" STAT,
		"612 (a name that is longer than any the kernel gives to its threads or others)" STAT,
		"612 (sshd) S 1 612 612 0 -1 4194624 7152 11 9 12 183 95 3 4 20 0 21 0 2391 8298496 1203\n",
		"612 (sshd) 12 1 612 612 0 -1 4194624 7152 11 9 12 183 95 3 4 20 0 21 0 2391 8298496 1203 1\n",
		"612 (sshd) S -1 612 612 0 -1 4194624 7152 11 9 12 183 95 3 4 20 0 21 0 2391 8298496 1203 1 1 1 0 0 0 "
		"0 0 "
		"4096 1 0 0 0 17 1 0 0 33 0\n",
		"612 (sshd) S 1 612 612 0 -1 4194624 7152 11 9 12 18446744073709551616 95 3 4 20 0 21 0 2391 8298496 "
		"1203 1 "
		"1 1 0 0 0 0 0 4096 1 0 0 0 17 1 0 0 33 0\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_pid_stat stat = {.pid = 77};
		if (parse_stat(bad[i], strlen(bad[i]), &stat) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(stat.pid, 77);
	}
	struct proc_pid_stat stat;
	static const char nul[] = "1 (a\0b)" STAT;
	assert_int_equal(parse_stat(nul, sizeof(nul) - 1, &stat), -EPROTO);
}

static void survive_stat(const char *text, size_t len)
{
	struct proc_pid_stat stat;
	if (proc_pid_stat_parse(text, len, &stat) == 0)
		assert_true(stat.comm >= text && stat.comm + stat.comm_len < text + len);
}

#define IO                                                                                                             \
	"rchar: 323934931\nwchar: 323929600\nsyscr: 632687\nsyscw: 632675\nread_bytes: 4096\nwrite_bytes: 323932160\n" \
	"cancelled_write_bytes: 18446744073709551615\n"

static void test_io(void **state)
{
	struct proc_pid_io io = {.read_bytes = 77};
	static const char *const bad[] = {
		"",
		"read_bytes: 1\nwrite_bytes: 2\n",
		"read_bytes: 1\nwrite_bytes: 2\ncancelled_write_bytes: 3", /* cut */
		"read_bytes: 1\nread_bytes: 1\nwrite_bytes: 2\ncancelled_write_bytes: 3\n",
		"read_bytes: -1\nwrite_bytes: 2\ncancelled_write_bytes: 3\n",
		"read_bytes 1\nwrite_bytes: 2\ncancelled_write_bytes: 3\n",
		"read_bytes: 18446744073709551616\nwrite_bytes: 2\ncancelled_write_bytes: 3\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (proc_pid_io_parse(bad[i], strlen(bad[i]), &io) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(io.read_bytes, 77);
	}
	assert_int_equal(proc_pid_io_parse(IO "more: 1\n", strlen(IO "more: 1\n"), &io), 0);
	assert_int_equal(io.read_bytes, 4096);
	assert_int_equal(io.write_bytes, 323932160);
	assert_true(io.cancelled_write_bytes == UINT64_MAX);
}

static void survive_io(const char *text, size_t len)
{
	struct proc_pid_io io;
	int r = proc_pid_io_parse(text, len, &io);
	assert_true(r == 0 || r == -EPROTO);
}

static void assert_path(struct word path, const char *want)
{
	if (!want) {
		assert_null(path.text);
		return;
	}
	assert_int_equal(path.len, strlen(want));
	assert_memory_equal(path.text, want, path.len);
}

static void test_cgroup(void **state)
{
	struct proc_pid_cgroup cgroup;
	static const char v2[] = "0::/user.slice/a:b\n";
	assert_int_equal(proc_pid_cgroup_parse(v2, strlen(v2), &cgroup), 0);
	assert_path(cgroup.paths[PID_CGROUP_UNIFIED], "/user.slice/a:b");
	assert_path(cgroup.paths[PID_CGROUP_MEMORY], NULL);
	static const char hybrid[] = "12:memory:/m\n4:cpu,cpuacct:/c\n3:net_cls,net_prio:/n\n1:name=systemd:/s\n0::/\n";
	assert_int_equal(proc_pid_cgroup_parse(hybrid, strlen(hybrid), &cgroup), 0);
	assert_path(cgroup.paths[PID_CGROUP_UNIFIED], "/");
	assert_path(cgroup.paths[PID_CGROUP_MEMORY], "/m");
	assert_path(cgroup.paths[PID_CGROUP_CPUACCT], "/c");
	assert_path(cgroup.paths[PID_CGROUP_CPU], "/c");
	assert_int_equal(proc_pid_cgroup_parse("", 0, &cgroup), 0);
	assert_path(cgroup.paths[PID_CGROUP_UNIFIED], NULL);
	static const char *const bad[] = {
		"0::/a", /* cut */
		"0:/a\n",
		"x::/a\n",
		"0::a\n",
		"0::\n",
		"\n",
		"0::/a\n0::/b\n",
		"1:memory:/a\n2:memory:/b\n",
		"18446744073709551616:memory:/\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (proc_pid_cgroup_parse(bad[i], strlen(bad[i]), &cgroup) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void survive_cgroup(const char *text, size_t len)
{
	struct proc_pid_cgroup cgroup;
	if (proc_pid_cgroup_parse(text, len, &cgroup) < 0)
		return;
	for (size_t i = 0; i < PID_CGROUP_HIERARCHIES; i++)
		assert_true(!cgroup.paths[i].text ||
			    (cgroup.paths[i].text >= text && cgroup.paths[i].text + cgroup.paths[i].len < text + len));
}

static void test_status(void **state)
{
	uint32_t user = 77;
	static const char *const bad[] = {
		"",
		"Name:\tx\n",
		"Uid:\t0\t1000",
		"Uid:\t0\n",
		"Uid:\t0\t4294967296\t0\t0\n",
		"Uid:\t0\t1\t1\t1\nUid:\t0\t1\t1\t1\n",
		"rubbish\nUid:\t0\t1\t1\t1\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (proc_pid_status_user(bad[i], strlen(bad[i]), &user) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(user, 77);
	}
	static const char good[] = "Name:\ta: b\nUmask:\t0022\nUid:\t1\t4294967295\t3\t4\nGid:\t0\t0\t0\t0\nFDSi";
	assert_int_equal(proc_pid_status_user(good, strlen(good), &user), 0);
	assert_true(user == UINT32_MAX);
}

static void survive_status(const char *text, size_t len)
{
	uint32_t user;
	int r = proc_pid_status_user(text, len, &user);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_statm(void **state)
{
	uint64_t pages = 77;
	static const char *const bad[] = {"",		"1 2 3",  "1\n", "1 x\n", "1 18446744073709551616\n",
					  "-1 2 3 4\n", "\n1 2\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (resident_parse(bad[i], strlen(bad[i]), &pages) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(pages, 77);
	}
	assert_int_equal(resident_parse("1 18446744073709551615 3 4 5 6 7 8\n", 35, &pages), 0);
	assert_true(pages == UINT64_MAX);
}

static void survive_statm(const char *text, size_t len)
{
	uint64_t pages;
	int r = resident_parse(text, len, &pages);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_torture(void **state)
{
	exact_torture("612 (tmux: (x))" STAT, survive_stat);
	exact_torture(IO, survive_io);
	exact_torture("12:memory:/m\n4:cpu,cpuacct:/c\n0::/\n", survive_cgroup);
	exact_torture("19932 1318 1069 203 0 466 0\n", survive_statm);
	exact_torture("Name:\tx\nUid:\t1\t2\t3\t4\n", survive_status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat),  cmocka_unit_test(test_stat_names), cmocka_unit_test(test_stat_refused),
		cmocka_unit_test(test_io),    cmocka_unit_test(test_cgroup),	 cmocka_unit_test(test_status),
		cmocka_unit_test(test_statm), cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
