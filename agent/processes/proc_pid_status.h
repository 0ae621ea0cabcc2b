/* /proc/PID/status, of which only the owner is wanted: nothing cheaper tells it of a process that is not dumpable. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The effective user id. 0; -EPROTO for text without exactly one whole line of it. The text may end in the middle of a
 * later line. */
int proc_pid_status_user(const char *text, size_t len, uint32_t *ret) __attribute__((nonnull, warn_unused_result));
