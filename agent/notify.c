#include "agent/notify.h"

#include "agent/scan.h"
#include "common/clock.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint64_t number(const char *variable)
{
	const char *text = getenv(variable);
	uint64_t value = 0;
	return text && word_u64((struct word){text, strlen(text)}, &value) == 0 ? value : 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* a name without a file */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int notify_open(struct notify *ret)
{
	*ret = (struct notify){.fd = -1};
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || path[0] == '\0')
		return 0;
	int fd = connect_to(path);
	if (fd < 0)
		return fd;
	ret->fd = fd;
	uint64_t pid = number("WATCHDOG_PID"), us = number("WATCHDOG_USEC");
	if ((pid == 0 || pid == (uint64_t)getpid()) && us < UINT64_MAX / 1000)
		ret->watchdog_ns = us * 1000;
	return 0;
}

void notify_close(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

void notify_send(const struct notify *notify, const char *message)
{
	if (notify->fd < 0)
		return;
	ssize_t n = send(notify->fd, message, strlen(message), MSG_NOSIGNAL);
	(void)n; /* a manager that does not listen is not the agent's trouble */
}

void notify_reloading(const struct notify *notify)
{
	char message[96];
	(void)snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)(clock_monotonic_ns() / 1000));
	notify_send(notify, message);
}
