/* The kernel's tasks as a process source: where it can, one walk over all of them brings the table up to date in place.
 * Else, at first, and after a reading that was not kept, the task iterator: there two tables take turns, as what was
 * read last is what the next reading continues and what exits are compared with. */
#include "agent/ebpf/refusal.h"
#include "agent/ebpf/tasks_exits.h"
#include "agent/ebpf/tasks_first.h"
#include "agent/ebpf/tasks_load.h"
#include "agent/ebpf/tasks_table.h"
#include "agent/ebpf/tasks_walked.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES 36864 /* the kernel hands over 32 KiB at once; what is left of a record stands before them */
/* Readings without walks after one that failed, beside the one that is made good at once: none, and each time it fails
 * again twice as many and one. */
#define WITHOUT_WALK_MAX 64
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCu /* PROC_PID_INIT_INO: kernel ABI since 3.8 */

struct self {
	struct tasks_probe *probe;
	struct tasks_table tables[2];
	unsigned current;
	struct tasks_exits exits;
	bool namespaced;
	bool whole; /* the next reading must give all in full: the last one was not kept, or there was none */
	unsigned without_walk; /* readings to come */
	unsigned next_without_walk;
	struct tasks_walked walked;
	const struct root *root;
	struct cgroup_tree *cgroups;
	struct tasks_first *first; /* NULL where the iterator shows it itself */
	char buffer[BUFFER_BYTES];
};

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	tasks_unload(self->probe);
	tasks_table_free(&self->tables[0]);
	tasks_table_free(&self->tables[1]);
	tasks_exits_free(&self->exits);
	tasks_first_close(self->first);
	free(self);
}

/* The iterator lists the namespace of who opens it. */
static bool is_namespaced(void)
{
	struct stat st;
	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INITIAL_PID_NAMESPACE;
}

/* Rounded up: no process that a reading may have seen began later. */
static uint64_t boottime_ns(void)
{
	return (clock_boottime_us() + 1) * 1000;
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	int r = refusal_if_recorded(context, "its tasks can no longer be visited", state);
	if (r < 0)
		return r;
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->namespaced = is_namespaced();
	self->root = context->root;
	self->cgroups = context->cgroups;
	self->whole = true;
	r = tasks_exits_init(&self->exits, boottime_ns());
	/* A task that is freed has no namespace any more: exits would be those of the whole host. */
	if (r == 0)
		r = tasks_load(context, !self->namespaced, &self->probe, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static int feed_first(struct self *self, struct tasks_table *table)
{
	struct tasks_process process;
	/* It is there as long as the kernel runs: if it cannot be read now, the table is without it this time. */
	if (!self->first || tasks_first_read(self->first, self->cgroups, &process) < 0)
		return 0;
	return tasks_table_feed_apart(table, &process);
}

static int read_tasks(struct self *self, struct tasks_table *table, int fd)
{
	size_t held = 0;
	tasks_table_begin(table);
	int r = feed_first(self, table);
	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = read(fd, self->buffer + held, sizeof(self->buffer) - held);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return held == 0 ? 0 : -EPROTO;
		held += (size_t)n;
		ssize_t used = tasks_table_feed(table, self->buffer, held);
		if (used < 0)
			return (int)used;
		held -= (size_t)used;
		memmove(self->buffer, self->buffer + used, held);
	}
}

static int read_pass(struct self *self, struct tasks_table *table, uint64_t known_ns)
{
	int fd = tasks_begin_pass(self->probe, known_ns);
	if (fd < 0)
		return fd;
	int r = read_tasks(self, table, fd);
	close(fd);
	return r;
}

/* Some kernels leave process 1 out of every pass: the first one tells. */
static int read_whole(struct self *self, struct tasks_table *table, const struct tasks_table *before, uint64_t known_ns)
{
	int r = read_pass(self, table, known_ns);
	if (r == 0 && !self->first && !self->namespaced && !tasks_table_has(table, 1)) {
		r = tasks_first_open(self->root, &self->first);
		/* Nothing else lacks it: the table is good without. */
		if (r < 0)
			log_debug("process 1 cannot be read from /proc", LOG_ERR(r));
		r = r < 0 ? 0 : read_pass(self, table, 0);
	}
	return r < 0 ? r : tasks_table_finish(table, before);
}

static void settle(void *arg, const struct tasks_exit *exit)
{
	struct self *self = arg;
	tasks_exits_settle(&self->exits, exit, &self->tables[self->current], &self->tables[!self->current]);
}

static void fold(void *arg, const struct tasks_exited_key *key, const struct tasks_exited *value)
{
	tasks_exits_fold(arg, key, value);
}

static void forget(void *arg, const struct tasks_exited_key *key)
{
	tasks_forget_folded(arg, key);
}

static int read_exits(struct self *self)
{
	int r = tasks_drain_exits(self->probe, settle, self);
	if (r == 0)
		r = tasks_read_folded(self->probe, fold, &self->exits);
	int finished = tasks_exits_finish(&self->exits, &self->tables[self->current], &self->tables[!self->current]);
	tasks_exits_evict(&self->exits, forget, self->probe);
	return r < 0 ? r : finished;
}

static int leaves(void *arg, const struct tasks_table *table, size_t i)
{
	struct self *self = arg;
	return tasks_exits_depart(&self->exits, table, i);
}

static int take_walk(struct self *self, const struct tasks_walk *walk)
{
	const struct tasks_departing departing = {.leaves = leaves, .arg = self};
	struct tasks_process process;
	bool apart = self->first && tasks_first_read(self->first, self->cgroups, &process) == 0;
	struct tasks_table *table = &self->tables[self->current];
	int r = tasks_walked_take(&self->walked, table, walk, apart ? &process : NULL, &departing);
	tasks_exits_order(&self->exits);
	/* What was there before it is no table any more. */
	tasks_table_free(&self->tables[!self->current]);
	return r;
}

/* 1 when the table is up to date, 0 when another way is to be tried, negative errno. */
static int try_walk(struct self *self, uint64_t known_ns)
{
	if (known_ns == 0 || self->without_walk > 0) {
		self->without_walk -= self->without_walk > 0;
		return 0;
	}
	int error;
	const struct tasks_walk *walk = tasks_walk_all(self->probe, known_ns, &error);
	if (error < 0) {
		self->without_walk = self->next_without_walk;
		if (self->next_without_walk < WITHOUT_WALK_MAX)
			self->next_without_walk = 2 * self->next_without_walk + 1;
		self->whole = true;
	}
	if (!walk)
		return 0;
	self->next_without_walk = 0;
	int r = take_walk(self, walk);
	return r < 0 ? r : 1;
}

static int read_by_iterator(struct self *self, uint64_t known_ns)
{
	struct tasks_table *table = &self->tables[!self->current];
	int r = read_whole(self, table, &self->tables[self->current], self->whole ? 0 : known_ns);
	if (r == 0)
		self->current = !self->current;
	return r;
}

static int read_table(void *arg, struct process_table *ret, struct collector_state *state)
{
	struct self *self = arg;
	uint64_t folds_from = tasks_fold_from(self->probe, TASKS_NEVER_NS);
	uint64_t known_ns = self->whole || folds_from == TASKS_NEVER_NS ? 0 : folds_from;
	int r = try_walk(self, known_ns);
	if (r == 0)
		r = read_by_iterator(self, known_ns);
	const struct tasks_table *table = &self->tables[self->current];
	self->whole = r < 0 || table->lost > 0;
	/* What begins from here on cannot be in this reading; a reading that failed leaves things as they were. */
	(void)tasks_fold_from(self->probe, r < 0 ? folds_from : boottime_ns());
	if (r >= 0)
		r = tasks_sees_exits(self->probe) ? read_exits(self) : 0;
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, r, "task_iterator",
				      "the kernel's tasks cannot be visited (%s): before Linux 5.19 this needs CAP_BPF "
				      "at each reading",
				      log_strerror(r));
	*ret = (struct process_table){
		.rows = table->rows,
		.n = table->n,
		.ranks = table->ranks,
		.changes = table->changes,
		.n_changes = table->n_changes,
		.left_out = table->left_out,
		.counts = table->counts,
		.namespaced = self->namespaced,
	};
	if (tasks_sees_exits(self->probe)) {
		ret->exited = self->exits.rows;
		ret->n_exited = self->exits.n;
		ret->exits_left_out = self->exits.left_out + tasks_exits_left_out(self->probe);
	}
	return 0;
}

const struct process_source process_source_bpf = {
	.name = "bpf_iterator",
	.create = create,
	.read = read_table,
	.destroy = destroy,
};
