/* /proc/net/stat/nf_conntrack: a line of names, then a line a CPU, hexadecimal. `entries` stands in every line and is
 * that of the network namespace the file was opened in, which cannot be said of /proc/sys/net/netfilter. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONNTRACK_ENTRIES, /* not summed: the same in every line */
	CONNTRACK_FOUND,
	CONNTRACK_INVALID,
	CONNTRACK_INSERT_FAILURES,
	CONNTRACK_DROPS,
	CONNTRACK_EARLY_DROPS,
	CONNTRACK_ICMP_ERRORS,
	CONNTRACK_SEARCH_RESTARTS,
	CONNTRACK_CLASHES_RESOLVED,
	CONNTRACK_VALUES
};

/* Sums modulo 2^32, as the numbers they are made of come round there. */
struct proc_net_conntrack {
	bool has[CONNTRACK_VALUES];
	uint32_t values[CONNTRACK_VALUES];
};

/* 0; -EPROTO for text without "entries" or without a CPU, a name that occurs twice, lines that are shorter or longer
 * than the names. */
int proc_net_conntrack_parse(const char *text, size_t len, struct proc_net_conntrack *ret)
	__attribute__((nonnull, warn_unused_result));
