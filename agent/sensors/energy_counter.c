#include "agent/sensors/energy_counter.h"

uint64_t energy_counter_take(struct energy_counter *counter, uint64_t value_uj, uint64_t now_us)
{
	uint64_t elapsed_us = now_us - counter->last_us;
	uint64_t used_uj = value_uj;
	if (!counter->begun) {
		counter->begun = true;
	} else if (value_uj >= counter->last_uj) {
		used_uj = value_uj - counter->last_uj;
	} else if (counter->range_uj >= counter->last_uj) {
		uint64_t wrapped_uj = counter->range_uj - counter->last_uj + value_uj;
		/* A watt is a microjoule in a microsecond. */
		if (wrapped_uj / ENERGY_MAX_WATTS <= elapsed_us)
			used_uj = wrapped_uj;
	}
	counter->total_uj += used_uj;
	counter->last_uj = value_uj;
	counter->last_us = now_us;
	return counter->total_uj;
}
