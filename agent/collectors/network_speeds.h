/* Speed, duplex and carrier of links, asked for on the slow lane in batches: a driver may take milliseconds to answer,
 * or hang with its hardware. Used by one thread; the lane's is its own affair. */
#pragma once

#include "agent/collector.h"
#include "agent/collectors/network_link.h"

#define NETWORK_SPEEDS_BATCH 32

struct network_speeds;

struct network_speeds_answer {
	char name[ROSTER_NAME_MAX + 1];
	bool has_ifindex;
	uint32_t ifindex; /* whose speed was asked for */
	struct network_link_speed speed;
};

/* NULL when out of memory. Without a lane in the context questions are answered at once, where they are sent. */
struct network_speeds *network_speeds_new(const struct collector_context *context) __attribute__((nonnull));
/* After the lane has ended; what a stuck job may still write to is left where it is. Accepts NULL. */
void network_speeds_free(struct network_speeds *speeds);

/* The answers to the last batch, borrowed until the next network_speeds_ask(); 0 while there are none. */
size_t network_speeds_take(struct network_speeds *speeds, const struct network_speeds_answer **ret)
	__attribute__((nonnull, warn_unused_result));
/* Adds a question to the next batch. False while a batch is under way or when this one is full: ask again later. */
bool network_speeds_ask(struct network_speeds *speeds, const char *name, const struct network_link *link)
	__attribute__((nonnull, warn_unused_result));
/* Sends what was asked since the last time. */
void network_speeds_send(struct network_speeds *speeds) __attribute__((nonnull));
