/* /proc/vmstat to the Vmstat section. pgpgin and pgpgout are KiB of block I/O, pswpin and pswpout are pages; all four
 * leave here as bytes. What a kernel does not have stays absent, the other hundred and fifty lines are skipped. */
#pragma once

#include <sonde/v1/vmstat.pb-c.h>

#include <stddef.h>
#include <stdint.h>

/* *ret is an initialised message. 0; -EPROTO for text without pgfault, numbers that are none, a counter that occurs
 * twice. Bytes that do not fit in 64 bits stay at the largest value. */
int proc_vmstat_parse(const char *text, size_t len, uint64_t page_bytes, Sonde__V1__Vmstat *ret)
	__attribute__((nonnull, warn_unused_result));
