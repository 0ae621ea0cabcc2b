#include "agent/collectors/sys_node.h"

#include "agent/collectors/meminfo_line.h"

#include <errno.h>
#include <string.h>

#define SIZE(name, field) MEMINFO_SIZE(name, Sonde__V1__MemoryNode, field)
#define COUNT(name, field) MEMINFO_COUNT(name, Sonde__V1__MemoryNode, field)

/* In the kernel's order. */
static const struct meminfo_entry entries[] = {
	SIZE("MemTotal", total_bytes),
	SIZE("MemFree", free_bytes),
	SIZE("MemUsed", used_bytes),
	SIZE("SwapCached", swap_cached_bytes),
	SIZE("Active", active_bytes),
	SIZE("Inactive", inactive_bytes),
	SIZE("Active(anon)", active_anonymous_bytes),
	SIZE("Inactive(anon)", inactive_anonymous_bytes),
	SIZE("Active(file)", active_file_bytes),
	SIZE("Inactive(file)", inactive_file_bytes),
	SIZE("Unevictable", unevictable_bytes),
	SIZE("Mlocked", locked_bytes),
	SIZE("Dirty", dirty_bytes),
	SIZE("Writeback", writeback_bytes),
	SIZE("FilePages", file_bytes),
	SIZE("Mapped", mapped_bytes),
	SIZE("AnonPages", anonymous_bytes),
	SIZE("Shmem", shared_bytes),
	SIZE("KernelStack", kernel_stack_bytes),
	SIZE("PageTables", page_tables_bytes),
	SIZE("KReclaimable", kernel_reclaimable_bytes),
	SIZE("Slab", slab_bytes),
	SIZE("SReclaimable", slab_reclaimable_bytes),
	SIZE("SUnreclaim", slab_unreclaimable_bytes),
	SIZE("AnonHugePages", anonymous_huge_bytes),
	SIZE("ShmemHugePages", shared_huge_bytes),
	SIZE("FileHugePages", file_huge_bytes),
	COUNT("HugePages_Total", huge_pages_total),
	COUNT("HugePages_Free", huge_pages_free),
	COUNT("HugePages_Surp", huge_pages_surplus),
};

struct stat {
	const char *key;
	size_t has;
	size_t value;
};

#define STAT(name, field)                                                                                              \
	{                                                                                                              \
		name, offsetof(Sonde__V1__MemoryNode, has_##field), offsetof(Sonde__V1__MemoryNode, field)             \
	}

static const struct stat stats[] = {
	STAT("numa_hit", pages_hit),	     STAT("numa_miss", pages_missed),
	STAT("numa_foreign", pages_foreign), STAT("interleave_hit", pages_interleaved),
	STAT("local_node", pages_local),     STAT("other_node", pages_other),
};

/* Node 0 MemTotal:       10184908 kB */
int sys_node_meminfo_parse(const char *text, size_t len, Sonde__V1__MemoryNode *ret)
{
	Sonde__V1__MemoryNode out = *ret;
	struct scan rest = scan_text(text, len), line;
	size_t next = 0;
	int r;
	out.has_node = 0;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word prefix;
		uint64_t node;
		if (scan_word(&line, &prefix) < 0 || !word_is(prefix, "Node") || scan_u64(&line, &node) < 0 ||
		    node > UINT32_MAX || (out.has_node && node != out.node))
			return -EPROTO;
		out.has_node = 1;
		out.node = (uint32_t)node;
		r = meminfo_line_parse(&line, entries, sizeof(entries) / sizeof(entries[0]), &next, &out);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!out.has_total_bytes)
		return -EPROTO;
	*ret = out;
	return 0;
}

/* numa_hit 226086038 */
static int parse_stat(struct scan *line, Sonde__V1__MemoryNode *out)
{
	struct word key;
	int r = scan_word(line, &key);
	for (size_t i = 0; r == 0 && i < sizeof(stats) / sizeof(stats[0]); i++) {
		if (!word_is(key, stats[i].key))
			continue;
		protobuf_c_boolean *has = (void *)((char *)out + stats[i].has);
		uint64_t value;
		r = *has ? -EPROTO : scan_u64(line, &value);
		if (r < 0)
			return r;
		*has = 1;
		memcpy((char *)out + stats[i].value, &value, sizeof(value));
		return 0;
	}
	return r;
}

int sys_node_numastat_parse(const char *text, size_t len, Sonde__V1__MemoryNode *ret)
{
	Sonde__V1__MemoryNode out = *ret;
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		r = parse_stat(&line, &out);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!out.has_pages_hit)
		return -EPROTO;
	*ret = out;
	return 0;
}
