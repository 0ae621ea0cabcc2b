/* /proc/sys/fs/file-nr (Documentation/admin-guide/sysctl/fs.rst): file handles allocated, allocated but unused (always
 * 0 since Linux 2.6), and the most there may be. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct proc_file_nr {
	uint64_t used; /* allocated less unused */
	uint64_t max;
};

/* 0 or -EPROTO. */
int proc_file_nr_parse(const char *text, size_t len, struct proc_file_nr *ret)
	__attribute__((nonnull, warn_unused_result));
