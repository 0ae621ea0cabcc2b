#include "agent/events/clock_watch.h"

#include "common/clock.h"

#include <stdio.h>

#define TRIES 3
#define SPREAD_US 10000 /* a tenth of what counts as a step */

bool clock_reading_take(struct clock_reading *ret)
{
	for (int i = 0; i < TRIES; i++) {
		/* In this order CLOCK_BOOTTIME is never behind. */
		uint64_t monotonic_us = clock_monotonic_ns() / 1000;
		uint64_t boottime_us = clock_boottime_us();
		int64_t wall_us = clock_wall_us();
		if (clock_monotonic_ns() / 1000 - monotonic_us > SPREAD_US)
			continue;
		*ret = (struct clock_reading){boottime_us, monotonic_us, wall_us};
		return true;
	}
	return false;
}

static void tell_boot(const struct clock_reading *now, struct event_log *log)
{
	struct event event = {
		.kind = SONDE__V1__EVENT_KIND__EVENT_KIND_BOOT,
		.severity = SONDE__V1__EVENT_SEVERITY__EVENT_SEVERITY_WARNING,
		.wall_us = now->wall_us - (int64_t)now->boottime_us,
		.occurrences = 1,
		.message = "the host booted",
	};
	event_log_add(log, &event);
}

static void tell_step(const struct clock_reading *now, int64_t step_us, struct event_log *log)
{
	struct event event = {
		.kind = SONDE__V1__EVENT_KIND__EVENT_KIND_CLOCK_STEP,
		.severity = SONDE__V1__EVENT_SEVERITY__EVENT_SEVERITY_WARNING,
		.boottime_us = now->boottime_us,
		.wall_us = now->wall_us,
		.amount_us = step_us,
		.occurrences = 1,
	};
	(void)snprintf(event.message, sizeof(event.message), "the clock was set %s by %.3f s",
		       step_us > 0 ? "forward" : "back", (double)(step_us > 0 ? step_us : -step_us) / 1e6);
	event_log_add(log, &event);
}

static void tell_suspend(const struct clock_reading *now, int64_t asleep_us, struct event_log *log)
{
	struct event event = {
		.kind = SONDE__V1__EVENT_KIND__EVENT_KIND_SUSPEND,
		.severity = SONDE__V1__EVENT_SEVERITY__EVENT_SEVERITY_INFO,
		.boottime_us = now->boottime_us,
		.wall_us = now->wall_us,
		.amount_us = asleep_us,
		.occurrences = 1,
	};
	(void)snprintf(event.message, sizeof(event.message), "the host was suspended for %.1f s",
		       (double)asleep_us / 1e6);
	event_log_add(log, &event);
}

void clock_watch_take(struct clock_watch *watch, const struct clock_reading *now, struct event_log *log)
{
	const struct clock_reading last = watch->last;
	watch->last = *now;
	if (!watch->begun) {
		watch->begun = true;
		if (now->boottime_us < CLOCK_WATCH_BOOT_US)
			tell_boot(now, log);
		return;
	}
	int64_t boottime = (int64_t)(now->boottime_us - last.boottime_us);
	int64_t asleep_us = boottime - (int64_t)(now->monotonic_us - last.monotonic_us);
	int64_t step_us = now->wall_us - last.wall_us - boottime;
	if (asleep_us > CLOCK_WATCH_STEP_US)
		tell_suspend(now, asleep_us, log);
	if (step_us > CLOCK_WATCH_STEP_US || step_us < -CLOCK_WATCH_STEP_US)
		tell_step(now, step_us, log);
}
