/* Whether the backend answers and knows the key: a stream is opened and closed without a word about this host. Blocks,
 * a few seconds at most; reads the network, so it wants to come last, after capabilities_drop_all(). */
#pragma once

#include "agent/doctor/report.h"
#include "agent/options.h"

/* Group "backend". */
void backend_report(const struct options *options, struct report *report) __attribute__((nonnull));
