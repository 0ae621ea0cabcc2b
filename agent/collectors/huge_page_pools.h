/* Pools of huge pages by size: /sys/kernel/mm/hugepages (Documentation/admin-guide/mm/hugetlbpage.rst), every five
 * seconds on the slow lane: five files a size, which change when somebody configures them. */
#pragma once

#include "agent/collector.h"

struct huge_page_pools;

/* NULL when out of memory. */
struct huge_page_pools *huge_page_pools_new(const struct collector_context *context) __attribute__((nonnull));
void huge_page_pools_free(struct huge_page_pools *self); /* accepts NULL */

/* The rows of pools, ascending by size. 0, or negative errno with the tick's state set. */
int huge_page_pools_fill(struct huge_page_pools *self, struct tick *tick, Sonde__V1__Memory *memory)
	__attribute__((nonnull, warn_unused_result));
