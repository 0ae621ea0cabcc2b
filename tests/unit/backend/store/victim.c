#include "victim.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
	uint64_t sequence;
	int pipe;
};

void *victim_report_new(uint64_t sequence, int pipe)
{
	struct report *r = malloc(sizeof(*r));
	if (!r)
		_exit(1);
	*r = (struct report){.sequence = sequence, .pipe = pipe};
	return r;
}

void victim_report(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct report *r = arg;
	if (error == 0 && n == 1 && fates[0] != STORE_CONFLICT &&
	    write(r->pipe, &r->sequence, sizeof(r->sequence)) != sizeof(r->sequence))
		_exit(2);
	free(r);
}

void victim_start(struct victim *v, void (*work)(const char *url, uint64_t from, int pipe), const char *url,
		  uint64_t from)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		work(url, from, ends[1]);
		_exit(3);
	}
	close(ends[1]);
	*v = (struct victim){.pid = pid, .reports = ends[0]};
}

void victim_wait(const struct victim *v)
{
	struct pollfd p = {.fd = v->reports, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 30000), 1);
}

size_t victim_kill(struct victim *v, const struct fixture *f, uint64_t *highest)
{
	uint64_t sequence;
	size_t n = 0;
	int status = 0;
	assert_int_equal(kill(v->pid, SIGKILL), 0);
	while (read(v->reports, &sequence, sizeof(sequence)) == (ssize_t)sizeof(sequence)) {
		n++;
		if (sequence > *highest)
			*highest = sequence;
	}
	close(v->reports);
	assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
	if (!WIFSIGNALED(status))
		fail_msg("ended by itself with %d", WEXITSTATUS(status));
	fixture_settle(f);
	return n;
}
