/* The `cgroups` section: what each control group used, was allowed and waited for. Where files come from: files.h;
 * which cgroups there are: tree.h; which files stay open: places.h.
 *
 * Usage is read at every tick. What costs more and changes less (memory.stat takes the kernel 6 us to sum up, pressure
 * averages move every two seconds) is read of each cgroup every CGROUPS_DETAIL_MS, a fifth of them in each second, and
 * at every tick while somebody watches. On v1 that is 6.4 us a cgroup and tick.
 *
 * Where there are more than CGROUPS_SHOWN_MAX, the tick stays bounded: what is not shown is asked for CPU time and
 * memory alone, in its turn, and shown when it has come to the front of either. */
#pragma once

#include "agent/collector.h"

#define CGROUPS_SHOWN_MAX 512 /* rows; beyond, those with the most memory and those that use the most CPU time */
#define CGROUPS_DETAIL_MS 5000

extern const struct collector collector_cgroups;
