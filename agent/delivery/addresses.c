/* getaddrinfo(3) cannot be told to stop: where it may wait for a server it runs on a thread of its own, which shares a
 * counted struct with whoever waits for it. */
#include "agent/delivery/addresses.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)256 << 10)

/* --- order -------------------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014): any seed will do. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void shuffle(struct address *list, size_t n, uint64_t *state)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = (size_t)(draw(state) % i);
		struct address swapped = list[i - 1];
		list[i - 1] = list[other];
		list[other] = swapped;
	}
}

void addresses_order(struct addresses *a, uint64_t seed)
{
	struct address families[2][ADDRESSES_MAX];
	size_t n[2] = {0}, at[2] = {0};
	for (size_t i = 0; i < a->n; i++) {
		bool second = a->list[i].any.sa_family != a->list[0].any.sa_family;
		families[second][n[second]++] = a->list[i];
	}
	shuffle(families[0], n[0], &seed);
	shuffle(families[1], n[1], &seed);
	bool second = false;
	for (size_t i = 0; i < a->n; i++) {
		if (at[second] == n[second])
			second = !second;
		a->list[i] = families[second][at[second]++];
		second = !second;
	}
}

/* --- resolution --------------------------------------------------------------------------------------------------- */

/* One question: the thread and who asks hold it. */
struct question {
	atomic_uint refs;
	int done_fd;
	int error;
	struct addresses answer;
	char service[8];
	char host[];
};

static int ask(const char *host, const char *service, int flags, struct addresses *ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags}, *list = NULL;
	int r = getaddrinfo(host, service, &hints, &list);
	if (r != 0)
		return r == EAI_AGAIN ? -ETIMEDOUT : r == EAI_MEMORY ? -ENOMEM : -ENOENT;
	ret->n = 0;
	for (const struct addrinfo *i = list; i && ret->n < ADDRESSES_MAX; i = i->ai_next) {
		if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
			continue;
		struct address *address = &ret->list[ret->n++];
		memcpy(&address->any, i->ai_addr, i->ai_addrlen);
		address->len = i->ai_addrlen;
	}
	freeaddrinfo(list);
	return ret->n > 0 ? 0 : -ENOENT;
}

static void question_unref(struct question *q)
{
	if (atomic_fetch_sub(&q->refs, 1) != 1)
		return;
	close(q->done_fd);
	free(q);
}

static void *answer(void *arg)
{
	struct question *q = arg;
	const uint64_t one = 1;
	q->error = ask(q->host, q->service, 0, &q->answer);
	ssize_t written = write(q->done_fd, &one, sizeof(one));
	(void)written; /* a counter of 0 has room */
	question_unref(q);
	return NULL;
}

static struct question *question_new(const char *host, const char *service)
{
	struct question *q = calloc(1, sizeof(*q) + strlen(host) + 1);
	if (!q)
		return NULL;
	q->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->done_fd < 0) {
		free(q);
		return NULL;
	}
	memcpy(q->host, host, strlen(host) + 1);
	memcpy(q->service, service, strlen(service) + 1);
	atomic_init(&q->refs, 2);
	return q;
}

/* One reference is the thread's, or nobody's when there is none. */
static int start(struct question *q)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	int r = -pthread_create(&thread, &attributes, answer, q);
	pthread_attr_destroy(&attributes);
	if (r < 0)
		atomic_store(&q->refs, 1);
	return r;
}

int addresses_resolve(const char *host, uint16_t port, uint32_t timeout_ms, int cancel_fd, struct addresses *ret)
{
	char service[8];
	(void)snprintf(service, sizeof(service), "%u", (unsigned)port);
	if (ask(host, service, AI_NUMERICHOST, ret) == 0)
		return 0;
	struct question *q = question_new(host, service);
	if (!q)
		return -ENOMEM;
	int r = start(q);
	struct pollfd fds[] = {{.fd = q->done_fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
	if (r == 0) {
		int n = poll(fds, 2, (int)timeout_ms);
		r = n < 0 ? -errno : n == 0 ? -ETIMEDOUT : fds[0].revents ? q->error : -ECANCELED;
	}
	if (r == 0)
		*ret = q->answer;
	question_unref(q);
	return r;
}
