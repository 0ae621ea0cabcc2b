/* A NUMA node's files below /sys/devices/system/node/nodeN (Documentation/admin-guide/numastat.rst,
 * Documentation/ABI/stable/sysfs-devices-node) to a MemoryNode. Fields a kernel does not have stay absent, lines the
 * schema does not carry are skipped. `ret` is an initialised message; on failure it is as it was. */
#pragma once

#include <sonde/v1/memory.pb-c.h>

#include <stddef.h>

/* meminfo; sets `node` too. 0; -EPROTO for text without MemTotal, lines of different nodes, numbers that are none, a
 * line that occurs twice. */
int sys_node_meminfo_parse(const char *text, size_t len, Sonde__V1__MemoryNode *ret)
	__attribute__((nonnull, warn_unused_result));

/* numastat. 0; -EPROTO for text without numa_hit, numbers that are none, a line that occurs twice. */
int sys_node_numastat_parse(const char *text, size_t len, Sonde__V1__MemoryNode *ret)
	__attribute__((nonnull, warn_unused_result));
