#include "agent/collectors/proc_vmstat.h"

#include "agent/collectors/scale.h"
#include "agent/scan.h"

#include <errno.h>
#include <string.h>

enum unit { EVENTS, KIBIBYTES, PAGES };

struct entry {
	const char *key;
	bool is_prefix; /* one counter a memory zone: pgalloc_dma, pgalloc_normal, ...: summed */
	enum unit unit;
	size_t has;
	size_t value;
};

#define ENTRY(name, prefix, unit, field)                                                                               \
	{                                                                                                              \
		name, prefix, unit, offsetof(Sonde__V1__Vmstat, has_##field), offsetof(Sonde__V1__Vmstat, field)       \
	}

/* clang-format off: one a line */
/* Two names of one field are those of different kernels. */
static const struct entry entries[] = {
	ENTRY("pgpgin", false, KIBIBYTES, page_in_bytes),
	ENTRY("pgpgout", false, KIBIBYTES, page_out_bytes),
	ENTRY("pswpin", false, PAGES, swap_in_bytes),
	ENTRY("pswpout", false, PAGES, swap_out_bytes),
	ENTRY("pgalloc_", true, EVENTS, pages_allocated),
	ENTRY("pgfree", false, EVENTS, pages_freed),
	ENTRY("pgfault", false, EVENTS, page_faults),
	ENTRY("pgmajfault", false, EVENTS, major_page_faults),
	ENTRY("pgsteal_kswapd", false, EVENTS, pages_reclaimed_kswapd),
	ENTRY("pgsteal_direct", false, EVENTS, pages_reclaimed_direct),
	ENTRY("pgscan_kswapd", false, EVENTS, pages_scanned_kswapd),
	ENTRY("pgscan_direct", false, EVENTS, pages_scanned_direct),
	ENTRY("oom_kill", false, EVENTS, oom_kills),
	ENTRY("pgsteal_khugepaged", false, EVENTS, pages_reclaimed_khugepaged),
	ENTRY("pgsteal_proactive", false, EVENTS, pages_reclaimed_proactive),
	ENTRY("pgsteal_anon", false, EVENTS, pages_reclaimed_anonymous),
	ENTRY("pgsteal_file", false, EVENTS, pages_reclaimed_file),
	ENTRY("pgscan_khugepaged", false, EVENTS, pages_scanned_khugepaged),
	ENTRY("pgscan_proactive", false, EVENTS, pages_scanned_proactive),
	ENTRY("pgscan_anon", false, EVENTS, pages_scanned_anonymous),
	ENTRY("pgscan_file", false, EVENTS, pages_scanned_file),
	ENTRY("pgscan_direct_throttle", false, EVENTS, direct_reclaims_throttled),
	ENTRY("allocstall", false, EVENTS, direct_reclaims),
	ENTRY("allocstall_", true, EVENTS, direct_reclaims),
	ENTRY("pgrefill", false, EVENTS, pages_refilled),
	ENTRY("pgactivate", false, EVENTS, pages_activated),
	ENTRY("pgdeactivate", false, EVENTS, pages_deactivated),
	ENTRY("pglazyfree", false, EVENTS, pages_lazily_freed),
	ENTRY("pglazyfreed", false, EVENTS, pages_lazily_freed_reclaimed),
	ENTRY("pgreuse", false, EVENTS, pages_reused),
	ENTRY("pgrotated", false, EVENTS, pages_rotated),
	ENTRY("pageoutrun", false, EVENTS, kswapd_runs),
	ENTRY("kswapd_low_wmark_hit_quickly", false, EVENTS, kswapd_low_watermark_hits),
	ENTRY("kswapd_high_wmark_hit_quickly", false, EVENTS, kswapd_high_watermark_hits),
	ENTRY("slabs_scanned", false, EVENTS, slab_objects_scanned),
	ENTRY("pginodesteal", false, EVENTS, inode_pages_reclaimed),
	ENTRY("kswapd_inodesteal", false, EVENTS, inode_pages_reclaimed_kswapd),
	ENTRY("zone_reclaim_success", false, EVENTS, node_reclaims),
	ENTRY("zone_reclaim_failed", false, EVENTS, node_reclaim_failures),
	ENTRY("nr_vmscan_write", false, PAGES, reclaim_written_bytes),
	ENTRY("nr_vmscan_immediate_reclaim", false, EVENTS, pages_reclaimed_after_write),
	ENTRY("nr_dirtied", false, PAGES, dirtied_bytes),
	ENTRY("nr_written", false, PAGES, written_back_bytes),
	ENTRY("nr_throttled_written", false, PAGES, throttled_written_back_bytes),
	ENTRY("nr_dirty_threshold", false, PAGES, dirty_threshold_bytes),
	ENTRY("nr_dirty_background_threshold", false, PAGES, dirty_background_threshold_bytes),
	ENTRY("workingset_refault", false, EVENTS, refaults_file),
	ENTRY("workingset_refault_file", false, EVENTS, refaults_file),
	ENTRY("workingset_refault_anon", false, EVENTS, refaults_anonymous),
	ENTRY("workingset_activate", false, EVENTS, refault_activations_file),
	ENTRY("workingset_activate_file", false, EVENTS, refault_activations_file),
	ENTRY("workingset_activate_anon", false, EVENTS, refault_activations_anonymous),
	ENTRY("workingset_restore", false, EVENTS, refault_restores_file),
	ENTRY("workingset_restore_file", false, EVENTS, refault_restores_file),
	ENTRY("workingset_restore_anon", false, EVENTS, refault_restores_anonymous),
	ENTRY("workingset_nodereclaim", false, EVENTS, refault_nodes_reclaimed),
	ENTRY("compact_stall", false, EVENTS, compaction_stalls),
	ENTRY("compact_fail", false, EVENTS, compaction_failures),
	ENTRY("compact_success", false, EVENTS, compaction_successes),
	ENTRY("compact_migrate_scanned", false, EVENTS, compaction_pages_scanned_to_move),
	ENTRY("compact_free_scanned", false, EVENTS, compaction_pages_scanned_free),
	ENTRY("compact_isolated", false, EVENTS, compaction_pages_isolated),
	ENTRY("compact_daemon_wake", false, EVENTS, compaction_daemon_wakes),
	ENTRY("compact_daemon_migrate_scanned", false, EVENTS, compaction_daemon_pages_scanned_to_move),
	ENTRY("compact_daemon_free_scanned", false, EVENTS, compaction_daemon_pages_scanned_free),
	ENTRY("pgmigrate_success", false, EVENTS, pages_migrated),
	ENTRY("pgmigrate_fail", false, EVENTS, page_migration_failures),
	ENTRY("thp_fault_alloc", false, EVENTS, thp_faults),
	ENTRY("thp_fault_fallback", false, EVENTS, thp_fault_fallbacks),
	ENTRY("thp_collapse_alloc", false, EVENTS, thp_collapses),
	ENTRY("thp_collapse_alloc_failed", false, EVENTS, thp_collapse_failures),
	ENTRY("thp_file_alloc", false, EVENTS, thp_file_allocations),
	ENTRY("thp_file_fallback", false, EVENTS, thp_file_fallbacks),
	ENTRY("thp_file_mapped", false, EVENTS, thp_file_mappings),
	ENTRY("thp_split", false, EVENTS, thp_splits),
	ENTRY("thp_split_page", false, EVENTS, thp_splits),
	ENTRY("thp_split_page_failed", false, EVENTS, thp_split_failures),
	ENTRY("thp_deferred_split_page", false, EVENTS, thp_deferred_splits),
	ENTRY("thp_split_pmd", false, EVENTS, thp_mapping_splits),
	ENTRY("thp_zero_page_alloc", false, EVENTS, thp_zero_pages),
	ENTRY("thp_swpout", false, EVENTS, thp_swap_outs),
	ENTRY("thp_swpout_fallback", false, EVENTS, thp_swap_out_fallbacks),
	ENTRY("thp_migration_success", false, EVENTS, thp_migrations),
	ENTRY("thp_migration_fail", false, EVENTS, thp_migration_failures),
	ENTRY("pgpromote_success", false, PAGES, promoted_bytes),
	ENTRY("pgpromote_candidate", false, PAGES, promotion_candidate_bytes),
	ENTRY("pgdemote_kswapd", false, PAGES, demoted_kswapd_bytes),
	ENTRY("pgdemote_direct", false, PAGES, demoted_direct_bytes),
	ENTRY("pgdemote_khugepaged", false, PAGES, demoted_khugepaged_bytes),
	ENTRY("pgdemote_proactive", false, PAGES, demoted_proactive_bytes),
	ENTRY("numa_pte_updates", false, EVENTS, numa_pages_marked),
	ENTRY("numa_hint_faults", false, EVENTS, numa_hint_faults),
	ENTRY("numa_hint_faults_local", false, EVENTS, numa_hint_faults_local),
	ENTRY("numa_pages_migrated", false, PAGES, numa_migrated_bytes),
	ENTRY("drop_pagecache", false, EVENTS, page_cache_drops),
	ENTRY("drop_slab", false, EVENTS, slab_drops),
	ENTRY("htlb_buddy_alloc_success", false, EVENTS, huge_pages_allocated),
	ENTRY("htlb_buddy_alloc_fail", false, EVENTS, huge_page_allocation_failures),
	ENTRY("unevictable_pgs_culled", false, EVENTS, unevictable_pages_culled),
	ENTRY("unevictable_pgs_rescued", false, EVENTS, unevictable_pages_rescued),
	ENTRY("balloon_inflate", false, PAGES, balloon_inflated_bytes),
	ENTRY("balloon_deflate", false, PAGES, balloon_deflated_bytes),
	ENTRY("swap_ra", false, PAGES, swap_read_ahead_bytes),
	ENTRY("swap_ra_hit", false, PAGES, swap_read_ahead_used_bytes),
	ENTRY("swpin_zero", false, PAGES, swap_in_zero_bytes),
	ENTRY("swpout_zero", false, PAGES, swap_out_zero_bytes),
	ENTRY("zswpin", false, PAGES, zswap_in_bytes),
	ENTRY("zswpout", false, PAGES, zswap_out_bytes),
	ENTRY("zswpwb", false, PAGES, zswap_written_back_bytes),
	ENTRY("ksm_swpin_copy", false, EVENTS, ksm_swap_in_copies),
	ENTRY("cow_ksm", false, EVENTS, ksm_copies),
};
/* clang-format on */
#define N_ENTRIES (sizeof(entries) / sizeof(entries[0]))
#define NOT_CARRIED UINT8_MAX
_Static_assert(N_ENTRIES < NOT_CARRIED, "an entry's number must fit in the memo");

static uint8_t find(struct word key)
{
	for (size_t i = 0; i < N_ENTRIES; i++) {
		if (entries[i].is_prefix ? word_starts(key, entries[i].key) : word_is(key, entries[i].key))
			return (uint8_t)i;
	}
	return NOT_CARRIED;
}

static bool is_remembered(const struct proc_vmstat_memo *memo, size_t i, const struct scan *line)
{
	if (i >= memo->n)
		return false;
	size_t len = memo->lines[i].len;
	return (size_t)(line->end - line->p) > len && line->p[len] == ' ' &&
	       memcmp(line->p, memo->keys + memo->lines[i].at, len) == 0;
}

/* Lines are remembered from the first on without a gap; from one that is not as it was, all are forgotten. */
static void remember(struct proc_vmstat_memo *memo, size_t i, struct word key, uint8_t entry)
{
	if (i < memo->n) {
		memo->used = memo->lines[i].at;
		memo->n = i;
	}
	if (i != memo->n || i == PROC_VMSTAT_MAX_LINES || key.len > UINT8_MAX ||
	    key.len > PROC_VMSTAT_KEYS_SIZE - memo->used)
		return;
	memcpy(memo->keys + memo->used, key.text, key.len);
	memo->lines[i].at = (uint16_t)memo->used;
	memo->lines[i].len = (uint8_t)key.len;
	memo->lines[i].entry = entry;
	memo->used += key.len;
	memo->n = i + 1;
}

/* The entry of line i, whose name is cut off. 0 or -EPROTO. */
static int take_key(struct proc_vmstat_memo *memo, size_t i, struct scan *line, uint8_t *ret)
{
	if (is_remembered(memo, i, line)) {
		line->p += memo->lines[i].len;
		*ret = memo->lines[i].entry;
		return 0;
	}
	struct word key;
	int r = scan_word(line, &key);
	if (r < 0)
		return r;
	*ret = find(key);
	remember(memo, i, key, *ret);
	return 0;
}

/* pgpgin 2261534 */
static int parse_value(struct scan *line, const struct entry *entry, uint64_t page_bytes, Sonde__V1__Vmstat *out)
{
	uint64_t value, sum;
	int r = scan_u64(line, &value);
	if (r < 0)
		return r;
	if (entry->unit != EVENTS)
		value = scale_times(value, entry->unit == PAGES ? page_bytes : 1024);

	protobuf_c_boolean *has = (void *)((char *)out + entry->has);
	if (*has && !entry->is_prefix)
		return -EPROTO;
	memcpy(&sum, (char *)out + entry->value, sizeof(sum));
	if (__builtin_add_overflow(sum, value, &sum))
		sum = UINT64_MAX;
	memcpy((char *)out + entry->value, &sum, sizeof(sum));
	*has = 1;
	return 0;
}

int proc_vmstat_parse(const char *text, size_t len, uint64_t page_bytes, struct proc_vmstat_memo *memo,
		      Sonde__V1__Vmstat *ret)
{
	Sonde__V1__Vmstat out = SONDE__V1__VMSTAT__INIT;
	struct scan rest = scan_text(text, len), line;
	int r;
	for (size_t i = 0; (r = scan_line(&rest, &line)) > 0; i++) {
		uint8_t entry;
		r = take_key(memo, i, &line, &entry);
		if (r == 0 && entry != NOT_CARRIED)
			r = parse_value(&line, &entries[entry], page_bytes, &out);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!out.has_page_faults)
		return -EPROTO;
	out.state = ret->state;
	*ret = out;
	return 0;
}
