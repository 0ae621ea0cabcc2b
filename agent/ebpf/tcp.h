/* The section `tcp`: connections, retransmissions, resets and round-trip times, by the programs of bpf/tcp.bpf.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_tcp;

/* Its maps by the CPUs there can be; apart, so that a test can tell what they take on a host it does not run on. 0 or
 * negative errno. */
struct tcp;
int tcp_size_maps(struct tcp *skeleton, uint32_t cpus) __attribute__((nonnull, warn_unused_result));
