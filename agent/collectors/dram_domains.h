/* Traffic between last-level caches and memory, as the hardware counts it: resctrl
 * (Documentation/filesystems/resctrl.rst), mon_data/mon_L3_N/{mbm_total_bytes,mbm_local_bytes,llc_occupancy}, where the
 * host has it and has it mounted at /sys/fs/resctrl. A control group's files hold that group's part, so the parts of
 * all groups are added up; a group that is removed takes its part along, which reads as a reset.
 *
 * Reading asks a CPU of the domain by an interrupt and takes a lock that whoever configures groups holds, so it is done
 * on the slow lane: begun at a tick, shown in the next. Counters are shown once, never repeated. */
#pragma once

#include "agent/collector.h"

struct dram_domains;

/* NULL when out of memory. */
struct dram_domains *dram_domains_new(const struct collector_context *context) __attribute__((nonnull));
void dram_domains_free(struct dram_domains *self); /* accepts NULL */

/* The rows of domains, ascending. 0, or negative errno with the tick's state set. */
int dram_domains_fill(struct dram_domains *self, struct tick *tick, Sonde__V1__Memory *memory)
	__attribute__((nonnull, warn_unused_result));

/* The text of one such file, trailing white space cut. 0; -ENODATA for "Unavailable", "Error", "Unassigned"; -EPROTO.
 */
int resctrl_value_parse(const char *text, size_t len, uint64_t *ret) __attribute__((nonnull, warn_unused_result));
