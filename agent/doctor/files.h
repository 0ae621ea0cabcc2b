/* What the agent would read and write beside /proc and /sys: its state directory, the spool, the key. Creates nothing.
 * Main thread. */
#pragma once

#include "agent/doctor/report.h"
#include "agent/options.h"

/* Group "files". */
void files_report(const struct options *options, struct report *report) __attribute__((nonnull));
