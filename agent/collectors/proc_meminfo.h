/* /proc/meminfo to the Memory section: KiB become bytes, what a kernel does not have stays absent, lines the schema
 * does not carry are skipped. used_bytes is total less available, where the kernel has an estimate of available (3.14).
 */
#pragma once

#include <sonde/v1/memory.pb-c.h>

#include <stddef.h>

/* *ret is an initialised message. 0; -EPROTO for text without MemTotal, numbers that are none or do not fit in 64 bits
 * as bytes, a size without its unit, a line that occurs twice. */
int proc_meminfo_parse(const char *text, size_t len, Sonde__V1__Memory *ret)
	__attribute__((nonnull, warn_unused_result));
