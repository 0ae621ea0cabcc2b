/* The process table from /proc, for hosts where the BPF iterator may not run, and for recorded ones. It opens files of
 * every process at every tick, which costs fifty times what the iterator does, so that it is spared where it can be:
 *  - at most STATS_PER_TICK processes are read in a tick, the others keep their numbers until it is their turn;
 *  - what hardly changes (owner, cgroup) is read once and again every TURNS ticks or when the name changes;
 *  - io is read only of a process that has used CPU or faulted since, or whose turn it is: who did not run did no I/O.
 * Threads but the main one are not looked at: /proc/PID/stat sums their times. */
#include "agent/cgroups/tree.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/processes/proc_pid_cgroup.h"
#include "agent/processes/proc_pid_io.h"
#include "agent/processes/proc_pid_stat.h"
#include "agent/processes/proc_pid_status.h"
#include "agent/processes/source.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATS_PER_TICK 2000
#define NEW_PER_TICK 1500 /* of them; all when nothing is known yet */
#define TURNS 64
#define STAT_SIZE 1024
#define IO_SIZE 512
#define CGROUP_SIZE 8192
#define STATUS_SIZE 2048 /* Uid stands in the first 200 bytes */
#define PATH_SIZE 64
#define NS_PER_SECOND 1000000000ull

/* What is known of a process beside its row. */
struct note {
	bool io_known;
	uint64_t cpu_ticks, faults; /* when io was read */
};

struct generation {
	struct process_row *rows;
	struct note *notes;
	size_t n;
};

struct self {
	const struct root *root;
	struct cgroup_tree *cgroups;
	DIR *proc;
	uint64_t hz, page_bytes;
	bool delays;		     /* delay accounting is on */
	uint32_t *pids;		     /* of this reading */
	struct generation now, then; /* room for PROCESS_TABLE_MAX each; the kernel gives pages only for what is used */
	uint32_t cursor;	     /* the pid whose turn it is, where not all can be read */
	uint32_t readings;
};

struct reading {
	struct self *self;
	size_t budget_new, budget_known; /* how many may still be read */
	size_t late;			 /* keep older numbers */
	size_t left_out;
	uint32_t next_cursor;
};

static void generation_free(struct generation *generation)
{
	free(generation->rows);
	free(generation->notes);
}

static int generation_init(struct generation *generation)
{
	generation->rows = calloc(PROCESS_TABLE_MAX, sizeof(*generation->rows));
	generation->notes = calloc(PROCESS_TABLE_MAX, sizeof(*generation->notes));
	return generation->rows && generation->notes ? 0 : -ENOMEM;
}

static void destroy(void *opaque)
{
	struct self *self = opaque;
	if (!self)
		return;
	if (self->proc)
		closedir(self->proc);
	generation_free(&self->now);
	generation_free(&self->then);
	free(self->pids);
	free(self);
}

static int open_proc(struct self *self, struct collector_state *state)
{
	int fd = openat(self->root->dirfd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	self->proc = fd < 0 ? NULL : fdopendir(fd);
	if (self->proc)
		return 0;
	int r = -errno;
	if (fd >= 0)
		close(fd);
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_proc",
			      "there is no readable directory proc below %s: mount procfs there", self->root->path);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	self->root = context->root;
	self->cgroups = context->cgroups;
	long hz = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
	self->hz = hz > 0 ? (uint64_t)hz : 100;
	self->page_bytes = page > 0 ? (uint64_t)page : 4096;
	unsigned long long on;
	self->delays = root_read_u64(self->root, "proc/sys/kernel/task_delayacct", &on) == 0 && on > 0;
	self->pids = calloc(PROCESS_TABLE_MAX, sizeof(*self->pids));
	if (!self->pids || generation_init(&self->now) < 0 || generation_init(&self->then) < 0) {
		destroy(self);
		return source_no_room(state);
	}
	int r = open_proc(self, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

/* 0 for a name that is no number. */
static uint32_t pid_of(const char *name)
{
	uint64_t pid;
	struct word word = {.text = name, .len = strlen(name)};
	return word_u64(word, &pid) == 0 && pid <= UINT32_MAX ? (uint32_t)pid : 0;
}

static int compare_pids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* Ascending, each once; procfs lists them so already, a recorded directory does not. */
static int list(struct self *self, size_t *ret_n, size_t *ret_beyond)
{
	size_t n = 0, beyond = 0, kept = 0;
	bool sorted = true;
	rewinddir(self->proc);
	errno = 0;
	for (struct dirent *e; (e = readdir(self->proc));) {
		uint32_t pid = pid_of(e->d_name);
		if (pid == 0)
			continue;
		if (n == PROCESS_TABLE_MAX) {
			beyond++;
			continue;
		}
		sorted = sorted && (n == 0 || self->pids[n - 1] < pid);
		self->pids[n++] = pid;
	}
	if (errno != 0)
		return -errno;
	if (!sorted)
		qsort(self->pids, n, sizeof(*self->pids), compare_pids);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || self->pids[kept - 1] != self->pids[i])
			self->pids[kept++] = self->pids[i];
	}
	*ret_n = kept;
	*ret_beyond = beyond;
	return 0;
}

/* The last line's newline, which was cut off as white space, is put back where the file was read whole. */
static int read_file(const struct self *self, uint32_t pid, const char *file, char *text, size_t size)
{
	char path[PATH_SIZE];
	(void)snprintf(path, sizeof(path), "proc/%u/%s", pid, file);
	int len = root_read_text(self->root, path, text, size);
	if (len > 0 && (size_t)len + 1 < size)
		text[len++] = '\n';
	return len;
}

static uint64_t ticks_ns(const struct self *self, uint64_t ticks)
{
	return scale_ratio(ticks, NS_PER_SECOND, self->hz);
}

/* Everything /proc/PID/stat tells; what else the row holds is left as it is. */
static void take_stat(const struct self *self, const struct proc_pid_stat *stat, struct process_row *row)
{
	row->pid = stat->pid;
	row->parent_pid = stat->parent_pid;
	row->threads = stat->threads;
	row->start_ns = ticks_ns(self, stat->start_ticks);
	row->user_ns = ticks_ns(self, stat->user_ticks);
	row->system_ns = ticks_ns(self, stat->system_ticks);
	row->cpu_ns = row->user_ns + row->system_ns;
	row->minor_faults = stat->minor_faults;
	row->major_faults = stat->major_faults;
	row->resident_bytes = scale_times(stat->resident_pages, self->page_bytes);
	row->io_delay_ns = ticks_ns(self, stat->io_delay_ticks);
	row->state = stat->state;
	row->has |= PROCESS_HAS_RSS;
	if (self->delays || stat->io_delay_ticks > 0)
		row->has |= PROCESS_HAS_IO_DELAY;
	size_t len = stat->comm_len < PROCESS_COMM_SIZE ? stat->comm_len : PROCESS_COMM_SIZE - 1;
	memset(row->comm, 0, sizeof(row->comm));
	memcpy(row->comm, stat->comm, len);
}

static void read_io(const struct self *self, struct process_row *row)
{
	char text[IO_SIZE];
	struct proc_pid_io io;
	int len = read_file(self, row->pid, "io", text, sizeof(text));
	row->has &= (uint16_t)~PROCESS_HAS_IO;
	if (len <= 0 || proc_pid_io_parse(text, (size_t)len, &io) < 0)
		return;
	row->read_bytes = io.read_bytes;
	row->write_bytes = io.write_bytes;
	row->cancelled_write_bytes = io.cancelled_write_bytes;
	row->has |= PROCESS_HAS_IO;
}

static void read_user(const struct self *self, struct process_row *row)
{
	char text[STATUS_SIZE];
	int len = read_file(self, row->pid, "status", text, sizeof(text));
	uint32_t user;
	if (len > 0 && proc_pid_status_user(text, (size_t)len, &user) == 0)
		row->user_id = user;
}

/* In the hierarchy the tree is of. */
static void read_cgroup(const struct self *self, struct process_row *row)
{
	char text[CGROUP_SIZE];
	struct proc_pid_cgroup cgroup;
	row->has &= (uint16_t)~PROCESS_HAS_CGROUP;
	int len = self->cgroups ? read_file(self, row->pid, "cgroup", text, sizeof(text)) : 0;
	if (len <= 0 || proc_pid_cgroup_parse(text, (size_t)len, &cgroup) < 0)
		return;
	bool unified = cgroup_tree_layout(self->cgroups) == CGROUP_V2;
	size_t from = unified ? PID_CGROUP_UNIFIED : PID_CGROUP_MEMORY;
	size_t to = unified ? PID_CGROUP_UNIFIED : PID_CGROUP_CPU;
	for (size_t i = from; i <= to; i++) {
		if (!cgroup.paths[i].text)
			continue;
		const struct cgroup *found =
			cgroup_tree_find_path(self->cgroups, cgroup.paths[i].text, cgroup.paths[i].len);
		if (!found)
			return;
		row->cgroup_id = found->id;
		row->has |= PROCESS_HAS_CGROUP;
		return;
	}
}

/* `again`: what hardly changes is read too. */
static void read_rest(const struct self *self, bool again, struct process_row *row, struct note *note)
{
	uint64_t cpu_ticks = row->cpu_ns, faults = row->minor_faults + row->major_faults;
	if (again || !note->io_known || note->cpu_ticks != cpu_ticks || note->faults != faults) {
		read_io(self, row);
		*note = (struct note){.io_known = true, .cpu_ticks = cpu_ticks, .faults = faults};
	}
	if (!again)
		return;
	read_user(self, row);
	read_cgroup(self, row);
}

/* 0; -ENOENT when it has gone, -EPROTO when what it says is not understood. *known is NULL for a new one. */
static int read_process(const struct self *self, uint32_t pid, const struct process_row *known, const struct note *note,
			struct process_row *row, struct note *row_note)
{
	char text[STAT_SIZE];
	struct proc_pid_stat stat;
	int len = read_file(self, pid, "stat", text, sizeof(text));
	if (len < 0)
		return len == -ENOMEM || len == -EMFILE || len == -ENFILE ? len : -ENOENT;
	int r = proc_pid_stat_parse(text, (size_t)len, &stat);
	if (r == 0 && stat.pid != pid)
		r = -EPROTO;
	if (r < 0)
		return r;
	bool same = known && known->start_ns == ticks_ns(self, stat.start_ticks);
	*row = same ? *known : (struct process_row){.pid = pid};
	*row_note = same ? *note : (struct note){.io_known = false};
	take_stat(self, &stat, row);
	bool turn = self->readings % TURNS == pid % TURNS;
	read_rest(self, !same || turn || strcmp(row->comm, known->comm) != 0, row, row_note);
	return 0;
}

/* Appends the process to the table of this reading: newly read, or as it was at the last. */
static int take(struct reading *reading, uint32_t pid, const struct process_row *known, const struct note *note)
{
	struct self *self = reading->self;
	struct generation *now = &self->now;
	bool turn = !known || pid >= self->cursor;
	size_t *budget = known ? &reading->budget_known : &reading->budget_new;
	if (turn && *budget > 0) {
		(*budget)--;
		int r = read_process(self, pid, known, note, &now->rows[now->n], &now->notes[now->n]);
		if (r == 0)
			now->n++;
		else if (r == -EPROTO)
			reading->left_out++;
		else if (r != -ENOENT)
			return r;
		return 0;
	}
	if (!known) {
		reading->left_out++;
		return 0;
	}
	if (turn && reading->next_cursor == 0)
		reading->next_cursor = pid;
	reading->late++;
	now->rows[now->n] = *known;
	now->notes[now->n++] = *note;
	return 0;
}

static struct task_counts count(const struct generation *generation)
{
	struct task_counts counts = {.processes = generation->n};
	for (size_t i = 0; i < generation->n; i++) {
		const struct process_row *row = &generation->rows[i];
		counts.threads += row->threads;
		switch (row->state) {
		case 'R':
			counts.running++;
			break;
		case 'D':
			counts.uninterruptible++;
			break;
		case 'T':
		case 't':
			counts.stopped++;
			break;
		case 'Z':
		case 'X':
			counts.zombie++;
			break;
		case 'I':
		case 'P':
			counts.idle++;
			break;
		default:
			counts.sleeping++;
		}
	}
	return counts;
}

/* Index of the row that had this pid at the last reading, or then->n; *at goes along the ascending pids. */
static size_t find_known(const struct generation *then, uint32_t pid, size_t *at)
{
	while (*at < then->n && then->rows[*at].pid < pid)
		++*at;
	return *at < then->n && then->rows[*at].pid == pid ? *at : then->n;
}

/* Those that are new go first: nothing at all is known of them. */
static void share_budget(struct reading *reading, size_t n)
{
	const struct self *self = reading->self;
	size_t at = 0, fresh = 0;
	for (size_t i = 0; i < n; i++)
		fresh += find_known(&self->then, self->pids[i], &at) == self->then.n;
	size_t most = self->then.n > 0 ? NEW_PER_TICK : STATS_PER_TICK;
	reading->budget_new = fresh < most ? fresh : most;
	reading->budget_known = STATS_PER_TICK - reading->budget_new;
}

static int take_all(struct reading *reading, size_t n)
{
	struct self *self = reading->self;
	const struct generation *then = &self->then;
	size_t at = 0;
	self->now.n = 0;
	for (size_t i = 0; i < n; i++) {
		size_t known = find_known(then, self->pids[i], &at);
		bool is_known = known < then->n;
		int r = take(reading, self->pids[i], is_known ? &then->rows[known] : NULL,
			     is_known ? &then->notes[known] : NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_table(void *opaque, struct process_table *ret, struct collector_state *state)
{
	struct self *self = opaque;
	struct reading reading = {.self = self};
	size_t n = 0, beyond = 0;

	struct generation swap = self->then;
	self->then = self->now;
	self->now = swap;
	int r = list(self, &n, &beyond);
	if (r == 0) {
		share_budget(&reading, n);
		r = take_all(&reading, n);
	}
	if (r < 0) {
		self->now.n = 0;
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, r, "cannot_read",
				      "the processes below %s/proc cannot be read: %s", self->root->path,
				      log_strerror(r));
	}
	self->cursor = reading.next_cursor;
	self->readings++;
	*ret = (struct process_table){
		.rows = self->now.rows,
		.n = self->now.n,
		.left_out = beyond + reading.left_out,
		.counts = count(&self->now),
	};
	if (reading.late + reading.left_out > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "slow_source",
				     "%zu processes are read from /proc, a slow source, %d of them a tick in turns: "
				     "give the agent CAP_BPF and CAP_PERFMON to read all at once",
				     n, STATS_PER_TICK);
	return 0;
}

const struct process_source process_source_proc = {
	.name = "proc",
	.create = create,
	.read = read_table,
	.destroy = destroy,
};
