/* The `cgroups` section: what each control group used, was allowed and waited for. Where files come from: files.h;
 * which cgroups there are: tree.h; which files stay open: places.h.
 *
 * CPU time is read at every tick. Where it has moved, so are memory, tasks and I/O; where it has not, nothing ran in
 * the cgroup, and they are read every CGROUPS_DETAIL_MS and said again meanwhile (pages may be reclaimed, and what was
 * written before reach the disk, while nothing runs). What costs more and changes less (memory.stat takes the kernel 6
 * us to sum up, pressure averages move every two seconds) is read every CGROUPS_DETAIL_MS, a fifth of the cgroups in
 * each second; of one in which nothing ran since, every CGROUPS_WHOLE_MS. Limits are read that often, too, and said
 * again with the other details. While somebody watches, everything is read at every tick.
 *
 * Where there are more than CGROUPS_SHOWN_MAX, the tick stays bounded: what is not shown is asked for CPU time and
 * memory alone, in its turn, and shown when it has come to the front of either. */
#pragma once

#include "agent/collector.h"

#define CGROUPS_SHOWN_MAX 512 /* rows; beyond, those with the most memory and those that use the most CPU time */
#define CGROUPS_DETAIL_MS 5000
#define CGROUPS_WHOLE_MS 30000

extern const struct collector collector_cgroups;
