/* How long to wait before the next try: 1, 2, 4 ... 30 s, each with up to half of it taken away at random, so that a
 * thousand agents do not come back in the same second. Pure. */
#pragma once

#include <stdint.h>

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LARGEST_MS 30000

/* failures: tries in a row that failed, from 1; random: any 32 random bits. */
uint32_t backoff_ms(uint32_t failures, uint32_t random);
