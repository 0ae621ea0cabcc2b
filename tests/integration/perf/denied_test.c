/* Denials produced for real, each in a child of its own: capabilities dropped, a seccomp filter, a user namespace, too
 * few file descriptors. Each must end in its own reason. */
#include "agent/perf/perf.h"
#include "agent/settings.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct answer {
	int result;
	struct collector_state state;
	/* Of the hardware or software source, where the collector could be made. */
	char reason[48];
	unsigned long long left_out_cpus;
};

static int paranoid(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/kernel/perf_event_paranoid", O_RDONLY | O_CLOEXEC), value = 0;
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		value = text[0] == '-' ? -1 : text[0] - '0';
	if (fd >= 0)
		close(fd);
	return value;
}

static struct answer make_collector(void)
{
	struct answer answer = {.result = -ENOMEM};
	struct root root;
	struct collector_settings settings;
	void *self;
	struct arena *arena = arena_new(1 << 20);
	settings_default(&settings);
	if (!arena || root_open(&root, NULL) < 0)
		return answer;
	struct collector_context context = {.root = &root, .live = true, .settings = &settings};
	answer.result = collector_perf.create(&context, &self, &answer.state);
	if (answer.result < 0)
		return answer;
	Sonde__V1__Perf section = SONDE__V1__PERF__INIT;
	struct tick tick = {.arena = arena, .boottime_us = clock_boottime_us(), .state = &answer.state};
	answer.result = collector_perf.collect(self, &tick, &section.base);
	if (answer.result == 0 && section.software->state->reason)
		(void)snprintf(answer.reason, sizeof(answer.reason), "%s", section.software->state->reason);
	if (answer.result == 0)
		answer.left_out_cpus = section.software->cpus_left_out;
	return answer;
}

/* What a collector says that is made after `prepare`; false when that cannot be done here. */
static bool ask(bool (*prepare)(void), struct answer *ret)
{
	int fds[2], status;
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct answer answer = {.result = 0};
		if (!prepare())
			_exit(77);
		answer = make_collector();
		_exit(write(fds[1], &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
	}
	close(fds[1]);
	ssize_t len = read(fds[0], ret, sizeof(*ret));
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		(void)printf("not here: the child could not be prepared\n");
		return false;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(len, sizeof(*ret));
	return true;
}

static bool drop_capabilities(void)
{
	return paranoid() > 0 && setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
}

static void without_capabilities(void **state)
{
	struct answer answer;
	char level[48];
	if (!ask(drop_capabilities, &answer))
		skip();
	assert_int_equal(answer.result, -EACCES);
	assert_int_equal(answer.state.code, SONDE__V1__STATE__CODE__CODE_DENIED);
	assert_string_equal(answer.state.reason, "perf_event_paranoid");
	(void)snprintf(level, sizeof(level), "perf_event_paranoid=%d", paranoid());
	assert_non_null(strstr(answer.state.detail, level));
	assert_non_null(strstr(answer.state.detail, "CAP_PERFMON"));
}

static bool filter(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog fprog = {.len = 4, .filter = program};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fprog) == 0;
}

static void behind_a_seccomp_filter(void **state)
{
	struct answer answer;
	if (!ask(filter, &answer))
		skip();
	assert_int_equal(answer.result, -EPERM);
	assert_int_equal(answer.state.code, SONDE__V1__STATE__CODE__CODE_DENIED);
	assert_string_equal(answer.state.reason, "seccomp");
	assert_non_null(strstr(answer.state.detail, "seccomp profile"));
}

static bool enter_user_namespace(void)
{
	return paranoid() > 0 && unshare(CLONE_NEWUSER) == 0;
}

static void in_a_user_namespace(void **state)
{
	struct answer answer;
	if (!ask(enter_user_namespace, &answer))
		skip();
	assert_int_equal(answer.result, -EACCES);
	assert_string_equal(answer.state.reason, "user_namespace");
	assert_non_null(strstr(answer.state.detail, "initial user namespace"));
}

/* Room for the software events of one CPU of several. */
static bool limit_descriptors(void)
{
	struct rlimit limit = {.rlim_cur = 16, .rlim_max = 16};
	return sysconf(_SC_NPROCESSORS_ONLN) > 1 && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void with_few_descriptors(void **state)
{
	struct answer answer;
	if (!ask(limit_descriptors, &answer))
		skip();
	assert_int_equal(answer.result, 0);
	assert_string_equal(answer.reason, "few_descriptors");
}

int main(void)
{
	if (geteuid() != 0) {
		(void)printf("SKIP: only root has rights to lose\n");
		return 77;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_capabilities),
		cmocka_unit_test(behind_a_seccomp_filter),
		cmocka_unit_test(in_a_user_namespace),
		cmocka_unit_test(with_few_descriptors),
	};
	return cmocka_run_group_tests_name("denied", tests, NULL, NULL);
}
