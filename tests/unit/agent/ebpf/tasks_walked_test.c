/* A walk brings a table up to date in place; the other way to the same rows is a table made anew from records. */
#include "agent/ebpf/tasks_walked.h"

#include "agent/ebpf/tasks_exits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000ull
#define PIDS 60
#define ROUNDS 300

struct fixture {
	struct tasks_table table;
	struct tasks_walked walked;
	struct tasks_walk walk;
	struct tasks_exits exits;
	unsigned left;
	uint32_t left_pids[PIDS];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	static const struct tasks_table none;
	assert_non_null(f);
	assert_int_equal(tasks_exits_init(&f->exits, 0), 0);
	tasks_table_begin(&f->table);
	assert_int_equal(tasks_table_finish(&f->table, &none), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tasks_table_free(&f->table);
	tasks_exits_free(&f->exits);
	free(f);
	return 0;
}

static struct tasks_process process_of(uint32_t pid, uint64_t start_ns, uint64_t cpu_ns)
{
	return (struct tasks_process){
		.leader = {.pid = pid,
			   .tgid = pid,
			   .state = 1,
			   .has = TASKS_HAS_IO | TASKS_HAS_RSS | TASKS_HAS_FILES,
			   .usage = {.cpu_ns = cpu_ns, .utime_ns = cpu_ns / 2, .stime_ns = 3, .read_bytes = cpu_ns},
			   .run_delay_ns = cpu_ns / 7},
		.threads = 1,
		.open_files = pid % 9,
		.start_ns = start_ns,
		.resident_pages = pid % 11,
		.comm = "name",
	};
}

static void say(struct fixture *f, const struct tasks_process *process, bool full, uint8_t classes)
{
	struct tasks_key *key = &f->walk.keys[f->walk.n_keys++];
	*key = (struct tasks_key){.pid = process->leader.pid, .state = 'S', .full = full, .classes = classes};
	if (full)
		f->walk.records[f->walk.n_records++] = *process;
	f->walk.threads++;
	f->walk.states[TASKS_SLEEPING]++;
}

static void begin(struct fixture *f)
{
	f->walk.n_keys = f->walk.n_records = 0;
	f->walk.threads = 0;
	memset(f->walk.states, 0, sizeof(f->walk.states));
	f->left = 0;
}

static int leaves(void *arg, const struct tasks_table *table, size_t i)
{
	struct fixture *f = arg;
	f->left_pids[f->left++ % PIDS] = table->rows[i].pid;
	return tasks_exits_depart(&f->exits, table, i);
}

static int take(struct fixture *f, const struct tasks_process *apart)
{
	const struct tasks_departing departing = {leaves, f};
	return tasks_walked_take(&f->walked, &f->table, &f->walk, apart, &departing);
}

#define SLEEPS (1u << TASKS_SLEEPING)

static void who_did_nothing_stays_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct tasks_process a = process_of(10, 50 * MS, 700), b = process_of(20, 60 * MS, 900);
	begin(f);
	say(f, &a, true, SLEEPS);
	say(f, &b, true, SLEEPS);
	assert_int_equal(take(f, NULL), 0);
	assert_int_equal(f->table.n, 2);
	assert_int_equal(f->table.n_changes, 2);
	assert_int_equal(f->table.changes[1].delta.cpu_ns, 900);
	const struct process_row before = f->table.rows[0];
	begin(f);
	say(f, &a, false, SLEEPS | 1u << TASKS_UNINTERRUPTIBLE);
	b.leader.usage.cpu_ns += 40;
	say(f, &b, true, SLEEPS | 1u << TASKS_RUNNING);
	assert_int_equal(take(f, NULL), 0);
	struct process_row expected = before;
	expected.state = 'D';
	assert_memory_equal(&f->table.rows[0], &expected, sizeof(expected));
	assert_int_equal(f->table.n_changes, 1);
	assert_int_equal(f->table.changes[0].row, 1);
	assert_int_equal(f->table.changes[0].delta.cpu_ns, 40);
	assert_int_equal(f->table.rows[1].cpu_ns, 940);
	assert_int_equal(f->table.rows[1].user_ns + f->table.rows[1].system_ns, 940);
	assert_int_equal(f->table.rows[1].state, 'R');
	assert_int_equal(f->table.counts.processes, 2);
	assert_int_equal(f->table.counts.sleeping, 2);
	assert_int_equal(f->left, 0);
}

static void who_is_as_before_and_was_not_there_is_lost(void **state)
{
	struct fixture *f = *state;
	struct tasks_process a = process_of(10, 50 * MS, 700), b = process_of(20, 60 * MS, 900);
	begin(f);
	say(f, &a, true, SLEEPS);
	assert_int_equal(take(f, NULL), 0);
	begin(f);
	say(f, &a, false, SLEEPS);
	say(f, &b, false, SLEEPS);
	assert_int_equal(take(f, NULL), 0);
	assert_int_equal(f->table.n, 1);
	assert_int_equal(f->table.lost, 1);
	assert_int_equal(f->table.left_out, 1);
}

static void a_pid_given_away_anew_is_another_process(void **state)
{
	struct fixture *f = *state;
	struct tasks_process old = process_of(10, 50 * MS, 700), new = process_of(10, 90 * MS, 30);
	begin(f);
	say(f, &old, true, SLEEPS);
	assert_int_equal(take(f, NULL), 0);
	begin(f);
	say(f, &old, false, SLEEPS); /* while the walk went on */
	say(f, &new, true, SLEEPS);
	assert_int_equal(take(f, NULL), 0);
	assert_int_equal(f->table.n, 1);
	assert_int_equal(f->table.rows[0].start_ns, 90 * MS);
	assert_int_equal(f->table.rows[0].cpu_ns, 30);
	assert_int_equal(f->table.changes[0].delta.cpu_ns, 30);
	assert_int_equal(f->left, 1);
	assert_int_equal(f->exits.n_departed, 1);
	assert_int_equal(f->exits.departed[0].seen.cpu_ns, 700);
}

/* Its exit had come with the reading that still saw it. */
static void who_was_settled_does_not_depart(void **state)
{
	struct fixture *f = *state;
	static struct tasks_table none;
	struct tasks_process a = process_of(10, 50 * MS, 700);
	struct tasks_exit exit = {.pid = 10, .start_ns = 50 * MS, .total = {.cpu_ns = 750}, .comm = "name"};
	begin(f);
	say(f, &a, true, SLEEPS);
	assert_int_equal(take(f, NULL), 0);
	tasks_exits_settle(&f->exits, &exit, &f->table, &none);
	assert_int_equal(tasks_exits_finish(&f->exits, &f->table, &none), 0);
	begin(f);
	assert_int_equal(take(f, NULL), 0);
	assert_int_equal(f->table.n, 0);
	assert_int_equal(f->exits.n_departed, 0);
	assert_int_equal(f->exits.rows[0].cpu_ns, 50);
}

static void a_process_apart_is_counted_once(void **state)
{
	struct fixture *f = *state;
	struct tasks_process apart = process_of(1, 10 * MS, 100), other = process_of(7, 20 * MS, 5);
	apart.threads = 13;
	for (int i = 0; i < 3; i++) {
		begin(f);
		say(f, &other, i == 0, SLEEPS);
		say(f, &apart, true, SLEEPS);
		f->walk.threads--; /* a kernel that leaves it out */
		f->walk.states[TASKS_SLEEPING]--;
		apart.leader.usage.cpu_ns += 8;
		assert_int_equal(take(f, &apart), 0);
		assert_int_equal(f->table.n, 2);
		assert_int_equal(f->table.rows[0].pid, 1);
		assert_int_equal(f->table.rows[0].cpu_ns, 108 + 8 * i);
		assert_int_equal(f->table.counts.processes, 2);
		assert_int_equal(f->table.counts.threads, 14);
		assert_int_equal(f->table.counts.sleeping, 14);
	}
}

static void a_walk_that_contradicts_itself_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tasks_process a = process_of(10, 50 * MS, 700);
	begin(f);
	say(f, &a, true, SLEEPS);
	f->walk.n_records = 2;
	assert_int_equal(take(f, NULL), -EPROTO);
	f->walk.n_records = TASKS_WALK_RECORDS + 1;
	assert_int_equal(take(f, NULL), -EPROTO);
	f->walk.n_records = 1;
	f->walk.n_keys = TASKS_WALK_KEYS + 1;
	assert_int_equal(take(f, NULL), -EPROTO);
}

static void states_are_those_of_the_iterator(void **state)
{
	static struct tasks_state_meaning meanings[TASKS_STATE_BITS];
	static const struct {
		uint32_t state;
		enum tasks_state_class class;
	} cases[] = {{0, TASKS_RUNNING},
		     {1, TASKS_SLEEPING},
		     {2, TASKS_UNINTERRUPTIBLE},
		     {4, TASKS_STOPPED},
		     {8, TASKS_STOPPED},
		     {16, TASKS_ZOMBIE},
		     {32, TASKS_ZOMBIE},
		     {64, TASKS_IDLE},
		     {0x402, TASKS_IDLE},
		     {0x200, TASKS_RUNNING},
		     {0x8000, TASKS_UNINTERRUPTIBLE},
		     {0x1000, TASKS_UNINTERRUPTIBLE},
		     {0x2001, TASKS_SLEEPING},
		     {0x102, TASKS_UNINTERRUPTIBLE},
		     {0x104, TASKS_STOPPED},
		     {0xa0, TASKS_ZOMBIE}};
	tasks_walked_meanings(meanings);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tasks_state_meaning *meaning = &meanings[TASKS_STATE_PLACE(cases[i].state)];
		assert_int_equal(meaning->letter, tasks_state_letter(cases[i].state));
		assert_int_equal(meaning->class, cases[i].class);
	}
}

/* What there is, and what a walk and a pass say of it. */
struct world {
	struct tasks_process processes[PIDS]; /* by pid - 1; start_ns 0: none */
	uint64_t noted[PIDS];		      /* CPU time at the last reading, by the program */
	uint32_t born[PIDS];		      /* pids in the order of birth */
	size_t n;
};

static void change_world(struct world *world, uint64_t now)
{
	for (long i = random() % 6; i > 0; i--) {
		size_t at = (size_t)random() % PIDS;
		struct tasks_process *process = &world->processes[at];
		if (process->start_ns == 0) {
			*process = process_of((uint32_t)at + 1, now * 20 * MS, (uint64_t)(random() % 3));
			world->noted[at] = UINT64_MAX;
			world->born[world->n++] = (uint32_t)at + 1;
		} else if (random() % 3 == 0) {
			size_t k = 0;
			process->start_ns = 0;
			for (size_t j = 0; j < world->n; j++) {
				if (world->born[j] != at + 1)
					world->born[k++] = world->born[j];
			}
			world->n = k;
		} else {
			*process = process_of((uint32_t)at + 1, process->start_ns,
					      process->leader.usage.cpu_ns + (uint64_t)random() % 1000);
		}
	}
}

static void walk_world(struct fixture *f, struct world *world)
{
	begin(f);
	for (size_t i = 0; i < world->n; i++) {
		size_t at = world->born[i] - 1;
		const struct tasks_process *process = &world->processes[at];
		say(f, process, world->noted[at] != process->leader.usage.cpu_ns || random() % 5 == 0, SLEEPS);
		world->noted[at] = process->leader.usage.cpu_ns;
	}
}

static void pass_world(const struct world *world, struct tasks_table *table, const struct tasks_table *before)
{
	tasks_table_begin(table);
	for (size_t i = 0; i < PIDS; i++) {
		const struct tasks_process *process = &world->processes[i];
		size_t size = offsetof(struct tasks_process, dead);
		if (process->start_ns > 0)
			assert_int_equal(tasks_table_feed(table, process, size), size);
	}
	assert_int_equal(tasks_table_finish(table, before), 0);
}

static void assert_alike(const struct tasks_table *a, const struct tasks_table *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_memory_equal(&a->rows[i], &b->rows[i], sizeof(a->rows[i]));
		assert_memory_equal(&a->ranks[i], &b->ranks[i], sizeof(a->ranks[i]));
		assert_int_equal(a->ids[i].pid, b->ids[i].pid);
		assert_int_equal(a->ids[i].state, b->ids[i].state);
		assert_false(a->ids[i].gone);
	}
	assert_int_equal(a->n_changes, b->n_changes);
	for (size_t i = 0; i < a->n_changes; i++) {
		assert_int_equal(a->changes[i].row, b->changes[i].row);
		assert_memory_equal(&a->changes[i].delta, &b->changes[i].delta, sizeof(a->changes[i].delta));
	}
}

static void both_ways_lead_to_the_same_rows(void **state)
{
	struct fixture *f = *state;
	static struct world world;
	struct tasks_table tables[2] = {{0}};
	srandom(11);
	for (unsigned i = 0; i < PIDS / 2; i++)
		change_world(&world, 1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t known = tables[round % 2].n;
		change_world(&world, round + 2);
		walk_world(f, &world);
		assert_int_equal(take(f, NULL), 0);
		pass_world(&world, &tables[!(round % 2)], &tables[round % 2]);
		if (known > 0) /* the first of the two has nothing to tell changes from */
			assert_alike(&f->table, &tables[!(round % 2)]);
		tasks_exits_order(&f->exits);
		for (size_t i = 1; i < f->exits.n_departed; i++)
			assert_true(f->exits.departed[i - 1].pid <= f->exits.departed[i].pid);
	}
	assert_true(f->exits.n_departed > PIDS);
	tasks_table_free(&tables[0]);
	tasks_table_free(&tables[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_did_nothing_stays_as_it_was),		TEST(who_is_as_before_and_was_not_there_is_lost),
		TEST(a_pid_given_away_anew_is_another_process), TEST(who_was_settled_does_not_depart),
		TEST(a_process_apart_is_counted_once),		TEST(a_walk_that_contradicts_itself_is_refused),
		TEST(states_are_those_of_the_iterator),		TEST(both_ways_lead_to_the_same_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
