/* One collector at work on the running kernel, through its public interface, with a budget that nothing exceeds.
 * Asserts by cmocka: any state but "ok" fails the test. One a process. */
#pragma once

#include "agent/collector.h"
#include "agent/settings.h"

#include <stdint.h>

struct section {
	const struct collector *collector;
	struct root root;
	struct collector_context context;
	struct collector_settings settings;
	size_t extras; /* of the settings, at each set-up */
	struct arena *arena;
	void *self;
	uint64_t clock_shift_us; /* of the ticks: to let time pass */
};

extern struct section section;

/* For cmocka. */
int section_set_up(void **unused);
int section_tear_down(void **unused);
#define SECTION_TEST(test) cmocka_unit_test_setup_teardown(test, section_set_up, section_tear_down)

/* Fills a message that was just initialised; what it holds is good until the next call. */
void section_collect(ProtobufCMessage *message);

/* 0; or 77, having said why, where this process may load no programs. */
int section_begin(const struct collector *collector);
void section_end(void);

/* In the network namespace of this process. */
void loopback_up(void);
