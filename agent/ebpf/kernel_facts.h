/* What the running kernel looks like, asked of its BTF: never of its version, because distributions and stable kernels
 * carry changes back. Pure functions of a parsed BTF. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct btf;

/* Arguments of a tracepoint, the leading context pointer not counted; -ENOENT if there is no such tracepoint. */
int kernel_tracepoint_arguments(const struct btf *btf, const char *tracepoint) __attribute__((nonnull));
bool kernel_has_member(const struct btf *btf, const char *structure, const char *member) __attribute__((nonnull));

/* Of the block layer. */
struct kernel_facts {
	bool issue_queue_first; /* block_rq_issue(queue, request), until 5.11 and 5.10.137 */
	bool has_io_done;	/* block_io_done, from 6.5: raised exactly where /proc/diskstats counts */
	bool has_cgroups;	/* a bio says which cgroup it is charged to (CONFIG_BLK_CGROUP) */
	uint32_t flag_io_stat;	/* RQF_IO_STAT of request.rq_flags */
	uint32_t flag_flush_seq;
};

/* 0, or -ENOENT when the BTF knows no block_rq_issue and block_rq_complete. */
int kernel_facts_read(const struct btf *btf, struct kernel_facts *ret) __attribute__((nonnull, warn_unused_result));
