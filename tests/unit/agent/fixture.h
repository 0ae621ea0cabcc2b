/* One collector over a throw-away host. */
#pragma once

#include "agent/collector.h"
#include "tests/unit/agent/tree.h"

struct fixture {
	const struct collector *collector;
	struct tree tree;
	struct collector_context context; /* the tree alone; a test may add to it before the collector is made */
	struct arena *arena;
	void *self; /* NULL until it is made */
	struct collector_state state;
	uint64_t now_us; /* boottime of the last tick; 100 s at first */
	bool watched;
};

/* For cmocka: *state becomes a fixture with an empty host. */
int fixture_setup(void **state, const struct collector *collector);
int fixture_teardown(void **state);

/* As the collector's create(). */
int fixture_create(struct fixture *f);
/* A tick so much later, as the collector's collect(); *section is a message of its type, initialised here. The
 * collector is made at first, which must not fail. */
int fixture_collect(struct fixture *f, uint64_t later_us, ProtobufCMessage *section);
