/* The kernel's own counters of TCP, by network namespace. Asserts by cmocka. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of this thread's: tcp_counter("snmp", "Tcp", "ActiveOpens"). */
uint64_t tcp_counter(const char *file, const char *group, const char *name);

/* Counters of "Tcp" in snmp, added up over all namespaces that some process is in, this thread's left out. */
void tcp_counters_of_others(const char *const names[], size_t n, uint64_t ret[]);
