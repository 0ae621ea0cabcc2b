/* bench_loads KIND SECONDS: work of a kind that probes see much of, on all CPUs; prints operations a second and CPU
 * time an operation. Kinds: idle, switches (a byte to and fro between two processes on one CPU), crowd (16 of them on
 * all CPUs), packets (UDP over loopback), requests (a byte to and fro over TCP), stream (TCP, 64 KiB at a time),
 * connections (TCP, opened and closed). */
#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PAIRS 64

struct pair {
	int near, far;
	uint64_t *count; /* of operations, shared */
	int cpu;	 /* of both; negative: any */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

static void echo(const struct pair *pair)
{
	char byte;
	while (read(pair->far, &byte, 1) == 1) {
		if (write(pair->far, &byte, 1) != 1)
			return;
	}
}

static void ask(const struct pair *pair)
{
	char byte = 'x';
	while (write(pair->near, &byte, 1) == 1 && read(pair->near, &byte, 1) == 1)
		++*pair->count;
}

static void drain(const struct pair *pair)
{
	static char buffer[1 << 18];
	while (read(pair->far, buffer, sizeof(buffer)) > 0)
		continue;
}

static void pour(const struct pair *pair)
{
	static char buffer[65536];
	while (write(pair->near, buffer, sizeof(buffer)) > 0)
		++*pair->count;
}

static void to_self(const struct pair *pair)
{
	char byte = 'x';
	while (write(pair->near, &byte, 1) == 1 && read(pair->far, &byte, 1) == 1)
		++*pair->count;
}

static struct sockaddr_in bound(int fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	if (bind(fd, (struct sockaddr *)&a, size) < 0 || getsockname(fd, (struct sockaddr *)&a, &size) < 0)
		die("bind");
	return a;
}

static void connect_anew(const struct pair *pair)
{
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = bound(listening);
	struct linger linger = {.l_onoff = 1}; /* no port waits */
	if (listen(listening, 64) < 0)
		die("listen");
	for (;;) {
		int near = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(near, (struct sockaddr *)&to, sizeof(to)) < 0)
			die("connect");
		int far = accept(listening, NULL, NULL);
		if (far < 0 || setsockopt(near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
			die("accept");
		close(near);
		close(far);
		++*pair->count;
	}
}

static void open_sockets(struct pair *pair, int type)
{
	if (type == 0) {
		int ends[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
			die("socketpair");
		pair->near = ends[0];
		pair->far = ends[1];
		return;
	}
	int first = socket(AF_INET, type, 0);
	pair->near = socket(AF_INET, type, 0);
	struct sockaddr_in to = bound(first);
	if (type == SOCK_STREAM && listen(first, 1) < 0)
		die("listen");
	if (connect(pair->near, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	pair->far = type == SOCK_STREAM ? accept(first, NULL, NULL) : first;
	if (pair->far < 0)
		die("accept");
}

static const struct kind {
	const char *name;
	int type;    /* of the sockets; 0 is a UNIX pair */
	int per_cpu; /* pairs */
	int pinned;
	void (*near)(const struct pair *pair);
	void (*far)(const struct pair *pair); /* NULL: one process does both */
} kinds[] = {
	{"idle", 0, 0, 0, NULL, NULL},
	{"switches", 0, 1, 1, ask, echo},
	{"crowd", 0, 8, 0, ask, echo},
	{"packets", SOCK_DGRAM, 1, 1, to_self, NULL},
	{"requests", SOCK_STREAM, 1, 1, ask, echo},
	{"stream", SOCK_STREAM, 1, 0, pour, drain},
	{"connections", SOCK_STREAM, 1, 1, connect_anew, NULL},
};

static pid_t start(void (*work)(const struct pair *), const struct pair *pair)
{
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(pair->cpu);
		work(pair);
		_exit(0);
	}
	return pid;
}

int main(int argc, char **argv)
{
	const struct kind *kind = NULL;
	for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, argv[1]) == 0)
			kind = &kinds[i];
	}
	unsigned long seconds = kind ? strtoul(argv[2], NULL, 10) : 0;
	if (seconds == 0) {
		(void)fprintf(stderr,
			      "usage: bench_loads idle|switches|crowd|packets|requests|stream|connections SECONDS\n");
		return 2;
	}
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), n = 0;
	static struct pair pairs[MAX_PAIRS];
	static pid_t pids[2 * MAX_PAIRS];
	uint64_t *counts = mmap(NULL, MAX_PAIRS * 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		die("mmap");
	size_t started = 0;
	for (; n < cpus * kind->per_cpu && n < MAX_PAIRS; n++) {
		struct pair *pair = &pairs[n];
		pair->count = &counts[n * 8];
		pair->cpu = kind->pinned ? n % cpus : -1;
		open_sockets(pair, kind->type);
		pids[started++] = start(kind->near, pair);
		if (kind->far)
			pids[started++] = start(kind->far, pair);
	}
	uint64_t begin = clock_monotonic_ns(), sum = 0;
	sleep((unsigned)seconds);
	for (int i = 0; i < n; i++)
		sum += __atomic_load_n(&counts[i * 8], __ATOMIC_RELAXED);
	double elapsed = (double)(clock_monotonic_ns() - begin) / 1e9;
	for (size_t i = 0; i < started; i++)
		kill(pids[i], SIGKILL);
	for (size_t i = 0; i < started; i++)
		waitpid(pids[i], NULL, 0);
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	printf("{\"operations_a_second\": %.0f, \"cpu_ns_an_operation\": %.0f}\n", (double)sum / elapsed,
	       sum > 0 ? cpu * 1e9 / (double)sum : 0.0);
	return 0;
}
