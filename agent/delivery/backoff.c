#include "agent/delivery/backoff.h"

uint32_t backoff_ms(uint32_t failures, uint32_t random)
{
	uint32_t full = BACKOFF_FIRST_MS;
	for (uint32_t i = 1; i < failures && full < BACKOFF_LARGEST_MS; i++)
		full *= 2;
	if (full > BACKOFF_LARGEST_MS)
		full = BACKOFF_LARGEST_MS;
	return full - random % (full / 2 + 1);
}
