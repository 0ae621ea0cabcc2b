#include "common/condition.h"

#include "common/clock.h"

int condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t monotonic;
	int r = -pthread_condattr_init(&monotonic);
	if (r < 0)
		return r;
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	r = -pthread_cond_init(condition, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return r;
}

struct timespec condition_in_ms(uint64_t ms)
{
	uint64_t until_ns = clock_monotonic_ns() + ms * 1000000;
	return (struct timespec){(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
}
