#include "tests/integration/bpf/tasks_idle.h"

#include "tests/integration/bpf/tasks_ledger.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/types.h>

#include "bpf/tasks.h"

/* More records than the kernel hands over at once: some are written twice, of which only the second counts. */
#define CROWD 400
#define READINGS 24
#define ROUND_NS 30000000

static void work(int signal)
{
	(void)signal;
	burn(300000);
}

static pid_t start_sleeper(void)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (signal(SIGUSR1, work) == SIG_ERR)
		_exit(1);
	for (;;)
		pause();
}

/* All threads of it, dead ones too; 0 when it has gone. */
static uint64_t clock_of(pid_t pid)
{
	clockid_t clock;
	struct timespec now;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) < 0)
		return 0;
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static bool is_right(const struct process_row *row, uint64_t before_ns, uint64_t after_ns)
{
	return row && row->cpu_ns >= before_ns && row->cpu_ns <= after_ns &&
	       row->user_ns + row->system_ns == row->cpu_ns && row->threads == 1 && row->resident_bytes > 0 &&
	       row->has & PROCESS_HAS_FILES;
}

/* How many rows are wrong. */
static size_t check_round(const pid_t *pids, unsigned round)
{
	uint64_t before[CROWD];
	size_t wrong = 0;
	for (size_t i = 0; i < CROWD; i++)
		before[i] = clock_of(pids[i]);
	struct process_table table = read_source();
	for (size_t i = 0; i < CROWD; i++) {
		const struct process_row *row = row_of(&table, pids[i]);
		if (is_right(row, before[i], clock_of(pids[i])))
			continue;
		wrong++;
		print_message("round %u: process %d used %" PRIu64 " ns, the table says %" PRIu64
			      ", %u threads, %" PRIu64 " bytes, has %x\n",
			      round, (int)pids[i], before[i], row ? row->cpu_ns : 0, row ? row->threads : 0,
			      row ? row->resident_bytes : 0, row ? row->has : 0u);
	}
	return wrong;
}

void sleepers_are_as_exact_as_workers(void **state)
{
	pid_t pids[CROWD];
	for (size_t i = 0; i < CROWD; i++)
		pids[i] = start_sleeper();
	size_t wrong = 0;
	for (unsigned round = 0; round < READINGS; round++) {
		wrong += check_round(pids, round);
		/* Every thirteenth, others each time; in every third round nobody. */
		for (size_t i = round % 13; round % 3 != 0 && i < CROWD; i += 13)
			assert_int_equal(kill(pids[i], SIGUSR1), 0);
		nap(ROUND_NS);
		if (round % 5 == 4) { /* and some are others altogether */
			kill(pids[round], SIGKILL);
			assert_int_equal(waitpid(pids[round], NULL, 0), pids[round]);
			pids[round] = start_sleeper();
		}
	}
	/* They must be gone whatever was found: later tests wait for all children. */
	for (size_t i = 0; i < CROWD; i++) {
		kill(pids[i], SIGKILL);
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	}
	assert_int_equal(wrong, 0);
}

/* Its parent ends while it sleeps. */
void changes_from_outside_come_in_turns(void **state)
{
	int ready[2];
	pid_t orphan;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		orphan = fork();
		while (orphan == 0)
			pause();
		if (write(ready[1], &orphan, sizeof(orphan)) != sizeof(orphan))
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &orphan, sizeof(orphan)), sizeof(orphan));
	close(ready[0]);
	nap(ROUND_NS);
	for (int i = 0; i < 2; i++) {
		struct process_table table = read_source();
		assert_non_null(row_of(&table, orphan));
		assert_int_equal(row_of(&table, orphan)->parent_pid, parent);
	}
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	uint32_t shown = 0;
	for (int i = 0; i < TASKS_TURNS; i++) {
		struct process_table table = read_source();
		assert_non_null(row_of(&table, orphan));
		shown = row_of(&table, orphan)->parent_pid;
	}
	assert_int_equal(shown, getpid());
	kill(orphan, SIGKILL);
	assert_int_equal(waitpid(orphan, NULL, 0), orphan);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}
