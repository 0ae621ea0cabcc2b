/* /proc/vmstat to the Vmstat section. pgpgin and pgpgout are KiB of block I/O, pswpin and pswpout are pages; they leave
 * here as bytes, as do the other counters of pages whose contents moved. What a kernel does not have stays absent,
 * lines the schema does not carry are skipped. */
#pragma once

#include <sonde/v1/vmstat.pb-c.h>

#include <stddef.h>
#include <stdint.h>

#define PROC_VMSTAT_MAX_LINES 512
#define PROC_VMSTAT_KEYS_SIZE 8192

/* Which line held which counter when the text was last parsed, so that a line is compared with one name instead of with
 * all of them. It saves time and decides nothing: a line with another name is looked up anew. A zeroed one is empty. */
struct proc_vmstat_memo {
	size_t n;
	struct {
		uint16_t at; /* of the name in `keys` */
		uint8_t len;
		uint8_t entry;
	} lines[PROC_VMSTAT_MAX_LINES];
	size_t used;
	char keys[PROC_VMSTAT_KEYS_SIZE];
};

/* *ret is an initialised message. 0; -EPROTO for text without pgfault, numbers that are none, a counter that occurs
 * twice. Bytes that do not fit in 64 bits stay at the largest value. */
int proc_vmstat_parse(const char *text, size_t len, uint64_t page_bytes, struct proc_vmstat_memo *memo,
		      Sonde__V1__Vmstat *ret) __attribute__((nonnull, warn_unused_result));
