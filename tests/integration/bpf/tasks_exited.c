/* What short-lived processes used, by what the kernel tells their parent and by /proc/stat. */
#include "tests/integration/bpf/tasks_exited.h"

#include "tests/integration/bpf/tasks_ledger.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t busy_ns(void)
{
	char text[512];
	int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	close(fd);
	text[n] = '\0';
	char *p = text + strlen("cpu");
	uint64_t busy = 0;
	for (int i = 0; i < 3; i++)
		busy += strtoull(p, &p, 10);
	return busy * (SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Runs the command over and over until it is told to stop. */
static void run_short_commands(const volatile bool *stop, uint64_t *ret_runs)
{
	while (!*stop) {
		pid_t pid = fork();
		if (pid == 0) {
			execl("/bin/busybox", "busybox", "true", NULL);
			execl("/bin/true", "true", NULL);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			_exit(1);
		++*ret_runs;
	}
	_exit(0);
}

static struct bpf_prog_info program_info(int fd)
{
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info;
}

void a_fork_load_is_accounted_for(void **state)
{
	struct shared {
		bool stop;
		uint64_t runs;
	} *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	struct ledger ledger = {.name = "true"};
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME), program = program_fd("free_task");
	nap(SECOND_NS / 5);
	uint64_t busy = busy_ns();
	ledger_add(&ledger, true);
	pid_t pid = fork();
	if (pid == 0)
		run_short_commands(&shared->stop, &shared->runs);
	for (int i = 0; i < 6; i++) {
		nap(SECOND_NS / 2);
		ledger_add(&ledger, false);
	}
	shared->stop = true;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	nap(SECOND_NS / 3); /* tasks are freed after a grace period */
	ledger_add(&ledger, false);
	busy = busy_ns() - busy;
	uint64_t exited = ledger.exited_ns - ledger.began_exited_ns;
	print_message("%" PRIu64 " commands in 3 s; busy %.2f s, visible %.2f s + exited %.2f s = %.1f%%\n",
		      shared->runs, (double)busy / 1e9, (double)ledger.visible_ns / 1e9, (double)exited / 1e9,
		      100.0 * (double)(ledger.visible_ns + exited) / (double)busy);
	if (stats >= 0 && program >= 0) {
		struct bpf_prog_info info = program_info(program);
		print_message("free_task: %" PRIu64 " runs, %.0f ns each\n", (uint64_t)info.run_cnt,
			      (double)info.run_time_ns / (double)(info.run_cnt ? info.run_cnt : 1));
		close(stats);
		close(program);
	}
	assert_true((ledger.visible_ns + exited) * 100 >= busy * 95);
	free(ledger.rows);
	munmap(shared, sizeof(*shared));
}

enum { COMM_SIZE = 16 };

/* A name no other run of this test on the host has at the same time: what is counted is found by it. */
static void name_own(char name[COMM_SIZE], const char *what, int i)
{
	snprintf(name, COMM_SIZE, "%.4s_%d_%d", what, getpid() % 10000000, i % 10);
}

/* Processes of one name, three at a time; their parent is told what each has used. */
static uint64_t run_burners(struct ledger *ledger, unsigned n)
{
	uint64_t used = 0;
	unsigned started = 0, ended = 0;
	while (ended < n) {
		if (started < n && started - ended < 3) {
			pid_t pid = fork();
			if (pid == 0) {
				prctl(PR_SET_NAME, ledger->name);
				burn(5000000ull + started * 37 % 60 * 2000000ull);
				_exit(0);
			}
			started++;
		}
		struct rusage usage;
		if (wait4(-1, NULL, started < n ? WNOHANG : 0, &usage) > 0) {
			ended++;
			used += (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SECOND_NS +
				(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
		}
		nap(3000000);
		if (started % 3 == 0)
			ledger_add(ledger, false);
	}
	return used;
}

/* Kernels lose events now and then (bpf/README.md): what is wrong
 * in the program is wrong every time. */
void every_nanosecond_is_counted_once(void **state)
{
	enum { CHILDREN = 60, ATTEMPTS = 4 };
	bool exact = false;
	for (int i = 0; i < ATTEMPTS && !exact; i++) {
		char name[COMM_SIZE];
		name_own(name, "burn", i);
		struct ledger ledger = {.name = name};
		ledger_add(&ledger, true);
		uint64_t used = run_burners(&ledger, CHILDREN);
		ledger_await(&ledger, CHILDREN);
		uint64_t counted = ledger.named_ns + ledger.exited_named_ns;
		print_message("%u processes used %.3f s: visible %.3f s + exited %.3f s = %.2f%%\n", CHILDREN,
			      (double)used / 1e9, (double)ledger.named_ns / 1e9, (double)ledger.exited_named_ns / 1e9,
			      100.0 * (double)counted / (double)used);
		assert_true(ledger.exited_named <= CHILDREN && counted <= used / 1000 * 1005);
		assert_true(ledger.named_ns > 0 && ledger.exited_named_ns > 0);
		exact = ledger.exited_named == CHILDREN && counted >= used / 1000 * 995;
		free(ledger.rows);
	}
	assert_true(exact);
}

void a_zombie_is_counted_once(void **state)
{
	char name[COMM_SIZE];
	name_own(name, "dead", 0);
	struct ledger ledger = {.name = name};
	ledger_add(&ledger, true);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		burn(SECOND_NS / 20);
		_exit(0);
	}
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	for (int i = 0; i < 3; i++) {
		nap(SECOND_NS / 10);
		ledger_add(&ledger, false);
		struct process_table table = read_source();
		assert_int_equal(row_of(&table, pid)->state, 'Z');
		assert_int_equal(ledger.exited_named, 0);
	}
	assert_in_range(ledger.named_ns, SECOND_NS / 20, SECOND_NS / 10);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	ledger_await(&ledger, 1);
	assert_int_equal(ledger.exited_named, 1);
	assert_in_range(ledger.named_ns + ledger.exited_named_ns, SECOND_NS / 20, SECOND_NS / 10);
	free(ledger.rows);
}
