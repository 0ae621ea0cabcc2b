/* The scheduler's probe on the running kernel, through the collector's public interface, against what the kernel says
 * of the tasks themselves: /proc/PID/schedstat, /proc/PID/status, /proc/stat. What is compared exactly is a cgroup of
 * the test's own, so that others may be busy. */
#include "agent/cgroups/tree.h"
#include "agent/ebpf/scheduler.h"
#include "agent/extras.h"
#include "common/clock.h"
#include "tests/integration/bpf/proc_text.h"
#include "tests/integration/bpf/section.h"

#include <linux/types.h>
#include <sonde/v1/scheduler.pb-c.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/probe_histogram.h"

#define MS 1000000ull
#define MAX_WORKERS 12

static struct cgroup_tree *tree;

static Sonde__V1__Scheduler *read_section(void)
{
	static Sonde__V1__Scheduler message;
	sonde__v1__scheduler__init(&message);
	section_collect(&message.base);
	return &message;
}

/* A cgroup where the agent's tree is: the v1 memory hierarchy, or v2. */
static const char *cgroup_parent(void)
{
	return access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
}

static uint64_t make_cgroup(const char *name, char *path, size_t size)
{
	struct stat st;
	(void)snprintf(path, size, "%s/%s", cgroup_parent(), name);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void enter_cgroup(const char *path)
{
	char procs[256];
	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	int fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(1);
	close(fd);
}

enum work { SPIN, PING, NAP };

static void work(enum work kind)
{
	static volatile uint64_t n;
	for (;;) {
		uint64_t until = clock_monotonic_ns() + (kind == SPIN ? 50 * MS : MS);
		while (clock_monotonic_ns() < until)
			n++;
		if (kind == PING)
			sched_yield();
		if (kind == NAP)
			usleep(2000);
	}
}

/* In the cgroup, stopped, and not yet at work. */
static pid_t start_worker(const char *cgroup, enum work kind, int cpu)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* The probe's descriptors are not to outlive its end. */
		if (close_range(3, ~0u, 0) < 0)
			_exit(1);
		enter_cgroup(cgroup);
		if (cpu >= 0) {
			cpu_set_t set;
			CPU_ZERO(&set);
			CPU_SET((unsigned)cpu, &set);
			if (sched_setaffinity(0, sizeof(set), &set) < 0)
				_exit(1);
		}
		(void)raise(SIGSTOP);
		work(kind);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* A stopped task has told its parent before it left the CPU. */
static void await_off(pid_t pid)
{
	char text[4096];
	for (int i = 0; i < 1000; i++) {
		assert_non_null(proc_text(pid, "stat", text, sizeof(text)));
		assert_non_null(strrchr(text, ')'));
		if (strrchr(text, ')')[2] == 'T')
			break;
		usleep(1000);
	}
	usleep(20000);
}

struct waits {
	uint64_t delay_ns, runs, voluntary, involuntary;
};

/* 15204011 2081930 37: on the CPU, waited, times run. */
static struct waits waits_of(const pid_t *pids, size_t n)
{
	struct waits sum = {0};
	char text[8192];
	for (size_t i = 0; i < n; i++) {
		char *end;
		assert_non_null(proc_text(pids[i], "schedstat", text, sizeof(text)));
		(void)strtoull(text, &end, 10);
		sum.delay_ns += strtoull(end, &end, 10);
		sum.runs += strtoull(end, &end, 10);
		assert_non_null(proc_text(pids[i], "status", text, sizeof(text)));
		sum.voluntary += named_field(text, "\nvoluntary_ctxt_switches:");
		sum.involuntary += named_field(text, "nonvoluntary_ctxt_switches:");
	}
	return sum;
}

static uint64_t count_of(const Sonde__V1__Histogram *histogram)
{
	uint64_t count = 0;
	for (size_t i = 0; histogram && i < histogram->n_counts; i++)
		count += histogram->counts[i];
	return count;
}

static uint64_t count_from(const Sonde__V1__Histogram *histogram, uint64_t least)
{
	uint64_t count = 0;
	for (size_t i = 0; histogram && i < histogram->n_counts; i++)
		count += histogram_bucket_lower(histogram->indexes[i]) >= least ? histogram->counts[i] : 0;
	return count;
}

struct row {
	bool found, named;
	uint64_t sum, count, count_1ms, off_count[8], off_sum[8];
};

static const char *const reasons[] = {"runnable", "interruptible", "uninterruptible", "io", "idle", "other"};
enum { RUNNABLE, INTERRUPTIBLE, UNINTERRUPTIBLE, IO, IDLE, OTHER };

static struct row row_of(const Sonde__V1__Scheduler *message, uint64_t id)
{
	struct row row = {.found = false};
	for (size_t i = 0; i < message->n_cgroups; i++) {
		const Sonde__V1__SchedulerCgroup *cgroup = message->cgroups[i];
		if (cgroup->id != id)
			continue;
		row.found = true;
		row.named = cgroup->path && strstr(cgroup->path, "sonde_scheduler_test");
		row.sum = cgroup->run_queue_latency_ns->sum;
		row.count = count_of(cgroup->run_queue_latency_ns);
		row.count_1ms = count_from(cgroup->run_queue_latency_ns, MS);
		for (size_t k = 0; k < cgroup->n_off_cpu; k++) {
			for (size_t reason = 0; reason < sizeof(reasons) / sizeof(reasons[0]); reason++) {
				if (strcmp(reasons[reason], cgroup->off_cpu[k]->reason) != 0)
					continue;
				row.off_count[reason] = count_of(cgroup->off_cpu[k]->time_ns);
				row.off_sum[reason] = cgroup->off_cpu[k]->time_ns->sum;
			}
		}
	}
	return row;
}

struct crew {
	char path[128];
	uint64_t id;
	pid_t pids[MAX_WORKERS];
	size_t n;
};

static void crew_begin(struct crew *crew, const char *name)
{
	crew->n = 0;
	crew->id = make_cgroup(name, crew->path, sizeof(crew->path));
}

static void crew_add(struct crew *crew, enum work kind, int cpu)
{
	crew->pids[crew->n] = start_worker(crew->path, kind, cpu);
	await_off(crew->pids[crew->n++]);
}

static void crew_work(struct crew *crew, unsigned ms)
{
	for (size_t i = 0; i < crew->n; i++)
		assert_int_equal(kill(crew->pids[i], SIGCONT), 0);
	usleep(ms * 1000);
	for (size_t i = 0; i < crew->n; i++)
		assert_int_equal(kill(crew->pids[i], SIGSTOP), 0);
	for (size_t i = 0; i < crew->n; i++)
		await_off(crew->pids[i]);
}

static void crew_end(struct crew *crew)
{
	for (size_t i = 0; i < crew->n; i++) {
		kill(crew->pids[i], SIGKILL);
		assert_int_equal(waitpid(crew->pids[i], NULL, 0), crew->pids[i]);
	}
	for (int i = 0; i < 100 && rmdir(crew->path) < 0; i++)
		usleep(10000);
}

/* What the kernel says of the crew's tasks is what the crew's row grew by. A lost event merges two waits into one: the
 * sum stays, so it has no tolerance. */
static void assert_equal_waits(const struct row *before, const struct row *after, const struct waits *was,
			       const struct waits *is)
{
	uint64_t count = after->count - before->count, sum = after->sum - before->sum;
	print_message("%" PRIu64 " waits, %.1f ms; schedstat %" PRIu64 ", %.1f ms\n", count, (double)sum / 1e6,
		      is->runs - was->runs, (double)(is->delay_ns - was->delay_ns) / 1e6);
	assert_int_equal(sum, is->delay_ns - was->delay_ns);
	assert_in_range(count, (is->runs - was->runs) * 98 / 100, is->runs - was->runs);
}

static void two_that_share_a_cpu_wait_a_slice_each(void **unused)
{
	struct crew crew;
	crew_begin(&crew, "sonde_scheduler_test");
	crew_add(&crew, SPIN, 0);
	crew_add(&crew, SPIN, 0);
	struct waits was = waits_of(crew.pids, crew.n);
	struct row before = row_of(read_section(), crew.id);
	crew_work(&crew, 1500);
	struct waits is = waits_of(crew.pids, crew.n);
	struct row after = row_of(read_section(), crew.id);
	crew_end(&crew);
	assert_true(after.found && after.named);
	assert_equal_waits(&before, &after, &was, &is);
	/* Each is off the CPU half of the time at least, in pieces of a slice, which is longer than a millisecond. */
	assert_true(after.sum - before.sum >= 1200 * MS);
	assert_true((after.count_1ms - before.count_1ms) * 2 >= after.count - before.count);
	assert_true((is.involuntary - was.involuntary) * 10 >= (is.runs - was.runs) * 9);
}

/* More tasks than CPUs, free to be moved while they wait; some sleep and yield. */
static void moving_between_cpus_loses_nothing(void **unused)
{
	struct crew crew;
	crew_begin(&crew, "sonde_scheduler_test_moving");
	for (int i = 0; i < 5; i++)
		crew_add(&crew, SPIN, -1);
	for (int i = 0; i < 3; i++) {
		crew_add(&crew, PING, -1);
		crew_add(&crew, NAP, -1);
	}
	struct waits was = waits_of(crew.pids, crew.n);
	struct row before = row_of(read_section(), crew.id);
	crew_work(&crew, 1500);
	struct waits is = waits_of(crew.pids, crew.n);
	struct row after = row_of(read_section(), crew.id);
	crew_end(&crew);
	assert_equal_waits(&before, &after, &was, &is);
}

static uint64_t context_switches(void)
{
	static char text[1 << 20];
	int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	size_t len = 0;
	for (ssize_t n; (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	close(fd);
	text[len] = '\0';
	return named_field(text, "\nctxt ");
}

static uint64_t our_switches(void)
{
	const Sonde__V1__Scheduler *message = read_section();
	return message->voluntary_switches + message->involuntary_switches + message->idle_switches;
}

/* Some kernels raise no tracepoint for a few switches: on the 6.18 this was written on perf's own sched:sched_switch
 * saw 11,465 of 11,505. */
static void switches_are_those_of_proc_stat(void **unused)
{
	uint64_t outer = context_switches(), ours = our_switches(), inner = context_switches();
	struct crew crew;
	crew_begin(&crew, "sonde_scheduler_test_switches");
	for (int i = 0; i < 4; i++)
		crew_add(&crew, i % 2 ? NAP : PING, -1);
	crew_work(&crew, 1000);
	crew_end(&crew);
	inner = context_switches() - inner;
	ours = our_switches() - ours;
	outer = context_switches() - outer;
	print_message("switches: %" PRIu64 " <= %" PRIu64 " <= %" PRIu64 "\n", inner, ours, outer);
	assert_true(ours <= outer);
	assert_true(ours * 100 >= inner * 97);
}

static void time_off_the_cpu_is_told_by_its_reason(void **unused)
{
	struct crew crew;
	section.settings.extras |= (size_t)1 << EXTRA_OFF_CPU;
	(void)read_section();
	crew_begin(&crew, "sonde_scheduler_test_off");
	crew_add(&crew, NAP, -1);
	crew_add(&crew, SPIN, 0);
	crew_add(&crew, SPIN, 0);
	crew_work(&crew, 100);
	struct row before = row_of(read_section(), crew.id);
	struct waits was = waits_of(crew.pids, crew.n);
	uint64_t begin = clock_monotonic_ns();
	crew_work(&crew, 1000);
	uint64_t elapsed = clock_monotonic_ns() - begin;
	struct waits is = waits_of(crew.pids, crew.n);
	const Sonde__V1__Scheduler *message = read_section();
	struct row after = row_of(message, crew.id);
	assert_true(message->n_off_cpu >= 2);
	for (int i = RUNNABLE; i <= OTHER; i++) {
		after.off_count[i] -= before.off_count[i];
		after.off_sum[i] -= before.off_sum[i];
	}
	crew_end(&crew);
	print_message("naps %" PRIu64 ", %.1f ms; preempted %" PRIu64 ", %.1f ms; stopped %" PRIu64 ", %.1f ms\n",
		      after.off_count[INTERRUPTIBLE], (double)after.off_sum[INTERRUPTIBLE] / 1e6,
		      after.off_count[RUNNABLE], (double)after.off_sum[RUNNABLE] / 1e6, after.off_count[OTHER],
		      (double)after.off_sum[OTHER] / 1e6);
	/* Naps of 2 ms after 1 ms of work. */
	assert_in_range(after.off_count[INTERRUPTIBLE], 20, 1000 / 3 + 2);
	assert_true(after.off_sum[INTERRUPTIBLE] >= after.off_count[INTERRUPTIBLE] * 2 * MS);
	assert_in_range(after.off_count[RUNNABLE], (is.involuntary - was.involuntary) * 99 / 100,
			is.involuntary - was.involuntary);
	/* The spinners were off half the time, the three of them were stopped before. */
	assert_true(after.off_sum[RUNNABLE] >= 700 * MS);
	assert_int_equal(after.off_count[OTHER], 3);
	assert_true(after.off_sum[RUNNABLE] + after.off_sum[INTERRUPTIBLE] <= 3 * elapsed);
}

/* While it rests nothing is counted, and when it is back what happened meanwhile is in nobody's wait. */
static void what_happened_while_it_rested_is_not_counted(void **unused)
{
	struct crew crew;
	crew_begin(&crew, "sonde_scheduler_test_rest");
	crew_add(&crew, SPIN, 0);
	crew_add(&crew, SPIN, 0);
	crew_work(&crew, 200);
	struct row before = row_of(read_section(), crew.id);
	uint64_t switches = our_switches(), all = context_switches();
	collector_scheduler.rest(section.self);
	crew_work(&crew, 700);
	struct waits was = waits_of(crew.pids, crew.n);
	const Sonde__V1__Scheduler *message = read_section();
	uint64_t now = message->voluntary_switches + message->involuntary_switches + message->idle_switches;
	all = context_switches() - all;
	print_message("%" PRIu64 " of %" PRIu64 " switches counted\n", now - switches, all);
	/* Those between the last reading and the end of the program, and since it was attached again. */
	assert_true((now - switches) * 4 < all);
	crew_work(&crew, 500);
	struct waits is = waits_of(crew.pids, crew.n);
	struct row after = row_of(read_section(), crew.id);
	crew_end(&crew);
	uint64_t sum = after.sum - before.sum;
	print_message("%.1f ms since it is back, schedstat %.1f ms\n", (double)sum / 1e6,
		      (double)(is.delay_ns - was.delay_ns) / 1e6);
	assert_true(sum <= is.delay_ns - was.delay_ns);
	/* At most the first wait of each is missing, when its beginning was not seen. */
	assert_in_range(after.count - before.count, (is.runs - was.runs) * 99 / 100 - 2, is.runs - was.runs);
}

static void rows_of_cgroups_are_bounded_and_given_back(void **unused)
{
	struct crew crews[3];
	char path[128], name[64];
	/* More cgroups than rows, each with a process that lives a moment. */
	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "sonde_scheduler_churn_%d", i);
		(void)make_cgroup(name, path, sizeof(path));
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			enter_cgroup(path);
			usleep(1000);
			usleep(1000);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		for (int k = 0; k < 100 && rmdir(path) < 0; k++)
			usleep(1000);
	}
	const Sonde__V1__Scheduler *message = read_section();
	print_message("%zu rows, %" PRIu64 " waits without one\n", message->n_cgroups, message->cgroups_without_row);
	assert_in_range(message->n_cgroups, 100, 128);
	assert_true(message->cgroups_without_row > 0);
	/* Nobody finds them in the tree any more. */
	section.clock_shift_us += 6000000;
	(void)read_section();
	section.clock_shift_us += 20000000;
	message = read_section();
	assert_true(message->n_cgroups < 100);
	crew_begin(&crews[0], "sonde_scheduler_test_after");
	crew_add(&crews[0], NAP, -1);
	crew_work(&crews[0], 100);
	section.clock_shift_us += 6000000; /* the tree is walked again */
	struct row row = row_of(read_section(), crews[0].id);
	crew_end(&crews[0]);
	assert_true(row.found && row.named && row.count > 0);
}

static uint64_t resident_kib(void)
{
	char text[8192];
	assert_non_null(proc_text(getpid(), "status", text, sizeof(text)));
	return named_field(text, "\nVmRSS:");
}

/* Processes that live a moment, each with a wait at least: 50,000 or what eight seconds are enough for; a million with
 * SONDE_TEST_PROCESSES=1000000. */
static void short_lives_are_counted_and_leave_nothing(void **unused)
{
	const char *wanted = getenv("SONDE_TEST_PROCESSES");
	uint64_t most = wanted ? strtoull(wanted, NULL, 10) : 50000, until = wanted ? UINT64_MAX : 8000 * MS;
	uint64_t *done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(done != MAP_FAILED);
	char path[128];
	uint64_t id = make_cgroup("sonde_scheduler_test_churn", path, sizeof(path));
	(void)read_section();
	uint64_t memory = resident_kib(), begin = clock_monotonic_ns();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		enter_cgroup(path);
		(void)signal(SIGCHLD, SIG_IGN);
		for (; *done < most && clock_monotonic_ns() - begin < until; ++*done) {
			pid_t child = vfork();
			if (child == 0)
				_exit(0);
			if (child < 0)
				_exit(1);
		}
		_exit(0);
	}
	int status = -1;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		(void)read_section();
		usleep(100000);
	}
	assert_int_equal(status, 0);
	const Sonde__V1__Scheduler *message = read_section();
	struct row row = row_of(message, id);
	uint64_t n = *done;
	munmap(done, sizeof(*done));
	(void)rmdir(path);
	print_message("%" PRIu64 " processes in %.1f s: %" PRIu64 " waits, %" PRIu64 " unknown in all, %+" PRId64
		      " KiB of memory\n",
		      n, (double)(clock_monotonic_ns() - begin) / 1e9, row.count, message->run_queue_unknown,
		      (int64_t)(resident_kib() - memory));
	/* A child waits once before it runs; with vfork() its parent waits for it and then for a CPU. */
	assert_true(row.count * 100 >= 2 * n * 97);
	assert_true(message->run_queue_unknown * 1000 <= row.count);
	assert_true(resident_kib() < memory + 2048);
}

static void by_cgroup_only_when_asked_for(void **unused)
{
	section.settings.extras = 0;
	const Sonde__V1__Scheduler *message = read_section();
	assert_int_equal(message->n_cgroups, 0);
	assert_int_equal(message->n_off_cpu, 0);
	assert_false(message->has_cgroups_without_row);
	assert_true(message->run_queue_latency_ns->n_indexes > 0 || our_switches() < 100);
	assert_true(strcmp(message->attach, "tp_btf") == 0 || strcmp(message->attach, "raw_tp") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SECTION_TEST(two_that_share_a_cpu_wait_a_slice_each),
		SECTION_TEST(moving_between_cpus_loses_nothing),
		SECTION_TEST(switches_are_those_of_proc_stat),
		SECTION_TEST(time_off_the_cpu_is_told_by_its_reason),
		SECTION_TEST(what_happened_while_it_rested_is_not_counted),
		SECTION_TEST(rows_of_cgroups_are_bounded_and_given_back),
		SECTION_TEST(short_lives_are_counted_and_leave_nothing),
		SECTION_TEST(by_cgroup_only_when_asked_for),
	};
	int failed = section_begin(&collector_scheduler);
	if (failed)
		return failed;
	assert_int_equal(cgroup_tree_new(&section.root, &tree), 0);
	section.context.cgroups = tree;
	section.extras = (size_t)1 << EXTRA_RUN_QUEUE_CGROUPS;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cgroup_tree_free(tree);
	section_end();
	return failed;
}
