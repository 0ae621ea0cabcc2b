/* Why the kernel refused a BPF object, in words a person can act on; and libbpf's own words for the debug log. Both for
 * the thread that loads. */
#pragma once

#include "agent/collector.h"

#include <bpf/libbpf.h>

/* -ENOTSUP with *state where a recorded host is shown, "a recorded host is shown: WHAT"; 0 on the running one. */
int refusal_if_recorded(const struct collector_context *context, const char *what, struct collector_state *state)
	__attribute__((nonnull, warn_unused_result));

/* Instead of libbpf's print function while loading: keeps what it said last. Returns the function there was before, for
 * libbpf_set_print(). */
libbpf_print_fn_t refusal_listen(void);
/* What libbpf said last on this thread; "" for nothing. */
const char *refusal_said(void);

/* Fills *state: the missing capability, a filter of system calls, a lockdown, or "the kernel refused `what`" with
 * `step` for the reason. Returns `error`. */
int refusal_state(const struct collector_context *context, struct collector_state *state, int error, const char *what,
		  const char *step) __attribute__((nonnull));

/* The running kernel's types, or those of the file of --btf: for refusal_end_btf(). 0 and *ret, or negative errno with
 * *state. */
struct btf;
int refusal_or_btf(const struct collector_context *context, struct btf **ret, struct collector_state *state)
	__attribute__((nonnull, warn_unused_result));
/* Frees them, unless they are kept for the next that asks (agent/ebpf/programs.h). Accepts NULL. */
void refusal_end_btf(const struct collector_context *context, struct btf *btf) __attribute__((nonnull(1)));
