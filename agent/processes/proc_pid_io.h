/* /proc/PID/io (Documentation/filesystems/proc.rst, 3.3): what a process, its dead threads and the children it waited
 * for read and wrote. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct proc_pid_io {
	uint64_t read_bytes, write_bytes; /* of storage, not of system calls */
	uint64_t cancelled_write_bytes;
};

/* 0; -EPROTO for a line that is none, one of the three missing or twice. */
int proc_pid_io_parse(const char *text, size_t len, struct proc_pid_io *ret)
	__attribute__((nonnull, warn_unused_result));
