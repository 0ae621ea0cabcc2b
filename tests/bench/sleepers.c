/* A crowd that costs nothing but to be looked at:
 *
 *   bench_sleepers PROCESSES THREADS
 *
 * starts PROCESSES processes of THREADS threads each, all asleep, writes "ready" when they are there, and ends them
 * when its standard input does. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES 32768

static void *sleep_on(void *unused)
{
	for (;;)
		(void)pause();
	return unused;
}

static int start_threads(long n)
{
	pthread_attr_t attributes;
	int r = pthread_attr_init(&attributes);
	if (r == 0)
		r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (long i = 0; r == 0 && i < n; i++) {
		pthread_t thread;
		r = pthread_create(&thread, &attributes, sleep_on, NULL);
	}
	return -r;
}

/* In the child: tells the parent that it stands, and never returns. */
static _Noreturn void crowd(long threads, int ready)
{
	const char failed = signal(SIGTERM, SIG_DFL) == SIG_ERR || start_threads(threads - 1) < 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || write(ready, &failed, 1) != 1)
		_exit(1);
	(void)close(ready);
	(void)sleep_on(NULL);
	_exit(0);
}

static int start(long processes, long threads, int *ready)
{
	for (long i = 0; i < processes; i++) {
		char failed;
		pid_t pid = fork();
		if (pid < 0)
			return -errno;
		if (pid == 0)
			crowd(threads, ready[1]);
		if (read(ready[0], &failed, 1) != 1 || failed)
			return -EAGAIN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int ready[2];
	char byte;
	long processes = argc == 3 ? strtol(argv[1], NULL, 10) : 0, threads = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	if (processes < 1 || threads < 1)
		return 2;
	/* A group of its own, so that one signal reaches them all and nobody else; this process is not meant by it. */
	if (pipe(ready) < 0 || setpgid(0, 0) < 0 || signal(SIGTERM, SIG_IGN) == SIG_ERR)
		return 1;
	int r = start(processes, threads, ready);
	if (r < 0) {
		fprintf(stderr, "bench_sleepers: errno %d\n", -r);
		return 1;
	}
	(void)puts("ready");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	if (kill(0, SIGTERM) < 0)
		return 1;
	while (wait(NULL) > 0)
		;
	return 0;
}
