/* What tests of TCP's probe share: what the section and the kernel say of what a test did, connections over loopback,
 * and numbers that must agree. Asserts by cmocka.
 *
 * The probe sees all namespaces, and others may use TCP meanwhile: on a busy machine without a pause. So each test is
 * repeated, a few times, when its numbers do not agree. If they never do, they must have been too large each time,
 * while the counters of other namespaces moved, and by no more than those: what others did adds, and takes nothing
 * away. */
#pragma once

#include "common/histogram.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

extern int tcp_family; /* AF_INET6, but for a test that says otherwise */

struct hist {
	uint64_t sum, count, counts[HISTOGRAM_BUCKETS];
};

enum {
	ACTIVE_OPENS,
	ACTIVE_ESTABLISHED,
	ACTIVE_FAILED,
	ACTIVE_UNTIMED,
	PASSIVE_OPENS,
	PASSIVE_ESTABLISHED,
	PASSIVE_FAILED,
	PASSIVE_UNTIMED,
	CLOSED,
	ABORTED,
	RESETS_SENT,
	RESETS_RECEIVED,
	SEGMENTS,
	SYNS,
	SYN_ACKS,
	COUNTERS,
};
enum { ACTIVE_SETUP, PASSIVE_SETUP, CLOSING_RTT, RTT, HISTOGRAMS };

struct view {
	uint64_t n[COUNTERS];
	struct hist h[HISTOGRAMS];
};

/* The section's row of that family, as it is and as it has grown. */
struct view view_now(void);
struct view view_since(const struct view *before);

/* The kernel's own counters, of this thread's network namespace. */
struct snmp {
	uint64_t active, passive, fails, estab_resets, retrans, out_resets, syn_retrans;
};

/* As they are with NULL, else as they have grown. */
struct snmp snmp_since(const struct snmp *before);

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t size;
};

/* On a port of its own. */
int listener(struct address *ret);

struct pair {
	int client, server;
};

struct pair connect_to(int listening, const struct address *to);
void reset_at_close(int fd);

/* What others did is told from what the probe did wrong as above. */
void until_it_agrees(void (*test)(void));

/* How much more than its own a try counted: by counters that the kernel keeps too, and of all else whether. */
struct tcp_try {
	uint64_t more[COUNTERS];
	bool is_more, is_wrong;
};

extern struct tcp_try tcp_try;

#define SAY(a, b)                                                                                                      \
	print_message("%s, line %d: %s %" PRIu64 ", %s %" PRIu64 "\n", __func__, __LINE__, #a, (uint64_t)(a), #b,      \
		      (uint64_t)(b))
/* What nobody else has a part in. */
#define AGREE(a, b)                                                                                                    \
	do {                                                                                                           \
		if ((uint64_t)(a) != (uint64_t)(b)) {                                                                  \
			SAY(a, b);                                                                                     \
			tcp_try.is_wrong = true;                                                                       \
		}                                                                                                      \
	} while (0)
/* What others add to. */
#define AT_LEAST(a, b)                                                                                                 \
	do {                                                                                                           \
		if ((uint64_t)(a) != (uint64_t)(b)) {                                                                  \
			SAY(a, b);                                                                                     \
			*((uint64_t)(a) < (uint64_t)(b) ? &tcp_try.is_wrong : &tcp_try.is_more) = true;                \
		}                                                                                                      \
	} while (0)
#define AT_MOST(a, b)                                                                                                  \
	do {                                                                                                           \
		if ((uint64_t)(a) > (uint64_t)(b)) {                                                                   \
			SAY(a, b);                                                                                     \
			tcp_try.is_more = true;                                                                        \
		}                                                                                                      \
	} while (0)
#define COUNTED(view, counter, number)                                                                                 \
	do {                                                                                                           \
		uint64_t counted = (view).n[counter], wanted = (number);                                               \
		AT_LEAST(counted, wanted);                                                                             \
		if (counted != wanted)                                                                                 \
			print_message("  of %s\n", #counter);                                                          \
		if (counted > wanted)                                                                                  \
			tcp_try.more[counter] = counted - wanted;                                                      \
	} while (0)
