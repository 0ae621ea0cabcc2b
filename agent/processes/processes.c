/* A tick looks at what changed in the table and at what rows are ranked by; at rows themselves only where they are
 * shown, and only for those text is made. */
#include "agent/processes/processes.h"

#include "agent/cgroups/tree.h"
#include "agent/collectors/source.h"
#include "agent/ebpf/block_io_top.h"
#include "agent/ebpf/process_network.h"
#include "agent/extras.h"
#include "agent/host/capabilities.h"
#include "agent/label.h"
#include "agent/processes/command_lines.h"
#include "agent/processes/exited.h"
#include "agent/processes/fill.h"
#include "agent/processes/history.h"
#include "agent/processes/passwd.h"
#include "agent/processes/resident.h"
#include "agent/processes/select.h"
#include "agent/settings.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_NAME_MAX 64
#define TEXT_MAX ((size_t)512 << 10) /* of command lines and cgroups in a section: a snapshot holds 2 MiB */

struct self {
	const struct collector_context *context;
	const struct process_source *source;
	void *source_self;
	struct collector_state second_choice; /* why it is not the first source; ok where it is */
	struct history history;
	struct exited exited;
	struct passwd passwd;
	struct resident resident;
	struct command_lines *lines;	       /* NULL without a lane */
	struct process_network_probe *network; /* NULL unless it is wanted */
	bool begun;
	uint64_t keyframe_us; /* when the last one was */
	uint64_t visible_cpu_ns;
};

/* What one tick works with. */
struct showing {
	struct self *self;
	struct tick *tick;
	struct process_table table;
	struct selection selection;
	bool network; /* bytes of socket calls are known */
	size_t text_room;
	size_t text_left_out; /* rows */
	Sonde__V1__Processes *out;
};

static void destroy(void *opaque)
{
	struct self *self = opaque;
	if (!self)
		return;
	process_network_free(self->network);
	if (self->source)
		self->source->destroy(self->source_self);
	history_free(&self->history);
	exited_free(&self->exited);
	passwd_free(&self->passwd);
	resident_free(&self->resident);
	command_lines_free(self->lines);
	free(self);
}

/* The first source that can be made. What kept the one before it away is told as long as the collector lives: on a
 * recorded host there is nothing to be done about it. */
static int choose_source(struct self *self, const struct process_source *const *sources, struct collector_state *state)
{
	int r = -ENOENT;
	for (size_t i = 0; sources[i]; i++) {
		*state = (struct collector_state){.reason = ""};
		r = sources[i]->create(self->context, &self->source_self, state);
		if (r == 0) {
			self->source = sources[i];
			*state = (struct collector_state){.reason = ""};
			return 0;
		}
		if (i > 0 || !self->context->live)
			continue;
		if (state->reason[0] == '\0')
			(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, 0, "error", "%s",
					     log_strerror(r));
		self->second_choice = *state;
	}
	return r;
}

int processes_create(const struct collector_context *context, const struct process_source *const *sources,
		     void **ret_self, struct collector_state *state)
{
	struct self *self = calloc(1, sizeof(*self));
	if (!self || history_init(&self->history) < 0 || exited_init(&self->exited) < 0) {
		destroy(self);
		return source_no_room(state);
	}
	self->context = context;
	self->passwd = passwd_init(context->root);
	resident_init(&self->resident, context->root);
	int r = context->lane ? command_lines_new(context->root, context->lane, &self->lines) : 0;
	if (r < 0)
		(void)source_no_room(state);
	else
		r = choose_source(self, sources, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	static const struct process_source *const sources[] = {&process_source_bpf, &process_source_proc, NULL};
	int r = processes_create(context, sources, ret_self, state);
	if (r == 0)
		process_network_list_off(context);
	return r;
}

static bool keyframe_is_due(const struct self *self, uint64_t now_us)
{
	const struct collector_settings *settings = self->context->settings;
	uint64_t period_ms = settings ? settings->keyframe_ms : SETTINGS_KEYFRAME_MS_DEFAULT;
	return !self->begun || now_us - self->keyframe_us >= period_ms * 1000;
}

static int fill_user(struct showing *showing, uint32_t id, Sonde__V1__Process *out)
{
	const char *name = passwd_name(&showing->self->passwd, id);
	char number[16];
	if (!name) {
		(void)snprintf(number, sizeof(number), "%" PRIu32, id);
		name = number;
	}
	out->user = label_copy(showing->tick->arena, name, strnlen(name, USER_NAME_MAX));
	return out->user ? 0 : -ENOMEM;
}

static int fill_row(struct showing *showing, const struct process_row *row, Sonde__V1__Process *out)
{
	int r = fill_process(showing->tick->arena, row, out);
	if (showing->network)
		process_network_fill(showing->self->network, row, out);
	return r < 0 ? r : fill_user(showing, row->user_id, out);
}

static const struct cgroup *find_cgroup(const struct showing *showing, uint64_t id)
{
	struct cgroup_tree *tree = showing->self->context->cgroups;
	return tree ? cgroup_tree_find(tree, id) : NULL;
}

/* What may be long: as far as there is room. */
static int fill_text(struct showing *showing, const struct process_row *row, Sonde__V1__Process *out)
{
	struct self *self = showing->self;
	const char *line = self->lines ? command_lines_get(self->lines, row->pid, row->start_ns, row->comm) : NULL;
	const struct cgroup *cgroup = row->has & PROCESS_HAS_CGROUP ? find_cgroup(showing, row->cgroup_id) : NULL;
	size_t len = (line ? strlen(line) : 0) + (cgroup ? strlen(cgroup->path) + strlen(cgroup->name) : 0);
	if (len > showing->text_room) {
		showing->text_left_out++;
		return 0;
	}
	showing->text_room -= len;
	struct arena *arena = showing->tick->arena;
	if (line && !(out->command_line = label_copy(arena, line, strlen(line))))
		return -ENOMEM;
	if (cgroup && (!(out->cgroup = label_copy(arena, cgroup->path, strlen(cgroup->path))) ||
		       !(out->cgroup_name = label_copy(arena, cgroup->name, strlen(cgroup->name)))))
		return -ENOMEM;
	return 0;
}

/* Pids of another namespace are others' here. */
static void fill_resident(struct showing *showing, const struct process_row *row, bool has_run, Sonde__V1__Process *out)
{
	uint64_t bytes;
	if (!showing->table.namespaced &&
	    resident_read(&showing->self->resident, row->pid, row->start_ns, has_run, &bytes) == 0)
		SET(out, resident_bytes, bytes);
	else if (out->has_resident_bytes)
		SET(out, resident_estimated, true);
}

static int fill_detail(struct showing *showing, const struct process_row *row, enum select_mark mark, bool has_run,
		       Sonde__V1__Process *out)
{
	if (mark == SELECT_TOP)
		fill_resident(showing, row, has_run, out);
	else if (out->has_resident_bytes)
		SET(out, resident_estimated, true);
	return fill_text(showing, row, out);
}

static int fill_marked(struct showing *showing, enum select_mark mark)
{
	const struct process_table *table = &showing->table;
	const uint8_t *marks = showing->selection.marks;
	size_t at = 0, change = 0;
	for (size_t i = 0; i < table->n && at < showing->out->n_processes; i++) {
		if (marks[i] == SELECT_NOT)
			continue;
		Sonde__V1__Process *out = showing->out->processes[at++];
		bool has_run = process_change_at(table, i, &change) && table->changes[change].delta.cpu_ns > 0;
		int r = marks[i] == mark ? fill_detail(showing, &table->rows[i], mark, has_run, out) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* What is not in the table. The first by some measure go first: in a keyframe they have the room, and the first batches
 * of the lane. */
static int fill_details(struct showing *showing)
{
	const struct collector_settings *settings = showing->self->context->settings;
	struct command_lines *lines = showing->self->lines;
	if (lines)
		command_lines_begin(lines, settings ? settings->command_line : COMMAND_LINE_SCRUBBED,
				    showing->tick->boottime_us);
	resident_begin(&showing->self->resident);
	showing->text_room = TEXT_MAX;
	for (uint8_t mark = SELECT_TOP; mark > SELECT_NOT; mark--) {
		int r = fill_marked(showing, mark);
		if (r < 0)
			return r;
	}
	if (lines)
		command_lines_ask(lines);
	SET(showing->out, text_left_out, showing->text_left_out);
	return 0;
}

static int fill_rows(struct showing *showing)
{
	Sonde__V1__Processes *out = showing->out;
	const struct selection *selection = &showing->selection;
	if (selection->shown == 0)
		return 0;
	out->processes = arena_messages(showing->tick->arena, &sonde__v1__process__descriptor, selection->shown);
	if (!out->processes)
		return -ENOMEM;
	for (size_t i = 0; i < showing->table.n; i++) {
		if (selection->marks[i] == SELECT_NOT)
			continue;
		int r = fill_row(showing, &showing->table.rows[i], out->processes[out->n_processes]);
		if (r < 0)
			return r;
		out->n_processes++;
	}
	return 0;
}

/* One that is gone has only its number left. */
static int fill_exited_cgroup(struct showing *showing, uint64_t id, Sonde__V1__ExitedProcesses *out)
{
	const struct cgroup *cgroup = find_cgroup(showing, id);
	char number[24];
	(void)snprintf(number, sizeof(number), "%" PRIu64, id);
	const char *text = cgroup ? cgroup->path : number;
	out->cgroup = label_copy(showing->tick->arena, text, strlen(text));
	return out->cgroup ? 0 : -ENOMEM;
}

static int fill_exits(struct showing *showing, bool whole)
{
	Sonde__V1__Processes *out = showing->out;
	const struct process_table *table = &showing->table;
	if (!table->exited)
		return 0;
	uint64_t left_out = table->exits_left_out;
	for (size_t i = EXITED_MAX; i < table->n_exited; i++)
		left_out += table->exited[i].exits;
	SET(out, exits_left_out, left_out);
	uint32_t *chosen = arena_alloc(showing->tick->arena, table->n_exited * sizeof(*chosen) + 1);
	if (!chosen)
		return -ENOMEM;
	size_t n = exited_choose(&showing->self->exited, table->exited, table->n_exited, whole, chosen);
	out->exited = arena_messages(showing->tick->arena, &sonde__v1__exited_processes__descriptor, n);
	if (!out->exited && n > 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct exited_row *row = &table->exited[chosen[i]];
		int r = fill_exited(showing->tick->arena, row, out->exited[i]);
		if (r == 0)
			r = fill_exited_cgroup(showing, row->cgroup_id, out->exited[i]);
		if (r < 0)
			return r;
	}
	out->n_exited = n;
	return 0;
}

static void set_state(const struct showing *showing)
{
	const struct self *self = showing->self;
	struct collector_state *state = showing->tick->state;
	if (state->code != SONDE__V1__STATE__CODE__CODE_UNSPECIFIED)
		return;
	const struct collector_state *why = &self->second_choice;
	if (why->reason[0] != '\0')
		(void)collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, why->reason,
			"/%s is read instead of the kernel's task list, which costs more and sees no process "
			"that ends between two ticks: %s",
			self->source->name, why->detail);
	else if (showing->table.namespaced)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "pid_namespace",
				     "this container's processes only: run the agent in the host's pid namespace");
}

/* On request. What keeps it away costs the section nothing else. */
static void read_network(struct showing *showing)
{
	struct self *self = showing->self;
	struct collector_state *state = showing->tick->state, why = {.reason = ""};
	const struct collector_settings *settings = self->context->settings;
	bool wanted = self->context->live && settings && extra_wanted(settings->extras, EXTRA_PROCESS_NETWORK);
	int r = process_network_switch(self->context, wanted, &self->network, &why);
	if (r < 0 && state->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED) {
		*state = why;
		state->code = SONDE__V1__STATE__CODE__CODE_DEGRADED;
	}
	showing->network = r == 0 && wanted && process_network_read(self->network, &showing->table, showing->tick);
}

/* What each did since the last tick: where the source does not tell it is kept here what each had. */
static int find_changes(struct showing *showing)
{
	struct process_table *table = &showing->table;
	if (!table->changes) {
		struct process_change *changes =
			arena_alloc(showing->tick->arena, table->n * sizeof(*changes) + sizeof(*changes));
		if (!changes)
			return -ENOMEM;
		table->n_changes = history_update(&showing->self->history, table, changes);
		table->changes = changes;
	}
	for (size_t i = 0; i < table->n_changes; i++)
		showing->self->visible_cpu_ns += table->changes[i].delta.cpu_ns;
	return 0;
}

/* What goes to the rows that are shown. */
static int show(struct showing *showing, bool whole)
{
	const struct self *self = showing->self;
	const struct collector_settings *settings = self->context->settings;
	struct arena *arena = showing->tick->arena;
	const struct process_table *table = &showing->table;

	int r = find_changes(showing);
	if (r < 0)
		return r;
	if (self->context->block_io_top)
		block_io_top_take(self->context->block_io_top, table);
	r = select_processes(table, settings ? settings->top : SETTINGS_TOP_DEFAULT, whole, SELECT_ROWS_MAX, arena,
			     &showing->selection);
	if (r == 0)
		r = fill_rows(showing);
	if (r == 0)
		r = fill_details(showing);
	if (r == 0 && showing->network)
		r = process_network_fill_cgroups(showing->self->network, showing->tick, showing->out);
	return r < 0 ? r : fill_exits(showing, whole);
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = opaque;
	struct showing showing = {.self = self, .tick = tick, .out = (Sonde__V1__Processes *)section};
	Sonde__V1__Processes *out = showing.out;

	/* Without a new walk the tree is as it was: names may be missing, numbers are not. */
	if (self->context->cgroups)
		(void)!cgroup_tree_refresh(self->context->cgroups, tick->boottime_us);
	int r = self->source->read(self->source_self, &showing.table, tick->state);
	if (r < 0)
		return r;
	read_network(&showing);
	passwd_refresh(&self->passwd, tick->boottime_us);
	bool keyframe = keyframe_is_due(self, tick->boottime_us);
	r = show(&showing, keyframe || tick->watched);
	if (r < 0)
		return source_no_room(tick->state);
	if (keyframe)
		self->keyframe_us = tick->boottime_us;
	self->begun = true;

	out->source = arena_strndup(tick->arena, self->source->name, strlen(self->source->name));
	if (!out->source)
		return source_no_room(tick->state);
	SET(out, keyframe, keyframe || tick->watched);
	SET(out, left_out, showing.selection.left_out + showing.table.left_out);
	SET(out, visible_cpu_us, self->visible_cpu_ns / 1000);
	fill_counts(&showing.table.counts, out);
	set_state(&showing);
	return 0;
}

static void rest(void *opaque)
{
	struct self *self = opaque;
	struct collector_state state;
	/* Switching off cannot fail. */
	(void)!process_network_switch(self->context, false, &self->network, &state);
}

const struct collector collector_processes = {
	.name = "processes",
	.reads = "the kernel's task list through eBPF, or /proc/PID/stat, io, status and cgroup; /etc/passwd",
	.needs = "CAP_BPF and CAP_PERFMON for all but /proc; CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH for the I/O of "
		 "others' "
		 "processes",
	.capabilities = CAPABILITY_BPF | CAPABILITY_PERFMON | CAPABILITY_SYS_PTRACE | CAPABILITY_DAC_READ_SEARCH,
	.create = create,
	.collect = collect,
	.rest = rest,
	.destroy = destroy,
};
