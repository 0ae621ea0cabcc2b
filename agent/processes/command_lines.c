/* A hash by pid with the entries in one array; a full one gives up what was not shown for longest, found by a hand that
 * goes round the array. */
#include "agent/processes/command_lines.h"

#include "agent/collectors/scale.h"
#include "agent/host/capabilities.h"
#include "agent/processes/command_line.h"
#include "agent/processes/proc_pid_stat.h"
#include "agent/processes/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAW_MAX 2048
#define STAT_SIZE 1024
#define PATH_SIZE 64
#define BUCKETS COMMAND_LINES_MAX
#define NONE UINT32_MAX
#define NS_PER_SECOND 1000000000ull
/* Not shown for so long, and the process is most likely gone. */
#define FORGET_US 600000000
#define FORGET_PER_TICK 64

struct entry {
	uint32_t pid; /* 0 is a free one */
	uint32_t next;
	uint64_t start_ns;
	uint64_t used_us, read_us;
	char comm[PROCESS_COMM_SIZE];
	bool known; /* was read: text may be NULL */
	bool asked; /* is with the lane */
	char *text;
};

struct request {
	uint32_t pid;
	uint64_t start_ns;
	char comm[PROCESS_COMM_SIZE];
	bool read; /* or the process had gone */
	size_t len;
	char text[COMMAND_LINE_SIZE];
};

struct batch {
	struct lane_job job; /* first: run() is given its address */
	const struct root *root;
	uint64_t hz;
	enum command_line how;
	size_t n;
	struct request requests[COMMAND_LINES_BATCH];
};

struct command_lines {
	const struct root *root;
	struct lane *lane;
	enum command_line how;
	uint64_t now_us;
	struct entry *entries;
	uint32_t buckets[BUCKETS];
	uint32_t free; /* list of entries, by next */
	uint32_t hand;
	struct batch *batches[COMMAND_LINES_BATCHES];
	struct batch *filling; /* of them, or NULL */
};

/* The pid may have been given to another process since, or in this namespace always have been another's. */
static bool is_same(const struct batch *batch, const struct request *request)
{
	char path[PATH_SIZE], text[STAT_SIZE];
	struct proc_pid_stat stat;
	(void)snprintf(path, sizeof(path), "proc/%u/stat", request->pid);
	int len = root_read_text(batch->root, path, text, sizeof(text));
	return len > 0 && proc_pid_stat_parse(text, (size_t)len, &stat) == 0 &&
	       scale_ratio(stat.start_ticks, NS_PER_SECOND, batch->hz) == request->start_ns;
}

static void run(struct lane_job *job)
{
	struct batch *batch = (struct batch *)job;
	for (size_t i = 0; i < batch->n; i++) {
		struct request *request = &batch->requests[i];
		char path[PATH_SIZE], raw[RAW_MAX + 2];
		(void)snprintf(path, sizeof(path), "proc/%u/cmdline", request->pid);
		int len = root_read_text(batch->root, path, raw, sizeof(raw));
		request->read = len >= 0 && is_same(batch, request);
		if (request->read)
			request->len = command_line_text(raw, (size_t)len, len > RAW_MAX, batch->how, request->text);
	}
}

static struct batch *batch_new(const struct root *root)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		return NULL;
	long hz = sysconf(_SC_CLK_TCK);
	batch->hz = hz > 0 ? (uint64_t)hz : 100;
	batch->root = root;
	batch->job.run = run;
	batch->job.capabilities = CAPABILITY_SYS_PTRACE; /* where /proc is mounted with hidepid */
	return batch;
}

static void clear(struct command_lines *lines)
{
	for (uint32_t i = 0; i < COMMAND_LINES_MAX; i++) {
		free(lines->entries[i].text);
		lines->entries[i] = (struct entry){.next = i + 1 < COMMAND_LINES_MAX ? i + 1 : NONE};
	}
	for (uint32_t i = 0; i < BUCKETS; i++)
		lines->buckets[i] = NONE;
	lines->free = 0;
}

int command_lines_new(const struct root *root, struct lane *lane, struct command_lines **ret)
{
	struct command_lines *lines = calloc(1, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	lines->root = root;
	lines->lane = lane;
	lines->entries = calloc(COMMAND_LINES_MAX, sizeof(*lines->entries));
	if (!lines->entries) {
		command_lines_free(lines);
		return -ENOMEM;
	}
	clear(lines);
	*ret = lines;
	return 0;
}

static bool is_under_way(const struct batch *batch)
{
	enum lane_state state = lane_job_state(&batch->job);
	return state == LANE_WAITING || state == LANE_RUNNING;
}

void command_lines_free(struct command_lines *lines)
{
	if (!lines)
		return;
	for (size_t i = 0; i < COMMAND_LINES_BATCHES; i++) {
		if (lines->batches[i] && !is_under_way(lines->batches[i]))
			free(lines->batches[i]);
	}
	if (lines->entries)
		clear(lines);
	free(lines->entries);
	free(lines);
}

static uint32_t *bucket_of(struct command_lines *lines, uint32_t pid)
{
	return &lines->buckets[pid % BUCKETS];
}

static struct entry *find(struct command_lines *lines, uint32_t pid)
{
	for (uint32_t i = *bucket_of(lines, pid); i != NONE; i = lines->entries[i].next) {
		if (lines->entries[i].pid == pid)
			return &lines->entries[i];
	}
	return NULL;
}

static void forget(struct command_lines *lines, uint32_t index)
{
	struct entry *entry = &lines->entries[index];
	uint32_t *at = bucket_of(lines, entry->pid);
	while (*at != index)
		at = &lines->entries[*at].next;
	*at = entry->next;
	free(entry->text);
	*entry = (struct entry){.next = lines->free};
	lines->free = index;
}

/* One that was not used at this tick; with the hand going round, one of the oldest. */
static bool make_room(struct command_lines *lines)
{
	uint32_t oldest = NONE;
	for (uint32_t i = 0; i < FORGET_PER_TICK; i++) {
		uint32_t at = lines->hand++ % COMMAND_LINES_MAX;
		const struct entry *entry = &lines->entries[at];
		if (entry->pid != 0 && entry->used_us < lines->now_us &&
		    (oldest == NONE || entry->used_us < lines->entries[oldest].used_us))
			oldest = at;
	}
	if (oldest == NONE)
		return false;
	forget(lines, oldest);
	return true;
}

static struct entry *add(struct command_lines *lines, uint32_t pid)
{
	if (lines->free == NONE && !make_room(lines))
		return NULL;
	uint32_t index = lines->free;
	struct entry *entry = &lines->entries[index];
	lines->free = entry->next;
	uint32_t *bucket = bucket_of(lines, pid);
	*entry = (struct entry){.pid = pid, .next = *bucket};
	*bucket = index;
	return entry;
}

static void take_request(struct command_lines *lines, const struct request *request)
{
	struct entry *entry = find(lines, request->pid);
	if (!entry || entry->start_ns != request->start_ns || !entry->asked)
		return;
	entry->asked = false;
	/* It has become another program since: what was read may be of either. */
	if (strcmp(entry->comm, request->comm) != 0)
		return;
	/* What may not be read now is not asked for at every tick. */
	entry->known = true;
	entry->read_us = lines->now_us;
	if (!request->read)
		return;
	char *text = request->len > 0 ? strndup(request->text, request->len) : NULL;
	if (request->len > 0 && !text)
		return;
	free(entry->text);
	entry->text = text;
}

static void take_batch(struct command_lines *lines, struct batch *batch)
{
	for (size_t i = 0; batch->how == lines->how && i < batch->n; i++)
		take_request(lines, &batch->requests[i]);
	batch->n = 0;
	lane_job_take(&batch->job);
}

static void forget_old(struct command_lines *lines)
{
	for (uint32_t i = 0; i < FORGET_PER_TICK; i++) {
		uint32_t at = lines->hand++ % COMMAND_LINES_MAX;
		const struct entry *entry = &lines->entries[at];
		if (entry->pid != 0 && lines->now_us - entry->used_us > FORGET_US)
			forget(lines, at);
	}
}

static struct batch *find_idle(struct command_lines *lines)
{
	for (size_t i = 0; i < COMMAND_LINES_BATCHES; i++) {
		if (!lines->batches[i])
			lines->batches[i] = batch_new(lines->root);
		struct batch *batch = lines->batches[i];
		if (batch && lane_job_state(&batch->job) == LANE_IDLE && batch->n == 0)
			return batch;
	}
	return NULL;
}

void command_lines_begin(struct command_lines *lines, enum command_line how, uint64_t now_us)
{
	lines->now_us = now_us;
	if (how != lines->how)
		clear(lines);
	lines->how = how;
	for (size_t i = 0; i < COMMAND_LINES_BATCHES; i++) {
		struct batch *batch = lines->batches[i];
		if (batch && lane_job_state(&batch->job) == LANE_DONE)
			take_batch(lines, batch);
	}
	forget_old(lines);
	lines->filling = find_idle(lines);
}

static void note(struct command_lines *lines, struct entry *entry)
{
	struct batch *batch = lines->filling;
	if (!batch || entry->asked)
		return;
	struct request *request = &batch->requests[batch->n++];
	*request = (struct request){.pid = entry->pid, .start_ns = entry->start_ns};
	memcpy(request->comm, entry->comm, sizeof(request->comm));
	entry->asked = true;
	if (batch->n == COMMAND_LINES_BATCH)
		command_lines_ask(lines);
}

const char *command_lines_get(struct command_lines *lines, uint32_t pid, uint64_t start_ns, const char *comm)
{
	if (lines->how == COMMAND_LINE_OFF)
		return NULL;
	struct entry *entry = find(lines, pid);
	if (!entry)
		entry = add(lines, pid);
	if (!entry)
		return NULL;
	entry->used_us = lines->now_us;
	if (entry->start_ns != start_ns || strncmp(entry->comm, comm, sizeof(entry->comm)) != 0) {
		bool same = entry->start_ns == start_ns;
		free(entry->text);
		entry->text = NULL;
		entry->known = false;
		entry->asked = same && entry->asked;
		entry->start_ns = start_ns;
		(void)snprintf(entry->comm, sizeof(entry->comm), "%s", comm);
	}
	if (!entry->known || lines->now_us - entry->read_us > COMMAND_LINES_OLD_US)
		note(lines, entry);
	return entry->text;
}

void command_lines_ask(struct command_lines *lines)
{
	struct batch *batch = lines->filling;
	if (!batch || batch->n == 0)
		return;
	batch->how = lines->how;
	if (lane_submit(lines->lane, &batch->job) < 0) {
		for (size_t i = 0; i < batch->n; i++) {
			struct entry *entry = find(lines, batch->requests[i].pid);
			if (entry && entry->start_ns == batch->requests[i].start_ns)
				entry->asked = false;
		}
		batch->n = 0;
		lines->filling = NULL;
		return;
	}
	lines->filling = find_idle(lines);
}
