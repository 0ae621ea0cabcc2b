/* Apart from throttle.h because it stops less, is replaced rather than prolonged, and does not outlive the stream. */
#include "agent/delivery/hold.h"

#include "agent/delivery/throttle.h"
#include "common/clock.h"
#include "common/encoding.h"
#include "common/log.h"

#define NS_PER_MS 1000000ull

uint64_t hold_delay_ms(uint64_t wait_ms, uint32_t random)
{
	return wait_ms > 0 ? throttle_delay_ms(wait_ms, random) : random % HOLD_SPREAD_MS;
}

void hold_ask(struct hold *h, uint64_t wait_ms, const char *reason)
{
	uint32_t random;
	bool first = h->until_ns == 0, held = hold_left_ms(h) > 0;
	if (wait_ms == 0 && !held)
		return;
	encoding_random(&random, sizeof(random));
	uint64_t delay_ms = hold_delay_ms(wait_ms, random);
	h->until_ns = clock_monotonic_ns() + delay_ms * NS_PER_MS;
	if (!held)
		atomic_fetch_add(&h->times, 1);
	if (first)
		log_info("the backend asks for the backlog later", LOG_STR("reason", reason),
			 LOG_UINT("wait_ms", delay_ms),
			 LOG_STR("then",
				 "it stays in the queue; what is live goes on; further ones come without a line"));
}

uint64_t hold_left_ms(const struct hold *h)
{
	uint64_t now_ns = clock_monotonic_ns();
	return h->until_ns > now_ns ? (h->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

void hold_forget(struct hold *h)
{
	h->until_ns = 0;
}

uint64_t hold_count(struct hold *h)
{
	return atomic_load(&h->times);
}
