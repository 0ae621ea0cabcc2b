/* It writes to a terminal, so that its first line comes when it is attached and not when it ends. */
#include "tests/integration/bpf/biolatency.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)1 << 20)
#define PATIENCE_MS 20000

bool biolatency_is_installed(void)
{
	return access("/usr/sbin/biolatency", X_OK) == 0;
}

/* More output. 1, 0 at the end, -ETIMEDOUT. */
static int take(struct biolatency *biolatency)
{
	struct pollfd poll_fd = {.fd = biolatency->terminal, .events = POLLIN};
	if (poll(&poll_fd, 1, PATIENCE_MS) <= 0)
		return -ETIMEDOUT;
	if (biolatency->len >= TEXT_MAX - 1)
		return -EMSGSIZE;
	ssize_t n = read(biolatency->terminal, biolatency->text + biolatency->len, TEXT_MAX - 1 - biolatency->len);
	if (n <= 0) /* a terminal whose other side is closed gives EIO */
		return 0;
	biolatency->len += (size_t)n;
	biolatency->text[biolatency->len] = '\0';
	return 1;
}

int biolatency_start(struct biolatency *biolatency)
{
	*biolatency = (struct biolatency){.terminal = -1, .text = calloc(1, TEXT_MAX)};
	if (!biolatency->text)
		return -ENOMEM;
	biolatency->child = forkpty(&biolatency->terminal, NULL, NULL, NULL);
	if (biolatency->child < 0)
		return -errno;
	if (biolatency->child == 0) {
		(void)execl("/usr/sbin/biolatency", "biolatency", "-D", "-F", (char *)NULL);
		_exit(127);
	}
	while (!strstr(biolatency->text, "Tracing")) {
		int r = take(biolatency);
		if (r <= 0)
			return r < 0 ? r : -ECHILD;
	}
	return 0;
}

int biolatency_stop(struct biolatency *biolatency)
{
	int r, status;
	if (kill(biolatency->child, SIGINT) < 0)
		return -errno;
	while ((r = take(biolatency)) > 0) {
	}
	if (r < 0)
		return r;
	return waitpid(biolatency->child, &status, 0) == biolatency->child ? 0 : -ECHILD;
}

/* "disk = loop0	flags = Sync-Write" */
static bool is_wanted(const char *line, const char *device, const char *operation)
{
	char head[64];
	(void)snprintf(head, sizeof(head), "disk = %s\t", device);
	size_t len = strcspn(line, "\r\n"), n = strlen(operation);
	return strncmp(line, head, strlen(head)) == 0 && len > n && memcmp(line + len - n, operation, n) == 0;
}

/* "        32 -> 63         : 790      |****" */
static bool is_bucket(const char *line, uint64_t *ret_from, uint64_t *ret_count)
{
	char *end;
	*ret_from = strtoull(line, &end, 10);
	if (end == line || strncmp(end, " -> ", 4) != 0)
		return false;
	const char *colon = strchr(end, ':');
	if (!colon)
		return false;
	*ret_count = strtoull(colon + 1, NULL, 10);
	return true;
}

void biolatency_histogram(const struct biolatency *biolatency, const char *device, const char *operation,
			  uint64_t ret[BIOLATENCY_BUCKETS])
{
	bool wanted = false;
	memset(ret, 0, BIOLATENCY_BUCKETS * sizeof(*ret));
	for (const char *line = biolatency->text; line && *line; line = strchr(line, '\n')) {
		uint64_t from, count;
		line += *line == '\n';
		if (strncmp(line, "disk = ", 7) == 0)
			wanted = is_wanted(line, device, operation);
		else if (wanted && is_bucket(line, &from, &count)) {
			unsigned bucket = 0;
			while (from > 1 && bucket < BIOLATENCY_BUCKETS - 1) {
				from /= 2;
				bucket++;
			}
			ret[bucket] += count;
		}
	}
}

void biolatency_free(struct biolatency *biolatency)
{
	if (biolatency->terminal >= 0)
		close(biolatency->terminal);
	free(biolatency->text);
}
