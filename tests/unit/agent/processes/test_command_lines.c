/* The cache over a made-up /proc and a real lane. */
#include "agent/processes/command_lines.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define TICK_NS 10000000ull /* of start times, at 100 Hz */

struct fixture {
	struct tree tree;
	struct lane *lane;
	struct command_lines *lines;
	uint64_t now_us;
	enum command_line how;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.now_us = 1000000000, .how = COMMAND_LINE_SCRUBBED};
	tree_make(&f.tree);
	assert_int_equal(lane_new(&f.lane), 0);
	assert_int_equal(command_lines_new(&f.tree.root, f.lane, &f.lines), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	assert_true(lane_free(f->lane));
	command_lines_free(f->lines);
	command_lines_free(NULL);
	tree_destroy(&f->tree);
	return 0;
}

static void write_process(const struct fixture *f, unsigned pid, unsigned start, const char *line)
{
	char path[64], text[256];
	snprintf(path, sizeof(path), "proc/%u/stat", pid);
	snprintf(
		text, sizeof(text),
		"%u (x) S 1 1 1 0 -1 0 7 0 2 0 1 4 0 0 20 0 3 0 %u 4096 5 1 1 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 6 0 0\n",
		pid, start);
	tree_write(&f->tree, path, text);
	snprintf(path, sizeof(path), "proc/%u/cmdline", pid);
	tree_write(&f->tree, path, line);
}

static void begin(struct fixture *f)
{
	command_lines_begin(f->lines, f->how, f->now_us += 1000000);
}

/* Gives the lane what was noted and waits until all of it is done. */
static void settle(struct fixture *f)
{
	uint64_t before = lane_stats(f->lane).runs;
	command_lines_ask(f->lines);
	for (int ms = 0; ms < 5000 && lane_stats(f->lane).runs == before; ms++)
		poll(NULL, 0, 1);
	for (int ms = 0; ms < 5000 && lane_stats(f->lane).waiting > 0; ms++)
		poll(NULL, 0, 1);
	poll(NULL, 0, 5);
	begin(f);
}

static const char *get(struct fixture *f, unsigned pid, unsigned start, const char *comm)
{
	return command_lines_get(f->lines, pid, start * TICK_NS, comm);
}

static void test_read(void **state)
{
	struct fixture *f = *state;
	write_process(f, 5, 50, "app --token=x");
	write_process(f, 6, 60, "");
	begin(f);
	assert_null(get(f, 5, 50, "app"));
	assert_null(get(f, 6, 60, "kthread"));
	settle(f);
	assert_string_equal(get(f, 5, 50, "app"), "app --token=***");
	assert_null(get(f, 6, 60, "kthread"));
	/* Known now, both: nothing more goes to the lane. */
	uint64_t runs = lane_stats(f->lane).runs;
	command_lines_ask(f->lines);
	poll(NULL, 0, 20);
	assert_int_equal(lane_stats(f->lane).runs, runs);
}

static void test_other_process(void **state)
{
	struct fixture *f = *state;
	write_process(f, 5, 50, "old");
	begin(f);
	get(f, 5, 50, "old");
	settle(f);
	assert_string_equal(get(f, 5, 50, "old"), "old");
	/* The pid was given to another: nothing of the old one is shown. */
	write_process(f, 5, 51, "new");
	assert_null(get(f, 5, 51, "old"));
	settle(f);
	assert_string_equal(get(f, 5, 51, "old"), "new");
	/* It becomes another program. */
	write_process(f, 5, 51, "newer");
	assert_null(get(f, 5, 51, "newer"));
	settle(f);
	assert_string_equal(get(f, 5, 51, "newer"), "newer");
	/* It is another process by the time it is read: nobody's command line is shown as its own. */
	write_process(f, 7, 71, "someone else");
	assert_null(get(f, 7, 70, "x"));
	settle(f);
	assert_null(get(f, 7, 70, "x"));
}

static void test_becomes_another_while_read(void **state)
{
	struct fixture *f = *state;
	write_process(f, 5, 50, "first");
	begin(f);
	get(f, 5, 50, "a");
	command_lines_ask(f->lines);
	poll(NULL, 0, 50);
	assert_null(get(f, 5, 50, "b")); /* before the answer was taken in */
	begin(f);
	assert_null(get(f, 5, 50, "b"));
	settle(f);
	assert_string_equal(get(f, 5, 50, "b"), "first");
}

static void test_how(void **state)
{
	struct fixture *f = *state;
	write_process(f, 5, 50, "app --token=x");
	f->how = COMMAND_LINE_FULL;
	begin(f);
	get(f, 5, 50, "app");
	settle(f);
	assert_string_equal(get(f, 5, 50, "app"), "app --token=x");
	f->how = COMMAND_LINE_SCRUBBED;
	begin(f);
	assert_null(get(f, 5, 50, "app"));
	settle(f);
	assert_string_equal(get(f, 5, 50, "app"), "app --token=***");
	f->how = COMMAND_LINE_OFF;
	begin(f);
	assert_null(get(f, 5, 50, "app"));
	command_lines_ask(f->lines);
}

static void test_old(void **state)
{
	struct fixture *f = *state;
	write_process(f, 5, 50, "before");
	begin(f);
	get(f, 5, 50, "app");
	settle(f);
	write_process(f, 5, 50, "after");
	f->now_us += COMMAND_LINES_OLD_US;
	begin(f);
	assert_string_equal(get(f, 5, 50, "app"), "before"); /* until the new one is there */
	settle(f);
	assert_string_equal(get(f, 5, 50, "app"), "after");
}

/* More than are kept at once, and more than go to the lane at once. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	const unsigned many = COMMAND_LINES_MAX + 500;
	unsigned known = 0;
	write_process(f, 1, 1, "one");
	begin(f);
	for (unsigned pid = 1; pid <= many; pid++)
		assert_null(get(f, pid, pid, "x"));
	settle(f);
	assert_string_equal(get(f, 1, 1, "x"), "one");
	for (int round = 0; round < 3; round++) {
		for (unsigned pid = 2; pid <= many; pid++)
			known += get(f, pid, pid, "x") != NULL;
		settle(f);
	}
	assert_int_equal(known, 0);
	/* The old ones make room for one that is new. */
	f->now_us += 1000000;
	write_process(f, many + 1, 7, "new");
	begin(f);
	assert_null(get(f, many + 1, 7, "x"));
	settle(f);
	assert_string_equal(get(f, many + 1, 7, "x"), "new");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read), TEST(test_other_process), TEST(test_becomes_another_while_read),
		TEST(test_how),	 TEST(test_old),	   TEST(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
