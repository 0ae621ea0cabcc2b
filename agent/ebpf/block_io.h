/* The section `block_io`: block requests counted by the programs of bpf/block_io.bpf.c, and how far they agree with
 * /proc/diskstats. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_block_io;
