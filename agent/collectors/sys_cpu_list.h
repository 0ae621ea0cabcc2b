/* A list of CPUs or nodes as sysfs writes it (/sys/devices/system/cpu/present, .../node/online): ascending numbers and
 * ranges. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* How many it names; an empty line is 0. 0 or -EPROTO. */
int sys_cpu_list_count(const char *text, size_t len, uint32_t *ret) __attribute__((nonnull, warn_unused_result));

/* The same, and the first `max` of them. */
int sys_cpu_list_parse(const char *text, size_t len, uint32_t *numbers, size_t max, uint32_t *ret_count)
	__attribute__((nonnull(1, 5), warn_unused_result));
