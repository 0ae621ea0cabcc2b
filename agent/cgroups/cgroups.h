/* The `cgroups` section: what each control group used, was allowed and waited for. Where files come from: files.h;
 * which cgroups there are: tree.h.
 *
 * Usage is read at every tick. What costs more and changes less (memory.stat takes the kernel some microseconds to sum
 * up, pressure averages move every two seconds) is read of each cgroup every CGROUPS_DETAIL_MS, a fifth of them in each
 * second, and at every tick while somebody watches. */
#pragma once

#include "agent/collector.h"

#define CGROUPS_SHOWN_MAX 512 /* rows; beyond, those with the most memory and the most CPU time since the last tick */
#define CGROUPS_DETAIL_MS 5000

extern const struct collector collector_cgroups;
