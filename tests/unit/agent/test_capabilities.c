/* Permitted and effective sets of threads, as the kernel shows them. What wants root is done in children, because what
 * is given up does not come back. */
#include "agent/collector.h"
#include "agent/host/capabilities.h"
#include "agent/lane.h"
#include "tests/unit/cmocka_all.h"

#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIT(number) (1ull << (number))

/* Of the calling thread: "CapEff", "CapPrm". */
static uint64_t capability_set(const char *name)
{
	char line[256];
	uint64_t set = UINT64_MAX;
	FILE *file = fopen("/proc/thread-self/status", "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, strlen(name)) == 0)
			set = strtoull(line + strlen(name) + 1, NULL, 16);
	}
	if (file)
		(void)fclose(file);
	return set;
}

static bool may_be_tested(void)
{
	uint64_t wanted = BIT(CAP_SYSLOG) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH);
	return (capability_set("CapPrm") & wanted) == wanted;
}

/* In a child: the number of the first check that failed, 0 when all held. */
static void in_child(int (*body)(void))
{
	if (!may_be_tested()) {
		print_message(
			"SKIP: this process has no CAP_SYSLOG, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to raise\n");
		skip();
	}
	int status = -1;
	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(body());
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__ & 0xff ? __LINE__ & 0xff : 1;                                                  \
	} while (0)

static int raise_and_lower(void)
{
	struct capabilities_thread rights;
	CHECK(capabilities_keep_used() == 0);
	CHECK(capability_set("CapEff") == 0);
	CHECK(capability_set("CapPrm") & BIT(CAP_SYSLOG));
	CHECK(!(capability_set("CapPrm") & BIT(CAP_SYS_BOOT)));
	capabilities_of_thread(&rights);
	capabilities_switch(&rights, 0);
	CHECK(capability_set("CapEff") == 0);
	capabilities_switch(&rights, CAPABILITY_SYSLOG);
	CHECK(capability_set("CapEff") == BIT(CAP_SYSLOG));
	capabilities_switch(&rights, CAPABILITY_SYS_PTRACE);
	CHECK(capability_set("CapEff") == (BIT(CAP_SYSLOG) | BIT(CAP_SYS_PTRACE)));
	capabilities_switch(&rights, 0);
	CHECK(capability_set("CapEff") == 0);
	/* What is not permitted is not raised, and does no harm. */
	CHECK(capabilities_drop_all() == 0);
	capabilities_of_thread(&rights);
	capabilities_switch(&rights, CAPABILITY_SYSLOG);
	CHECK(capability_set("CapEff") == 0);
	return 0;
}

static void raised_around_a_call(void **state)
{
	(void)state;
	in_child(raise_and_lower);
}

struct job {
	struct lane_job job;
	uint64_t effective;
};

static void look(struct lane_job *job)
{
	((struct job *)job)->effective = capability_set("CapEff");
}

/* What a job sees, from a thread that had everything when it submitted it. */
static int on_the_lane(void)
{
	struct lane *lane;
	struct job none = {.job.run = look}, some = {.job.run = look, .job.capabilities = CAPABILITY_DAC_READ_SEARCH},
		   again = {.job.run = look};
	struct job *jobs[] = {&none, &some, &again};
	CHECK(capability_set("CapEff") != 0);
	CHECK(lane_new(&lane) == 0);
	for (size_t i = 0; i < 3; i++)
		CHECK(lane_submit(lane, &jobs[i]->job) == 0);
	for (int ms = 0; ms < 10000 && lane_job_state(&again.job) != LANE_DONE; ms++)
		(void)poll(NULL, 0, 1);
	CHECK(lane_free(lane));
	CHECK(none.effective == 0 && again.effective == 0);
	CHECK(some.effective == BIT(CAP_DAC_READ_SEARCH));
	CHECK(capability_set("CapEff") != 0);
	return 0;
}

static void a_job_has_what_it_declares(void **state)
{
	(void)state;
	in_child(on_the_lane);
}

static const struct {
	const char *name;
	uint32_t bit;
} names[] = {{"CAP_BPF", CAPABILITY_BPF},
	     {"CAP_PERFMON", CAPABILITY_PERFMON},
	     {"CAP_SYS_PTRACE", CAPABILITY_SYS_PTRACE},
	     {"CAP_DAC_READ_SEARCH", CAPABILITY_DAC_READ_SEARCH},
	     {"CAP_SYSLOG", CAPABILITY_SYSLOG}};

/* What a collector tells people it needs is what it is given. */
static void collectors_declare_what_they_need(void **state)
{
	(void)state;
	size_t declared = 0;
	for (size_t c = 0; collectors[c]; c++) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			bool says = strstr(collectors[c]->needs, names[i].name) != NULL;
			bool has = (collectors[c]->capabilities & names[i].bit) != 0;
			if (says != has)
				fail_msg("%s: needs \"%s\", and its capabilities %s %s", collectors[c]->name,
					 collectors[c]->needs, has ? "have" : "have not", names[i].name);
			declared += has;
		}
	}
	assert_true(declared > 5);
}

static double cpu_us(void)
{
	struct timespec t;
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* What a tick pays for those of the scheduler's thread; the bound leaves room for sanitizers and a busy machine. */
static int a_tick_costs_little(void)
{
	struct capabilities_thread rights;
	CHECK(capabilities_keep_used() == 0);
	double least = 1e9;
	for (int run = 0; run < 20; run++) {
		double begun = cpu_us();
		for (int tick = 0; tick < 100; tick++) {
			capabilities_of_thread(&rights);
			for (size_t c = 0; collectors[c]; c++) {
				if (!collectors[c]->slow && collectors[c]->period_ms == 0)
					capabilities_switch(&rights, collectors[c]->capabilities);
			}
			capabilities_switch(&rights, 0);
		}
		double us = (cpu_us() - begun) / 100;
		least = us < least ? us : least;
	}
	printf("raising and lowering for all collectors: %.2f us a tick\n", least);
	(void)fflush(stdout);
	CHECK(least < 50);
	return 0;
}

static void cost(void **state)
{
	(void)state;
	in_child(a_tick_costs_little);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raised_around_a_call),
		cmocka_unit_test(a_job_has_what_it_declares),
		cmocka_unit_test(collectors_declare_what_they_need),
		cmocka_unit_test(cost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
