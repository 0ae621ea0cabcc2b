/* A row is found by hash because threads of a process need not follow their leader: ids wrap around, and in a container
 * the order is that of the container's ids while rows bear the host's. Where the order is right already, as it mostly
 * is, nothing is sorted. */
#include "agent/ebpf/tasks_table.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FIRST_CAPACITY 512
#define START_STEP_NS 10000000 /* USER_HZ is 100 everywhere */

void tasks_table_free(struct tasks_table *table)
{
	if (!table)
		return;
	free(table->rows);
	free(table->extras);
	free(table->ids);
	free(table->ranks);
	free(table->changes);
	free(table->index);
	free(table->order);
	*table = (struct tasks_table){0};
}

void tasks_table_begin(struct tasks_table *table)
{
	table->n = 0;
	table->n_changes = 0;
	table->last = 0;
	table->apart = 0;
	table->left_out = 0;
	table->lost = 0;
	table->counts = (struct task_counts){0};
	if (table->index)
		memset(table->index, 0, table->index_size * sizeof(*table->index));
}

static size_t place_of(const struct tasks_table *table, uint32_t pid)
{
	size_t place = (pid * 2654435769u) & (table->index_size - 1);
	while (table->index[place] != 0 && table->rows[table->index[place] - 1].pid != pid)
		place = (place + 1) & (table->index_size - 1);
	return place;
}

/* Columns of different sizes, all with room for as many rows. */
static int grow_columns(struct tasks_table *table, size_t capacity)
{
	const struct {
		void **column;
		size_t size;
	} columns[] = {{(void **)&table->rows, sizeof(*table->rows)},
		       {(void **)&table->extras, sizeof(*table->extras)},
		       {(void **)&table->ids, sizeof(*table->ids)},
		       {(void **)&table->ranks, sizeof(*table->ranks)},
		       {(void **)&table->changes, sizeof(*table->changes)}};
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		void *p = reallocarray(*columns[i].column, capacity, columns[i].size);
		if (!p)
			return -ENOMEM;
		*columns[i].column = p;
	}
	return 0;
}

static int grow(struct tasks_table *table)
{
	size_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
	if (grow_columns(table, capacity) < 0)
		return -ENOMEM;
	uint32_t *index = calloc(capacity * 2, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(table->index);
	table->index = index;
	table->index_size = capacity * 2;
	table->capacity = capacity;
	for (size_t i = 0; i < table->n; i++)
		index[place_of(table, table->rows[i].pid)] = (uint32_t)i + 1;
	return 0;
}

int tasks_table_reserve(struct tasks_table *table, size_t rows)
{
	int r = 0;
	while (r == 0 && table->capacity < rows)
		r = grow(table);
	return r;
}

/* The row of a process, made if it is not there. Row, -ENOSPC when the table is full, -ENOMEM. */
static ssize_t row_of(struct tasks_table *table, uint32_t tgid)
{
	if (table->last < table->n && table->rows[table->last].pid == tgid)
		return (ssize_t)table->last;
	if (table->n == table->capacity && table->capacity < PROCESS_TABLE_MAX) {
		int r = grow(table);
		if (r < 0)
			return r;
	}
	size_t place = place_of(table, tgid);
	if (table->index[place] == 0) {
		if (table->n == table->capacity)
			return -ENOSPC;
		table->rows[table->n] = (struct process_row){.pid = tgid};
		table->extras[table->n] = (struct tasks_extra){0};
		table->index[place] = (uint32_t)++table->n;
	}
	table->last = table->index[place] - 1;
	return (ssize_t)table->last;
}

char tasks_state_letter(uint32_t state)
{
	/* TASK_NOLOAD and TASK_UNINTERRUPTIBLE together are TASK_IDLE. TASK_FROZEN, and waiting for a lock that became
	 * an rt_mutex, have bits of their own, which the kernel shows as D. */
	if ((state & 0x402) == 0x402)
		return 'I';
	if ((state & 0x7f) == 0)
		return state & 0x9000 ? 'D' : 'R';
	static const char letters[] = "SDTtXZP";
	return letters[31 - __builtin_clz(state & 0x7f)];
}

static void count_state(struct task_counts *counts, char letter)
{
	switch (letter) {
	case 'R':
		counts->running++;
		break;
	case 'S':
		counts->sleeping++;
		break;
	case 'D':
		counts->uninterruptible++;
		break;
	case 'T':
	case 't':
		counts->stopped++;
		break;
	case 'Z':
	case 'X':
		counts->zombie++;
		break;
	default: /* parked threads do nothing either */
		counts->idle++;
	}
}

static void add_usage(struct process_row *row, struct tasks_extra *extra, const struct tasks_usage *usage)
{
	row->cpu_ns += usage->cpu_ns;
	extra->utime_ns += usage->utime_ns;
	extra->stime_ns += usage->stime_ns;
	row->read_bytes += usage->read_bytes;
	row->write_bytes += usage->write_bytes;
	row->cancelled_write_bytes += usage->cancelled_write_bytes;
	row->minor_faults += usage->minor_faults;
	row->major_faults += usage->major_faults;
	row->voluntary_switches += usage->voluntary_switches;
	row->involuntary_switches += usage->involuntary_switches;
}

static void add_thread(struct process_row *row, struct tasks_extra *extra, const struct tasks_thread *thread,
		       char letter)
{
	add_usage(row, extra, &thread->usage);
	extra->run_delay_ns += thread->run_delay_ns;
	extra->io_delay_ns += thread->io_delay_ns;
	extra->running |= letter == 'R';
	extra->uninterruptible |= letter == 'D';
}

uint64_t tasks_start_shown(uint64_t start_ns)
{
	return start_ns / START_STEP_NS * START_STEP_NS;
}

static void add_process(struct process_row *row, struct tasks_extra *extra, const struct tasks_process *process,
			uint64_t page_bytes)
{
	static const struct {
		uint32_t from;
		uint16_t to;
	} offers[] = {{TASKS_HAS_IO, PROCESS_HAS_IO},
		      {TASKS_HAS_RSS, PROCESS_HAS_RSS},
		      {TASKS_HAS_CGROUP, PROCESS_HAS_CGROUP},
		      {TASKS_HAS_FILES, PROCESS_HAS_FILES},
		      {TASKS_HAS_RUN_DELAY, PROCESS_HAS_RUN_DELAY},
		      {TASKS_HAS_IO_DELAY, PROCESS_HAS_IO_DELAY}};
	row->has = process->leader.has & TASKS_NO_SWITCHES ? 0 : PROCESS_HAS_SWITCHES;
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		if (process->leader.has & offers[i].from)
			row->has |= offers[i].to;
	}
	row->parent_pid = process->parent_pid;
	row->user_id = process->user_id;
	row->threads = process->threads;
	row->open_files = process->open_files;
	row->start_ns = tasks_start_shown(process->start_ns);
	row->cgroup_id = process->cgroup_id;
	row->resident_bytes = process->resident_pages * page_bytes;
	/* Old kernels leave the rest of a longer name behind the end of a shorter one. */
	memcpy(row->comm, process->comm, strnlen(process->comm, sizeof(row->comm) - 1));
	extra->files_later = process->leader.has & TASKS_FILES_LATER;
	extra->has_leader = true;
	if (process->leader.has & TASKS_HAS_DEAD)
		add_usage(row, extra, &process->dead);
}

static int feed_one(struct tasks_table *table, const struct tasks_process *record, bool is_leader, uint64_t page_bytes)
{
	char letter = tasks_state_letter(record->leader.state);
	table->counts.threads++;
	table->counts.processes += is_leader;
	count_state(&table->counts, letter);
	ssize_t i = row_of(table, record->leader.tgid);
	if (i == -ENOSPC) {
		table->left_out += is_leader;
		return 0;
	}
	if (i < 0)
		return (int)i;
	add_thread(&table->rows[i], &table->extras[i], &record->leader, letter);
	if (is_leader) {
		table->extras[i].leader_state = letter;
		add_process(&table->rows[i], &table->extras[i], record, page_bytes);
	}
	return 0;
}

static int feed_same(struct tasks_table *table, const struct tasks_same *record)
{
	char letter = tasks_state_letter(record->state);
	table->counts.threads++;
	table->counts.processes++;
	count_state(&table->counts, letter);
	ssize_t i = row_of(table, record->tgid);
	if (i == -ENOSPC) {
		table->left_out++;
		return 0;
	}
	if (i < 0)
		return (int)i;
	struct tasks_extra *extra = &table->extras[i];
	table->rows[i].start_ns = tasks_start_shown(record->start_ns);
	extra->same = extra->has_leader = true;
	extra->leader_state = letter;
	extra->running |= letter == 'R';
	extra->uninterruptible |= letter == 'D';
	return 0;
}

/* What every record begins with. */
struct head {
	uint32_t pid, tgid, state, has;
};
_Static_assert(sizeof(struct head) == offsetof(struct tasks_thread, usage) &&
		       sizeof(struct head) == offsetof(struct tasks_same, start_ns),
	       "records begin alike");

static size_t size_of(const struct head *head)
{
	if (head->has & TASKS_SAME)
		return sizeof(struct tasks_same);
	if (head->pid != head->tgid)
		return sizeof(struct tasks_thread);
	return head->has & TASKS_HAS_DEAD ? sizeof(struct tasks_process) : offsetof(struct tasks_process, dead);
}

ssize_t tasks_table_feed(struct tasks_table *table, const void *data, size_t len)
{
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	const char *from = data;
	size_t used = 0;
	while (len - used >= sizeof(struct head)) {
		union {
			struct head head;
			struct tasks_same same;
			struct tasks_process process;
		} record;
		memcpy(&record.head, from + used, sizeof(record.head));
		size_t size = size_of(&record.head);
		if (len - used < size)
			break;
		memcpy(&record, from + used, size);
		used += size;
		if (table->apart != 0 && record.head.tgid == table->apart)
			continue;
		int r = record.head.has & TASKS_SAME
				? feed_same(table, &record.same)
				: feed_one(table, &record.process, record.head.pid == record.head.tgid, page_bytes);
		if (r < 0)
			return r;
	}
	return (ssize_t)used;
}

int tasks_table_feed_apart(struct tasks_table *table, const struct tasks_process *process)
{
	int r = feed_one(table, process, true, (uint64_t)sysconf(_SC_PAGESIZE));
	if (r < 0)
		return r;
	struct tasks_process others = *process;
	others.threads -= process->threads > 0;
	tasks_table_count_apart(&table->counts, &others);
	table->apart = process->leader.tgid;
	return 0;
}

void tasks_table_count_apart(struct task_counts *counts, const struct tasks_process *process)
{
	char letter = tasks_state_letter(process->leader.state);
	for (uint32_t i = 0; i < process->threads; i++)
		count_state(counts, letter);
	counts->threads += process->threads;
}

bool tasks_table_has(const struct tasks_table *table, uint32_t pid)
{
	return table->index && table->index[place_of(table, pid)] != 0;
}

/* A row on its way to another place. */
struct tasks_order {
	struct process_row row;
	struct tasks_extra extra;
};

static int by_pid(const void *a, const void *b)
{
	uint32_t p = ((const struct tasks_order *)a)->row.pid, q = ((const struct tasks_order *)b)->row.pid;
	return (p > q) - (p < q);
}

static int sort(struct tasks_table *table)
{
	size_t i = 1;
	while (i < table->n && table->rows[i - 1].pid < table->rows[i].pid)
		i++;
	if (i >= table->n)
		return 0;
	if (table->order_capacity < table->n) {
		free(table->order);
		table->order = calloc(table->capacity, sizeof(*table->order));
		table->order_capacity = table->order ? table->capacity : 0;
	}
	struct tasks_order *order = table->order;
	if (!order)
		return -ENOMEM;
	for (i = 0; i < table->n; i++)
		order[i] = (struct tasks_order){table->rows[i], table->extras[i]};
	qsort(order, table->n, sizeof(*order), by_pid);
	for (i = 0; i < table->n; i++) {
		table->rows[i] = order[i].row;
		table->extras[i] = order[i].extra;
	}
	return 0;
}

static void drop_leaderless(struct tasks_table *table)
{
	size_t kept = 0;
	for (size_t i = 0; i < table->n; i++) {
		if (!table->extras[i].has_leader)
			continue;
		if (kept != i) {
			table->rows[kept] = table->rows[i];
			table->extras[kept] = table->extras[i];
		}
		kept++;
	}
	table->n = kept;
}

static void not_less(uint64_t *value, uint64_t before)
{
	if (*value < before)
		*value = before;
}

void tasks_split(uint64_t cpu_ns, uint64_t utime_ns, uint64_t stime_ns, uint64_t *user, uint64_t *system)
{
	uint64_t sum = utime_ns + stime_ns, s;
	if (cpu_ns < *user + *system)
		return;
	if (sum == 0)
		s = 0;
	else
		s = (uint64_t)((unsigned __int128)cpu_ns * stime_ns / sum);
	not_less(&s, *system);
	if (cpu_ns - s < *user)
		s = cpu_ns - *user;
	*system = s;
	*user = cpu_ns - s;
}

/* A thread that died while the table was read may be in neither its own record nor its process's: nothing goes back.
 * Delays of dead threads are kept nowhere: what the living ones gained is added up. */
static void carry(struct process_row *row, struct tasks_extra *extra, const struct process_row *before,
		  const struct tasks_extra *extra_before)
{
	not_less(&row->cpu_ns, before->cpu_ns);
	not_less(&extra->utime_ns, extra_before->utime_ns);
	not_less(&extra->stime_ns, extra_before->stime_ns);
	not_less(&row->minor_faults, before->minor_faults);
	not_less(&row->major_faults, before->major_faults);
	not_less(&row->voluntary_switches, before->voluntary_switches);
	not_less(&row->involuntary_switches, before->involuntary_switches);
	not_less(&row->read_bytes, before->read_bytes);
	not_less(&row->write_bytes, before->write_bytes);
	not_less(&row->cancelled_write_bytes, before->cancelled_write_bytes);
	if (extra->files_later && before->has & PROCESS_HAS_FILES) {
		row->open_files = before->open_files;
		row->has |= PROCESS_HAS_FILES;
	}
	row->user_ns = before->user_ns;
	row->system_ns = before->system_ns;
	row->run_delay_ns = before->run_delay_ns;
	row->io_delay_ns = before->io_delay_ns;
	if (extra->run_delay_ns > extra_before->run_delay_ns)
		row->run_delay_ns += extra->run_delay_ns - extra_before->run_delay_ns;
	if (extra->io_delay_ns > extra_before->io_delay_ns)
		row->io_delay_ns += extra->io_delay_ns - extra_before->io_delay_ns;
}

/* A process that has not run, and threads of it that began after it was visited: mostly none. */
static void continue_same(struct process_row *row, struct tasks_extra *extra, const struct process_row *before,
			  const struct tasks_extra *extra_before)
{
	const struct process_row fed = *row;
	*row = *before;
	extra->utime_ns += extra_before->utime_ns;
	extra->stime_ns += extra_before->stime_ns;
	row->cpu_ns += fed.cpu_ns;
	row->minor_faults += fed.minor_faults;
	row->major_faults += fed.major_faults;
	row->voluntary_switches += fed.voluntary_switches;
	row->involuntary_switches += fed.involuntary_switches;
	row->read_bytes += fed.read_bytes;
	row->write_bytes += fed.write_bytes;
	row->cancelled_write_bytes += fed.cancelled_write_bytes;
	row->run_delay_ns += extra->run_delay_ns;
	row->io_delay_ns += extra->io_delay_ns;
	extra->run_delay_ns += extra_before->run_delay_ns;
	extra->io_delay_ns += extra_before->io_delay_ns;
}

/* False where a process is as it was before and was in no table then. */
static bool continue_row(struct process_row *row, struct tasks_extra *extra, const struct tasks_table *before,
			 size_t *at)
{
	while (*at < before->n && before->rows[*at].pid < row->pid)
		++*at;
	const struct process_row *known = *at < before->n ? &before->rows[*at] : NULL;
	if (known && known->pid == row->pid && known->start_ns == row->start_ns) {
		(extra->same ? continue_same : carry)(row, extra, known, &before->extras[*at]);
	} else {
		if (extra->same)
			return false;
		row->run_delay_ns = extra->run_delay_ns;
		row->io_delay_ns = extra->io_delay_ns;
	}
	tasks_split(row->cpu_ns, extra->utime_ns, extra->stime_ns, &row->user_ns, &row->system_ns);
	row->state = extra->running ? 'R' : extra->uninterruptible ? 'D' : extra->leader_state;
	return true;
}

/* What was in no table before did all it has, unless there was no table. */
static struct process_delta delta_of(const struct process_row *row, const struct tasks_table *before, size_t *at)
{
	static const struct process_row nothing;
	while (*at < before->n && before->rows[*at].pid < row->pid)
		++*at;
	const struct process_row *known = *at < before->n ? &before->rows[*at] : &nothing;
	if (known->pid != row->pid || known->start_ns != row->start_ns)
		known = before->n > 0 ? &nothing : row;
	return process_delta_between(row, known);
}

static void fill_columns(struct tasks_table *table, const struct tasks_table *before)
{
	table->n_changes = 0;
	for (size_t i = 0, at = 0; i < table->n; i++) {
		const struct process_row *row = &table->rows[i];
		struct process_delta delta = delta_of(row, before, &at);
		table->ids[i] = (struct tasks_id){.pid = row->pid, .state = row->state};
		table->ranks[i] = process_rank_of(row);
		if (process_delta_is_any(&delta))
			table->changes[table->n_changes++] = (struct process_change){.row = i, .delta = delta};
	}
}

int tasks_table_finish(struct tasks_table *table, const struct tasks_table *before)
{
	drop_leaderless(table);
	int r = sort(table);
	if (r < 0)
		return r;
	size_t at = 0;
	for (size_t i = 0; i < table->n; i++) {
		if (continue_row(&table->rows[i], &table->extras[i], before, &at))
			continue;
		table->extras[i].has_leader = false;
		table->lost++;
	}
	if (table->lost > 0)
		drop_leaderless(table);
	table->left_out += table->lost;
	fill_columns(table, before);
	return 0;
}

struct process_delta tasks_table_set(struct tasks_table *table, size_t i, const struct tasks_process *process,
				     char state, bool is_new)
{
	static const struct process_row nothing;
	struct process_row row = {.pid = process->leader.tgid, .state = state};
	struct tasks_extra extra = {0};
	add_thread(&row, &extra, &process->leader, state);
	add_process(&row, &extra, process, (uint64_t)sysconf(_SC_PAGESIZE));
	if (is_new) {
		row.run_delay_ns = extra.run_delay_ns;
		row.io_delay_ns = extra.io_delay_ns;
	} else {
		carry(&row, &extra, &table->rows[i], &table->extras[i]);
	}
	tasks_split(row.cpu_ns, extra.utime_ns, extra.stime_ns, &row.user_ns, &row.system_ns);
	struct process_delta delta = process_delta_between(&row, is_new ? &nothing : &table->rows[i]);
	table->rows[i] = row;
	table->extras[i] = extra;
	table->ids[i] = (struct tasks_id){.pid = row.pid, .state = state};
	table->ranks[i] = process_rank_of(&row);
	return delta;
}

ssize_t tasks_table_find(const struct tasks_table *table, uint32_t pid, uint64_t start_ns)
{
	size_t low = 0, high = table->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (table->rows[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == table->n || table->rows[low].pid != pid || table->rows[low].start_ns != start_ns)
		return -1;
	return (ssize_t)low;
}
