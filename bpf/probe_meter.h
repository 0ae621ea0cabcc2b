/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a program costs, measured by itself: every run is counted, one in PROBE_METER_EVERY is timed. Needs no
 * privilege, unlike the kernel's own statistics, and costs about a nanosecond a run. The clock is read twice at the
 * beginning of a timed run, so that its own cost is known. Not in it: the kernel's call of the program, 10 to 20 ns.
 * Needs __u64. */
#pragma once

#define PROBE_METER_EVERY 251 /* prime: a program that does more in every 16th run is timed in all of them */

/* Of one program on one CPU: nobody else writes to it. A cache line. */
struct probe_meter {
	__u64 runs;
	__u64 timed_runs;
	__u64 timed_ns; /* of those, the clock's reading included once */
	__u64 clock_ns; /* one reading of the clock for each of them */
	__u64 since_timed;
	__u64 before_ns, begin_ns; /* of a run that is being timed; begin_ns 0: it is not */
	__u64 unused;
};
