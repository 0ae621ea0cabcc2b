/* The section `interrupts`: time in softirqs and interrupt handlers, by the programs of bpf/interrupts.bpf.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_interrupts;

/* Its maps by the CPUs there can be; apart, so that a test can tell what they take on a host it does not run on. 0 or
 * negative errno. */
struct interrupts;
int interrupts_size_maps(struct interrupts *skeleton, uint32_t cpus) __attribute__((nonnull, warn_unused_result));
