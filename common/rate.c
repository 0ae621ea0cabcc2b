/* Differences are taken as integers before anything becomes a double: counters beyond 2^53 keep their last digits. */
#include "common/rate.h"

bool rate_per_second(uint64_t before, uint64_t after, uint64_t elapsed_us, double *ret)
{
	if (after < before || elapsed_us == 0)
		return false;
	*ret = (double)(after - before) * 1e6 / (double)elapsed_us;
	return true;
}

bool rate_per_second_wrapping(uint64_t before, uint64_t after, uint64_t elapsed_us, double max_per_second, double *ret)
{
	double rate;
	if (after >= before)
		return rate_per_second(before, after, elapsed_us, ret);
	if (before > UINT32_MAX)
		return false;
	uint32_t grown = (uint32_t)after - (uint32_t)before;
	if (grown > INT32_MAX || !rate_per_second(0, grown, elapsed_us, &rate) || rate > max_per_second)
		return false;
	*ret = rate;
	return true;
}

uint64_t rate_extend_u32(uint64_t extended, uint32_t raw)
{
	uint32_t grown = raw - (uint32_t)extended;
	return grown <= INT32_MAX ? extended + grown : raw;
}

uint64_t rate_delta(uint64_t before, uint64_t after)
{
	return after > before ? after - before : 0;
}

bool rate_share(const uint64_t *before, const uint64_t *after, size_t n, size_t index, double *ret)
{
	uint64_t total = 0;
	if (index >= n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (__builtin_add_overflow(total, rate_delta(before[i], after[i]), &total))
			return false;
	}
	if (total == 0)
		return false;
	*ret = (double)rate_delta(before[index], after[index]) / (double)total;
	return true;
}

bool rate_per(uint64_t before, uint64_t after, uint64_t per_before, uint64_t per_after, double *ret)
{
	if (after < before || per_after <= per_before)
		return false;
	*ret = (double)(after - before) / (double)(per_after - per_before);
	return true;
}
