/* The section `tcp`: connections, retransmissions, resets and round-trip times, by the programs of bpf/tcp.bpf.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_tcp;
