"""Which of node_exporter's metrics is which of ours, and which we do not have, with the reason.

Both read the same files and write them differently: the same counter may be sectors there and bytes here. A row says by what
the written value of either side is multiplied to be a whole number in the unit of the kernel's file: clock ticks,
milliseconds, pages. These numbers are compared, so that no tolerance is needed."""

import os
import re
from fractions import Fraction
from typing import Callable, NamedTuple, Optional

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")

COUNTER = "counter"  # before <= ours <= after on a running kernel
BACKWARDS = "counter that may go backwards"  # /proc/stat's idle and iowait: compared on recorded hosts only
GAUGE = "gauge"  # between two readings it may have been anything: equal in some round in which both readings agree
STEADY = "steady"  # hardly ever changes: equal whenever both readings agree


class Row(NamedTuple):
    node: str  # a name that ends in * is the sum of all such metrics
    ours: str
    node_scale: Fraction = Fraction(1)
    our_scale: Fraction = Fraction(1)
    kind: str = COUNTER
    fixed: dict = {}  # labels node_exporter's series must have, and ours has in its name
    ours_fixed: dict = {}  # labels ours has, and node_exporter in `fixed`
    rename: dict = {}  # node_exporter's labels that we call otherwise, None for one we do not have
    relabel: Optional[Callable] = None  # (node_exporter's labels, its scrape) -> ours, where renaming is not enough
    ours_relabel: Optional[Callable] = None  # (our labels) -> what they are compared as
    convert: Optional[Callable] = None  # of ours, after scaling
    excuse: Optional[Callable] = None  # (root, labels, value) -> why we do not show this series, or None


def pairs(text):
    return [tuple(item.split()) for item in text.split(",")]


def scaled(scale):
    return {"node_scale": Fraction(scale), "our_scale": Fraction(scale)}


def offline_cpu(root, labels, value):
    """Of a CPU that /proc/stat leaves out between two others node_exporter says 0."""
    shown = re.findall(r"^cpu(\d+) ", (root / "proc/stat").read_text(), re.M)
    return "absent is not zero: a CPU that is offline" if labels["cpu"] not in shown else None


MODES = "user nice system idle iowait irq softirq steal".split()
CPU = [Row("node_cpu_seconds_total", f"sonde_cpu_cores_{mode}_seconds_total", fixed={"mode": mode}, **scaled(TICKS),
           kind=BACKWARDS if mode in ("idle", "iowait") else COUNTER, excuse=offline_cpu) for mode in MODES]
CPU += [Row("node_cpu_guest_seconds_total", f"sonde_cpu_cores_{ours}_seconds_total", fixed={"mode": mode}, **scaled(TICKS),
            excuse=offline_cpu)
        for mode, ours in (("user", "guest"), ("nice", "guest_nice"))]
CPU += [
    Row("node_context_switches_total", "sonde_cpu_context_switches_total"),
    Row("node_forks_total", "sonde_cpu_forks_total"),
    Row("node_intr_total", "sonde_cpu_interrupts_total"),
    Row("node_boot_time_seconds", "sonde_cpu_boot_time_seconds", kind=STEADY),
    Row("node_procs_running", "sonde_cpu_processes_running", kind=GAUGE),
    Row("node_procs_blocked", "sonde_cpu_processes_blocked", kind=GAUGE),
    Row("node_filefd_allocated", "sonde_cpu_file_handles", kind=GAUGE),
    Row("node_filefd_maximum", "sonde_cpu_file_handles_max", kind=STEADY),
]
CPU += [Row(f"node_load{n}", f"sonde_cpu_load{n}", **scaled(100), kind=GAUGE) for n in (1, 5, 15)]
CPU += [Row("node_softirqs_total", "sonde_cpu_softirq_kinds_serviced_total", fixed={"vector": node},
            ours_fixed={"kind": ours})
        for node, ours in zip("hi timer net_tx net_rx block block_iopoll tasklet sched hrtimer rcu".split(),
                              "HI TIMER NET_TX NET_RX BLOCK IRQ_POLL TASKLET SCHED HRTIMER RCU".split())]
CPU += [Row("node_cpu_scaling_frequency_hertz", "sonde_cpu_cores_frequency_hz", node_scale=Fraction(1, 1000),
            our_scale=Fraction(1, 1000), kind=GAUGE, excuse=offline_cpu)]

MEMINFO = """
    MemTotal total_bytes, MemFree free_bytes, MemAvailable available_bytes, Buffers buffers_bytes, Cached cached_bytes,
    SwapCached swap_cached_bytes, Active active_bytes, Inactive inactive_bytes, Active_anon active_anonymous_bytes,
    Inactive_anon inactive_anonymous_bytes, Active_file active_file_bytes, Inactive_file inactive_file_bytes,
    Unevictable unevictable_bytes, Mlocked locked_bytes, SwapTotal swap_total_bytes, SwapFree swap_free_bytes,
    Zswap zswap_bytes, Zswapped zswapped_bytes, Dirty dirty_bytes, Writeback writeback_bytes, AnonPages anonymous_bytes,
    Mapped mapped_bytes, Shmem shared_bytes, KReclaimable kernel_reclaimable_bytes, Slab slab_bytes,
    SReclaimable slab_reclaimable_bytes, SUnreclaim slab_unreclaimable_bytes, KernelStack kernel_stack_bytes,
    PageTables page_tables_bytes, SecPageTables secondary_page_tables_bytes, NFS_Unstable nfs_unstable_bytes,
    Bounce bounce_bytes, WritebackTmp fuse_writeback_bytes, CommitLimit commit_limit_bytes, Committed_AS committed_bytes,
    VmallocTotal vmalloc_total_bytes, VmallocUsed vmalloc_used_bytes, VmallocChunk vmalloc_chunk_bytes,
    Percpu percpu_bytes, EarlyMemtestBad early_memtest_bad_bytes, HardwareCorrupted hardware_corrupted_bytes,
    AnonHugePages anonymous_huge_bytes, ShmemHugePages shared_huge_bytes, ShmemPmdMapped shared_huge_mapped_bytes,
    FileHugePages file_huge_bytes, FilePmdMapped file_huge_mapped_bytes, CmaTotal cma_total_bytes, CmaFree cma_free_bytes,
    Unaccepted unaccepted_bytes, Balloon balloon_bytes, HugePages_Total huge_pages_total, HugePages_Free huge_pages_free,
    HugePages_Rsvd huge_pages_reserved, HugePages_Surp huge_pages_surplus, Hugepagesize huge_page_size_bytes,
    Hugetlb huge_pool_bytes, DirectMap4k direct_map_4k_bytes, DirectMap2M direct_map_2m_bytes,
    DirectMap4M direct_map_4m_bytes, DirectMap1G direct_map_1g_bytes
"""
STEADY_SIZES = "MemTotal SwapTotal VmallocTotal Hugepagesize HugePages_Total CommitLimit".split()
MEMORY = [Row(f"node_memory_{node}" + ("" if node.startswith("HugePages_") else "_bytes"), f"sonde_memory_{ours}",
              kind=STEADY if node in STEADY_SIZES else GAUGE) for node, ours in pairs(MEMINFO)]

# /sys/devices/system/node/nodeN/meminfo and numastat
NODE_MEMINFO = """
    MemTotal total_bytes, MemFree free_bytes, MemUsed used_bytes, SwapCached swap_cached_bytes, Active active_bytes,
    Inactive inactive_bytes, Active_anon active_anonymous_bytes, Inactive_anon inactive_anonymous_bytes,
    Active_file active_file_bytes, Inactive_file inactive_file_bytes, Unevictable unevictable_bytes, Mlocked locked_bytes,
    Dirty dirty_bytes, Writeback writeback_bytes, FilePages file_bytes, Mapped mapped_bytes, AnonPages anonymous_bytes,
    Shmem shared_bytes, KernelStack kernel_stack_bytes, PageTables page_tables_bytes,
    KReclaimable kernel_reclaimable_bytes, Slab slab_bytes, SReclaimable slab_reclaimable_bytes,
    SUnreclaim slab_unreclaimable_bytes, AnonHugePages anonymous_huge_bytes, ShmemHugePages shared_huge_bytes,
    FileHugePages file_huge_bytes, HugePages_Total huge_pages_total, HugePages_Free huge_pages_free,
    HugePages_Surp huge_pages_surplus
"""
NUMASTAT = """
    numa_hit pages_hit, numa_miss pages_missed, numa_foreign pages_foreign, interleave_hit pages_interleaved,
    local_node pages_local, other_node pages_other
"""
MEMORY += [Row(f"node_memory_numa_{node}", f"sonde_memory_nodes_{ours}", kind=STEADY if node in STEADY_SIZES else GAUGE)
           for node, ours in pairs(NODE_MEMINFO)]
MEMORY += [Row(f"node_memory_numa_{node}_total", f"sonde_memory_nodes_{ours}_total") for node, ours in pairs(NUMASTAT)]

VMSTAT_EVENTS = """
    pgalloc_* pages_allocated, pgfree pages_freed, pgfault page_faults, pgmajfault major_page_faults,
    pgsteal_kswapd pages_reclaimed_kswapd, pgsteal_direct pages_reclaimed_direct, pgscan_kswapd pages_scanned_kswapd,
    pgscan_direct pages_scanned_direct, oom_kill oom_kills, pgsteal_khugepaged pages_reclaimed_khugepaged,
    pgsteal_proactive pages_reclaimed_proactive, pgsteal_anon pages_reclaimed_anonymous,
    pgsteal_file pages_reclaimed_file, pgscan_khugepaged pages_scanned_khugepaged,
    pgscan_proactive pages_scanned_proactive, pgscan_anon pages_scanned_anonymous, pgscan_file pages_scanned_file,
    pgscan_direct_throttle direct_reclaims_throttled, allocstall direct_reclaims, allocstall_* direct_reclaims,
    pgrefill pages_refilled, pgactivate pages_activated, pgdeactivate pages_deactivated, pglazyfree pages_lazily_freed,
    pglazyfreed pages_lazily_freed_reclaimed, pgreuse pages_reused, pgrotated pages_rotated, pageoutrun kswapd_runs,
    kswapd_low_wmark_hit_quickly kswapd_low_watermark_hits, kswapd_high_wmark_hit_quickly kswapd_high_watermark_hits,
    slabs_scanned slab_objects_scanned, pginodesteal inode_pages_reclaimed,
    kswapd_inodesteal inode_pages_reclaimed_kswapd, zone_reclaim_success node_reclaims,
    zone_reclaim_failed node_reclaim_failures, nr_vmscan_immediate_reclaim pages_reclaimed_after_write,
    workingset_refault refaults_file, workingset_refault_file refaults_file, workingset_refault_anon refaults_anonymous,
    workingset_activate refault_activations_file, workingset_activate_file refault_activations_file,
    workingset_activate_anon refault_activations_anonymous, workingset_restore refault_restores_file,
    workingset_restore_file refault_restores_file, workingset_restore_anon refault_restores_anonymous,
    workingset_nodereclaim refault_nodes_reclaimed, compact_stall compaction_stalls, compact_fail compaction_failures,
    compact_success compaction_successes, compact_migrate_scanned compaction_pages_scanned_to_move,
    compact_free_scanned compaction_pages_scanned_free, compact_isolated compaction_pages_isolated,
    compact_daemon_wake compaction_daemon_wakes, compact_daemon_migrate_scanned compaction_daemon_pages_scanned_to_move,
    compact_daemon_free_scanned compaction_daemon_pages_scanned_free, pgmigrate_success pages_migrated,
    pgmigrate_fail page_migration_failures, thp_fault_alloc thp_faults, thp_fault_fallback thp_fault_fallbacks,
    thp_collapse_alloc thp_collapses, thp_collapse_alloc_failed thp_collapse_failures,
    thp_file_alloc thp_file_allocations, thp_file_fallback thp_file_fallbacks, thp_file_mapped thp_file_mappings,
    thp_split thp_splits, thp_split_page thp_splits, thp_split_page_failed thp_split_failures,
    thp_deferred_split_page thp_deferred_splits, thp_split_pmd thp_mapping_splits, thp_zero_page_alloc thp_zero_pages,
    thp_swpout thp_swap_outs, thp_swpout_fallback thp_swap_out_fallbacks, thp_migration_success thp_migrations,
    thp_migration_fail thp_migration_failures, numa_pte_updates numa_pages_marked, numa_hint_faults numa_hint_faults,
    numa_hint_faults_local numa_hint_faults_local, drop_pagecache page_cache_drops, drop_slab slab_drops,
    htlb_buddy_alloc_success huge_pages_allocated, htlb_buddy_alloc_fail huge_page_allocation_failures,
    unevictable_pgs_culled unevictable_pages_culled, unevictable_pgs_rescued unevictable_pages_rescued,
    ksm_swpin_copy ksm_swap_in_copies, cow_ksm ksm_copies
"""
VMSTAT_PAGES = """
    pswpin swap_in_bytes, pswpout swap_out_bytes, nr_vmscan_write reclaim_written_bytes, nr_dirtied dirtied_bytes,
    nr_written written_back_bytes, nr_throttled_written throttled_written_back_bytes, pgpromote_success promoted_bytes,
    pgpromote_candidate promotion_candidate_bytes, pgdemote_kswapd demoted_kswapd_bytes,
    pgdemote_direct demoted_direct_bytes, pgdemote_khugepaged demoted_khugepaged_bytes,
    pgdemote_proactive demoted_proactive_bytes, numa_pages_migrated numa_migrated_bytes,
    balloon_inflate balloon_inflated_bytes, balloon_deflate balloon_deflated_bytes, swap_ra swap_read_ahead_bytes,
    swap_ra_hit swap_read_ahead_used_bytes, swpin_zero swap_in_zero_bytes, swpout_zero swap_out_zero_bytes,
    zswpin zswap_in_bytes, zswpout zswap_out_bytes, zswpwb zswap_written_back_bytes
"""
VMSTAT_KIBIBYTES = "pgpgin page_in_bytes, pgpgout page_out_bytes"
VMSTAT = [Row(f"node_vmstat_{node}", f"sonde_vmstat_{ours}_total", our_scale=Fraction(1, size))
          for text, size in ((VMSTAT_EVENTS, 1), (VMSTAT_PAGES, PAGE), (VMSTAT_KIBIBYTES, 1024)) for node, ours in pairs(text)]
VMSTAT += [Row(f"node_vmstat_nr_{name}", f"sonde_vmstat_{name}_bytes", our_scale=Fraction(1, PAGE), kind=GAUGE)
           for name in ("dirty_threshold", "dirty_background_threshold")]

PRESSURE = [Row(f"node_pressure_{resource}_{node}_seconds_total", f"sonde_pressure_{resource}_{ours}_total_seconds_total",
                **scaled(1000000))
            for resource, node, ours in (("cpu", "waiting", "some"), ("memory", "waiting", "some"),
                                         ("memory", "stalled", "full"), ("io", "waiting", "some"), ("io", "stalled", "full"))]

def unseen_disk(root, labels, value):
    """Whole disks only, and of these not the empty ones: loop devices without a file, card readers without a card."""
    sys = root / "sys/block" / labels["device"].replace("/", "!")
    if not sys.is_dir():
        return "a partition"
    if int((sys / "size").read_text()) == 0 and value == 0:
        return "a device without a medium that never did anything"
    return None


DISKS = [Row(f"node_disk_{node}_total", f"sonde_disks_devices_{ours}_total", excuse=unseen_disk) for node, ours in pairs("""
    reads_completed reads, reads_merged reads_merged, read_bytes read_bytes, writes_completed writes,
    writes_merged writes_merged, written_bytes write_bytes, discards_completed discards, discards_merged discards_merged,
    flush_requests flushes""")]
DISKS += [Row(f"node_disk_{node}_seconds_total", f"sonde_disks_devices_{ours}_seconds_total", **scaled(1000),
              excuse=unseen_disk) for node, ours in pairs("""
    read_time read_time, write_time write_time, io_time io_time, io_time_weighted weighted_io_time,
    discard_time discard_time, flush_requests_time flush_time""")]
DISKS += [Row("node_disk_discarded_sectors_total", "sonde_disks_devices_discard_bytes_total", our_scale=Fraction(1, 512),
              excuse=unseen_disk),
          Row("node_disk_io_now", "sonde_disks_devices_in_flight", kind=GAUGE, excuse=unseen_disk)]


def no_speed(root, labels, value):
    return "-1, no speed: absent is not zero" if value < 0 else None


DEVICE = {"rename": {"device": "interface"}}
NETWORK = [Row(f"node_network_{node}_total", f"sonde_network_interfaces_{ours}_total", **DEVICE) for node, ours in pairs("""
    receive_bytes receive_bytes, receive_packets receive_packets, receive_errs receive_errors, receive_drop receive_drops,
    receive_fifo receive_fifo_errors, receive_frame receive_frame_errors, receive_compressed receive_compressed,
    receive_multicast receive_multicast, transmit_bytes transmit_bytes, transmit_packets transmit_packets,
    transmit_errs transmit_errors, transmit_drop transmit_drops, transmit_fifo transmit_fifo_errors,
    transmit_colls transmit_collisions, transmit_carrier transmit_carrier_errors, transmit_compressed transmit_compressed,
    carrier_changes carrier_changes""")]
NETWORK += [
    Row("node_network_up", "sonde_network_interfaces_up", kind=STEADY, **DEVICE),
    Row("node_network_carrier", "sonde_network_interfaces_carrier", kind=STEADY, **DEVICE),
    Row("node_network_mtu_bytes", "sonde_network_interfaces_mtu_bytes", kind=STEADY, **DEVICE),
    Row("node_network_speed_bytes", "sonde_network_interfaces_speed_bytes_per_second", kind=STEADY, excuse=no_speed, **DEVICE),
]


def softnet_cpu(labels, scrape):
    """node_exporter numbers the lines; the kernel writes none for a CPU that is offline."""
    times = {}
    for series, seconds in scrape["node_cpu_seconds_total"].items():
        cpu = int(dict(series)["cpu"])
        times[cpu] = times.get(cpu, 0) + float(seconds)
    return {"cpu": str(sorted(cpu for cpu, seconds in times.items() if seconds > 0)[int(labels["cpu"])])}


NETWORK += [Row(f"node_softnet_{node}_total", f"sonde_network_softnet_{ours}_total", relabel=softnet_cpu)
            for node, ours in pairs("processed processed, dropped dropped, times_squeezed time_squeezed")]
NETWORK += [Row(f"node_nf_conntrack_stat_{node}", f"sonde_network_conntrack_{ours}_total") for node, ours in pairs("""
    found found, invalid invalid, insert_failed insert_failures, drop drops, early_drop early_drops,
    search_restart search_restarts""")]
NETWORK += [Row("node_nf_conntrack_entries", "sonde_network_conntrack_entries", kind=GAUGE),
            Row("node_nf_conntrack_entries_limit", "sonde_network_conntrack_max_entries", kind=STEADY)]

IP = """
    InReceives receive_packets, InDelivers receive_delivers, InHdrErrors receive_header_errors,
    InAddrErrors receive_address_errors, InUnknownProtos receive_unknown_protocols, InDiscards receive_discards,
    ForwDatagrams forwarded_packets, OutRequests transmit_packets, OutDiscards transmit_discards,
    OutNoRoutes transmit_no_routes, ReasmReqds reassembly_fragments, ReasmOKs reassembled_packets,
    ReasmTimeout reassembly_timeouts, ReasmFails reassembly_failures, FragOKs fragmented_packets,
    FragFails fragmentation_failures, FragCreates fragments_created
"""
IPEXT = """
    InOctets receive_bytes, InTruncatedPkts receive_truncated, InCsumErrors receive_checksum_errors,
    InNoRoutes receive_no_routes, InCEPkts receive_congestion_marks, OutOctets transmit_bytes
"""
IP6 = """
    InReceives receive_packets, InOctets receive_bytes, InDelivers receive_delivers, InHdrErrors receive_header_errors,
    InAddrErrors receive_address_errors, InTooBigErrors receive_too_big_errors, InUnknownProtos receive_unknown_protocols,
    InTruncatedPkts receive_truncated, InNoRoutes receive_no_routes, InDiscards receive_discards,
    InCEPkts receive_congestion_marks, OutForwDatagrams forwarded_packets, OutRequests transmit_packets,
    OutOctets transmit_bytes, OutDiscards transmit_discards, OutNoRoutes transmit_no_routes,
    ReasmReqds reassembly_fragments, ReasmOKs reassembled_packets, ReasmTimeout reassembly_timeouts,
    ReasmFails reassembly_failures, FragOKs fragmented_packets, FragFails fragmentation_failures,
    FragCreates fragments_created
"""
ICMP = """
    InMsgs receive_messages, InErrors receive_errors, InCsumErrors receive_checksum_errors,
    InDestUnreachs receive_unreachable, InTimeExcds receive_time_exceeded, InRedirects receive_redirects,
    InEchos receive_echo_requests, OutMsgs transmit_messages, OutErrors transmit_errors,
    OutDestUnreachs transmit_unreachable, OutTimeExcds transmit_time_exceeded, OutRateLimitGlobal transmit_rate_limited,
    OutRateLimitHost transmit_rate_limited_per_peer
"""
ICMP6 = """
    InMsgs receive_messages, InErrors receive_errors, InCsumErrors receive_checksum_errors,
    InDestUnreachs receive_unreachable, InTimeExcds receive_time_exceeded, InPktTooBigs receive_too_big,
    InRedirects receive_redirects, InEchos receive_echo_requests, OutMsgs transmit_messages, OutErrors transmit_errors,
    OutDestUnreachs transmit_unreachable, OutTimeExcds transmit_time_exceeded, OutPktTooBigs transmit_too_big,
    OutRateLimitHost transmit_rate_limited_per_peer
"""
TCP = """
    ActiveOpens active_opens, PassiveOpens passive_opens, AttemptFails failed_attempts, EstabResets established_resets,
    InSegs receive_segments, InErrs receive_errors, InCsumErrors receive_checksum_errors, OutSegs transmit_segments,
    OutRsts transmit_resets, RetransSegs retransmitted_segments
"""
TCPEXT = """
    TCPSynRetrans syn_retransmits, TCPFastRetrans fast_retransmits, TCPSlowStartRetrans slow_start_retransmits,
    TCPLostRetransmit lost_retransmits, TCPRetransFail retransmit_failures, TCPTimeouts timeouts,
    TCPSpuriousRTOs spurious_timeouts, TCPLossProbes loss_probes, TCPLossProbeRecovery loss_probe_recoveries,
    TCPSackRecovery sack_recoveries, TCPSACKReorder sack_reorders, TCPDSACKRecv duplicate_segments_reported,
    TCPOrigDataSent data_segments_sent, TCPDelivered delivered_segments, TCPDeliveredCE delivered_congestion_marks,
    ListenOverflows listen_overflows, ListenDrops listen_drops, TCPReqQFullDrop request_queue_full_drops,
    TCPReqQFullDoCookies request_queue_full_cookies, SyncookiesSent syncookies_sent, SyncookiesRecv syncookies_received,
    SyncookiesFailed syncookies_failed, EmbryonicRsts embryonic_resets, TCPDeferAcceptDrop deferred_accept_drops,
    TCPOFOQueue out_of_order_segments, TCPOFODrop out_of_order_drops, OfoPruned out_of_order_prunes,
    TCPRcvQDrop receive_queue_drops, PruneCalled receive_queue_prunes, RcvPruned receive_prune_drops,
    TCPRcvCollapsed receive_collapsed, TCPBacklogDrop backlog_drops, TCPZeroWindowDrop zero_window_drops,
    TCPToZeroWindowAdv zero_window_shut, TCPFromZeroWindowAdv zero_window_opened, TCPWinProbe window_probes,
    TCPKeepAlive keepalives, TCPAbortOnData abort_on_data, TCPAbortOnClose abort_on_close,
    TCPAbortOnMemory abort_on_memory, TCPAbortOnTimeout abort_on_timeout, TCPAbortOnLinger abort_on_linger,
    TCPAbortFailed abort_failures, TCPMemoryPressures memory_pressures, TCPWqueueTooBig write_queue_too_big,
    TCPTimeWaitOverflow time_wait_overflows, TW time_wait_ended, PAWSEstab timestamp_rejects,
    TCPChallengeACK challenge_acks, TCPMD5Failure md5_failures, TCPMTUPFail path_mtu_failures,
    TCPFastOpenActive fast_open_active, TCPFastOpenActiveFail fast_open_active_failures,
    TCPFastOpenPassive fast_open_passive, TCPFastOpenPassiveFail fast_open_passive_failures,
    TCPFastOpenListenOverflow fast_open_listen_overflows
"""
UDP = """
    InDatagrams receive_datagrams, NoPorts receive_no_port, InErrors receive_errors, RcvbufErrors receive_buffer_errors,
    InCsumErrors receive_checksum_errors, MemErrors memory_errors, OutDatagrams transmit_datagrams,
    SndbufErrors transmit_buffer_errors
"""
PROTOCOLS = {"Ip": (IP, "ip4"), "IpExt": (IPEXT, "ip4"), "Ip6": (IP6, "ip6"),
             "Icmp": (ICMP, "icmp4"), "Icmp6": (ICMP6, "icmp6"), "Tcp": (TCP, "tcp"), "TcpExt": (TCPEXT, "tcp"),
             "Udp": (UDP, "udp4"), "Udp6": (UDP, "udp6"),
             "UdpLite": (UDP, "udplite4"), "UdpLite6": (UDP, "udplite6")}
NETWORK += [Row(f"node_netstat_{group}_{node}", f"sonde_network_{section}_{ours}_total")
            for group, (text, section) in PROTOCOLS.items() for node, ours in pairs(text)]
# UDP-Lite over IPv6 has no such line.
NETWORK += [Row(f"node_netstat_{group}_IgnoredMulti", f"sonde_network_{section}_receive_ignored_multicast_total")
            for group, section in (("Udp", "udp4"), ("Udp6", "udp6"), ("UdpLite", "udplite4"))]
NETWORK += [
    # 1 and 2 in the kernel's file, yes and no
    Row("node_netstat_Ip_Forwarding", "sonde_network_ip4_forwarding", kind=STEADY, convert=lambda ours: 2 - ours),
    Row("node_netstat_Tcp_CurrEstab", "sonde_network_tcp_connections", kind=GAUGE),
    Row("node_netstat_TcpExt_TCPMemoryPressuresChrono", "sonde_network_tcp_memory_pressure_time_seconds_total",
        our_scale=Fraction(1000)),
    Row("node_netstat_TcpExt_IPReversePathFilter", "sonde_network_ip4_receive_reverse_path_drops_total"),
]

SOCKETS = """
    sockets_used used, TCP_inuse tcp_in_use, TCP_orphan tcp_orphans, TCP_tw tcp_time_wait, TCP_alloc tcp_allocated,
    TCP_mem_bytes tcp_memory_bytes, UDP_inuse udp_in_use, UDP_mem_bytes udp_memory_bytes, UDPLITE_inuse udplite_in_use,
    RAW_inuse raw_in_use, FRAG_inuse fragment_queues, FRAG_memory fragment_memory_bytes, TCP6_inuse tcp6_in_use,
    UDP6_inuse udp6_in_use, UDPLITE6_inuse udplite6_in_use, RAW6_inuse raw6_in_use, FRAG6_inuse fragment6_queues,
    FRAG6_memory fragment6_memory_bytes"""
NETWORK += [Row(f"node_sockstat_{node}", f"sonde_network_sockets_{ours}", kind=GAUGE) for node, ours in pairs(SOCKETS)]
NETWORK += [Row(f"node_sockstat_{name}_mem", f"sonde_network_sockets_{name.lower()}_memory_bytes", our_scale=Fraction(1, PAGE),
                kind=GAUGE) for name in ("TCP", "UDP")]


def cleaned(name):
    """As node_exporter writes the names of devices."""
    return re.sub("[^a-z0-9:_]", "_", name.lower())


def value_of(scrape, metric, label, **fixed):
    """The label of the metric's one series with these labels, or None."""
    found = [dict(labels)[label] for labels in scrape.get(metric, {}) if fixed.items() <= labels]
    return found[0] if found else None


def hwmon_labels(labels, scrape):
    """chip is "BUS_DEVICE" there; the chip's name and the sensor's label are metrics of their own."""
    chip, sensor = labels["chip"], labels["sensor"]
    return {"chip": value_of(scrape, "node_hwmon_chip_names", "chip_name", chip=chip), "device": chip.partition("_")[2],
            "sensor": value_of(scrape, "node_hwmon_sensor_label", "label", chip=chip, sensor=sensor) or sensor}


def device_cleaned(labels):
    return {**labels, "device": cleaned(labels["device"])}


def zones_hidden(root, labels, value):
    """Thermal zones show what the chips of hwmon do once more, under other names."""
    return "thermal zones where hwmon has temperatures" if any(root.glob("sys/class/hwmon/hwmon*/temp*_input")) else None


def no_module(root, labels, value):
    """Errors no module could be told of are in the controller's own count."""
    if labels["csrow"] == "unknown":
        return "errors of no known module, which are in the controller's count"
    modules = any(root.glob("sys/devices/system/edac/mc/mc*/dimm*")) or any(root.glob("sys/devices/system/edac/mc/mc*/rank*"))
    return "rows of memory where its modules are known" if modules else None


def hwmon(node, ours, scale, kind=GAUGE):
    return Row(f"node_hwmon_{node}", f"sonde_sensors_{ours}", kind=kind, relabel=hwmon_labels, ours_relabel=device_cleaned,
               **scaled(scale))


def rapl(zone):
    return Row(f"node_rapl_{zone}_joules_total", "sonde_sensors_energy_energy_joules_total", **scaled(1000000),
               relabel=lambda labels, scrape: {"zone": labels["path"].rpartition("/")[2]},
               ours_relabel=lambda labels: {"zone": labels["device"]})


HARDWARE = [
    hwmon("temp_celsius", "temperatures_celsius", 1000),
    hwmon("temp_max_celsius", "temperatures_high_celsius", 1000),
    hwmon("temp_crit_celsius", "temperatures_critical_celsius", 1000),
    hwmon("fan_rpm", "fans_rpm", 1),
    hwmon("in_volts", "voltages_volts", 1000),
    hwmon("power_watt", "power_power_watts", 1000000),
    hwmon("power_average_watt", "power_power_watts", 1000000),
    hwmon("energy_joule_total", "energy_energy_joules_total", 1000000, COUNTER),
    *(rapl(zone) for zone in ("package", "core", "uncore", "dram", "psys")),
    Row("node_thermal_zone_temp", "sonde_sensors_temperatures_celsius", kind=GAUGE, excuse=zones_hidden, **scaled(1000),
        relabel=lambda labels, scrape: {
            "chip": "thermal", "device": f"thermal_zone{labels['zone']}", "sensor": labels["type"]}),
    # One core's counter is that of all its threads; ours is the package's sum.
    Row("node_cpu_core_throttles_total", "sonde_sensors_throttling_core_throttles_total", rename={"core": None}),
    Row("node_cpu_package_throttles_total", "sonde_sensors_throttling_package_throttles_total"),
]
for errors, ours in (("correctable", "corrected"), ("uncorrectable", "uncorrected")):
    HARDWARE += [
        Row(f"node_edac_{errors}_errors_total", f"sonde_sensors_memory_controllers_{ours}_errors_total",
            relabel=lambda labels, scrape: {"controller": f"mc{labels['controller']}"}),
        Row(f"node_edac_csrow_{errors}_errors_total", f"sonde_sensors_memory_controllers_modules_{ours}_errors_total",
            relabel=lambda labels, scrape: {"controller": f"mc{labels['controller']}", "module": f"csrow{labels['csrow']}"},
            excuse=no_module),
    ]

# /proc/mdstat; blocks of 1 KiB
HARDWARE += [Row("node_md_disks", f"sonde_disks_arrays_disks_{state}", fixed={"state": state}, kind=GAUGE)
             for state in ("active", "failed", "spare")]
HARDWARE += [Row("node_md_disks_required", "sonde_disks_arrays_disks_total", kind=STEADY),
             Row("node_md_blocks", "sonde_disks_arrays_size_bytes", our_scale=Fraction(1, 1024), kind=STEADY)]


def elsewhere(root, labels, value):
    """One mount of each file system is shown, and none without a size or with the kernel's own contents."""
    if value == 0:
        return "absent is not zero: no size, or inodes made as they are needed"
    point = labels["mountpoint"].encode().decode("unicode_escape")
    number = os.stat(point).st_dev
    with open("/proc/self/mountinfo") as mounts:
        points = [line.split()[4] for line in mounts if line.split()[2] == f"{os.major(number)}:{os.minor(number)}"]
    return "another mount of a file system that is shown" if len(points) > 1 else None


MOUNT = {"rename": {"mountpoint": "mount_point", "device": None, "fstype": None}, "excuse": elsewhere}
FILESYSTEMS = [Row(f"node_filesystem_{node}", f"sonde_filesystems_filesystems_{ours}", kind=kind, **MOUNT)
               for node, ours, kind in (
    ("size_bytes", "size_bytes", STEADY), ("free_bytes", "free_bytes", GAUGE), ("avail_bytes", "available_bytes", GAUGE),
    ("files", "inodes", STEADY), ("files_free", "inodes_free", GAUGE))]

# adjtimex's frequency: parts per million times 2^16, around which node_exporter puts 1
SPEED = Fraction(65536 * 1000000)
CLOCK = [
    Row("node_timex_offset_seconds", "sonde_sensors_clock_offset_seconds", kind=GAUGE, **scaled(1000000000)),
    Row("node_timex_estimated_error_seconds", "sonde_sensors_clock_estimated_error_seconds", kind=GAUGE, **scaled(1000000)),
    Row("node_timex_maxerror_seconds", "sonde_sensors_clock_maximum_error_seconds", kind=GAUGE, **scaled(1000000)),
    Row("node_timex_frequency_adjustment_ratio", "sonde_sensors_clock_frequency_correction_ratio", SPEED, SPEED, kind=GAUGE,
        convert=lambda ours: ours + SPEED),
    Row("node_timex_sync_status", "sonde_sensors_clock_synchronised", kind=STEADY),
    Row("node_timex_tai_offset_seconds", "sonde_sensors_clock_tai_offset_seconds", kind=STEADY),
]

TABLE = CPU + MEMORY + VMSTAT + PRESSURE + DISKS + NETWORK + HARDWARE
# These ask the running kernel, and nothing a tree could hold.
LIVE_TABLE = TABLE + FILESYSTEMS + CLOCK

# What node_exporter has by default and we do not: (names, why). A metric that is neither in the table nor here fails the test.
NOT_OURS = [
    (r"node_exporter_build_info|node_scrape_collector_.*|node_textfile_.*|promhttp_.*|go_.*|process_.*",
     "about node_exporter itself"),
    (r"node_(uname|os|dmi|disk|network|cpu|hwmon|nvme|selinux|md|drbd)_?(info|version|enabled)",
     "no number: a fact, in the agent's hello"),
    (r"node_(time|nfs|nfsd|xfs|btrfs|zfs|bonding|arp|infiniband|fibrechannel|ipvs|tapestats|bcache|entropy)_.*",
     "a collector we do not have: not about a host's performance, or a file system's own matters"),
    (r"node_schedstat_.*", "the kernel counts these only where it was built and told to; waiting for a CPU is in pressure"),
    (r"node_cpu_(scaling_)?frequency_(min|max)_hertz", "a limit, not a measurement"),
    (r"node_cpu_frequency_hertz", "cpuinfo_cur_freq asks the hardware and interrupts the CPU; scaling_cur_freq is shown"),
    (r"node_hwmon_(chip_names|sensor_label)", "labels of our series"),
    (r"node_hwmon_.*_(alarm|min|max|lcrit|crit|beep|fault|type|offset|hyst|target|interval).*", "limits but of temperatures"),
    (r"node_cooling_device_.*", "how hard a device is being slowed down shows in its frequency"),
    (r"node_md_(blocks_synced|state)", "as sync_progress_ratio and the array's state in words"),
    (r"node_filesystem_(readonly|device_error)", "said of the file system in its section, as no number"),
    (r"node_udp_queues", "reads the whole of /proc/net/udp, which grows with every socket; sockstat's memory says it for all"),
    (r"node_network_(address_assign_type|device_id|dormant|flags|iface_id|iface_link|iface_link_mode|name_assign_type"
     r"|net_dev_group|protocol_type|transmit_queue_length)", "a setting, not a measurement; one sysfs file an interface each"),
    (r"node_network_carrier_(up|down)_changes_total", "carrier_changes is their sum"),
    (r"node_network_receive_nohandler_total", "not in /proc/net/dev: one more sysfs file an interface and tick"),
    (r"node_nf_conntrack_stat_ignore", "a column the kernel no longer fills"),
    (r"node_nf_conntrack_stat_insert",
     "counts what programs insert by netlink, not what is tracked; entries and insert_failed are shown"),
    (r"node_timex_(pps_.*|status|tick_seconds|loop_time_constant)", "the inner workings of the kernel's clock discipline"),
    (r"node_memory_numa_(Bounce|FilePmdMapped|NFS_Unstable|SecPageTables|ShmemPmdMapped|WritebackTmp)",
     "a collector node_exporter has off by default; the host's total is shown"),
]

# What node_exporter has only when asked for all fields of a file, and we do not: counted, not listed one by one.
BEYOND_DEFAULTS = r"node_(netstat|vmstat)_.*"
