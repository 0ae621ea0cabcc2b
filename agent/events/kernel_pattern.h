/* What kernel messages mean: a table of the words by which a few kinds are known, and where in the line the name of
 * whom it happened to stands. Pure. */
#pragma once

#include "agent/scan.h"

#include <sonde/v1/event.pb-c.h>

struct kernel_mark {
	Sonde__V1__EventKind kind;
	Sonde__V1__EventSeverity severity;
	struct word subject; /* borrowed from the line; empty when it does not say */
};

/* Whether the line is one of those. */
bool kernel_pattern_match(const char *line, size_t len, struct kernel_mark *ret)
	__attribute__((nonnull, warn_unused_result));
