/* /proc/PID/stat (proc_pid_stat(5)): one line about a process. Times of the process are sums over its threads, dead
 * ones included; the state is the main thread's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PROC_PID_STAT_COMM_MAX 63 /* kernel threads' may be longer than the 15 bytes of others */

struct proc_pid_stat {
	uint32_t pid, parent_pid;
	const char *comm; /* borrowed from the text, not terminated: any bytes but '\0' */
	size_t comm_len;
	char state;
	uint64_t minor_faults, major_faults;
	uint64_t user_ticks, system_ticks; /* of USER_HZ, as the rest */
	uint32_t threads;
	uint64_t start_ticks; /* since boot */
	uint64_t resident_pages;
	uint64_t io_delay_ticks; /* 0 before 2.6.18, and where delay accounting is off */
};

/* 0 or -EPROTO. A newline at the end may be there or not: which kind of cut it was is told by the number of fields. */
int proc_pid_stat_parse(const char *text, size_t len, struct proc_pid_stat *ret)
	__attribute__((nonnull, warn_unused_result));
