/* churn processes N | disks N DIRECTORY | cgroups N DIRECTORY: what comes and goes, as fast as it can, each with a name
 * of its own where it has one, and each doing a little of what probes count. Prints how many there were. */
#include "tests/integration/bpf/loop_device.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISK_BYTES ((size_t)64 << 10)

/* One that lives no longer than it must; `name` so that no two fold into one row. */
static void live_and_die(long number)
{
	pid_t child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		char name[16];
		(void)snprintf(name, sizeof(name), "churn%ld", number);
		(void)prctl(PR_SET_NAME, name, 0L, 0L, 0L);
		_exit(0);
	}
	if (waitpid(child, NULL, 0) != child)
		err(1, "waitpid");
}

static void processes(long n)
{
	for (long i = 0; i < n; i++)
		live_and_die(i);
}

/* A new medium each time, under the numbers that are free. */
static void disks(long n, const char *directory)
{
	static char buffer[4096] __attribute__((aligned(4096)));
	for (long i = 0; i < n; i++) {
		struct loop_device loop;
		int r = loop_device_open(&loop, directory, DISK_BYTES, LOOP_DEVICE_FREE);
		if (r < 0)
			errx(1, "disk %ld: %s", i, strerror(-r));
		if (pwrite(loop.direct_fd, buffer, sizeof(buffer), 0) != (ssize_t)sizeof(buffer) ||
		    pread(loop.direct_fd, buffer, sizeof(buffer), 0) != (ssize_t)sizeof(buffer))
			err(1, "disk %ld", i);
		loop_device_close(&loop);
	}
}

static void enter(const char *directory)
{
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0\n", 2) != 2)
		err(1, "%s", path);
	close(fd);
}

/* Entered by a process that writes a little, and removed when that has gone. */
static void cgroups(long n, const char *directory)
{
	char path[480];
	for (long i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/churn%ld", directory, i);
		if (mkdir(path, 0755) < 0)
			err(1, "%s", path);
		pid_t child = fork();
		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			enter(path);
			live_and_die(i);
			_exit(0);
		}
		if (waitpid(child, NULL, 0) != child)
			err(1, "waitpid");
		for (int again = 0; rmdir(path) < 0; again++) {
			if (errno != EBUSY || again == 1000)
				err(1, "%s", path);
			usleep(1000);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: churn processes N | disks N DIRECTORY | cgroups N DIRECTORY");
	long n = strtol(argv[2], NULL, 10);
	if (strcmp(argv[1], "processes") == 0)
		processes(n);
	else if (strcmp(argv[1], "disks") == 0 && argc == 4)
		disks(n, argv[3]);
	else if (strcmp(argv[1], "cgroups") == 0 && argc == 4)
		cgroups(n, argv[3]);
	else
		errx(2, "unknown: %s", argv[1]);
	printf("%ld %s\n", n, argv[1]);
	return 0;
}
