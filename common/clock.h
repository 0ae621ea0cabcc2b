/* The three clocks the project tells apart. Thread-safe. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC: for timeouts and durations inside one process. */
uint64_t clock_monotonic_ns(void);
/* CLOCK_BOOTTIME: for samples; counts suspended time, never steps. */
uint64_t clock_boottime_us(void);
/* CLOCK_REALTIME since 1970: for people and for storage; may step. */
int64_t clock_wall_us(void);
