#include "agent/ebpf/tasks_exits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000ull
#define BEGAN (1000 * MS)

struct fixture {
	struct tasks_table tables[2];
	unsigned current;
	struct tasks_exits exits;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	assert_int_equal(tasks_exits_init(&f->exits, BEGAN), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tasks_exits_free(&f->exits);
	tasks_table_free(&f->tables[0]);
	tasks_table_free(&f->tables[1]);
	free(f);
	return 0;
}

struct seen {
	uint32_t pid;
	uint64_t start_ns, cpu_ns;
};

/* One reading with these processes, and the exits that came in with it. */
static void reading(struct fixture *f, const struct seen *seen, size_t n, const struct tasks_exit *exits,
		    size_t n_exits)
{
	struct tasks_table *before = &f->tables[f->current], *now = &f->tables[!f->current];
	f->current = !f->current;
	tasks_table_begin(now);
	for (size_t i = 0; i < n; i++) {
		struct tasks_process process = {
			.leader = {.pid = seen[i].pid,
				   .tgid = seen[i].pid,
				   .has = TASKS_HAS_DEAD,
				   .usage = {.cpu_ns = seen[i].cpu_ns}},
			.start_ns = seen[i].start_ns,
		};
		assert_int_equal(tasks_table_feed(now, &process, sizeof(process)), sizeof(process));
	}
	assert_int_equal(tasks_table_finish(now, before), 0);
	for (size_t i = 0; i < n_exits; i++)
		tasks_exits_settle(&f->exits, &exits[i], now, before);
	assert_int_equal(tasks_exits_finish(&f->exits, now, before), 0);
}

static struct tasks_exit exit_of(uint32_t pid, uint64_t start_ns, uint64_t cpu_ns)
{
	return (struct tasks_exit){
		.pid = pid, .start_ns = start_ns, .cgroup_id = 5, .total = {.cpu_ns = cpu_ns}, .comm = "sh"};
}

static void what_was_seen_is_not_counted_again(void **state)
{
	struct fixture *f = *state;
	struct seen seen[] = {{10, BEGAN + 15 * MS, 300}, {11, BEGAN + 20 * MS, 50}};
	struct tasks_exit exit = exit_of(10, BEGAN + 15 * MS, 1000);
	reading(f, seen, 2, NULL, 0);
	reading(f, &seen[1], 1, &exit, 1);
	assert_int_equal(f->exits.n, 1);
	assert_int_equal(f->exits.rows[0].cpu_ns, 700);
	assert_int_equal(f->exits.rows[0].exits, 1);
	assert_int_equal(f->exits.rows[0].user_ns + f->exits.rows[0].system_ns, 700);
	assert_int_equal(f->exits.rows[0].cgroup_id, 5);
	assert_string_equal(f->exits.rows[0].comm, "sh");
	assert_int_equal(f->exits.n_departed, 0);
}

/* Freed while the table was read, after it had been visited. */
static void an_exit_may_come_with_the_row_itself(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {10, BEGAN + 15 * MS, 300};
	struct tasks_exit exit = exit_of(10, BEGAN + 15 * MS, 310);
	reading(f, &seen, 1, &exit, 1);
	assert_int_equal(f->exits.rows[0].cpu_ns, 10);
	reading(f, NULL, 0, NULL, 0);
	assert_int_equal(f->exits.n_departed, 0);
}

static void an_exit_may_come_late(void **state)
{
	struct fixture *f = *state;
	struct seen seen[] = {{10, BEGAN, 300}, {12, BEGAN, 5}, {14, BEGAN, 7}};
	struct tasks_exit late[] = {exit_of(12, BEGAN, 9), exit_of(10, BEGAN + 3 * MS, 350)};
	reading(f, seen, 3, NULL, 0);
	reading(f, NULL, 0, NULL, 0);
	assert_int_equal(f->exits.n_departed, 3);
	reading(f, NULL, 0, NULL, 0);
	reading(f, NULL, 0, late, 2);
	assert_int_equal(f->exits.rows[0].cpu_ns, 54);
	assert_int_equal(f->exits.n_departed, 1);
	/* Whose exit never comes is said to be missing, once. */
	for (int i = 0; i < 2 * TASKS_DEPARTED_READINGS; i++)
		reading(f, NULL, 0, NULL, 0);
	assert_int_equal(f->exits.n_departed, 0);
	assert_int_equal(f->exits.left_out, 1);
}

static void a_pid_used_again_is_another_process(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {10, BEGAN, 300};
	struct tasks_exit exits[] = {exit_of(10, BEGAN + 50 * MS, 20), exit_of(10, BEGAN, 301)};
	reading(f, &seen, 1, NULL, 0);
	reading(f, NULL, 0, exits, 2);
	assert_int_equal(f->exits.rows[0].cpu_ns, 21);
	assert_int_equal(f->exits.rows[0].exits, 2);
}

static void what_was_before_the_beginning_is_nobodys(void **state)
{
	struct fixture *f = *state;
	struct tasks_exit exits[] = {exit_of(10, BEGAN - 50 * MS, 20), exit_of(11, BEGAN + 1, 30)};
	reading(f, NULL, 0, exits, 2);
	assert_int_equal(f->exits.n, 1);
	assert_int_equal(f->exits.rows[0].cpu_ns, 30);
	assert_int_equal(f->exits.rows[0].exits, 1);
}

static struct tasks_exited_key key_of(unsigned number, uint64_t cgroup_id)
{
	struct tasks_exited_key key = {.cgroup_id = cgroup_id};
	(void)snprintf(key.comm, sizeof(key.comm), "c%u", number);
	return key;
}

static void folded_rows_are_cumulative_and_join_single_exits(void **state)
{
	struct fixture *f = *state;
	struct tasks_exited value = {.exits = 3, .cpu_ns = 90, .utime_ns = 10, .stime_ns = 20, .read_bytes = 7};
	struct tasks_exited_key key = {.comm = "sh", .cgroup_id = 5}, other = {.comm = "sh", .cgroup_id = 6};
	struct tasks_exit exit = exit_of(10, BEGAN, 10);
	tasks_exits_fold(&f->exits, &key, &value);
	tasks_exits_fold(&f->exits, &other, &value);
	reading(f, NULL, 0, &exit, 1);
	assert_int_equal(f->exits.n, 2);
	assert_int_equal(f->exits.rows[0].cpu_ns, 100);
	assert_int_equal(f->exits.rows[0].exits, 4);
	assert_int_equal(f->exits.rows[0].system_ns, 66);
	assert_int_equal(f->exits.rows[1].cpu_ns, 90);
	tasks_exits_fold(&f->exits, &key, &value);
	reading(f, NULL, 0, NULL, 0);
	assert_int_equal(f->exits.rows[0].cpu_ns, 100);
	value.exits++;
	value.cpu_ns += 5;
	tasks_exits_fold(&f->exits, &key, &value);
	reading(f, NULL, 0, NULL, 0);
	assert_int_equal(f->exits.rows[0].cpu_ns, 105);
	assert_int_equal(f->exits.rows[0].exits, 5);
	assert_int_equal(f->exits.rows[0].read_bytes, 7);
}

static void forget(void *arg, const struct tasks_exited_key *key)
{
	assert_int_equal(key->cgroup_id, 1);
	++*(unsigned *)arg;
}

static void idle_rows_make_room(void **state)
{
	struct fixture *f = *state;
	struct tasks_exited value = {.exits = 1, .cpu_ns = 10};
	unsigned forgotten = 0;
	for (unsigned i = 0; i < TASKS_EXITED_ROWS; i++) {
		struct tasks_exited_key key = key_of(i, 1);
		tasks_exits_fold(&f->exits, &key, &value);
	}
	struct tasks_exit exit = exit_of(10, BEGAN, 10);
	reading(f, NULL, 0, &exit, 1);
	assert_int_equal(f->exits.n, TASKS_EXITED_ROWS);
	assert_int_equal(f->exits.left_out, 1); /* no room for another */
	tasks_exits_evict(&f->exits, forget, &forgotten);
	assert_int_equal(forgotten, 0);
	for (int i = 0; i < TASKS_EXITED_IDLE_READINGS; i++)
		reading(f, NULL, 0, NULL, 0);
	struct tasks_exited_key busy = key_of(7, 1);
	value.exits++;
	value.cpu_ns++;
	tasks_exits_fold(&f->exits, &busy, &value);
	reading(f, NULL, 0, NULL, 0);
	tasks_exits_evict(&f->exits, forget, &forgotten);
	assert_int_equal(forgotten, TASKS_EXITED_ROWS - 1);
	assert_int_equal(f->exits.n, 1);
	assert_int_equal(f->exits.rows[0].cpu_ns, 11);
	tasks_exits_fold(&f->exits, &busy, &value); /* still found under its name */
	assert_int_equal(f->exits.n, 1);
	exit.pid = 11;
	reading(f, NULL, 0, &exit, 1);
	assert_int_equal(f->exits.n, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_seen_is_not_counted_again),
		TEST(an_exit_may_come_with_the_row_itself),
		TEST(an_exit_may_come_late),
		TEST(a_pid_used_again_is_another_process),
		TEST(what_was_before_the_beginning_is_nobodys),
		TEST(folded_rows_are_cumulative_and_join_single_exits),
		TEST(idle_rows_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
