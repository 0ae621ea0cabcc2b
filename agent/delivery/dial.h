/* TCP to a name or an address: every address it resolves to is tried, in an order of its own for each agent and try,
 * the next one as soon as one fails or has not answered within DIAL_STAGGER_MS, as in RFC 8305; the first that answers
 * is taken. So neither a dead address nor a family without a route holds anybody up. Blocks, bounded; runs on the
 * sender's thread only. */
#pragma once

#include <stdint.h>

#define DIAL_STAGGER_MS 250
#define DIAL_ADDRESSES 8 /* of one try; the next draws others */

#define DIAL_AUTHORITY_SIZE 300 /* cut if the host is longer than a name may be */

/* "host:port", an IPv6 address in brackets. */
void dial_authority(const char *host, uint16_t port, char ret[DIAL_AUTHORITY_SIZE]) __attribute__((nonnull));

/* A connected, non-blocking socket, or negative errno: -ENOENT when the name does not resolve, -ETIMEDOUT,
 * -ECONNREFUSED ... of an address that was tried, -ECANCELED when cancel_fd (-1: none) became readable. timeout_ms is
 * for the resolver, and then for the address tried last: all of it takes at most twice that and 8 staggers. */
int dial(const char *host, uint16_t port, uint32_t timeout_ms, int cancel_fd)
	__attribute__((nonnull, warn_unused_result));
