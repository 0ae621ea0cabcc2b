/* The task iterator on the running kernel, through the process source's public interface, against /proc. */
#include "common/clock.h"
#include "tests/integration/bpf/proc_text.h"
#include "tests/integration/bpf/tasks_exited.h"
#include "tests/integration/bpf/tasks_idle.h"
#include "tests/integration/bpf/tasks_ledger.h"

#include <bpf/btf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 3000
#define UNPRIVILEGED 65534

static struct root root;

static void *thread_that_dies(void *arg)
{
	int fd = *(int *)arg;
	static char block[65536];
	for (int i = 0; i < 16; i++)
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	burn(SECOND_NS / 10);
	return NULL;
}

static void *thread_that_lives(void *arg)
{
	pthread_barrier_t *done = arg;
	burn(SECOND_NS / 20);
	pthread_barrier_wait(done);
	for (;;)
		pause();
	return NULL;
}

/* Where the test's own cgroup goes: v1's memory controller, else v2. */
static const char *cgroup_path(void)
{
	return access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/memory/sonde_tasks_test"
								       : "/sys/fs/cgroup/sonde_tasks_test";
}

static void enter_cgroup(void)
{
	char path[128];
	if (mkdir(cgroup_path(), 0755) < 0 && errno != EEXIST)
		return;
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup_path());
	FILE *file = fopen(path, "we");
	if (file && (fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) != 0))
		_exit(1);
}

/* Works, lets some of its threads die, then sleeps and says so. */
static void long_living_child(int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "sonde) R 1 (x");
	for (int i = 0; i < 100; i++)
		assert_true(dup(0) >= 0 || open("/dev/null", O_RDONLY) >= 0);
	char path[] = "/var/tmp/sonde_tasks_XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(setuid(UNPRIVILEGED), 0);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_that_dies, &fd), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_t done;
	pthread_barrier_init(&done, NULL, 6);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pthread_create(&threads[0], NULL, thread_that_lives, &done), 0);
	pthread_barrier_wait(&done);
	assert_int_equal(write(ready, "r", 1), 1);
	for (;;)
		pause();
}

static pid_t start_long_living(void)
{
	int ready[2];
	char c;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		enter_cgroup();
		long_living_child(ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	nap(SECOND_NS / 10);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static unsigned count_files(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *directory = opendir(path);
	assert_non_null(directory);
	for (const struct dirent *entry; (entry = readdir(directory));)
		n += entry->d_name[0] != '.';
	closedir(directory);
	return n;
}

/* The directory of the process in the hierarchy that counts: the memory controller's of v1, else v2's. 0: no such. */
static uint64_t cgroup_inode(pid_t pid)
{
	char text[4096], path[PATH_MAX];
	if (!proc_text(pid, "cgroup", text, sizeof(text)))
		return 0; /* nothing was ever mounted */
	const char *at = strstr(text, ":memory:");
	const char *mount = at ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
	at = at ? at + strlen(":memory:") : strstr(text, "0::");
	if (!at)
		return 0;
	if (*at == '0')
		at += strlen("0::");
	(void)snprintf(path, sizeof(path), "%s%.*s", mount, (int)strcspn(at, "\n"), at);
	char procs[PATH_MAX + 16];
	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	struct stat st;
	return access(procs, F_OK) == 0 && stat(path, &st) == 0 ? st.st_ino : 0;
}

static void check_long_living(pid_t pid)
{
	char text[8192];
	struct process_table table = read_source();
	const struct process_row *row = row_of(&table, pid);
	assert_non_null(row);
	assert_string_equal(row->comm, "sonde) R 1 (x");
	assert_non_null(proc_text(pid, "stat", text, sizeof(text)));
	assert_int_equal(row->state, strrchr(text, ')')[2]);
	assert_int_equal(row->parent_pid, getpid());
	assert_int_equal(row->parent_pid, stat_field(text, 4));
	assert_int_equal(row->minor_faults, stat_field(text, 10));
	assert_int_equal(row->major_faults, stat_field(text, 12));
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), tick_ns = SECOND_NS / hz;
	uint64_t user = stat_field(text, 14) * tick_ns, system = stat_field(text, 15) * tick_ns;
	print_message("cpu %.1f ms, /proc %.1f ms user and %.1f ms system, ours %.1f ms user\n",
		      (double)row->cpu_ns / 1e6, (double)user / 1e6, (double)system / 1e6, (double)row->user_ns / 1e6);
	assert_true(row->cpu_ns >= 650000000);
	assert_in_range(row->cpu_ns, user + system, user + system + 2 * tick_ns);
	assert_int_equal(row->user_ns + row->system_ns, row->cpu_ns);
	assert_in_range(row->user_ns + tick_ns, user, user + 2 * tick_ns);
	assert_int_equal(row->threads, stat_field(text, 20));
	assert_int_equal(row->threads, 6);
	assert_int_equal(row->start_ns, stat_field(text, 22) * tick_ns);
	assert_int_equal(row->user_id, UNPRIVILEGED);
	assert_true(row->has & PROCESS_HAS_RSS && row->resident_bytes > 0);

	assert_true(row->has & PROCESS_HAS_SWITCHES);
	assert_true(row->voluntary_switches > 0);
	if (row->has & PROCESS_HAS_IO) {
		assert_non_null(proc_text(pid, "io", text, sizeof(text)));
		assert_int_equal(row->read_bytes, named_field(text, "\nread_bytes: "));
		assert_int_equal(row->write_bytes, named_field(text, "\nwrite_bytes: "));
		assert_int_equal(row->cancelled_write_bytes, named_field(text, "cancelled_write_bytes: "));
	}
	if (row->has & PROCESS_HAS_FILES) {
		assert_int_equal(row->open_files, count_files(pid));
		assert_true(row->open_files >= 100);
	}
	assert_true(row->has & PROCESS_HAS_CGROUP);
	uint64_t inode = cgroup_inode(pid);
	if (inode)
		assert_int_equal(row->cgroup_id, inode);
	else
		print_message("no cgroups are mounted: ids not compared\n");
}

/* By the iterator, by a walk (where the kernel can) that reads it in full, and by one that does not. */
static void a_process_with_threads_equals_proc(void **state)
{
	pid_t pid = start_long_living();
	for (int i = 0; i < 3; i++)
		check_long_living(pid);
	end_child(pid);
	(void)rmdir(cgroup_path());
}

/* Whether the iterator lists it or leaves it out: which kernels do is in bpf/README.md. */
static void process_1_is_there_once(void **state)
{
	char text[4096];
	struct process_table table = read_source();
	if (table.namespaced) {
		print_message("in a pid namespace: process 1 is another one\n");
		skip();
	}
	const struct process_row *row = row_of(&table, 1);
	assert_non_null(row);
	assert_true(row == table.rows);
	assert_true(table.n == 1 || table.rows[1].pid > 1);
	assert_non_null(proc_text(1, "stat", text, sizeof(text)));
	uint64_t tick_ns = SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t shown = (stat_field(text, 14) + stat_field(text, 15)) * tick_ns;
	print_message("process 1: cpu %.2f s, /proc %.2f s, %s\n", (double)row->cpu_ns / 1e9, (double)shown / 1e9,
		      row->has & PROCESS_HAS_SWITCHES ? "from the iterator" : "from /proc");
	assert_in_range(row->cpu_ns + SECOND_NS, shown, shown + SECOND_NS + 2 * tick_ns);
	assert_int_equal(row->user_ns + row->system_ns, row->cpu_ns);
	assert_in_range(row->threads + 2, stat_field(text, 20), stat_field(text, 20) + 4);
	assert_int_equal(row->start_ns, stat_field(text, 22) * tick_ns);
	assert_int_equal(row->parent_pid, 0);
	assert_true(row->resident_bytes > 0);
	assert_non_null(proc_text(1, "comm", text, sizeof(text)));
	assert_memory_equal(row->comm, text, strlen(row->comm));
}

static void the_table_is_that_of_proc(void **state)
{
	char stat_text[4096], status[8192];
	struct process_table table = read_source();
	size_t found = 0, equal = 0;
	uint64_t threads = 0;
	for (size_t i = 0; i < table.n; i++) {
		const struct process_row *row = &table.rows[i];
		threads += row->threads;
		assert_true(i == 0 || row->pid > table.rows[i - 1].pid);
		if (!proc_text((pid_t)row->pid, "stat", stat_text, sizeof(stat_text)) ||
		    !proc_text((pid_t)row->pid, "status", status, sizeof(status)))
			continue;
		uint64_t tick_ns = SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK);
		if (stat_field(stat_text, 22) * tick_ns != row->start_ns)
			fail_msg("pid %u: start %" PRIu64 " instead of %" PRIu64, row->pid, row->start_ns,
				 stat_field(stat_text, 22) * tick_ns);
		uint64_t shown = (stat_field(stat_text, 14) + stat_field(stat_text, 15)) * tick_ns;
		assert_true(row->cpu_ns <= shown + 2 * tick_ns);
		/* An orphan's parent and an exec's identity change between the two readings: seldom. */
		found++;
		equal += stat_field(stat_text, 4) == row->parent_pid && named_field(status, "\nUid:") == row->user_id;
	}
	print_message("%zu processes, %zu still there, %zu equal in /proc\n", table.n, found, equal);
	assert_true(found > 0 && equal * 100 >= found * 95);
	assert_int_equal(table.counts.processes, table.n);
	assert_true(table.counts.threads + 20 >= threads && threads + 20 >= table.counts.threads);
	assert_int_equal(table.counts.threads, table.counts.running + table.counts.sleeping +
						       table.counts.uninterruptible + table.counts.stopped +
						       table.counts.zombie + table.counts.idle);
	assert_true(table.counts.running >= 1); /* this one */
	const struct process_row *kthreadd = row_of(&table, 2);
	if (kthreadd && !table.namespaced)
		assert_string_equal(kthreadd->comm, "kthreadd");
}

/* A walk that the verifier came to refuse would only be slower, and nobody would see. */
static void a_kernel_with_loops_is_walked(void **state)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool loops = btf && btf__find_by_name_kind(btf, "bpf_iter_task_new", BTF_KIND_FUNC) > 0;
	btf__free(btf);
	if (!loops || read_source().namespaced) {
		print_message("no iterators for loops, or in a pid namespace: the task iterator is used\n");
		skip();
	}
	int program = program_fd("walk_tasks");
	assert_true(program >= 0);
	close(program);
}

static void *sleeping_thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void be_many(bool threads, unsigned n, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (unsigned i = 0; i < n; i++) {
		pthread_t thread;
		if (threads) {
			if (pthread_create(&thread, &attributes, sleeping_thread, NULL) != 0)
				_exit(1);
			continue;
		}
		pid_t pid = fork();
		if (pid < 0)
			_exit(1);
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			sleeping_thread(NULL);
		}
	}
	if (write(ready, "r", 1) != 1)
		_exit(1);
	sleeping_thread(NULL);
}

static void measure(bool threads, const char *what)
{
	int ready[2];
	char c;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0)
		be_many(threads, MANY, ready[1]);
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		fail_msg("%d %s could not be made", MANY, what);
	close(ready[0]);
	nap(SECOND_NS / 5);
	uint64_t best_ns = UINT64_MAX;
	struct process_table table = {0};
	for (int i = 0; i < 50; i++) {
		uint64_t began_ns = clock_monotonic_ns();
		table = read_source();
		uint64_t ns = clock_monotonic_ns() - began_ns;
		best_ns = ns < best_ns ? ns : best_ns;
		nap(5000000);
	}
	print_message("%s: %" PRIu64 " tasks, %zu processes in %.0f us: %.0f ns a task (best of 50)\n", what,
		      table.counts.threads, table.n, (double)best_ns / 1e3,
		      (double)best_ns / (double)table.counts.threads);
	const struct process_row *row = row_of(&table, pid);
	assert_non_null(row);
	assert_int_equal(row->threads, threads ? MANY + 1 : 1);
	assert_true(table.counts.threads >= MANY);
	end_child(pid);
	while (waitpid(-1, NULL, 0) > 0)
		; /* its children have become this process's */
}

static void many_tasks_are_cheap(void **state)
{
	if (sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) < 3l << 30) {
		print_message("less than 3 GiB of memory: not measured\n");
		skip();
	}
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	measure(true, "threads");
#ifdef __SANITIZE_ADDRESS__
	print_message("with a sanitizer a fork copies its shadow: 3,000 processes take minutes, and cost nothing like "
		      "themselves\n");
	skip();
#endif
	measure(false, "processes");
}

static int in_unprivileged_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (setgid(UNPRIVILEGED) < 0 || setuid(UNPRIVILEGED) < 0)
			_exit(100);
		_exit(run());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int create_denied(void)
{
	struct collector_state why = {0};
	void *self = NULL;
	int r = process_source_bpf.create(&tasks_source.context, &self, &why);
	if (r == 0 || self)
		return 1;
	if (why.code != SONDE__V1__STATE__CODE__CODE_DENIED)
		return 2;
	return strcmp(why.reason, "no_cap_bpf") == 0 && strstr(why.detail, "CAP_BPF") ? 0 : 3;
}

static void without_capabilities_it_says_which(void **state)
{
	assert_int_equal(in_unprivileged_child(create_denied), 0);
}

static int read_without_capabilities(void)
{
	struct process_table table;
	struct collector_state why = {0};
	for (int i = 0; i < 2; i++) {
		if (process_source_bpf.read(tasks_source.self, &table, &why) < 0)
			return strstr(why.detail, "CAP_BPF") ? 10 : 1;
		if (table.n < 2 || !table.rows)
			return 2;
		nap(SECOND_NS / 10);
		/* Something to be folded, so that the rows are read. */
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		if (waitpid(pid, NULL, 0) < 0)
			return 3;
		nap(SECOND_NS / 3);
	}
	return 0;
}

static void reading_needs_no_capability(void **state)
{
	int r = in_unprivileged_child(read_without_capabilities);
	if (r == 10) {
		print_message("this kernel wants CAP_BPF at each reading\n");
		skip();
	}
	assert_int_equal(r, 0);
}

static void a_recorded_host_has_none(void **state)
{
	struct collector_context recorded = {.root = &root};
	struct collector_state why = {0};
	void *self = NULL;
	assert_int_equal(process_source_bpf.create(&recorded, &self, &why), -ENOTSUP);
	assert_string_equal(why.reason, "recorded_host");
	assert_null(self);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("SKIP: needs root\n");
		return 77;
	}
	if (root_open(&root, NULL) < 0)
		return 1;
	tasks_source.context = (struct collector_context){.root = &root, .live = true};
#define WITH_SOURCE(test) cmocka_unit_test_setup_teardown(test, create_source, destroy_source)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recorded_host_has_none),
		cmocka_unit_test(without_capabilities_it_says_which),
		WITH_SOURCE(a_process_with_threads_equals_proc),
		WITH_SOURCE(process_1_is_there_once),
		WITH_SOURCE(the_table_is_that_of_proc),
		WITH_SOURCE(a_kernel_with_loops_is_walked),
		WITH_SOURCE(every_nanosecond_is_counted_once),
		WITH_SOURCE(a_zombie_is_counted_once),
		WITH_SOURCE(a_fork_load_is_accounted_for),
		WITH_SOURCE(sleepers_are_as_exact_as_workers),
		WITH_SOURCE(changes_from_outside_come_in_turns),
		WITH_SOURCE(reading_needs_no_capability),
		WITH_SOURCE(many_tasks_are_cheap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
