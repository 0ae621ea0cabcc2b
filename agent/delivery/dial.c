#include "agent/delivery/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int await_connected(int fd, uint32_t timeout_ms, int cancel_fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = cancel_fd, .events = POLLIN}};
	int n = poll(fds, 2, (int)timeout_ms);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (fds[1].revents)
		return -ECANCELED;
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

static int dial_one(const struct addrinfo *address, uint32_t timeout_ms, int cancel_fd)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int r = 0;
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0)
		r = errno == EINPROGRESS ? await_connected(fd, timeout_ms, cancel_fd) : -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	int on = 1;
	unsigned user_timeout_ms = 20000;
	/* Both only make a dead or slow link show sooner: the stream works without them. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
	return fd;
}

int dial(const char *host, uint16_t port, uint32_t timeout_ms, int cancel_fd)
{
	char service[8];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
	snprintf(service, sizeof(service), "%u", (unsigned)port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		return -ENOENT;
	int r = -ENOENT;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		r = dial_one(a, timeout_ms, cancel_fd);
		if (r >= 0 || r == -ECANCELED)
			break;
	}
	freeaddrinfo(list);
	return r;
}
