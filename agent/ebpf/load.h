/* The adapter to libbpf: loads and attaches the block probe, and turns every way in which that fails into a state that
 * a person can act on. Logs libbpf's own words at debug level. */
#pragma once

#include "agent/collector.h"
#include "agent/ebpf/plan.h"

#include <linux/types.h>

#include "bpf/block_io.h"

struct block_io_probe;

/* Loads, attaches, maps. Tries the rungs of the ladder in order. 0, or negative errno with *state filled in. Needs no
 * RLIMIT_MEMLOCK: libbpf tries to raise it where the kernel still counts by it, and goes on when that is refused. */
int block_io_load(const struct collector_context *context, const struct block_io_plan *plan,
		  struct block_io_probe **ret, struct collector_state *state)
	__attribute__((nonnull, warn_unused_result));
/* The object's maps by the plan; apart, so that a test can tell what they take on a host it does not run on. 0 or
 * negative errno. */
struct block_io;
int block_io_size_maps(struct block_io *skeleton, const struct block_io_plan *plan)
	__attribute__((nonnull, warn_unused_result));

/* Detaches and frees everything; nothing is pinned. Accepts NULL. */
void block_io_unload(struct block_io_probe *probe);

/* "tp_btf" or "raw_tp". */
const char *block_io_attach(const struct block_io_probe *probe);
/* As the plan has them. */
uint32_t block_io_shards(const struct block_io_probe *probe);

/* The mapped memory; programs write to it at any moment, so read it by relaxed atomic loads. */
struct block_io_slot *block_io_slots(const struct block_io_probe *probe);
__u32 *block_io_queue_slots(const struct block_io_probe *probe);
const __u64 *block_io_without_slot(const struct block_io_probe *probe);
/* All shards of one slot, mapped at the first call: pages of slots that nobody asks for are not the agent's. NULL when
 * there is no memory for that. Good until the slot is released. */
const struct block_io_row *block_io_rows(struct block_io_probe *probe, uint32_t slot);

/* Two steps, one tick apart, so that no program still writes into what is cleared: unlink makes the programs take a new
 * slot at the device's next request; release clears the counters and gives the slot back. The second is for the map
 * system calls; -EPERM on kernels before 5.19 once CAP_BPF has been dropped: try again or do without the slot. */
int block_io_unlink(struct block_io_probe *probe, uint32_t slot) __attribute__((warn_unused_result));
int block_io_release(struct block_io_probe *probe, uint32_t slot) __attribute__((warn_unused_result));

/* Of cgroups: how many there is room for (0: this kernel does not say, or the plan wants none), who they are, and their
 * counters, all shards of the slots below `n`. The last is NULL when there is no memory, and good until the next call.
 */
uint32_t block_io_cgroup_slots(const struct block_io_probe *probe);
struct block_io_cgroup *block_io_cgroups(const struct block_io_probe *probe);
const struct block_io_cgroup_row *block_io_cgroup_rows(struct block_io_probe *probe, uint32_t n);
const __u64 *block_io_without_cgroup(const struct block_io_probe *probe);
/* 0 or negative errno. */
int block_io_cgroup_path(const struct block_io_probe *probe, uint32_t slot, struct block_io_cgroup_path *ret)
	__attribute__((nonnull, warn_unused_result));
/* In two steps as above. */
int block_io_unlink_cgroup(struct block_io_probe *probe, uint32_t slot) __attribute__((warn_unused_result));
int block_io_release_cgroup(struct block_io_probe *probe, uint32_t slot) __attribute__((warn_unused_result));
