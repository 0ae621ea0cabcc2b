#include "agent/collectors/proc_meminfo.h"

#include "agent/collectors/meminfo_line.h"

#include <errno.h>

#define SIZE(name, field) MEMINFO_SIZE(name, Sonde__V1__Memory, field)
#define COUNT(name, field) MEMINFO_COUNT(name, Sonde__V1__Memory, field)

/* In the kernel's order: the search for a line's entry goes on where the last one was found. */
static const struct meminfo_entry entries[] = {
	SIZE("MemTotal", total_bytes),
	SIZE("MemFree", free_bytes),
	SIZE("MemAvailable", available_bytes),
	SIZE("Buffers", buffers_bytes),
	SIZE("Cached", cached_bytes),
	SIZE("SwapCached", swap_cached_bytes),
	SIZE("Active", active_bytes),
	SIZE("Inactive", inactive_bytes),
	SIZE("Active(anon)", active_anonymous_bytes),
	SIZE("Inactive(anon)", inactive_anonymous_bytes),
	SIZE("Active(file)", active_file_bytes),
	SIZE("Inactive(file)", inactive_file_bytes),
	SIZE("Unevictable", unevictable_bytes),
	SIZE("Mlocked", locked_bytes),
	SIZE("SwapTotal", swap_total_bytes),
	SIZE("SwapFree", swap_free_bytes),
	SIZE("Zswap", zswap_bytes),
	SIZE("Zswapped", zswapped_bytes),
	SIZE("Dirty", dirty_bytes),
	SIZE("Writeback", writeback_bytes),
	SIZE("AnonPages", anonymous_bytes),
	SIZE("Mapped", mapped_bytes),
	SIZE("Shmem", shared_bytes),
	SIZE("KReclaimable", kernel_reclaimable_bytes),
	SIZE("Slab", slab_bytes),
	SIZE("SReclaimable", slab_reclaimable_bytes),
	SIZE("SUnreclaim", slab_unreclaimable_bytes),
	SIZE("KernelStack", kernel_stack_bytes),
	SIZE("PageTables", page_tables_bytes),
	SIZE("SecPageTables", secondary_page_tables_bytes),
	SIZE("NFS_Unstable", nfs_unstable_bytes),
	SIZE("Bounce", bounce_bytes),
	SIZE("WritebackTmp", fuse_writeback_bytes),
	SIZE("CommitLimit", commit_limit_bytes),
	SIZE("Committed_AS", committed_bytes),
	SIZE("VmallocTotal", vmalloc_total_bytes),
	SIZE("VmallocUsed", vmalloc_used_bytes),
	SIZE("VmallocChunk", vmalloc_chunk_bytes),
	SIZE("Percpu", percpu_bytes),
	SIZE("EarlyMemtestBad", early_memtest_bad_bytes),
	SIZE("HardwareCorrupted", hardware_corrupted_bytes),
	SIZE("AnonHugePages", anonymous_huge_bytes),
	SIZE("ShmemHugePages", shared_huge_bytes),
	SIZE("ShmemPmdMapped", shared_huge_mapped_bytes),
	SIZE("FileHugePages", file_huge_bytes),
	SIZE("FilePmdMapped", file_huge_mapped_bytes),
	SIZE("CmaTotal", cma_total_bytes),
	SIZE("CmaFree", cma_free_bytes),
	SIZE("Unaccepted", unaccepted_bytes),
	SIZE("Balloon", balloon_bytes),
	COUNT("HugePages_Total", huge_pages_total),
	COUNT("HugePages_Free", huge_pages_free),
	COUNT("HugePages_Rsvd", huge_pages_reserved),
	COUNT("HugePages_Surp", huge_pages_surplus),
	SIZE("Hugepagesize", huge_page_size_bytes),
	SIZE("Hugetlb", huge_pool_bytes),
	SIZE("DirectMap4k", direct_map_4k_bytes),
	SIZE("DirectMap2M", direct_map_2m_bytes),
	SIZE("DirectMap4M", direct_map_4m_bytes),
	SIZE("DirectMap1G", direct_map_1g_bytes),
};
#define N_ENTRIES (sizeof(entries) / sizeof(entries[0]))

int proc_meminfo_parse(const char *text, size_t len, Sonde__V1__Memory *ret)
{
	Sonde__V1__Memory out = SONDE__V1__MEMORY__INIT;
	struct scan rest = scan_text(text, len), line;
	size_t next = 0;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		r = meminfo_line_parse(&line, entries, N_ENTRIES, &next, &out);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!out.has_total_bytes)
		return -EPROTO;
	if (out.has_available_bytes) {
		out.has_used_bytes = 1;
		/* The estimate may exceed the total for a moment while memory is hot-plugged. */
		out.used_bytes = out.total_bytes > out.available_bytes ? out.total_bytes - out.available_bytes : 0;
	}
	out.state = ret->state;
	*ret = out;
	return 0;
}
