/* Records of /dev/kmsg, and what the words in them mean. */
#include "agent/events/kernel_pattern.h"
#include "agent/events/kmsg_record.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static int parse(const char *text, struct kmsg_record *ret)
{
	char *copy = exact_copy(text, strlen(text));
	int r = kmsg_record_parse(copy, strlen(text), ret);
	if (r == 0)
		ret->text.text = text + (ret->text.text - copy);
	free(copy);
	return r;
}

static void test_record(void **state)
{
	struct kmsg_record r;
	assert_int_equal(parse("3,505,5173123580,-;I/O error; dev\n SUBSYSTEM=block\n DEVICE=b8:0\n", &r), 0);
	assert_int_equal(r.severity, 3);
	assert_int_equal(r.facility, 0);
	assert_int_equal(r.sequence, 505);
	assert_int_equal(r.timestamp_us, 5173123580);
	assert_true(word_is(r.text, "I/O error; dev"));
	assert_int_equal(parse("30,1,2,-,caller=T1,more;systemd[1]: hello\n", &r), 0);
	assert_int_equal(r.facility, 3);
	assert_int_equal(r.severity, 6);
	assert_int_equal(parse("0,18446744073709551615,18446744073709551615,c;\n", &r), 0);
	assert_int_equal(r.text.len, 0);
	static const char *const bad[] = {"",
					  "\n",
					  "3,505,51,-;no newline",
					  "3,505,51;x\n",
					  "3,505,51,;x\n",
					  "x,505,51,-;x\n",
					  "3,-5,51,-;x\n",
					  "3,5,5.1,-;x\n",
					  "4294967296,5,5,-;x\n",
					  "3,5,99999999999999999999,-;x\n",
					  "3,5,5,-\n",
					  "text only\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i], &r) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void parse_any(const char *text, size_t len)
{
	struct kmsg_record r;
	struct kernel_mark mark;
	char line[16];
	if (kmsg_record_parse(text, len, &r) < 0)
		return;
	size_t n = kmsg_unescape(r.text, line, sizeof(line));
	assert_true(n < sizeof(line) && line[n] == '\0');
	if (kernel_pattern_match(r.text.text, r.text.len, &mark))
		assert_true(mark.subject.text >= text && mark.subject.text + mark.subject.len <= text + len);
}

static void test_hostile(void **state)
{
	exact_torture("3,505,5173123580,-;EDAC \\x0a CE I/O error, dev sda, sector 1\n K=V\n", parse_any);
	exact_torture("3,505,51,-;Killed process 1 (a b) total-vm:1\n", parse_any);
	exact_torture("3,505,51,-;nvme nvme0: I/O 1 QID 3 timeout, aborting\n", parse_any);
}

static void test_unescape(void **state)
{
	char text[16];
	struct word w = {"a\\x0ab\\xc3\\xa9\\x", 16};
	assert_int_equal(kmsg_unescape(w, text, sizeof(text)), 7);
	assert_string_equal(text, "a\nb\xc3\xa9\\x");
	assert_int_equal(kmsg_unescape((struct word){"\\xg0\\x4", 7}, text, sizeof(text)), 7);
	assert_int_equal(kmsg_unescape((struct word){"abcdef", 6}, text, 4), 3);
	assert_string_equal(text, "abc");
}

#define K(name) SONDE__V1__EVENT_KIND__EVENT_KIND_##name
#define S(name) SONDE__V1__EVENT_SEVERITY__EVENT_SEVERITY_##name

static void test_patterns(void **state)
{
	static const struct {
		const char *line;
		Sonde__V1__EventKind kind;
		Sonde__V1__EventSeverity severity;
		const char *subject;
	} cases[] = {
		{"Out of memory: Killed process 1234 (stress) total-vm:8kB, anon-rss:4kB, UID:0", K(OOM_KILL),
		 S(CRITICAL), "stress"},
		{"Memory cgroup out of memory: Killed process 9 (a (b) c) total-vm:8kB, anon-rss:4kB", K(OOM_KILL),
		 S(CRITICAL), "a (b) c"},
		{"kworker/u4:1: page allocation failure: order:4, mode:0x40cc0", K(ALLOCATION_FAILURE), S(WARNING),
		 "kworker/u4:1"},
		{"I/O error, dev sda, sector 4112 op 0x1:(WRITE) flags 0x800", K(IO_ERROR), S(ERROR), "sda"},
		{"blk_update_request: critical medium error, dev sdb, sector 1", K(IO_ERROR), S(ERROR), "sdb"},
		{"critical space allocation error, dev loop0, sector 4096 op 0x1:(WRITE) flags 0x8800 phys_seg 1",
		 K(IO_ERROR), S(ERROR), "loop0"},
		{"Buffer I/O error on dev dm-0, logical block 0, lost async page write", K(IO_ERROR), S(ERROR), "dm-0"},
		{"nvme nvme0: I/O tag 12 (100c) opcode 0x1 (I/O Cmd) QID 3 timeout, aborting req_op:WRITE(1) size:4096",
		 K(IO_ERROR), S(WARNING), "nvme0"},
		{"nvme nvme1: controller is down; will reset: CSTS=0xffffffff", K(IO_ERROR), S(ERROR), "nvme1"},
		{"ata1.00: failed command: READ FPDMA QUEUED", K(IO_ERROR), S(WARNING), "ata1.00"},
		{"md/raid1:md0: Disk failure on sdb1, disabling device.", K(RAID_FAILURE), S(ERROR), "sdb1"},
		{"EXT4-fs (sda1): Remounting filesystem read-only", K(READ_ONLY_REMOUNT), S(CRITICAL), "sda1"},
		{"BTRFS info (device sdc1): forced readonly", K(READ_ONLY_REMOUNT), S(CRITICAL), "sdc1"},
		{"XFS (dm-1): Filesystem has been shut down due to log error (0x2).", K(READ_ONLY_REMOUNT), S(CRITICAL),
		 "dm-1"},
		{"EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory",
		 K(FILESYSTEM_ERROR), S(ERROR), "sda1"},
		{"XFS (dm-0): Metadata corruption detected at xfs_agf_verify+0x1c0/0x230 [xfs]", K(FILESYSTEM_ERROR),
		 S(ERROR), "dm-0"},
		{"INFO: task jbd2/sda1-8:310 blocked for more than 120 seconds.", K(HUNG_TASK), S(ERROR),
		 "jbd2/sda1-8"},
		{"INFO: task kworker/0:1:77 blocked for more than 122 seconds.", K(HUNG_TASK), S(ERROR), "kworker/0:1"},
		{"watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [stress:1234]", K(SOFT_LOCKUP), S(CRITICAL),
		 "CPU#2"},
		{"watchdog: Watchdog detected hard LOCKUP on cpu 3", K(HARD_LOCKUP), S(CRITICAL), "cpu 3"},
		{"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", K(RCU_STALL), S(CRITICAL), "rcu_preempt"},
		{"rcu: INFO: rcu_sched self-detected stall on CPU", K(RCU_STALL), S(CRITICAL), "rcu_sched"},
		{"BUG: kernel NULL pointer dereference, address: 0000000000000008", K(KERNEL_BUG), S(CRITICAL), ""},
		{"kernel BUG at fs/inode.c:500!", K(KERNEL_BUG), S(CRITICAL), "fs/inode.c:500"},
		{"Kernel panic - not syncing: Fatal exception", K(KERNEL_BUG), S(CRITICAL), ""},
		{"WARNING: CPU: 1 PID: 23 at fs/inode.c:338 drop_nlink+0x35/0x40", K(KERNEL_WARNING), S(WARNING),
		 "fs/inode.c:338"},
		{"WARNING: fs/inode.c:338 at drop_nlink+0x35/0x40, CPU#1: rm/23", K(KERNEL_WARNING), S(WARNING),
		 "fs/inode.c:338"},
		{"mce: [Hardware Error]: Machine check events logged", K(MACHINE_CHECK), S(ERROR), ""},
		{"EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1)", K(MEMORY_ERROR),
		 S(WARNING), "MC0"},
		{"EDAC MC1: 1 UE memory read error on any memory", K(MEMORY_ERROR), S(CRITICAL), "MC1"},
		{"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer", K(PCI_ERROR),
		 S(WARNING), "0000:00:1c.0"},
		{"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer",
		 K(PCI_ERROR), S(ERROR), "0000:00:1c.0"},
		{"CPU3: Package temperature above threshold, cpu clock throttled (total events = 12)",
		 K(THERMAL_THROTTLE), S(WARNING), "CPU3"},
		{"stress[1234]: segfault at 0 ip 000055d0 sp 00007ffd error 4 in stress[55d0+1000]", K(SEGFAULT),
		 S(WARNING), "stress"},
		{"traps: python3[77] general protection fault ip:7f sp:7f error:0", K(SEGFAULT), S(WARNING), "python3"},
		{"e1000e 0000:00:19.0 eth0: NIC Link is Down", K(LINK_DOWN), S(WARNING), "eth0"},
		{"mlx5_core 0000:03:00.0 ens1f0: Link up", K(LINK_UP), S(INFO), "ens1f0"},
		{"igb 0000:02:00.0 eno1: igb: eno1 NIC Link is Up", K(UNSPECIFIED), 0, NULL},
		{"nf_conntrack: nf_conntrack: table full, dropping packet", K(NETWORK_LIMIT), S(ERROR), "nf_conntrack"},
		{"neighbour: arp_cache: neighbor table overflow!", K(NETWORK_LIMIT), S(ERROR), "arp_cache"},
		{"TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:80. Sending cookies.", K(NETWORK_LIMIT),
		 S(WARNING), "0.0.0.0:80"},
		/* nothing of the kind */
		{"operation not supported error, dev loop0, sector 0 op 0x9:(WRITE_ZEROES)", K(UNSPECIFIED), 0, NULL},
		{"loop0: detected capacity change from 0 to 65536", K(UNSPECIFIED), 0, NULL},
		{"usb 1-1: reset timeout, trying again", K(UNSPECIFIED), 0, NULL},
		{"a CE b", K(UNSPECIFIED), 0, NULL},
		{"nvme nvme0: 4/0/0 default/read/poll queues", K(UNSPECIFIED), 0, NULL},
		{"", K(UNSPECIFIED), 0, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kernel_mark mark = {.kind = K(UNSPECIFIED)};
		char *line = exact_copy(cases[i].line, strlen(cases[i].line));
		bool found = kernel_pattern_match(line, strlen(cases[i].line), &mark);
		if (found != (cases[i].subject != NULL) || mark.kind != cases[i].kind)
			fail_msg("%s: kind %d", cases[i].line, mark.kind);
		if (found && (mark.severity != cases[i].severity || !word_is(mark.subject, cases[i].subject)))
			fail_msg("%s: severity %d, subject '%.*s'", cases[i].line, mark.severity, (int)mark.subject.len,
				 mark.subject.text);
		free(line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_patterns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
