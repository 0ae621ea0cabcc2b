/* Rows of the process table to messages of the section. */
#pragma once

#include "agent/arena.h"
#include "agent/processes/source.h"

#include <sonde/v1/process.pb-c.h>

/* Numbers, state and name; who it belongs to and what it was called with are not the table's. 0 or -ENOMEM. */
int fill_process(struct arena *arena, const struct process_row *row, Sonde__V1__Process *out)
	__attribute__((nonnull, warn_unused_result));
/* All but the cgroup's path. 0 or -ENOMEM. */
int fill_exited(struct arena *arena, const struct exited_row *row, Sonde__V1__ExitedProcesses *out)
	__attribute__((nonnull, warn_unused_result));
void fill_counts(const struct task_counts *counts, Sonde__V1__Processes *out) __attribute__((nonnull));
