/* Tests of the process table with processes that end (T4 and T5 in bpf/README.md). */
#pragma once

/* Commands that live for less than a reading: the time of all CPUs is in what is visible and what has exited. */
void a_fork_load_is_accounted_for(void **state);
/* Some live through no reading, some through several. */
void every_nanosecond_is_counted_once(void **state);
/* Visible until it is waited for, and not an exit before. */
void a_zombie_is_counted_once(void **state);
