/* A keyhole in the shape of the iterator: whoever adds up records need not know where this one came from. */
#include "agent/ebpf/tasks_first.h"

#include "agent/collectors/scale.h"
#include "agent/processes/proc_pid_cgroup.h"
#include "agent/processes/proc_pid_io.h"
#include "agent/processes/proc_pid_stat.h"
#include "agent/processes/proc_pid_status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAT_MAX 4096
#define CGROUP_MAX 16384
#define STATUS_SIZE 2048 /* Uid stands in the first 200 bytes */
#define NS_PER_SECOND 1000000000ull
#define TURNS 64 /* readings between two looks at what hardly changes: owner and cgroup */

struct tasks_first {
	const struct root *root;
	struct root_file stat, io;
	bool has_io; /* needs CAP_SYS_PTRACE where the agent is not root */
	uint64_t hz;
	unsigned readings;
	uint32_t user_id;
	uint64_t cgroup_id;
};

int tasks_first_open(const struct root *root, struct tasks_first **ret)
{
	struct tasks_first *first = calloc(1, sizeof(*first));
	if (!first)
		return -ENOMEM;
	long hz = sysconf(_SC_CLK_TCK);
	first->root = root;
	first->hz = hz > 0 ? (uint64_t)hz : 100;
	first->stat.fd = first->io.fd = -1;
	int r = root_file_open(root, "proc/1/stat", STAT_MAX, &first->stat);
	if (r < 0) {
		free(first);
		return r;
	}
	first->has_io = root_file_open(root, "proc/1/io", STAT_MAX, &first->io) == 0;
	*ret = first;
	return 0;
}

void tasks_first_close(struct tasks_first *first)
{
	if (!first)
		return;
	root_file_close(&first->stat);
	if (first->has_io)
		root_file_close(&first->io);
	free(first);
}

/* The kernel's bits for the letter of /proc; what a leader can be. */
static uint32_t state_of(char letter)
{
	static const struct {
		char letter;
		uint32_t state;
	} states[] = {{'R', 0}, {'S', 1}, {'D', 2}, {'T', 4}, {'t', 8}, {'X', 16}, {'Z', 32}, {'P', 64}, {'I', 0x402}};
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (states[i].letter == letter)
			return states[i].state;
	}
	return 1;
}

static void take_stat(const struct tasks_first *first, const struct proc_pid_stat *stat, struct tasks_process *ret)
{
	struct tasks_thread *leader = &ret->leader;
	leader->pid = leader->tgid = stat->pid;
	leader->state = state_of(stat->state);
	leader->usage.utime_ns = scale_ratio(stat->user_ticks, NS_PER_SECOND, first->hz);
	leader->usage.stime_ns = scale_ratio(stat->system_ticks, NS_PER_SECOND, first->hz);
	leader->usage.cpu_ns = scale_plus(leader->usage.utime_ns, leader->usage.stime_ns);
	leader->usage.minor_faults = stat->minor_faults;
	leader->usage.major_faults = stat->major_faults;
	leader->io_delay_ns = scale_ratio(stat->io_delay_ticks, NS_PER_SECOND, first->hz);
	leader->has = TASKS_HAS_RSS | TASKS_NO_SWITCHES;
	if (stat->io_delay_ticks > 0)
		leader->has |= TASKS_HAS_IO_DELAY;
	ret->parent_pid = stat->parent_pid;
	ret->threads = stat->threads;
	ret->start_ns = scale_ratio(stat->start_ticks, NS_PER_SECOND, first->hz);
	ret->resident_pages = stat->resident_pages;
	size_t len = stat->comm_len < sizeof(ret->comm) ? stat->comm_len : sizeof(ret->comm) - 1;
	memcpy(ret->comm, stat->comm, len);
}

static void take_io(struct tasks_first *first, struct tasks_process *ret)
{
	struct proc_pid_io io;
	if (!first->has_io || root_file_read(&first->io) < 0 ||
	    proc_pid_io_parse(first->io.text, first->io.len, &io) < 0)
		return;
	ret->leader.usage.read_bytes = io.read_bytes;
	ret->leader.usage.write_bytes = io.write_bytes;
	ret->leader.usage.cancelled_write_bytes = io.cancelled_write_bytes;
	ret->leader.has |= TASKS_HAS_IO;
}

static uint32_t read_user(const struct tasks_first *first)
{
	char text[STATUS_SIZE];
	uint32_t user;
	int len = root_read_text(first->root, "proc/1/status", text, sizeof(text));
	return len > 0 && proc_pid_status_user(text, (size_t)len, &user) == 0 ? user : first->user_id;
}

/* In the hierarchy the tree is of [T7]; 0 where that is not known. */
static uint64_t read_cgroup(const struct tasks_first *first, struct cgroup_tree *cgroups)
{
	char text[CGROUP_MAX];
	struct proc_pid_cgroup cgroup;
	int len = root_read_text(first->root, "proc/1/cgroup", text, sizeof(text) - 1);
	if (len <= 0)
		return 0;
	text[len++] = '\n';
	if (proc_pid_cgroup_parse(text, (size_t)len, &cgroup) < 0)
		return 0;
	bool unified = cgroup_tree_layout(cgroups) == CGROUP_V2;
	size_t from = unified ? PID_CGROUP_UNIFIED : PID_CGROUP_MEMORY;
	size_t to = unified ? PID_CGROUP_UNIFIED : PID_CGROUP_CPU;
	for (size_t i = from; i <= to; i++) {
		if (!cgroup.paths[i].text)
			continue;
		const struct cgroup *found = cgroup_tree_find_path(cgroups, cgroup.paths[i].text, cgroup.paths[i].len);
		return found ? found->id : 0;
	}
	return 0;
}

int tasks_first_read(struct tasks_first *first, struct cgroup_tree *cgroups, struct tasks_process *ret)
{
	struct proc_pid_stat stat;
	int r = root_file_read(&first->stat);
	if (r == 0)
		r = proc_pid_stat_parse(first->stat.text, first->stat.len, &stat);
	if (r < 0)
		return r;
	if (stat.pid != 1)
		return -EPROTO;
	if (first->readings++ % TURNS == 0 || first->cgroup_id == 0) {
		first->user_id = read_user(first);
		first->cgroup_id = cgroups ? read_cgroup(first, cgroups) : 0;
	}
	*ret = (struct tasks_process){0};
	take_stat(first, &stat, ret);
	take_io(first, ret);
	ret->user_id = first->user_id;
	ret->cgroup_id = first->cgroup_id;
	if (first->cgroup_id)
		ret->leader.has |= TASKS_HAS_CGROUP;
	return 0;
}
