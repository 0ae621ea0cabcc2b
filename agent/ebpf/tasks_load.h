/* The adapter to libbpf for the programs of bpf/tasks.bpf.c: loads and attaches them, hands out what they wrote.
 * Reading needs no capability from Linux 5.19 on; before, CAP_BPF where kernel.unprivileged_bpf_disabled is set. */
#pragma once

#include "agent/collector.h"

#include <linux/types.h>
#include <stddef.h>
#include <sys/types.h>

#include "bpf/tasks.h"

struct tasks_probe;

/* Without `exits` no exits are followed; nor when the kernel refuses only that. 0, or negative errno with *state. */
int tasks_load(const struct collector_context *context, bool exits, struct tasks_probe **ret,
	       struct collector_state *state) __attribute__((nonnull, warn_unused_result));
void tasks_unload(struct tasks_probe *probe); /* accepts NULL */

bool tasks_sees_exits(const struct tasks_probe *probe) __attribute__((nonnull));

/* A new pass over all tasks: a file descriptor to read() records from, of the pid namespace of the caller. Processes
 * that have not run since the pass before are written short, and open files left out, but for a part of the processes,
 * in turns, and for those that began after known_ns (CLOCK_BOOTTIME). 0 for known_ns gives all in full: at first, and
 * whenever what the pass before wrote was not kept whole. Negative errno. */
int tasks_begin_pass(struct tasks_probe *probe, uint64_t known_ns) __attribute__((nonnull, warn_unused_result));

/* All processes at once, where the kernel can: a walk, good until the next, continuing what the pass or walk before
 * wrote (so not the first). NULL where it cannot. *ret_error is negative where it should have been: the next reading
 * must be a pass that gives all in full. known_ns as above, never 0. */
const struct tasks_walk *tasks_walk_all(struct tasks_probe *probe, uint64_t known_ns, int *ret_error)
	__attribute__((nonnull, warn_unused_result));

/* From now on the program folds processes that began after this CLOCK_BOOTTIME, and hands over the others one by one.
 * TASKS_NEVER_NS: hands over all. Returns what it was. */
uint64_t tasks_fold_from(struct tasks_probe *probe, uint64_t boottime_ns) __attribute__((nonnull));
/* Cumulative: exits for which there was no room in the ring or among the rows. */
uint64_t tasks_exits_left_out(const struct tasks_probe *probe) __attribute__((nonnull));

/* Takes all exits out of the ring. 0 or negative errno. */
int tasks_drain_exits(struct tasks_probe *probe, void (*each)(void *arg, const struct tasks_exit *exit), void *arg)
	__attribute__((nonnull(1, 2), warn_unused_result));
/* All rows the program folded; none when nothing was folded since the last call. 0 or negative errno. */
int tasks_read_folded(struct tasks_probe *probe,
		      void (*each)(void *arg, const struct tasks_exited_key *key, const struct tasks_exited *value),
		      void *arg) __attribute__((nonnull(1, 2), warn_unused_result));
void tasks_forget_folded(struct tasks_probe *probe, const struct tasks_exited_key *key) __attribute__((nonnull));
