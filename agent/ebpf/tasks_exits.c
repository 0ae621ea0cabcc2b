/* The kernel frees a task some time after nobody can find it any more, so an exit may come one or several readings
 * after the process has left the table: what was last seen of it is kept until then. */
#include "agent/ebpf/tasks_exits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_SIZE (2 * TASKS_EXITED_MAX)

int tasks_exits_init(struct tasks_exits *exits, uint64_t began_ns)
{
	*exits = (struct tasks_exits){.began_ns = began_ns};
	exits->rows = calloc(TASKS_EXITED_MAX, sizeof(*exits->rows));
	exits->extras = calloc(TASKS_EXITED_MAX, sizeof(*exits->extras));
	if (exits->rows && exits->extras)
		return 0;
	tasks_exits_free(exits);
	return -ENOMEM;
}

void tasks_exits_free(struct tasks_exits *exits)
{
	if (!exits)
		return;
	free(exits->rows);
	free(exits->extras);
	free(exits->departed);
	*exits = (struct tasks_exits){0};
}

static size_t place_of(const struct tasks_exits *exits, const struct tasks_exited_key *key)
{
	uint64_t words[sizeof(key->comm) / 8];
	memcpy(words, key->comm, sizeof(words));
	uint64_t hash = (words[0] ^ (words[1] * 0x9e3779b97f4a7c15u) ^ key->cgroup_id) * 0x9e3779b97f4a7c15u;
	size_t place = (hash >> 40) % INDEX_SIZE;
	for (;; place = (place + 1) % INDEX_SIZE) {
		if (exits->index[place] == 0)
			return place;
		const struct exited_row *row = &exits->rows[exits->index[place] - 1];
		if (row->cgroup_id == key->cgroup_id && memcmp(row->comm, key->comm, sizeof(row->comm)) == 0)
			return place;
	}
}

/* The row's number, made if it is not there; -ENOSPC when there is no room. */
static ssize_t row_of(struct tasks_exits *exits, const struct tasks_exited_key *key, size_t max)
{
	size_t place = place_of(exits, key);
	if (exits->index[place] == 0) {
		if (exits->n >= max)
			return -ENOSPC;
		exits->rows[exits->n] = (struct exited_row){.cgroup_id = key->cgroup_id};
		memcpy(exits->rows[exits->n].comm, key->comm, sizeof(key->comm));
		exits->extras[exits->n] = (struct tasks_exited_extra){0};
		exits->index[place] = (uint16_t)++exits->n;
	}
	return exits->index[place] - 1;
}

static void add(struct tasks_exits *exits, size_t i, const struct tasks_exited *more)
{
	struct exited_row *row = &exits->rows[i];
	struct tasks_exited_extra *extra = &exits->extras[i];
	row->exits += more->exits;
	row->cpu_ns += more->cpu_ns;
	extra->utime_ns += more->utime_ns;
	extra->stime_ns += more->stime_ns;
	row->read_bytes += more->read_bytes;
	row->write_bytes += more->write_bytes;
	row->minor_faults += more->minor_faults;
	row->major_faults += more->major_faults;
	extra->changed = exits->reading;
}

static uint64_t beyond(uint64_t total, uint64_t seen)
{
	return total > seen ? total - seen : 0;
}

static struct tasks_exited since(const struct tasks_usage *total, const struct tasks_exited *seen)
{
	return (struct tasks_exited){
		.exits = 1,
		.cpu_ns = beyond(total->cpu_ns, seen->cpu_ns),
		.utime_ns = beyond(total->utime_ns, seen->utime_ns),
		.stime_ns = beyond(total->stime_ns, seen->stime_ns),
		.read_bytes = beyond(total->read_bytes, seen->read_bytes),
		.write_bytes = beyond(total->write_bytes, seen->write_bytes),
		.minor_faults = beyond(total->minor_faults, seen->minor_faults),
		.major_faults = beyond(total->major_faults, seen->major_faults),
	};
}

static struct tasks_exited seen_in(const struct tasks_table *table, size_t i)
{
	const struct process_row *row = &table->rows[i];
	return (struct tasks_exited){
		.cpu_ns = row->cpu_ns,
		.utime_ns = table->extras[i].utime_ns,
		.stime_ns = table->extras[i].stime_ns,
		.read_bytes = row->read_bytes,
		.write_bytes = row->write_bytes,
		.minor_faults = row->minor_faults,
		.major_faults = row->major_faults,
	};
}

static int by_pid(const void *a, const void *b)
{
	uint32_t p = ((const struct tasks_departed *)a)->pid, q = ((const struct tasks_departed *)b)->pid;
	return (p > q) - (p < q);
}

/* A pid can be there twice, with two starts. */
static struct tasks_departed *find_departed(struct tasks_exits *exits, uint32_t pid, uint64_t start_ns)
{
	size_t low = 0, high = exits->n_departed;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (exits->departed[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < exits->n_departed && exits->departed[low].pid == pid; low++) {
		if (exits->departed[low].start_ns == start_ns && !exits->departed[low].settled)
			return &exits->departed[low];
	}
	return NULL;
}

/* What is new of an exited process. false when nothing can be told. */
static bool news_of(struct tasks_exits *exits, const struct tasks_exit *exit, struct tasks_table *now,
		    struct tasks_table *before, struct tasks_exited *ret)
{
	static const struct tasks_exited nothing;
	uint64_t start_ns = tasks_start_shown(exit->start_ns);
	struct tasks_table *const tables[] = {now, before};
	for (size_t i = 0; i < 2; i++) {
		ssize_t at = tasks_table_find(tables[i], exit->pid, start_ns);
		if (at < 0)
			continue;
		struct tasks_exited seen = seen_in(tables[i], (size_t)at);
		*ret = since(&exit->total, &seen);
		tables[i]->extras[at].settled = true;
		return true;
	}
	struct tasks_departed *departed = find_departed(exits, exit->pid, start_ns);
	if (departed)
		departed->settled = true;
	*ret = since(&exit->total, departed ? &departed->seen : &nothing);
	return departed || exit->start_ns >= exits->began_ns;
}

void tasks_exits_settle(struct tasks_exits *exits, const struct tasks_exit *exit, struct tasks_table *now,
			struct tasks_table *before)
{
	struct tasks_exited news;
	if (!news_of(exits, exit, now, before, &news))
		return;
	struct tasks_exited_key key = {.cgroup_id = exit->cgroup_id};
	memcpy(key.comm, exit->comm, sizeof(key.comm));
	ssize_t i = row_of(exits, &key, TASKS_EXITED_ROWS);
	if (i < 0)
		exits->left_out++;
	else
		add(exits, (size_t)i, &news);
}

void tasks_exits_fold(struct tasks_exits *exits, const struct tasks_exited_key *key, const struct tasks_exited *value)
{
	ssize_t i = row_of(exits, key, TASKS_EXITED_MAX);
	if (i < 0)
		return; /* the program has no more rows than there is room for */
	const struct tasks_exited *last = &exits->extras[i].folded;
	if (value->exits == last->exits && value->cpu_ns == last->cpu_ns && value->minor_faults == last->minor_faults)
		return;
	struct tasks_exited more = {
		.exits = beyond(value->exits, last->exits),
		.cpu_ns = beyond(value->cpu_ns, last->cpu_ns),
		.utime_ns = beyond(value->utime_ns, last->utime_ns),
		.stime_ns = beyond(value->stime_ns, last->stime_ns),
		.read_bytes = beyond(value->read_bytes, last->read_bytes),
		.write_bytes = beyond(value->write_bytes, last->write_bytes),
		.minor_faults = beyond(value->minor_faults, last->minor_faults),
		.major_faults = beyond(value->major_faults, last->major_faults),
	};
	add(exits, (size_t)i, &more);
	exits->extras[i].folded = *value;
}

static void drop_settled(struct tasks_exits *exits)
{
	size_t kept = 0;
	for (size_t i = 0; i < exits->n_departed; i++) {
		const struct tasks_departed *departed = &exits->departed[i];
		bool lost = exits->reading - departed->reading >= TASKS_DEPARTED_READINGS;
		exits->left_out += lost && !departed->settled;
		if (!lost && !departed->settled)
			exits->departed[kept++] = *departed;
	}
	exits->n_departed = kept;
}

int tasks_exits_depart(struct tasks_exits *exits, const struct tasks_table *table, size_t i)
{
	if (table->extras[i].settled)
		return 0;
	if (exits->n_departed == exits->departed_capacity) {
		size_t capacity = exits->departed_capacity ? exits->departed_capacity * 2 : 256;
		if (capacity > PROCESS_TABLE_MAX) {
			exits->left_out++;
			return 0;
		}
		struct tasks_departed *departed = reallocarray(exits->departed, capacity, sizeof(*departed));
		if (!departed)
			return -ENOMEM;
		exits->departed = departed;
		exits->departed_capacity = capacity;
	}
	exits->departed[exits->n_departed++] = (struct tasks_departed){
		.pid = table->rows[i].pid,
		.start_ns = table->rows[i].start_ns,
		.reading = exits->reading,
		.seen = seen_in(table, i),
	};
	return 0;
}

/* Who was in the table before and is not in this one. */
static int add_departed(struct tasks_exits *exits, const struct tasks_table *now, const struct tasks_table *before)
{
	size_t sorted = exits->n_departed, j = 0;
	for (size_t i = 0; i < before->n; i++) {
		const struct process_row *row = &before->rows[i];
		while (j < now->n && now->rows[j].pid < row->pid)
			j++;
		bool stays = j < now->n && now->rows[j].pid == row->pid && now->rows[j].start_ns == row->start_ns;
		int r = stays ? 0 : tasks_exits_depart(exits, before, i);
		if (r < 0)
			return r;
	}
	if (sorted > 0 && exits->n_departed > sorted)
		tasks_exits_order(exits);
	return 0;
}

void tasks_exits_order(struct tasks_exits *exits)
{
	if (exits->n_departed > 1)
		qsort(exits->departed, exits->n_departed, sizeof(*exits->departed), by_pid);
}

int tasks_exits_finish(struct tasks_exits *exits, const struct tasks_table *now, const struct tasks_table *before)
{
	drop_settled(exits);
	int r = add_departed(exits, now, before);
	for (size_t i = 0; i < exits->n; i++) {
		struct exited_row *row = &exits->rows[i];
		const struct tasks_exited_extra *extra = &exits->extras[i];
		if (extra->changed == exits->reading)
			tasks_split(row->cpu_ns, extra->utime_ns, extra->stime_ns, &row->user_ns, &row->system_ns);
	}
	exits->reading++;
	return r;
}

void tasks_exits_evict(struct tasks_exits *exits, void (*forget)(void *arg, const struct tasks_exited_key *key),
		       void *arg)
{
	if (exits->n < TASKS_EXITED_ROWS / 4 * 3)
		return;
	size_t kept = 0;
	for (size_t i = 0; i < exits->n; i++) {
		struct tasks_exited_key key = {.cgroup_id = exits->rows[i].cgroup_id};
		memcpy(key.comm, exits->rows[i].comm, sizeof(key.comm));
		if (exits->reading - exits->extras[i].changed > TASKS_EXITED_IDLE_READINGS) {
			forget(arg, &key);
			continue;
		}
		exits->rows[kept] = exits->rows[i];
		exits->extras[kept] = exits->extras[i];
		kept++;
	}
	exits->n = kept;
	memset(exits->index, 0, sizeof(exits->index));
	for (size_t i = 0; i < kept; i++) {
		struct tasks_exited_key key = {.cgroup_id = exits->rows[i].cgroup_id};
		memcpy(key.comm, exits->rows[i].comm, sizeof(key.comm));
		exits->index[place_of(exits, &key)] = (uint16_t)(i + 1);
	}
}
