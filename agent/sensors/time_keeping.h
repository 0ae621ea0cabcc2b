/* How well the clock is kept: adjtimex(2) without changing anything. */
#pragma once

#include <sonde/v1/sensors.pb-c.h>

#include <sys/timex.h>

/* state: what adjtimex() returned. Pure. */
void time_keeping_fill(const struct timex *timex, int state, Sonde__V1__TimeKeeping *out) __attribute__((nonnull));
/* 0 or negative errno. */
int time_keeping_read(Sonde__V1__TimeKeeping *out) __attribute__((nonnull, warn_unused_result));
