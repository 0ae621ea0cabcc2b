/* The collector over a source that the test leads by the hand, and over a made-up /proc. */
#include "agent/lane.h"
#include "agent/processes/processes.h"
#include "agent/processes/resident.h"
#include "agent/settings.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND_US 1000000ull
#define ROWS 8

struct fixture {
	struct tree tree;
	struct collector_settings settings;
	struct collector_context context;
	struct arena *arena;
	void *self;
	struct collector_state state;
	uint64_t now_us;
	bool watched;
	Sonde__V1__Processes out;
};

/* The source's create() has no argument of the test's: the one fixture there is. */
static struct process_row led_rows[ROWS];
static struct process_table led_table;
static int led_error;

static int led_create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	*ret_self = led_rows;
	return 0;
}

static int led_read(void *self, struct process_table *ret, struct collector_state *state)
{
	*ret = led_table;
	return led_error;
}

static void led_destroy(void *self)
{
}

static const struct process_source led = {"led", led_create, led_read, led_destroy};

static int refused_create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, -EPERM, "no_capability",
			      "give the agent CAP_EXAMPLE");
}

static const struct process_source refused = {"refused", refused_create, NULL, NULL};
static const struct process_source *const led_sources[] = {&led, NULL};
static const struct process_source *const refused_led[] = {&refused, &led, NULL};
static const struct process_source *const refused_sources[] = {&refused, NULL};
static const struct process_source *const proc_sources[] = {&process_source_proc, NULL};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(8 << 20), .now_us = 7 * SECOND_US};
	tree_make(&f.tree);
	f.settings = (struct collector_settings){.top = 1, .keyframe_ms = 3000};
	f.context = (struct collector_context){.root = &f.tree.root, .settings = &f.settings, .live = true};
	led_table = (struct process_table){.rows = led_rows};
	led_error = 0;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	collector_processes.destroy(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

static void make(struct fixture *f, const struct process_source *const *sources)
{
	assert_int_equal(processes_create(&f->context, sources, &f->self, &f->state), 0);
	assert_string_equal(f->state.reason, "");
}

static int collect(struct fixture *f)
{
	sonde__v1__processes__init(&f->out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	struct tick tick = {.arena = f->arena, .boottime_us = f->now_us, .state = &f->state, .watched = f->watched};
	f->now_us += SECOND_US;
	return collector_processes.collect(f->self, &tick, &f->out.base);
}

static struct process_row *add(uint32_t pid, const char *comm)
{
	struct process_row *row = &led_rows[led_table.n++];
	*row = (struct process_row){.pid = pid, .start_ns = pid * 10000000ull, .state = 'S', .threads = 1};
	snprintf(row->comm, sizeof(row->comm), "%s", comm);
	return row;
}

static const Sonde__V1__Process *find(const struct fixture *f, uint32_t pid)
{
	for (size_t i = 0; i < f->out.n_processes; i++) {
		if (f->out.processes[i]->pid == pid)
			return f->out.processes[i];
	}
	return NULL;
}

static void test_keyframes(void **state)
{
	struct fixture *f = *state;
	make(f, led_sources);
	for (uint32_t pid = 1; pid <= 6; pid++)
		add(pid, "x");
	assert_int_equal(collect(f), 0);
	assert_true(f->out.keyframe);
	assert_int_equal(f->out.n_processes, 6);
	led_rows[3].cpu_ns += 5000;
	assert_int_equal(collect(f), 0); /* pid 1 by threads, pid 4 by CPU time */
	assert_false(f->out.keyframe);
	assert_int_equal(f->out.n_processes, 2);
	assert_non_null(find(f, 1));
	assert_int_equal(find(f, 4)->cpu_us, 5);
	assert_int_equal(f->out.visible_cpu_us, 5);
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_processes, 1);
	assert_int_equal(f->out.visible_cpu_us, 5);
	assert_int_equal(collect(f), 0);
	assert_true(f->out.keyframe); /* three seconds after the first */
	assert_int_equal(f->out.n_processes, 6);
	f->watched = true;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(collect(f), 0);
		assert_true(f->out.keyframe);
		assert_int_equal(f->out.n_processes, 6);
	}
	f->watched = false;
	assert_int_equal(collect(f), 0); /* being watched does not put keyframes off */
	assert_true(f->out.keyframe);
	f->settings.keyframe_ms = 1000000;
	f->settings.top = 3;
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_processes, 3);
}

static void test_reused_pid(void **state)
{
	struct fixture *f = *state;
	make(f, led_sources);
	add(1, "init");
	add(5, "old")->cpu_ns = 900000;
	assert_int_equal(collect(f), 0);
	led_rows[1].start_ns += 10000000;
	led_rows[1].cpu_ns = 30000;
	memcpy(led_rows[1].comm, "new", 4);
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 5)->start_time_us, 60000);
	assert_string_equal(find(f, 5)->comm, "new");
	assert_int_equal(f->out.visible_cpu_us, 30);
}

static void test_row(void **state)
{
	struct fixture *f = *state;
	tree_write(&f->tree, "etc/passwd", "root:x:0:0:::\nzo\001e:x:1000:1000:::\n");
	make(f, led_sources);
	struct process_row *row = add(7, "a\nb\xff");
	row->has = PROCESS_HAS_RAW_TIMES;
	row->cpu_ns = 9000000;
	row->user_ns = 20000;
	row->system_ns = 10000;
	row->user_id = 1000;
	row->state = 'D';
	row = add(8, "b");
	row->user_id = 4000000000;
	row->state = '?';
	row->has = PROCESS_HAS_IO | PROCESS_HAS_RSS | PROCESS_HAS_FILES | PROCESS_HAS_SWITCHES | PROCESS_HAS_RUN_DELAY |
		   PROCESS_HAS_IO_DELAY;
	row->cpu_ns = UINT64_MAX;
	row->user_ns = UINT64_MAX;
	row->run_delay_ns = 5000;
	led_table.counts = (struct task_counts){.processes = 2, .threads = 9, .running = 3, .uninterruptible = 6};
	led_table.left_out = 11;
	assert_int_equal(collect(f), 0);
	const Sonde__V1__Process *a = find(f, 7), *b = find(f, 8);
	assert_string_equal(a->comm, "a?b?");
	assert_string_equal(a->user, "zo?e");
	assert_int_equal(a->cpu_us, 9000);
	assert_int_equal(a->user_us, 6000);
	assert_int_equal(a->system_us, 3000);
	assert_int_equal(a->process_state, SONDE__V1__PROCESS_STATE__PROCESS_STATE_UNINTERRUPTIBLE);
	assert_false(a->has_read_bytes || a->has_resident_bytes || a->has_open_files || a->has_voluntary_switches ||
		     a->has_run_delay_us || a->has_io_delay_us);
	assert_string_equal(b->user, "4000000000");
	assert_false(b->has_process_state);
	assert_true(b->has_read_bytes && b->has_resident_bytes && b->has_open_files && b->has_voluntary_switches &&
		    b->has_io_delay_us);
	assert_int_equal(b->run_delay_us, 5);
	assert_true(b->cpu_us == UINT64_MAX / 1000 && b->user_us == UINT64_MAX / 1000 && b->system_us == 0);
	assert_int_equal(f->out.process_count, 2);
	assert_int_equal(f->out.thread_count, 9);
	assert_int_equal(f->out.running, 3);
	assert_int_equal(f->out.uninterruptible, 6);
	assert_int_equal(f->out.left_out, 11);
	assert_false(f->out.has_exits_left_out);
}

static void test_exited(void **state)
{
	static struct exited_row led_rows_exited[] = {
		{.comm = "ls", .cgroup_id = 3, .exits = 2, .cpu_ns = 4000, .user_ns = 3000, .system_ns = 1000},
		{.comm = "c\tc", .cgroup_id = 4, .exits = 1, .write_bytes = 9, .major_faults = 8},
	};
	struct fixture *f = *state;
	make(f, led_sources);
	led_table.exited = led_rows_exited;
	led_table.n_exited = 2;
	led_table.exits_left_out = 5;
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_exited, 2);
	assert_int_equal(f->out.exits_left_out, 5);
	assert_string_equal(f->out.exited[0]->comm, "ls");
	assert_int_equal(f->out.exited[0]->exits, 2);
	assert_int_equal(f->out.exited[0]->cpu_us, 4);
	assert_int_equal(f->out.exited[0]->user_us, 3);
	assert_int_equal(f->out.exited[0]->cgroup_id, 3);
	assert_string_equal(f->out.exited[0]->cgroup, "3");
	assert_string_equal(f->out.exited[1]->comm, "c?c");
	assert_int_equal(f->out.exited[1]->write_bytes, 9);
	assert_int_equal(f->out.exited[1]->major_faults, 8);
	/* Unchanged: not sent again until a keyframe. */
	led_rows_exited[1].exits = 2;
	assert_int_equal(collect(f), 0);
	assert_false(f->out.keyframe);
	assert_int_equal(f->out.n_exited, 1);
	assert_int_equal(f->out.exited[0]->exits, 2);
	assert_string_equal(f->out.exited[0]->comm, "c?c");
	f->watched = true;
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_exited, 2);
}

static void test_sources(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(processes_create(&f->context, refused_sources, &f->self, &f->state), -EPERM);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DENIED);
	make(f, refused_led);
	assert_int_equal(collect(f), 0);
	assert_string_equal(f->out.source, "led");
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "no_capability");
	assert_non_null(strstr(f->state.detail, "give the agent CAP_EXAMPLE"));
	led_error = -EIO;
	assert_int_equal(collect(f), -EIO);
	collector_processes.destroy(f->self);
	f->self = NULL;
	/* Nothing can be done about it on a recorded host. */
	led_error = 0;
	f->context.live = false;
	make(f, refused_led);
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNSPECIFIED);
	led_table.namespaced = true;
	assert_int_equal(collect(f), 0);
	assert_string_equal(f->state.reason, "pid_namespace");
}

static void write_process(const struct fixture *f, unsigned pid, const char *comm, unsigned user_ticks, unsigned start)
{
	char path[64], text[512];
	snprintf(path, sizeof(path), "proc/%u/stat", pid);
	snprintf(text, sizeof(text),
		 "%u (%s) R 1 1 1 0 -1 0 7 0 2 0 %u 4 0 0 20 0 3 0 %u 4096 5 18446744073709551615 1 1 0 0 0 0 0 0 0 0 "
		 "0 0 "
		 "17 1 0 0 6 0 0\n",
		 pid, comm, user_ticks, start);
	tree_write(&f->tree, path, text);
}

static void write_owner(const struct fixture *f, unsigned pid, unsigned user)
{
	char path[64], text[128];
	snprintf(path, sizeof(path), "proc/%u/status", pid);
	snprintf(text, sizeof(text), "Name:\tx\nUid:\t%u\t%u\t%u\t%u\n", user, user, user, user);
	tree_write(&f->tree, path, text);
}

static void test_proc(void **state)
{
	struct fixture *f = *state;
	f->watched = true;
	tree_write(&f->tree, "proc/sys/kernel/task_delayacct", "1\n");
	write_process(f, 10, "ten", 100, 50);
	write_process(f, 9, "a (b) c", 0, 40);
	tree_write(&f->tree, "proc/9/io", "read_bytes: 1\nwrite_bytes: 2\ncancelled_write_bytes: 3\n");
	write_owner(f, 9, 33);
	tree_mkdir(&f->tree, "proc/77"); /* gone between listing and reading */
	tree_write(&f->tree, "proc/78/stat", "rubbish\n");
	tree_write(&f->tree, "proc/self/stat", "rubbish\n");
	make(f, proc_sources);
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_processes, 2);
	assert_int_equal(f->out.left_out, 1);
	assert_int_equal(f->out.processes[0]->pid, 9);
	const Sonde__V1__Process *nine = find(f, 9), *ten = find(f, 10);
	assert_string_equal(nine->comm, "a (b) c");
	assert_string_equal(nine->user, "33");
	assert_int_equal(nine->write_bytes, 2);
	assert_int_equal(nine->cancelled_write_bytes, 3);
	assert_int_equal(nine->start_time_us, 400000);
	assert_false(ten->has_read_bytes);
	assert_int_equal(ten->user_us, 1000000);
	assert_int_equal(ten->system_us, 40000);
	assert_int_equal(ten->cpu_us, 1040000);
	assert_int_equal(ten->io_delay_us, 60000);
	assert_int_equal(ten->resident_bytes, 5 * sysconf(_SC_PAGESIZE));
	assert_int_equal(ten->minor_faults, 7);
	assert_int_equal(ten->major_faults, 2);
	assert_int_equal(f->out.thread_count, 6);
	assert_int_equal(f->out.running, 2);

	/* io is read again when the process has run; the owner when the name changes. */
	tree_write(&f->tree, "proc/9/io", "read_bytes: 5\nwrite_bytes: 2\ncancelled_write_bytes: 3\n");
	write_owner(f, 9, 34);
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 9)->read_bytes, 1);
	write_process(f, 9, "a (b) c", 1, 40);
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 9)->read_bytes, 5);
	assert_string_equal(find(f, 9)->user, "33");
	write_process(f, 9, "d", 1, 40);
	assert_int_equal(collect(f), 0);
	assert_string_equal(find(f, 9)->user, "34");
	assert_int_equal(f->out.visible_cpu_us, 10000);

	/* Another process under the same number: nothing of the old one stays. */
	tree_remove(&f->tree, "proc/9/io");
	tree_remove(&f->tree, "proc/10");
	write_process(f, 9, "e", 0, 41);
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_processes, 1);
	assert_false(find(f, 9)->has_read_bytes);
	assert_string_equal(find(f, 9)->comm, "e");
}

/* More than are read in a tick: all are there after a few, and all get their turn. */
static void test_proc_turns(void **state)
{
	struct fixture *f = *state;
	const unsigned many = 4100;
	for (unsigned pid = 1; pid <= many; pid++)
		write_process(f, pid, "x", 0, pid);
	make(f, proc_sources);
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.process_count, 2000);
	assert_int_equal(f->out.left_out, 2100);
	assert_string_equal(f->state.reason, "slow_source");
	for (int i = 0; i < 2; i++)
		assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.process_count, many);
	assert_int_equal(f->out.left_out, 0);
	const unsigned step = 41; /* some of them work, from the first to the last */
	for (unsigned pid = step; pid <= many; pid += step)
		write_process(f, pid, "x", 1, pid);
	uint64_t before = f->out.visible_cpu_us;
	for (int i = 0; i < 3; i++)
		assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.visible_cpu_us - before, many / step * 10000);
	f->watched = true;
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->out.n_processes, 4000);
	assert_int_equal(f->out.left_out, 100);
}

/* Those at the top are read from statm; the others show what the table has, and say so. */
static void test_resident(void **state)
{
	struct fixture *f = *state;
	const long page = sysconf(_SC_PAGESIZE);
	make(f, led_sources);
	for (uint32_t pid = 1; pid <= 4; pid++) {
		struct process_row *row = add(pid, "x");
		row->has = PROCESS_HAS_RSS;
		row->resident_bytes = pid * 1000;
	}
	tree_write(&f->tree, "proc/4/statm", "100 50 3 4 5 6 7\n");
	tree_write(&f->tree, "proc/2/statm", "100 60 3 4 5 6 7\n");
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 4)->resident_bytes, 50 * page);
	assert_false(find(f, 4)->has_resident_estimated);
	assert_int_equal(find(f, 2)->resident_bytes, 2000); /* not at the top */
	assert_true(find(f, 2)->resident_estimated);
	assert_int_equal(find(f, 1)->resident_bytes, 1000); /* by threads, and has no statm */
	assert_true(find(f, 1)->resident_estimated);
	/* The file is kept open and read anew; another process has another file. */
	tree_write(&f->tree, "proc/4/statm", "100 51 3 4 5 6 7\n");
	led_rows[3].cpu_ns += 1000;
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 4)->resident_bytes, 51 * page);
	/* Of who has not run it is read in turns. */
	tree_write(&f->tree, "proc/4/statm", "100 53 3 4 5 6 7\n");
	unsigned old = 0;
	for (unsigned i = 0; i < RESIDENT_TURNS; i++) {
		assert_int_equal(collect(f), 0);
		old += find(f, 4)->resident_bytes == (uint64_t)(51 * page);
	}
	assert_int_equal(find(f, 4)->resident_bytes, 53 * page);
	assert_true(old > 0);
	tree_remove(&f->tree, "proc/4");
	tree_write(&f->tree, "proc/4/statm", "100 52 3 4 5 6 7\n");
	led_rows[3].cpu_ns += 1000;
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 4)->resident_bytes, 53 * page);
	led_rows[3].start_ns += 10000000;
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 4)->resident_bytes, 52 * page);
	/* Numbers of another namespace are others' here. */
	led_table.namespaced = true;
	f->watched = true;
	assert_int_equal(collect(f), 0);
	assert_int_equal(find(f, 4)->resident_bytes, 4000);
}

static void test_command_lines(void **state)
{
	struct fixture *f = *state;
	const char *line = NULL;
	f->settings.command_line = COMMAND_LINE_SCRUBBED;
	assert_int_equal(lane_new(&f->context.lane), 0);
	write_process(f, 9, "app", 0, 40);
	tree_write(&f->tree, "proc/9/cmdline", "app --token=x \xff");
	f->watched = true;
	make(f, proc_sources);
	for (int i = 0; i < 1000 && !line; i++) {
		assert_int_equal(collect(f), 0);
		line = find(f, 9)->command_line;
		poll(NULL, 0, 2);
	}
	assert_non_null(line);
	assert_string_equal(line, "app --token=*** ?");
	assert_int_equal(f->out.text_left_out, 0);
	f->settings.command_line = COMMAND_LINE_OFF;
	assert_int_equal(collect(f), 0);
	assert_null(find(f, 9)->command_line);
	assert_true(lane_free(f->context.lane));
}

static void test_no_proc(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(processes_create(&f->context, proc_sources, &f->self, &f->state), -ENOENT);
	assert_string_equal(f->state.reason, "no_proc");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_keyframes), TEST(test_reused_pid),	TEST(test_row),	       TEST(test_exited),
		TEST(test_sources),   TEST(test_proc),		TEST(test_proc_turns), TEST(test_no_proc),
		TEST(test_resident),  TEST(test_command_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
