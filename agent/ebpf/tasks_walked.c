/* The kernel lists processes by birth, the table by pid: mostly the same, but for where pids began anew, so that a few
 * ascending runs are merged. Rows move only when a process comes or goes, and then those behind it. */
#include "agent/ebpf/tasks_walked.h"

#include <errno.h>
#include <string.h>

/* A key on its way into order: pid, record + 1 or 0, number. */
#define KEY(pid, record, number) ((uint64_t)(pid) << 32 | (uint64_t)(record) << 16 | (uint64_t)(number))
#define PID_OF(key) ((uint32_t)((key) >> 32))
#define RECORD_OF(key) ((size_t)((key) >> 16 & 0xffff))
#define NUMBER_OF(key) ((size_t)((key)&0xffff))
_Static_assert(TASKS_WALK_KEYS < 0xffff && TASKS_WALK_RECORDS < 0xffff, "the apart one has a number and a record too");

/* One bringing up to date. */
struct taking {
	struct tasks_table *table;
	const struct tasks_walk *walk;
	const struct tasks_process *apart;
	const struct tasks_departing *departing;
	const uint64_t *keys; /* ascending */
	size_t n;
	size_t gone, came;
};

void tasks_walked_meanings(struct tasks_state_meaning meanings[TASKS_STATE_BITS])
{
	for (uint32_t place = 0; place < TASKS_STATE_BITS; place++) {
		uint32_t state = (place & 0x7f) | (place & 0x80) << 3 | (place >> 8) << 12;
		char letter = tasks_state_letter(state);
		static const char letters[] = "RSDTtZX";
		static const __u8 classes[] = {TASKS_RUNNING, TASKS_SLEEPING, TASKS_UNINTERRUPTIBLE, TASKS_STOPPED,
					       TASKS_STOPPED, TASKS_ZOMBIE,   TASKS_ZOMBIE};
		const char *at = strchr(letters, letter);
		meanings[place].letter = (__u8)letter;
		meanings[place].class = at ? classes[at - letters] : TASKS_IDLE;
	}
}

static size_t run_from(const uint64_t *keys, size_t from, size_t n)
{
	size_t end = from + 1;
	while (end < n && keys[end - 1] <= keys[end])
		end++;
	return end < n ? end : n;
}

static void merge(const uint64_t *from, size_t begin, size_t middle, size_t end, uint64_t *to)
{
	size_t a = begin, b = middle;
	for (size_t i = begin; i < end; i++)
		to[i] = b >= end || (a < middle && from[a] <= from[b]) ? from[a++] : from[b++];
}

/* A pid that was given away anew while the walk went on is there twice: the later one is who has it. */
static size_t drop_earlier(uint64_t *keys, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || PID_OF(keys[kept - 1]) != PID_OF(keys[i]))
			keys[kept++] = keys[i];
		else if (NUMBER_OF(keys[i]) > NUMBER_OF(keys[kept - 1]))
			keys[kept - 1] = keys[i];
	}
	return kept;
}

/* Natural merge sort; returns which of the two holds the result. */
static uint64_t *put_in_order(struct tasks_walked *self, size_t n)
{
	uint64_t *from = self->keys, *to = self->other;
	while (n > 0 && run_from(from, 0, n) < n) {
		for (size_t begin = 0; begin < n;) {
			size_t middle = run_from(from, begin, n);
			size_t end = middle < n ? run_from(from, middle, n) : n;
			merge(from, begin, middle, end, to);
			begin = end;
		}
		uint64_t *swap = from;
		from = to;
		to = swap;
	}
	return from;
}

/* The number of keys, or -EPROTO. */
static ssize_t take_keys(struct tasks_walked *self, const struct tasks_walk *walk, const struct tasks_process *apart)
{
	size_t n = 0, record = 0;
	if (walk->n_keys > TASKS_WALK_KEYS || walk->n_records > TASKS_WALK_RECORDS)
		return -EPROTO;
	if (apart)
		self->keys[n++] = KEY(apart->leader.tgid, TASKS_WALK_RECORDS + 1, TASKS_WALK_KEYS);
	for (size_t i = 0; i < walk->n_keys; i++) {
		const struct tasks_key *key = &walk->keys[i];
		record += key->full != 0;
		if (!apart || key->pid != apart->leader.tgid)
			self->keys[n++] = KEY(key->pid, key->full ? record : 0, i);
	}
	return record == walk->n_records ? (ssize_t)n : -EPROTO;
}

static const struct tasks_process *record_of(const struct taking *taking, uint64_t key)
{
	size_t record = RECORD_OF(key);
	if (record == 0)
		return NULL;
	return record > TASKS_WALK_RECORDS ? taking->apart : &taking->walk->records[record - 1];
}

static char state_of(const struct taking *taking, uint64_t key)
{
	size_t number = NUMBER_OF(key);
	if (number == TASKS_WALK_KEYS)
		return tasks_state_letter(taking->apart->leader.state);
	const struct tasks_key *from = &taking->walk->keys[number];
	return from->classes & 1 << TASKS_RUNNING	    ? 'R'
	       : from->classes & 1 << TASKS_UNINTERRUPTIBLE ? 'D'
							    : (char)from->state;
}

static bool is_other(const struct tasks_table *table, size_t i, const struct tasks_process *record)
{
	return record && tasks_start_shown(record->start_ns) != table->rows[i].start_ns;
}

/* The change's row is its pid until all rows are in their places. */
static void note(struct tasks_table *table, uint32_t pid, const struct process_delta *delta)
{
	if (process_delta_is_any(delta))
		table->changes[table->n_changes++] = (struct process_change){.row = pid, .delta = *delta};
}

static int leave(struct taking *taking, size_t i)
{
	struct tasks_table *table = taking->table;
	table->ids[i].gone = true;
	taking->gone++;
	return taking->departing->leaves(taking->departing->arg, table, i);
}

/* A process that was there, under the same pid. */
static int update(struct taking *taking, size_t i, uint64_t key)
{
	struct tasks_table *table = taking->table;
	const struct tasks_process *record = record_of(taking, key);
	char state = state_of(taking, key);
	if (!record) {
		if (table->ids[i].state != state)
			table->ids[i].state = table->rows[i].state = state;
		return 0;
	}
	bool is_new = is_other(table, i, record);
	int r = is_new ? taking->departing->leaves(taking->departing->arg, table, i) : 0;
	struct process_delta delta = tasks_table_set(table, i, record, state, is_new);
	note(table, PID_OF(key), &delta);
	return r;
}

/* All who were there and are, and who is there no more. New ones are counted. */
static int go_through(struct taking *taking)
{
	struct tasks_table *table = taking->table;
	size_t at = 0;
	int r = 0;
	for (size_t i = 0; i < taking->n && r == 0; i++) {
		uint32_t pid = PID_OF(taking->keys[i]);
		for (; at < table->n && table->ids[at].pid < pid && r == 0; at++)
			r = leave(taking, at);
		if (r == 0 && at < table->n && table->ids[at].pid == pid)
			r = update(taking, at++, taking->keys[i]);
		else if (record_of(taking, taking->keys[i]))
			taking->came++;
		else
			table->lost++;
	}
	for (; at < table->n && r == 0; at++)
		r = leave(taking, at);
	return r;
}

static void move(struct tasks_table *table, size_t to, size_t from)
{
	if (to == from)
		return;
	table->rows[to] = table->rows[from];
	table->extras[to] = table->extras[from];
	table->ids[to] = table->ids[from];
	table->ranks[to] = table->ranks[from];
}

static void close_gaps(struct tasks_table *table)
{
	size_t kept = 0;
	for (size_t i = 0; i < table->n; i++) {
		if (!table->ids[i].gone)
			move(table, kept++, i);
	}
	table->n = kept;
}

/* From the end, so that each row moves once at most. */
static int let_in(struct taking *taking)
{
	struct tasks_table *table = taking->table;
	size_t left = taking->came, row = table->n, to = row + left;
	int r = tasks_table_reserve(table, to);
	if (r < 0)
		return r;
	table->n = to;
	for (size_t i = taking->n; i-- > 0 && left > 0;) {
		uint64_t key = taking->keys[i];
		while (row > 0 && table->ids[row - 1].pid > PID_OF(key))
			move(table, --to, --row);
		if ((row > 0 && table->ids[row - 1].pid == PID_OF(key)) || !record_of(taking, key))
			continue;
		struct process_delta delta =
			tasks_table_set(table, --to, record_of(taking, key), state_of(taking, key), true);
		note(table, PID_OF(key), &delta);
		left--;
	}
	return 0;
}

/* By pid, before they have rows. */
static void order_changes(struct tasks_table *table, size_t known)
{
	/* Those who came were noted from the last to the first, and mostly come behind all others. */
	for (size_t low = known, high = table->n_changes; low + 1 < high; low++) {
		struct process_change swap = table->changes[low];
		table->changes[low] = table->changes[--high];
		table->changes[high] = swap;
	}
	for (size_t i = known; i < table->n_changes; i++) {
		struct process_change change = table->changes[i];
		size_t at = i;
		for (; at > 0 && table->changes[at - 1].row > change.row; at--)
			table->changes[at] = table->changes[at - 1];
		table->changes[at] = change;
	}
}

static void find_rows(struct tasks_table *table)
{
	for (size_t i = 0, row = 0; i < table->n_changes; i++) {
		while (table->ids[row].pid < table->changes[i].row)
			row++;
		table->changes[i].row = row;
	}
}

static void count(struct taking *taking)
{
	const __u64 *states = taking->walk->states;
	struct task_counts *counts = &taking->table->counts;
	*counts = (struct task_counts){
		.processes = taking->n,
		.threads = taking->walk->threads,
		.running = states[TASKS_RUNNING],
		.sleeping = states[TASKS_SLEEPING],
		.uninterruptible = states[TASKS_UNINTERRUPTIBLE],
		.stopped = states[TASKS_STOPPED],
		.zombie = states[TASKS_ZOMBIE],
		.idle = states[TASKS_IDLE],
	};
	if (taking->apart)
		tasks_table_count_apart(counts, taking->apart);
}

int tasks_walked_take(struct tasks_walked *self, struct tasks_table *table, const struct tasks_walk *walk,
		      const struct tasks_process *apart, const struct tasks_departing *departing)
{
	ssize_t n = take_keys(self, walk, apart);
	if (n < 0)
		return (int)n;
	struct taking taking = {.table = table, .walk = walk, .apart = apart, .departing = departing};
	uint64_t *keys = put_in_order(self, (size_t)n);
	taking.keys = keys;
	taking.n = drop_earlier(keys, (size_t)n);
	table->n_changes = table->left_out = table->lost = 0;
	int r = go_through(&taking);
	if (r == 0 && taking.gone > 0)
		close_gaps(table);
	size_t known = table->n_changes;
	if (r == 0 && taking.came > 0)
		r = let_in(&taking);
	if (r < 0)
		return r;
	order_changes(table, known);
	find_rows(table);
	count(&taking);
	table->left_out = table->lost;
	return 0;
}
