/* The sources of events one by one, and the collector on the kernel that runs: with a process that is killed for lack
 * of memory in a control group of its own, where this machine lets the test make one. */
#include "agent/events/events.h"
#include "agent/events/kmsg.h"
#include "agent/events/oom_watch.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define K(name) SONDE__V1__EVENT_KIND__EVENT_KIND_##name

/* --- the log --- */

static void add(struct event_log *log, Sonde__V1__EventKind kind, const char *subject)
{
	struct event event = {.kind = kind, .occurrences = 1, .severity = 2};
	snprintf(event.subject, sizeof(event.subject), "%s", subject);
	event_log_add(log, &event);
}

static void test_log(void **state)
{
	static struct event_log log;
	char subject[16];
	add(&log, K(IO_ERROR), "sda");
	add(&log, K(IO_ERROR), "sda");
	add(&log, K(IO_ERROR), "sdb");
	add(&log, K(OOM_KILL), "sda");
	assert_int_equal(log.n, 3);
	assert_int_equal(log.events[0].occurrences, 2);
	assert_int_equal(log.counts[K(IO_ERROR)], 3);
	event_log_begin(&log);
	for (int i = 0; i < EVENT_LOG_MAX + 5; i++) {
		snprintf(subject, sizeof(subject), "sd%d", i);
		add(&log, K(IO_ERROR), subject);
	}
	assert_int_equal(log.n, EVENT_LOG_MAX);
	assert_int_equal(log.left_out, 5);
	assert_int_equal(log.counts[K(IO_ERROR)], 3 + EVENT_LOG_MAX + 5);
}

/* --- clocks --- */

static void tick_clock(struct clock_watch *watch, struct event_log *log, uint64_t boottime, uint64_t monotonic,
		       int64_t wall)
{
	struct clock_reading reading = {boottime, monotonic, wall};
	event_log_begin(log);
	clock_watch_take(watch, &reading, log);
}

static void test_clocks(void **state)
{
	static struct event_log log;
	struct clock_watch watch = {.begun = false};
	const int64_t wall = 1700000000000000;
	tick_clock(&watch, &log, 5000000, 5000000, wall);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.events[0].kind, K(BOOT));
	assert_int_equal(log.events[0].boottime_us, 0);
	assert_int_equal(log.events[0].wall_us, wall - 5000000);
	tick_clock(&watch, &log, 6000000, 6000000, wall + 1000000 + 99999);
	assert_int_equal(log.n, 0);
	tick_clock(&watch, &log, 7000000, 7000000, wall + 2000000 - 3000000);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.events[0].kind, K(CLOCK_STEP));
	assert_int_equal(log.events[0].amount_us, -3099999);
	assert_string_equal(log.events[0].message, "the clock was set back by 3.100 s");
	tick_clock(&watch, &log, 68000000, 8000000, wall + 60000000);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.events[0].kind, K(SUSPEND));
	assert_int_equal(log.events[0].amount_us, 60000000);
	struct clock_watch late = {.begun = false};
	tick_clock(&late, &log, CLOCK_WATCH_BOOT_US, CLOCK_WATCH_BOOT_US, wall);
	assert_int_equal(log.n, 0);
	struct clock_reading now;
	assert_true(clock_reading_take(&now));
	assert_true(now.boottime_us >= now.monotonic_us && now.wall_us > wall);
}

/* --- the counter of OOM kills --- */

static void test_oom_parse(void **state)
{
	uint64_t n = 7;
	assert_int_equal(oom_kills_parse("a 1\noom_kill 18446744073709551615\nb 2\n", 39, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(oom_kills_parse("oom_kills 1\n", 12, &n), -ENOENT);
	assert_int_equal(oom_kills_parse("", 0, &n), -ENOENT);
	assert_int_equal(oom_kills_parse("oom_kill\n", 9, &n), -EPROTO);
	assert_int_equal(oom_kills_parse("oom_kill -1\n", 12, &n), -EPROTO);
	assert_int_equal(oom_kills_parse("a 1\noom_ki", 10, &n), -EPROTO);
}

static void test_oom_counter(void **state)
{
	static struct event_log log;
	const struct clock_reading now = {9000000, 9000000, 9000000};
	struct oom_watch watch = {.begun = false};
	oom_watch_take(&watch, 3, false, &now, &log);
	assert_int_equal(log.n, 0);
	oom_watch_take(&watch, 5, false, &now, &log);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.events[0].occurrences, 2);
	assert_int_equal(log.counts[K(OOM_KILL)], 2);

	/* With messages: one that has come explains the counter, one that has not is told at the second reading. */
	event_log_begin(&log);
	oom_watch_take(&watch, 6, true, &now, &log);
	assert_int_equal(log.n, 0);
	add(&log, K(OOM_KILL), "stress");
	event_log_begin(&log);
	oom_watch_take(&watch, 6, true, &now, &log);
	assert_int_equal(log.n, 0);
	oom_watch_take(&watch, 8, true, &now, &log);
	assert_int_equal(log.n, 0);
	add(&log, K(OOM_KILL), "stress");
	event_log_begin(&log);
	oom_watch_take(&watch, 8, true, &now, &log);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.events[0].occurrences, 1);
	assert_int_equal(log.counts[K(OOM_KILL)], 5);
	event_log_begin(&log);
	oom_watch_take(&watch, 8, true, &now, &log);
	assert_int_equal(log.n, 0);
}

/* --- messages --- */

static void test_messages(void **state)
{
	static const char *const records[] = {
		"3,10,1500000,-;I/O error, dev sda, sector 1 op 0x0:(READ)\n SUBSYSTEM=block\n",
		"3,11,1500001,-;I/O error, dev sda, sector 2 op 0x0:(READ)\n",
		"27,12,1500002,-;I/O error, dev sdz, sector 3: by somebody in user space\n",
		"what is not a record",
		"6,15,1600000,-;Link is Up\n",
		"2,16,100,-;EXT4-fs (a\\xff\\x0ab): Remounting filesystem read-only\n",
	};
	static struct event_log log;
	struct kmsg kmsg;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
		assert_true(send(fds[1], records[i], strlen(records[i]), 0) > 0);
	kmsg_init(&kmsg, fds[0]);
	/* Slept for 10 s since boot: the log's clock did not count them. */
	const struct clock_reading now = {12000000, 2000000, 1700000000000000};
	assert_int_equal(kmsg_take(&kmsg, 11000000, &now, &log), 0);
	assert_int_equal(kmsg.records, 5);
	assert_int_equal(kmsg.lost, 2);
	assert_int_equal(log.n, 2);
	const struct event *first = &log.events[0];
	assert_int_equal(first->kind, K(IO_ERROR));
	assert_int_equal(first->occurrences, 2);
	assert_string_equal(first->subject, "sda");
	assert_string_equal(first->message, "I/O error, dev sda, sector 1 op 0x0:(READ)");
	assert_int_equal(first->boottime_us, 11500000);
	assert_int_equal(first->wall_us, 1699999999500000);
	assert_string_equal(log.events[1].subject, "a??b");
	assert_int_equal(log.events[1].boottime_us, 11000000);
	close(fds[1]);
	kmsg_close(&kmsg);
	kmsg_close(&kmsg);
	assert_int_equal(kmsg_take(&kmsg, 11000000, &now, &log), -EBADF);
}

/* --- the collector --- */

struct fixture {
	struct root root;
	struct arena *arena;
	void *self;
	struct collector_state state;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(1 << 20)};
	*state = &f;
	return root_open(&f.root, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	collector_events.destroy(f->self);
	root_close(&f->root);
	arena_free(f->arena);
	return 0;
}

static int collect(struct fixture *f, const struct root *root, Sonde__V1__Events *out)
{
	struct collector_context context = {.root = root, .live = true};
	if (!f->self)
		assert_int_equal(collector_events.create(&context, &f->self, &f->state), 0);
	sonde__v1__events__init(out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	struct tick tick = {.arena = f->arena, .boottime_us = 1, .state = &f->state};
	return collector_events.collect(f->self, &tick, &out->base);
}

static const Sonde__V1__EventCount *count_of(const Sonde__V1__Events *out, Sonde__V1__EventKind kind)
{
	for (size_t i = 0; i < out->n_counts; i++) {
		if (out->counts[i]->kind == kind)
			return out->counts[i];
	}
	return NULL;
}

static void test_recorded_host(void **state)
{
	struct fixture *f = *state;
	struct collector_context context = {.root = &f->root, .live = false};
	assert_true(collector_events.create(&context, &f->self, &f->state) < 0);
	assert_string_equal(f->state.reason, "recorded_host");
}

static void test_without_messages(void **state)
{
	struct fixture *f = *state;
	struct tree tree;
	Sonde__V1__Events out;
	tree_make(&tree);
	tree_write(&tree, "proc/vmstat", "oom_kill 1\n");
	assert_int_equal(collect(f, &tree.root, &out), 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "no_kmsg");
	assert_null(count_of(&out, K(IO_ERROR)));
	assert_int_equal(count_of(&out, K(OOM_KILL))->occurrences, 0);
	assert_non_null(count_of(&out, K(CLOCK_STEP)));
	assert_false(out.has_kernel_messages);
	tree_write(&tree, "proc/vmstat", "oom_kill 3\n");
	assert_int_equal(collect(f, &tree.root, &out), 0);
	assert_int_equal(out.n_events, 1);
	assert_int_equal(out.events[0]->kind, K(OOM_KILL));
	assert_int_equal(out.events[0]->occurrences, 2);
	assert_null(out.events[0]->subject);
	tree_write(&tree, "proc/vmstat", "rubbish\n");
	assert_int_equal(collect(f, &tree.root, &out), 0);
	assert_null(count_of(&out, K(OOM_KILL)));
	tree_destroy(&tree);
}

#define GROUP "/sys/fs/cgroup/memory/sonde-test-events"

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void use_memory_until_killed(void)
{
	(void)put("/proc/self/comm", "sonde-victim");
	for (;;) {
		char *more = malloc(1 << 20);
		if (more)
			memset(more, 1, 1 << 20);
	}
}

/* A limit of 16 MiB, without swap. */
static void kill_for_memory(void)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (!put(GROUP "/cgroup.procs", "0"))
			_exit(3);
		use_memory_until_killed();
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status))
		fail_msg("the victim was not killed: status %d", status);
}

static void test_oom_kill(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Events out;
	if (mkdir(GROUP, 0755) < 0 && errno != EEXIST) {
		print_message("SKIP: no memory control group can be made here\n");
		skip();
	}
	if (!put(GROUP "/memory.limit_in_bytes", "16777216")) {
		rmdir(GROUP);
		print_message("SKIP: no memory limit can be set here\n");
		skip();
	}
	(void)put(GROUP "/memory.memsw.limit_in_bytes", "16777216");
	assert_int_equal(collect(f, &f->root, &out), 0);
	if (f->state.code != 0) {
		rmdir(GROUP);
		print_message("SKIP: %s\n", f->state.detail);
		skip();
	}
	kill_for_memory();
	const Sonde__V1__Event *kill = NULL;
	for (int tries = 0; !kill && tries < 50; tries++) {
		(void)poll(NULL, 0, 20);
		assert_int_equal(collect(f, &f->root, &out), 0);
		for (size_t i = 0; i < out.n_events; i++) {
			if (out.events[i]->kind == K(OOM_KILL) && out.events[i]->subject &&
			    strcmp(out.events[i]->subject, "sonde-victim") == 0)
				kill = out.events[i];
		}
	}
	rmdir(GROUP);
	assert_non_null(kill);
	assert_int_equal(kill->occurrences, 1);
	assert_non_null(strstr(kill->message, "Memory cgroup out of memory"));
	struct clock_reading now;
	assert_true(clock_reading_take(&now));
	assert_in_range(now.boottime_us - kill->boottime_us, 0, 5000000);
	assert_in_range((uint64_t)(now.wall_us / 1000000 - kill->timestamp->seconds), 0, 6);
	assert_true(count_of(&out, K(OOM_KILL))->occurrences >= 1);
	assert_true(out.kernel_messages > 0);
}

/* What user space writes is no event, whatever it says. Whether it can be written is asked of a reader of our own: some
 * kernels take such messages and drop them. */
static void test_user_space_is_not_believed(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Events out;
	char record[KMSG_RECORD_SIZE];
	bool arrived = false;
	int reader = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(collect(f, &f->root, &out), 0);
	if (reader >= 0 && lseek(reader, 0, SEEK_END) == 0 &&
	    put("/dev/kmsg", "<3>sonde test: I/O error, dev sondetest, sector 1")) {
		for (int tries = 0; tries < 20 && !arrived; tries++) {
			ssize_t n = read(reader, record, sizeof(record));
			arrived = n > 0 && memmem(record, (size_t)n, "sondetest", 9);
			(void)poll(NULL, 0, n > 0 ? 0 : 10);
		}
	}
	if (reader >= 0)
		close(reader);
	if (!arrived || f->state.code != 0) {
		print_message("SKIP: /dev/kmsg does not take what user space writes here\n");
		skip();
	}
	assert_int_equal(collect(f, &f->root, &out), 0);
	assert_true(out.kernel_messages > 0);
	for (size_t i = 0; i < out.n_events; i++)
		assert_true(!out.events[i]->subject || strcmp(out.events[i]->subject, "sondetest") != 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_oom_parse),
		cmocka_unit_test(test_oom_counter),
		cmocka_unit_test(test_messages),
		TEST(test_recorded_host),
		TEST(test_without_messages),
		TEST(test_user_space_is_not_believed),
		TEST(test_oom_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
