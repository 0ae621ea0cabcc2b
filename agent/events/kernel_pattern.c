/* The first row that fits decides, so that exceptions stand before their rule. Wording differs between kernels; rows
 * hold what 4.18 to 6.18 have in common, or one row each. Kernel 6.12's words are named where an older one differs. */
#include "agent/events/kernel_pattern.h"

#include <string.h>

#define KIND(name) SONDE__V1__EVENT_KIND__EVENT_KIND_##name
#define IGNORED KIND(UNSPECIFIED)

enum { INFO = SONDE__V1__EVENT_SEVERITY__EVENT_SEVERITY_INFO, WARNING, FAILURE, CRITICAL };

static const struct pattern {
	const char *contains;
	/* The subject is what stands between these two: behind the first `after` in the line (NULL: from the line's
	 * start) and before the first `before` behind it. */
	const char *after, *before;
	Sonde__V1__EventKind kind;
	int severity;
	bool at_start; /* the line begins with `contains` */
} patterns[] = {
	/* Out of memory: Killed process 1234 (stress) total-vm:1048576kB, anon-rss:.. */
	{"Killed process ", "(", ") total-vm", KIND(OOM_KILL), CRITICAL, false},
	/* stress: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP), .. */
	{": page allocation failure: order:", NULL, ": page", KIND(ALLOCATION_FAILURE), WARNING, false},

	/* What a device does not know how to do is no failure of it. */
	{"operation not supported error, dev ", NULL, NULL, IGNORED, 0, false},
	{" retry error, dev ", NULL, NULL, IGNORED, 0, false},
	/* I/O error, dev sda, sector 4112 op 0x0:(READ) flags 0x0; before 5.11 blk_update_request: I/O error, .. */
	{" error, dev ", " error, dev ", ",", KIND(IO_ERROR), FAILURE, false},
	/* Buffer I/O error on dev dm-0, logical block 0, lost async page write */
	{"Buffer I/O error on dev ", "on dev ", ",", KIND(IO_ERROR), FAILURE, true},
	/* nvme nvme0: I/O tag 12 (100c) opcode 0x1 (I/O Cmd) QID 3 timeout, aborting req_op:WRITE(1) size:4096 */
	{" timeout, ", "nvme ", ":", KIND(IO_ERROR), WARNING, false},
	{"nvme ", "nvme ", ": controller is down", KIND(IO_ERROR), FAILURE, true},
	/* ata1.00: failed command: READ FPDMA QUEUED */
	{": failed command: ", NULL, ": failed", KIND(IO_ERROR), WARNING, false},
	/* md/raid1:md0: Disk failure on sdb1, disabling device. */
	{"Disk failure on ", "failure on ", ",", KIND(RAID_FAILURE), FAILURE, false},

	/* EXT4-fs (sda1): Remounting filesystem read-only */
	{"Remounting filesystem read-only", "(", ")", KIND(READ_ONLY_REMOUNT), CRITICAL, false},
	/* BTRFS info (device sda1): forced readonly */
	{"forced readonly", "(device ", ")", KIND(READ_ONLY_REMOUNT), CRITICAL, false},
	/* XFS (dm-0): Filesystem has been shut down due to log error (0x2). */
	{"Filesystem has been shut down", "(", ")", KIND(READ_ONLY_REMOUNT), CRITICAL, false},
	{"Shutting down filesystem", "(", ")", KIND(READ_ONLY_REMOUNT), CRITICAL, false},
	/* EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0 */
	{"-fs error (device ", "(device ", ")", KIND(FILESYSTEM_ERROR), FAILURE, false},
	{"BTRFS error (device ", "(device ", ")", KIND(FILESYSTEM_ERROR), FAILURE, false},
	{"BTRFS critical (device ", "(device ", ")", KIND(FILESYSTEM_ERROR), CRITICAL, false},
	/* XFS (dm-0): Metadata corruption detected at xfs_agf_verify+0x1c0/0x230 [xfs], xfs_agf block 0x1 */
	{"Metadata corruption detected", "(", ")", KIND(FILESYSTEM_ERROR), FAILURE, false},

	/* INFO: task jbd2/sda1-8:310 blocked for more than 120 seconds. */
	{" blocked for more than ", "task ", " blocked", KIND(HUNG_TASK), FAILURE, false},
	/* watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [stress:1234] */
	{"soft lockup - CPU#", "soft lockup - ", " stuck", KIND(SOFT_LOCKUP), CRITICAL, false},
	/* watchdog: Watchdog detected hard LOCKUP on cpu 3; 6.12 CPU3: Watchdog detected hard LOCKUP on cpu 3 */
	{"detected hard LOCKUP on ", "LOCKUP on ", NULL, KIND(HARD_LOCKUP), CRITICAL, false},
	/* rcu: INFO: rcu_preempt detected stalls on CPUs/tasks: and rcu_sched self-detected stall on CPU */
	{"detected stalls on CPUs/tasks", "INFO: ", " detected", KIND(RCU_STALL), CRITICAL, false},
	{"self-detected stall on CPU", "INFO: ", " self", KIND(RCU_STALL), CRITICAL, false},

	{"Kernel panic - not syncing", NULL, NULL, KIND(KERNEL_BUG), CRITICAL, true},
	{"BUG: ", NULL, NULL, KIND(KERNEL_BUG), CRITICAL, true},
	{"kernel BUG at ", "kernel BUG at ", "!", KIND(KERNEL_BUG), CRITICAL, true},
	{"Oops: ", NULL, NULL, KIND(KERNEL_BUG), CRITICAL, true},
	{"Internal error: Oops", NULL, NULL, KIND(KERNEL_BUG), CRITICAL, true},
	/* WARNING: CPU: 1 PID: 23 at fs/inode.c:338 drop_nlink+0x35/0x40; 6.18 WARNING: fs/inode.c:338 at .. */
	{"WARNING: CPU: ", " at ", " ", KIND(KERNEL_WARNING), WARNING, true},
	{"WARNING: ", "WARNING: ", " at ", KIND(KERNEL_WARNING), WARNING, true},

	/* mce: [Hardware Error]: Machine check events logged, then a line for each with its CPU */
	{"[Hardware Error]: Machine check events logged", NULL, NULL, KIND(MACHINE_CHECK), FAILURE, false},
	/* EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x1 .. */
	{" UE ", "EDAC ", ":", KIND(MEMORY_ERROR), CRITICAL, false},
	{" CE ", "EDAC ", ":", KIND(MEMORY_ERROR), WARNING, false},
	/* pcieport 0000:00:1c.0: AER: Correctable error message received from .. */
	{"PCIe Bus Error: severity=Correct", " ", ": ", KIND(PCI_ERROR), WARNING, false},
	{"PCIe Bus Error: severity=", " ", ": ", KIND(PCI_ERROR), FAILURE, false},
	/* CPU3: Core temperature above threshold, cpu clock throttled (total events = 12) */
	{" temperature above threshold, cpu clock throttled", NULL, ":", KIND(THERMAL_THROTTLE), WARNING, false},

	/* stress[1234]: segfault at 0 ip 000055d0 sp 00007ffd error 4 in stress[55d0+1000] */
	{"]: segfault at ", NULL, "[", KIND(SEGFAULT), WARNING, false},
	/* traps: stress[1234] general protection fault ip:7f.. */
	{"] general protection fault ip:", "traps: ", "[", KIND(SEGFAULT), WARNING, false},
	{"] trap invalid opcode ip:", "traps: ", "[", KIND(SEGFAULT), WARNING, false},

	/* e1000e 0000:00:19.0 eth0: NIC Link is Down; mlx5_core 0000:03:00.0 ens1f0: Link down */
	{": NIC Link is Down", NULL, ": NIC", KIND(LINK_DOWN), WARNING, false},
	{": Link is Down", NULL, ": Link", KIND(LINK_DOWN), WARNING, false},
	{": Link is down", NULL, ": Link", KIND(LINK_DOWN), WARNING, false},
	{": Link down", NULL, ": Link", KIND(LINK_DOWN), WARNING, false},
	{": NIC Link is Up", NULL, ": NIC", KIND(LINK_UP), INFO, false},
	{": Link is Up", NULL, ": Link", KIND(LINK_UP), INFO, false},
	{": Link is up", NULL, ": Link", KIND(LINK_UP), INFO, false},
	{": Link up", NULL, ": Link", KIND(LINK_UP), INFO, false},

	/* nf_conntrack: nf_conntrack: table full, dropping packet */
	{"nf_conntrack: table full", NULL, ":", KIND(NETWORK_LIMIT), FAILURE, false},
	/* neighbour: arp_cache: neighbor table overflow! */
	{"neighbor table overflow", ": ", ":", KIND(NETWORK_LIMIT), FAILURE, false},
	/* TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:80. Sending cookies. */
	{"Possible SYN flooding on port ", "on port ", ". ", KIND(NETWORK_LIMIT), WARNING, false},
};

static const char *find(struct word line, const char *text)
{
	return memmem(line.text, line.len, text, strlen(text));
}

static bool fits(const struct pattern *pattern, struct word line)
{
	if (pattern->at_start ? !word_starts(line, pattern->contains) : !find(line, pattern->contains))
		return false;
	/* Two rows are too short to be certain by themselves. */
	if (pattern->kind == KIND(MEMORY_ERROR))
		return word_starts(line, "EDAC ");
	if (pattern->after && strcmp(pattern->after, "nvme ") == 0)
		return word_starts(line, "nvme ") && (!pattern->before || find(line, pattern->before));
	return true;
}

static struct word trim(struct word word)
{
	while (word.len > 0 && word.text[0] == ' ') {
		word.text++;
		word.len--;
	}
	while (word.len > 0 && word.text[word.len - 1] == ' ')
		word.len--;
	return word;
}

static struct word subject_of(const struct pattern *pattern, struct word line)
{
	struct word rest = line;
	const char *at;
	if (!pattern->after && !pattern->before)
		return (struct word){line.text, 0};
	if (pattern->after) {
		at = find(line, pattern->after);
		if (!at)
			return (struct word){line.text, 0};
		rest.text = at + strlen(pattern->after);
		rest.len = (size_t)(line.text + line.len - rest.text);
	}
	if (pattern->before) {
		at = find(rest, pattern->before);
		if (!at)
			return (struct word){line.text, 0};
		rest.len = (size_t)(at - rest.text);
	}
	return trim(rest);
}

static struct word last_word(struct word word)
{
	const char *blank = memrchr(word.text, ' ', word.len);
	if (!blank)
		return word;
	return (struct word){blank + 1, (size_t)(word.text + word.len - blank - 1)};
}

/* "jbd2/sda1-8:310": the number would make every one of them another subject. */
static struct word without_pid(struct word word)
{
	size_t len = word.len;
	while (len > 0 && word.text[len - 1] >= '0' && word.text[len - 1] <= '9')
		len--;
	if (len > 1 && len < word.len && word.text[len - 1] == ':')
		word.len = len - 1;
	return word;
}

bool kernel_pattern_match(const char *text, size_t len, struct kernel_mark *ret)
{
	const struct word line = {text, len};
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		const struct pattern *pattern = &patterns[i];
		if (!fits(pattern, line))
			continue;
		if (pattern->kind == IGNORED)
			return false;
		struct word subject = subject_of(pattern, line);
		if (pattern->kind == KIND(LINK_DOWN) || pattern->kind == KIND(LINK_UP))
			subject = last_word(subject);
		if (pattern->kind == KIND(HUNG_TASK))
			subject = without_pid(subject);
		*ret = (struct kernel_mark){
			.kind = pattern->kind,
			.severity = (Sonde__V1__EventSeverity)pattern->severity,
			.subject = subject,
		};
		return true;
	}
	return false;
}
