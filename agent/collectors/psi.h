/* One pressure file (Documentation/accounting/psi.rst): /proc/pressure/{cpu,memory,io,irq}, and
 * {cpu,memory,io,irq}.pressure of a control group, which read the same. Percentages become ratios 0..1. Pure; any
 * thread. */
#pragma once

#include "agent/arena.h"

#include <sonde/v1/pressure.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct psi_line {
	bool there; /* irq has no "some", cpu no "full" before Linux 5.13 */
	double avg10_ratio, avg60_ratio, avg300_ratio;
	uint64_t total_us;
};

struct psi {
	struct psi_line some, full;
};

/* Lines and fields it does not know are skipped. 0; -EPROTO for text without either line, a line without one of its
 * four numbers, numbers that are none, anything that occurs twice. */
int psi_parse(const char *text, size_t len, struct psi *ret) __attribute__((nonnull, warn_unused_result));

/* The message of it, in the arena; NULL when that is full. */
Sonde__V1__PressureStall *psi_message(const struct psi *psi, struct arena *arena) __attribute__((nonnull));
