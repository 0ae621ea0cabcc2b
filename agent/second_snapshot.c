/* Apart from the sampler, which knows no timer. */
#include "agent/second_snapshot.h"

#include <errno.h>
#include <time.h>

static void wait_ms(uint32_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

int second_snapshot_take(struct sampler *sampler, const struct second_snapshot_times *times, const uint8_t **ret_data,
			 size_t *ret_len)
{
	uint64_t sequence;
	const uint8_t *data;
	size_t len;
	sampler_watch(sampler, ~(sampler_set)0, UINT64_MAX);
	int r = sampler_take(sampler, times->interval_ms, &sequence, &data, &len);
	if (r < 0)
		return r;
	wait_ms(times->wait_ms);
	(void)sampler_settle(sampler, times->settle_ms);
	return sampler_take(sampler, times->interval_ms, &sequence, ret_data, ret_len);
}
