#include "agent/delivery/dial.h"

#include "agent/delivery/addresses.h"
#include "common/clock.h"
#include "common/encoding.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull

struct race {
	struct pollfd fds[DIAL_ADDRESSES + 1]; /* the last is what cancels */
	size_t n;			       /* that are on their way, in front of that one */
	uint64_t next_ns, deadline_ns;
	int error; /* what people are told when nobody answers */
};

/* That a family has no route says nothing as long as anything else is known. */
static void note_error(struct race *race, int error)
{
	if (race->error == 0 || race->error == -ENETUNREACH || race->error == -EADDRNOTAVAIL ||
	    race->error == -EAFNOSUPPORT)
		race->error = error;
}

static void leave(struct race *race, size_t i)
{
	close(race->fds[i].fd);
	race->fds[i] = race->fds[--race->n];
}

/* Begins with one address. Its socket, if it is connected at once; else -EINPROGRESS or why not. */
static int begin(struct race *race, const struct address *address)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &address->any, address->len) == 0)
		return fd;
	if (errno != EINPROGRESS) {
		int error = -errno;
		close(fd);
		return error;
	}
	race->fds[race->n++] = (struct pollfd){.fd = fd, .events = POLLOUT};
	return -EINPROGRESS;
}

/* The socket that is connected, taken out of the race; -EINPROGRESS when there is none yet. */
static int collect(struct race *race)
{
	for (size_t i = race->n; i-- > 0;) {
		int fd = race->fds[i].fd, error = 0;
		socklen_t len = sizeof(error);
		if (!race->fds[i].revents)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (error == 0) {
			race->fds[i] = race->fds[--race->n];
			return fd;
		}
		note_error(race, -error);
		leave(race, i);
		race->next_ns = 0;
	}
	return -EINPROGRESS;
}

/* Waits for news: of a socket, of the one who cancels, or that it is time for the next address. */
static int await(struct race *race, int cancel_fd, bool more)
{
	uint64_t now_ns = clock_monotonic_ns(), until_ns = more ? race->next_ns : race->deadline_ns;
	int wait_ms = until_ns > now_ns ? (int)((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
	race->fds[race->n] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
	int n = poll(race->fds, race->n + 1, wait_ms);
	if (n < 0)
		return errno == EINTR ? -EINPROGRESS : -errno;
	if (race->fds[race->n].revents)
		return -ECANCELED;
	if (n > 0)
		return collect(race);
	return !more && clock_monotonic_ns() >= race->deadline_ns ? -ETIMEDOUT : -EINPROGRESS;
}

/* A socket or negative errno. */
static int run(struct race *race, const struct addresses *addresses, uint32_t timeout_ms, int cancel_fd)
{
	size_t next = 0, n = addresses->n < DIAL_ADDRESSES ? addresses->n : DIAL_ADDRESSES;
	while (next < n || race->n > 0) {
		uint64_t now_ns = clock_monotonic_ns();
		int r = -EINPROGRESS;
		if (next < n && (race->n == 0 || now_ns >= race->next_ns)) {
			race->next_ns = now_ns + DIAL_STAGGER_MS * NS_PER_MS;
			race->deadline_ns = now_ns + timeout_ms * NS_PER_MS;
			r = begin(race, &addresses->list[next++]);
			if (r < 0 && r != -EINPROGRESS) {
				note_error(race, r);
				continue;
			}
		}
		if (r == -EINPROGRESS)
			r = await(race, cancel_fd, next < n);
		if (r == -EINPROGRESS)
			continue;
		if (r != -ETIMEDOUT)
			return r;
		note_error(race, r);
		break;
	}
	return race->error;
}

void dial_authority(const char *host, uint16_t port, char ret[DIAL_AUTHORITY_SIZE])
{
	bool v6 = strchr(host, ':') != NULL;
	(void)snprintf(ret, DIAL_AUTHORITY_SIZE, v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

int dial(const char *host, uint16_t port, uint32_t timeout_ms, int cancel_fd)
{
	struct addresses addresses;
	struct race race = {0};
	uint64_t seed;
	int fd = addresses_resolve(host, port, timeout_ms, cancel_fd, &addresses);
	if (fd < 0)
		return fd;
	encoding_random(&seed, sizeof(seed));
	addresses_order(&addresses, seed);
	fd = run(&race, &addresses, timeout_ms, cancel_fd);
	while (race.n > 0)
		leave(&race, race.n - 1);
	if (fd < 0)
		return fd;
	int on = 1;
	unsigned user_timeout_ms = 20000;
	/* Both only make a dead or slow link show sooner: the stream works without them. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
	return fd;
}
