/* What processes were called with. Reading a command line takes the lock of the process's memory and may wait for its
 * owner, so that it is done on the slow lane, a batch at a time, once per (pid, start time) and again when the name
 * changes or the text is old. Tick: command_lines_begin(), command_lines_get() for each row that is shown, the
 * important ones first, command_lines_ask(). Scheduler's thread only. */
#pragma once

#include "agent/host/root.h"
#include "agent/lane.h"
#include "agent/settings.h"

#include <stddef.h>
#include <stdint.h>

#define COMMAND_LINES_MAX 4096	       /* kept; then those that were not asked for longest go */
#define COMMAND_LINES_BATCH 128	       /* read by one job */
#define COMMAND_LINES_BATCHES 2	       /* under way: a process that holds its lock does not stop the others */
#define COMMAND_LINES_OLD_US 300000000 /* read again after: programs rewrite their own */

struct command_lines;

/* The root must live as long. 0 or -ENOMEM. */
int command_lines_new(const struct root *root, struct lane *lane, struct command_lines **ret)
	__attribute__((nonnull, warn_unused_result));
/* The lane must have ended, or its stuck jobs be given up: their memory is left to them. Accepts NULL. */
void command_lines_free(struct command_lines *lines);

/* Takes in what was read since. Another `how` than before forgets everything. */
void command_lines_begin(struct command_lines *lines, enum command_line how, uint64_t now_us) __attribute__((nonnull));
/* The text, borrowed until the next begin(); NULL when it is not known yet, or when there is none (kernel threads).
 * What is not known is noted to be asked for. `comm` is the process's name at this moment. */
const char *command_lines_get(struct command_lines *lines, uint32_t pid, uint64_t start_ns, const char *comm)
	__attribute__((nonnull));
/* Gives what was noted to the lane; what finds no room is noted again by the next get(). */
void command_lines_ask(struct command_lines *lines) __attribute__((nonnull));
