#include "agent/delivery/throttle.h"

#include "common/clock.h"
#include "common/encoding.h"
#include "common/log.h"

#define NS_PER_MS 1000000ull
#define EPISODE_NS (60000 * NS_PER_MS)

uint64_t throttle_delay_ms(uint64_t wait_ms, uint32_t random)
{
	if (wait_ms > THROTTLE_MAX_MS)
		wait_ms = THROTTLE_MAX_MS;
	return wait_ms + random % (wait_ms / 4 + 1);
}

void throttle_ask(struct throttle *t, uint64_t wait_ms, const char *reason)
{
	uint32_t random;
	if (wait_ms == 0)
		return;
	encoding_random(&random, sizeof(random));
	uint64_t now_ns = clock_monotonic_ns(), delay_ms = throttle_delay_ms(wait_ms, random);
	uint64_t until_ns = now_ns + delay_ms * NS_PER_MS, begins_ns = t->until_ns > now_ns ? t->until_ns : now_ns;
	bool first = t->until_ns == 0 || now_ns > t->until_ns + EPISODE_NS;
	atomic_fetch_add(&t->asked, 1);
	if (until_ns > begins_ns) {
		atomic_fetch_add(&t->asked_ms, (until_ns - begins_ns) / NS_PER_MS);
		t->until_ns = until_ns;
	}
	if (first)
		log_warn("the backend asks for a pause", LOG_STR("reason", reason), LOG_UINT("wait_ms", delay_ms),
			 LOG_STR("then", "snapshots are kept and sent later; further pauses come without a line"));
}

uint64_t throttle_left_ms(const struct throttle *t)
{
	uint64_t now_ns = clock_monotonic_ns();
	return t->until_ns > now_ns ? (t->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

struct throttle_stats throttle_stats(struct throttle *t)
{
	return (struct throttle_stats){.asked = atomic_load(&t->asked), .asked_ms = atomic_load(&t->asked_ms)};
}
