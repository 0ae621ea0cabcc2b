/* /proc/net/sockstat and /proc/net/sockstat6: a protocol a line, then names and numbers in turn. "mem" counts pages,
 * "memory" bytes. */
#pragma once

#include <sonde/v1/network.pb-c.h>

#include <stddef.h>
#include <stdint.h>

/* Fills what the text has, of either file, into an initialised message; both files may go into one. 0; -EPROTO for text
 * without any known line, a name without a number, a number that was there already. */
int proc_net_sockstat_parse(const char *text, size_t len, uint64_t page_bytes, Sonde__V1__NetworkSockets *ret)
	__attribute__((nonnull, warn_unused_result));
