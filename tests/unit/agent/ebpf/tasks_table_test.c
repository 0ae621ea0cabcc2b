#include "agent/ebpf/tasks_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define START 12345678901ull /* 12.34 s as it is shown */

static struct tasks_process leader(uint32_t pid)
{
	struct tasks_process process = {
		.leader = {.pid = pid,
			   .tgid = pid,
			   .state = 1,
			   .has = TASKS_HAS_IO | TASKS_HAS_RSS | TASKS_HAS_CGROUP | TASKS_HAS_DEAD,
			   .usage = {.cpu_ns = 100, .utime_ns = 30, .stime_ns = 10, .read_bytes = 4096}},
		.parent_pid = 1,
		.user_id = 1000,
		.threads = 1,
		.start_ns = START,
		.cgroup_id = 77,
		.resident_pages = 3,
		.comm = "name",
	};
	return process;
}

static struct tasks_thread thread(uint32_t pid, uint32_t tgid, uint32_t state, uint64_t cpu_ns)
{
	return (struct tasks_thread){.pid = pid, .tgid = tgid, .state = state, .usage = {.cpu_ns = cpu_ns}};
}

static void feed(struct tasks_table *table, const void *record, size_t size)
{
	assert_int_equal(tasks_table_feed(table, record, size), size);
}

static void finish(struct tasks_table *table, const struct tasks_table *before)
{
	static const struct tasks_table none;
	assert_int_equal(tasks_table_finish(table, before ? before : &none), 0);
}

static void a_single_process(void **state)
{
	struct tasks_table table = {0};
	struct tasks_process process = leader(42);
	process.dead = (struct tasks_usage){.cpu_ns = 1000, .utime_ns = 10, .stime_ns = 30, .read_bytes = 512};
	tasks_table_begin(&table);
	feed(&table, &process, sizeof(process));
	finish(&table, NULL);
	assert_int_equal(table.n, 1);
	const struct process_row *row = table.rows;
	assert_int_equal(row->pid, 42);
	assert_int_equal(row->parent_pid, 1);
	assert_int_equal(row->user_id, 1000);
	assert_int_equal(row->start_ns, 12340000000);
	assert_int_equal(row->cgroup_id, 77);
	assert_int_equal(row->cpu_ns, 1100);
	assert_int_equal(row->user_ns, 550);
	assert_int_equal(row->system_ns, 550);
	assert_int_equal(row->read_bytes, 4608);
	assert_int_equal(row->resident_bytes, 3 * sysconf(_SC_PAGESIZE));
	assert_int_equal(row->has, PROCESS_HAS_SWITCHES | PROCESS_HAS_IO | PROCESS_HAS_RSS | PROCESS_HAS_CGROUP);
	assert_int_equal(row->state, 'S');
	assert_string_equal(row->comm, "name");
	assert_int_equal(table.counts.processes, 1);
	assert_int_equal(table.counts.threads, 1);
	assert_int_equal(table.counts.sleeping, 1);
	tasks_table_free(&table);
}

/* Ids wrap around: a thread may come before its leader, and threads of several processes mixed. */
static void threads_find_their_process(void **state)
{
	struct tasks_table table = {0};
	struct tasks_process a = leader(500), b = leader(400);
	struct tasks_thread threads[] = {thread(7, 500, 1, 5), thread(8, 400, 2, 6), thread(501, 500, 0, 7)};
	tasks_table_begin(&table);
	feed(&table, &threads[0], sizeof(threads[0]));
	feed(&table, &threads[1], sizeof(threads[1]));
	feed(&table, &b, sizeof(b));
	feed(&table, &a, sizeof(a));
	feed(&table, &threads[2], sizeof(threads[2]));
	finish(&table, NULL);
	assert_int_equal(table.n, 2);
	assert_int_equal(table.rows[0].pid, 400);
	assert_int_equal(table.rows[0].cpu_ns, 106);
	assert_int_equal(table.rows[0].state, 'D');
	assert_int_equal(table.rows[1].pid, 500);
	assert_int_equal(table.rows[1].cpu_ns, 112);
	assert_int_equal(table.rows[1].state, 'R');
	assert_int_equal(table.counts.threads, 5);
	assert_int_equal(table.counts.processes, 2);
	assert_int_equal(tasks_table_find(&table, 400, 12340000000), 0);
	assert_int_equal(tasks_table_find(&table, 500, 12340000000), 1);
	assert_int_equal(tasks_table_find(&table, 500, 12350000000), -1);
	assert_int_equal(tasks_table_find(&table, 450, 12340000000), -1);
	assert_int_equal(tasks_table_find(&table, 501, 12340000000), -1);
	tasks_table_free(&table);
}

static void a_process_without_its_leader_is_no_row(void **state)
{
	struct tasks_table table = {0};
	struct tasks_process a = leader(2);
	struct tasks_thread lost = thread(9, 8, 0, 5);
	tasks_table_begin(&table);
	feed(&table, &lost, sizeof(lost));
	feed(&table, &a, sizeof(a));
	finish(&table, NULL);
	assert_int_equal(table.n, 1);
	assert_int_equal(table.rows[0].pid, 2);
	tasks_table_free(&table);
}

static void records_may_be_cut_anywhere(void **state)
{
	char data[sizeof(struct tasks_process) + sizeof(struct tasks_thread)];
	struct tasks_process process = leader(9);
	struct tasks_thread other = thread(10, 9, 1, 1);
	memcpy(data, &process, sizeof(process));
	memcpy(data + sizeof(process), &other, sizeof(other));
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		struct tasks_table table = {0};
		tasks_table_begin(&table);
		ssize_t used = tasks_table_feed(&table, data, cut);
		assert_true(used >= 0 && (size_t)used <= cut);
		assert_int_equal(used, cut == sizeof(data)	? sizeof(data)
				       : cut >= sizeof(process) ? sizeof(process)
								: 0);
		feed(&table, data + used, sizeof(data) - (size_t)used);
		finish(&table, NULL);
		assert_int_equal(table.n, 1);
		assert_int_equal(table.rows[0].cpu_ns, 101);
		tasks_table_free(&table);
	}
}

static void counters_do_not_go_back(void **state)
{
	struct tasks_table tables[3] = {0};
	struct tasks_process process = leader(3);
	process.leader.usage =
		(struct tasks_usage){.cpu_ns = 1000, .utime_ns = 100, .minor_faults = 9, .write_bytes = 8};
	process.leader.run_delay_ns = 500;
	tasks_table_begin(&tables[0]);
	feed(&tables[0], &process, sizeof(process));
	finish(&tables[0], NULL);
	assert_int_equal(tables[0].rows[0].user_ns, 1000);
	assert_int_equal(tables[0].rows[0].run_delay_ns, 500);

	/* A thread fell between two stools; then it is back among the dead, its delay is not. */
	process.leader.usage = (struct tasks_usage){.cpu_ns = 900, .utime_ns = 80, .minor_faults = 5, .write_bytes = 2};
	process.leader.run_delay_ns = 200;
	tasks_table_begin(&tables[1]);
	feed(&tables[1], &process, sizeof(process));
	finish(&tables[1], &tables[0]);
	assert_int_equal(tables[1].rows[0].cpu_ns, 1000);
	assert_int_equal(tables[1].rows[0].user_ns, 1000);
	assert_int_equal(tables[1].rows[0].minor_faults, 9);
	assert_int_equal(tables[1].rows[0].write_bytes, 8);
	assert_int_equal(tables[1].rows[0].run_delay_ns, 500);

	process.leader.usage = (struct tasks_usage){.cpu_ns = 2000, .utime_ns = 100, .stime_ns = 300};
	process.leader.run_delay_ns = 260;
	tasks_table_begin(&tables[2]);
	feed(&tables[2], &process, sizeof(process));
	finish(&tables[2], &tables[1]);
	assert_int_equal(tables[2].rows[0].cpu_ns, 2000);
	assert_int_equal(tables[2].rows[0].user_ns, 1000); /* 500 by the ratio, but 1000 were shown */
	assert_int_equal(tables[2].rows[0].system_ns, 1000);
	assert_int_equal(tables[2].rows[0].run_delay_ns, 560);

	/* Another process under the same id is another. */
	process.start_ns += 20000000;
	process.leader.usage = (struct tasks_usage){.cpu_ns = 5};
	tasks_table_begin(&tables[1]);
	feed(&tables[1], &process, sizeof(process));
	finish(&tables[1], &tables[2]);
	assert_int_equal(tables[1].rows[0].cpu_ns, 5);
	for (size_t i = 0; i < 3; i++)
		tasks_table_free(&tables[i]);
}

static void open_files_hold_until_their_turn(void **state)
{
	static const struct {
		uint32_t has, files;
		uint16_t shown_has;
		uint32_t shown;
	} readings[] = {{TASKS_FILES_LATER, 0, 0, 0},
			{TASKS_HAS_FILES, 7, PROCESS_HAS_FILES, 7},
			{TASKS_FILES_LATER, 0, PROCESS_HAS_FILES, 7},
			{TASKS_FILES_LATER, 0, PROCESS_HAS_FILES, 7},
			{TASKS_HAS_FILES, 3, PROCESS_HAS_FILES, 3},
			{0, 0, 0, 0}, /* too many to be counted */
			{TASKS_FILES_LATER, 0, 0, 0}};
	struct tasks_table tables[2] = {0};
	for (size_t i = 0; i < sizeof(readings) / sizeof(readings[0]); i++) {
		struct tasks_table *table = &tables[i % 2];
		struct tasks_process process = leader(4);
		process.leader.has = readings[i].has | TASKS_HAS_DEAD;
		process.open_files = readings[i].files;
		tasks_table_begin(table);
		feed(table, &process, sizeof(process));
		finish(table, &tables[!(i % 2)]);
		assert_int_equal(table->rows[0].has & PROCESS_HAS_FILES, readings[i].shown_has);
		assert_int_equal(table->rows[0].open_files, readings[i].shown);
	}
	tasks_table_free(&tables[0]);
	tasks_table_free(&tables[1]);
}

static struct tasks_same same(const struct tasks_process *process, uint32_t state)
{
	return (struct tasks_same){.pid = process->leader.pid,
				   .tgid = process->leader.pid,
				   .state = state,
				   .has = TASKS_SAME,
				   .start_ns = process->start_ns};
}

static void a_process_without_dead_threads_is_written_short(void **state)
{
	struct tasks_table table = {0};
	struct tasks_process a = leader(5), b = leader(6);
	char data[2 * sizeof(a)];
	a.leader.has &= ~(uint32_t)TASKS_HAS_DEAD;
	a.dead.cpu_ns = 12345; /* is not looked at */
	memcpy(data, &a, offsetof(struct tasks_process, dead));
	memcpy(data + offsetof(struct tasks_process, dead), &b, sizeof(b));
	tasks_table_begin(&table);
	feed(&table, data, offsetof(struct tasks_process, dead) + sizeof(b));
	finish(&table, NULL);
	assert_int_equal(table.n, 2);
	assert_int_equal(table.rows[0].cpu_ns, 100);
	assert_string_equal(table.rows[0].comm, "name");
	assert_int_equal(table.rows[1].pid, 6);
	tasks_table_free(&table);
}

/* Who has not run keeps all but the state; a thread that began after the visit is added, and seen in full next time. */
static void who_has_not_run_is_as_before(void **state)
{
	struct tasks_table tables[2] = {0};
	struct tasks_process process = leader(7);
	process.leader.has |= TASKS_HAS_FILES | TASKS_HAS_RUN_DELAY;
	process.leader.run_delay_ns = 50;
	process.open_files = 3;
	process.dead = (struct tasks_usage){.cpu_ns = 1000, .stime_ns = 40, .minor_faults = 2};
	tasks_table_begin(&tables[0]);
	feed(&tables[0], &process, sizeof(process));
	finish(&tables[0], NULL);
	const struct process_row first = tables[0].rows[0];

	struct tasks_same record = same(&process, 2);
	for (size_t i = 1; i < 4; i++) {
		struct tasks_table *table = &tables[i % 2];
		tasks_table_begin(table);
		feed(table, &record, sizeof(record));
		finish(table, &tables[!(i % 2)]);
		struct process_row expected = first;
		expected.state = 'D';
		assert_int_equal(table->n, 1);
		assert_memory_equal(&table->rows[0], &expected, sizeof(expected));
		assert_int_equal(table->counts.uninterruptible, 1);
		assert_int_equal(table->counts.threads, 1);
		assert_int_equal(table->counts.processes, 1);
	}

	struct tasks_thread born = thread(8, 7, 0, 30);
	born.run_delay_ns = 5;
	tasks_table_begin(&tables[0]);
	feed(&tables[0], &record, sizeof(record));
	feed(&tables[0], &born, sizeof(born));
	finish(&tables[0], &tables[1]);
	assert_int_equal(tables[0].rows[0].cpu_ns, 1130);
	assert_int_equal(tables[0].rows[0].run_delay_ns, 55);
	assert_int_equal(tables[0].rows[0].user_ns + tables[0].rows[0].system_ns, 1130);
	assert_int_equal(tables[0].rows[0].state, 'R');

	process.leader.run_delay_ns = 52;
	process.threads = 2;
	born.usage.cpu_ns = 40;
	born.run_delay_ns = 8;
	tasks_table_begin(&tables[1]);
	feed(&tables[1], &process, sizeof(process));
	feed(&tables[1], &born, sizeof(born));
	finish(&tables[1], &tables[0]);
	assert_int_equal(tables[1].rows[0].cpu_ns, 1140);
	assert_int_equal(tables[1].rows[0].run_delay_ns, 60);
	assert_int_equal(tables[1].rows[0].minor_faults, 2);
	tasks_table_free(&tables[0]);
	tasks_table_free(&tables[1]);
}

static void who_is_as_before_and_was_not_there_is_lost(void **state)
{
	struct tasks_table tables[2] = {0};
	struct tasks_process process = leader(7), other = leader(9);
	tasks_table_begin(&tables[0]);
	feed(&tables[0], &process, sizeof(process));
	feed(&tables[0], &other, sizeof(other));
	finish(&tables[0], NULL);
	process.start_ns += 20000000; /* the same id, another process */
	struct tasks_same records[] = {same(&process, 1), same(&other, 1)};
	tasks_table_begin(&tables[1]);
	feed(&tables[1], records, sizeof(records));
	finish(&tables[1], &tables[0]);
	assert_int_equal(tables[1].n, 1);
	assert_int_equal(tables[1].rows[0].pid, 9);
	assert_int_equal(tables[1].left_out, 1);
	assert_int_equal(tables[1].lost, 1);
	tasks_table_begin(&tables[0]);
	feed(&tables[0], &process, sizeof(process));
	finish(&tables[0], &tables[1]);
	assert_int_equal(tables[0].n, 1);
	assert_int_equal(tables[0].lost, 0);
	tasks_table_free(&tables[0]);
	tasks_table_free(&tables[1]);
}

/* What the iterator leaves out comes first, once, and is not added to should the iterator list it after all. */
static void a_process_apart_is_counted_once(void **state)
{
	struct tasks_table tables[2] = {0};
	for (size_t i = 0; i < 3; i++) {
		struct tasks_table *table = &tables[i % 2];
		struct tasks_process apart = leader(1), other = leader(7);
		apart.leader.has |= TASKS_NO_SWITCHES;
		apart.leader.usage.cpu_ns = 100 - i; /* goes back: must not be seen */
		apart.threads = 13;
		struct tasks_thread listed = thread(59, 1, 0, 1000);
		tasks_table_begin(table);
		assert_false(tasks_table_has(table, 1));
		assert_int_equal(tasks_table_feed_apart(table, &apart), 0);
		assert_true(tasks_table_has(table, 1));
		feed(table, &listed, sizeof(listed));
		feed(table, &other, sizeof(other));
		feed(table, &apart, sizeof(apart));
		finish(table, &tables[!(i % 2)]);
		assert_int_equal(table->n, 2);
		assert_int_equal(table->rows[0].pid, 1);
		assert_int_equal(table->rows[0].cpu_ns, 100);
		assert_int_equal(table->rows[0].state, 'S');
		assert_int_equal(table->rows[0].has & PROCESS_HAS_SWITCHES, 0);
		assert_int_equal(table->rows[1].has & PROCESS_HAS_SWITCHES, PROCESS_HAS_SWITCHES);
		assert_int_equal(table->counts.processes, 2);
		assert_int_equal(table->counts.threads, 14);
		assert_int_equal(table->counts.sleeping, 14);
	}
	/* Only for the one reading. */
	struct tasks_process process = leader(1);
	tasks_table_begin(&tables[1]);
	feed(&tables[1], &process, sizeof(process));
	finish(&tables[1], &tables[0]);
	assert_int_equal(tables[1].n, 1);
	assert_int_equal(tables[1].rows[0].has & PROCESS_HAS_SWITCHES, PROCESS_HAS_SWITCHES);
	tasks_table_free(&tables[0]);
	tasks_table_free(&tables[1]);
}

static void names_end_where_they_end(void **state)
{
	struct tasks_table table = {0};
	struct tasks_process longest = leader(1), shorter = leader(2);
	memcpy(longest.comm, "0123456789abcdef", 16);
	memcpy(shorter.comm, "sh\0a script.sh\0", 16);
	tasks_table_begin(&table);
	feed(&table, &longest, sizeof(longest));
	feed(&table, &shorter, sizeof(shorter));
	finish(&table, NULL);
	assert_string_equal(table.rows[0].comm, "0123456789abcde");
	assert_memory_equal(table.rows[1].comm, "sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	tasks_table_free(&table);
}

static void a_full_table_counts_the_rest(void **state)
{
	struct tasks_table table = {0};
	tasks_table_begin(&table);
	for (uint32_t pid = 1; pid <= PROCESS_TABLE_MAX + 3; pid++) {
		struct tasks_process process = leader(pid);
		feed(&table, &process, sizeof(process));
	}
	struct tasks_thread late = thread(90000, PROCESS_TABLE_MAX + 2, 1, 5);
	feed(&table, &late, sizeof(late));
	finish(&table, NULL);
	assert_int_equal(table.n, PROCESS_TABLE_MAX);
	assert_int_equal(table.left_out, 3);
	assert_int_equal(table.counts.processes, PROCESS_TABLE_MAX + 3);
	assert_int_equal(table.rows[PROCESS_TABLE_MAX - 1].pid, PROCESS_TABLE_MAX);
	/* And is as good as new afterwards. */
	struct tasks_process process = leader(1);
	tasks_table_begin(&table);
	feed(&table, &process, sizeof(process));
	finish(&table, NULL);
	assert_int_equal(table.n, 1);
	assert_int_equal(table.left_out, 0);
	tasks_table_free(&table);
}

static void states_have_the_letters_of_proc(void **state)
{
	static const struct {
		uint32_t state;
		char letter;
	} cases[] = {{0, 'R'},	    {1, 'S'},	  {2, 'D'},	{4, 'T'},     {8, 't'},	     {16, 'X'},
		     {32, 'Z'},	    {64, 'P'},	  {0x402, 'I'}, {0x200, 'R'}, {0x8000, 'D'}, {0x1000, 'D'},
		     {0x2001, 'S'}, {0x102, 'D'}, {0x104, 'T'}, {0xa0, 'Z'}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(tasks_state_letter(cases[i].state), cases[i].letter);
}

static void a_split_adds_up(void **state)
{
	uint64_t user = 0, system = 0;
	tasks_split(UINT64_MAX / 4, UINT64_MAX / 4, UINT64_MAX / 4, &user, &system);
	assert_int_equal(user + system, UINT64_MAX / 4);
	assert_in_range(user, system, system + 1);
	user = system = 0;
	tasks_split(1000, 0, 0, &user, &system); /* too short for the tick to have met it */
	assert_int_equal(user, 1000);
	assert_int_equal(system, 0);
	tasks_split(3000, 0, 50, &user, &system);
	assert_int_equal(user, 1000);
	assert_int_equal(system, 2000);
	tasks_split(2500, 50, 50, &user, &system);
	assert_int_equal(user + system, 3000); /* what was shown stays */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_single_process),
		cmocka_unit_test(threads_find_their_process),
		cmocka_unit_test(a_process_without_its_leader_is_no_row),
		cmocka_unit_test(records_may_be_cut_anywhere),
		cmocka_unit_test(counters_do_not_go_back),
		cmocka_unit_test(open_files_hold_until_their_turn),
		cmocka_unit_test(a_process_without_dead_threads_is_written_short),
		cmocka_unit_test(who_has_not_run_is_as_before),
		cmocka_unit_test(who_is_as_before_and_was_not_there_is_lost),
		cmocka_unit_test(a_process_apart_is_counted_once),
		cmocka_unit_test(names_end_where_they_end),
		cmocka_unit_test(a_full_table_counts_the_rest),
		cmocka_unit_test(states_have_the_letters_of_proc),
		cmocka_unit_test(a_split_adds_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
