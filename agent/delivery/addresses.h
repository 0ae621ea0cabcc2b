/* What a name resolves to, and in which order it is tried. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESSES_MAX 64 /* of a name; more are not looked at */

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

struct addresses {
	struct address list[ADDRESSES_MAX];
	size_t n;
};

/* Each family in an order drawn by the seed, so that many agents spread over the addresses of one name, the two
 * families in turn, beginning with that of the first: the system puts the one first that this host can reach. Pure. */
void addresses_order(struct addresses *addresses, uint64_t seed) __attribute__((nonnull));

/* Asks the system's resolver, anew each time; a number needs none. 0; -ENOENT when the name does not resolve;
 * -ETIMEDOUT when the resolver does not answer, in so long or at all; -ECANCELED when cancel_fd (-1: none) became
 * readable; -ENOMEM. A resolver that hangs holds nobody up: the thread that waits for it is left to end by itself. */
int addresses_resolve(const char *host, uint16_t port, uint32_t timeout_ms, int cancel_fd, struct addresses *ret)
	__attribute__((nonnull, warn_unused_result));
