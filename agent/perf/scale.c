#include "agent/perf/scale.h"

/* Starting and stopping a group takes a moment: 99.5% is all the time. */
#define FULL_PER_MILLE 995

double perf_coverage(uint64_t enabled_ns, uint64_t running_ns)
{
	if (enabled_ns == 0)
		return 0;
	return running_ns >= enabled_ns ? 1 : (double)running_ns / (double)enabled_ns;
}

static uint64_t saturated(unsigned __int128 n)
{
	return n > UINT64_MAX ? UINT64_MAX : (uint64_t)n;
}

struct perf_increment perf_scale(struct perf_scaled *scaled, const struct perf_reading *now)
{
	struct perf_reading last = scaled->last;
	struct perf_increment increment = {PERF_INTERVAL_NONE, 0, 0, 0};
	scaled->last = *now;
	if (now->value < last.value || now->enabled_ns <= last.enabled_ns || now->running_ns < last.running_ns)
		return increment;

	uint64_t value = now->value - last.value;
	increment.enabled_ns = now->enabled_ns - last.enabled_ns;
	increment.running_ns = now->running_ns - last.running_ns;
	if (increment.running_ns == 0) {
		increment.interval = PERF_INTERVAL_ABSENT;
		return increment;
	}
	bool full = increment.running_ns >= increment.enabled_ns;
	increment.count =
		full ? value : saturated((unsigned __int128)value * increment.enabled_ns / increment.running_ns);
	full = full || (unsigned __int128)increment.running_ns * 1000 >=
			       (unsigned __int128)increment.enabled_ns * FULL_PER_MILLE;
	increment.interval = full ? PERF_INTERVAL_FULL : PERF_INTERVAL_MULTIPLEXED;
	scaled->count = saturated((unsigned __int128)scaled->count + increment.count);
	scaled->ever = true;
	return increment;
}
