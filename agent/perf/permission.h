/* What bears on permission, read when perf_event_open was refused: reason.h makes words of it. */
#pragma once

#include "agent/host/root.h"
#include "agent/perf/reason.h"

/* What cannot be read counts as not in force. */
struct perf_permission perf_permission_read(const struct root *root) __attribute__((nonnull));
