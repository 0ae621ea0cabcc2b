#include "backend/store/usage_look.h"

#include "common/clock.h"

#define FRESH_FACTOR 100 /* so that it is never more than a hundredth of a thread, whoever asks how often */
#define FRESH_MAX_NS 75000000000ull

void usage_look_init(struct usage_look *look)
{
	*look = (struct usage_look){.looked_ns = 0};
	(void)pthread_mutex_init(&look->lock, NULL); /* cannot fail on Linux */
}

void usage_look_destroy(struct usage_look *look)
{
	pthread_mutex_destroy(&look->lock);
}

static int look_locked(struct usage_look *look, usage_look_fn fn, void *engine)
{
	struct store_usage usage;
	uint64_t begin_ns = clock_monotonic_ns();
	int64_t begin_us = clock_wall_us();
	int r = fn(engine, &usage);
	if (r < 0)
		return r;
	look->usage = usage;
	look->looked_us = begin_us;
	look->looked_ns = clock_monotonic_ns();
	look->cost_ns = look->looked_ns - begin_ns;
	return 0;
}

int usage_look_now(struct usage_look *look, usage_look_fn fn, void *engine, struct store_usage *ret)
{
	pthread_mutex_lock(&look->lock);
	int r = look_locked(look, fn, engine);
	if (r == 0)
		*ret = look->usage;
	pthread_mutex_unlock(&look->lock);
	return r;
}

static bool is_fresh(const struct usage_look *look)
{
	uint64_t fresh_ns = look->cost_ns < FRESH_MAX_NS / FRESH_FACTOR ? look->cost_ns * FRESH_FACTOR : FRESH_MAX_NS;
	return look->looked_ns != 0 && clock_monotonic_ns() - look->looked_ns < fresh_ns;
}

int usage_look_lately(struct usage_look *look, usage_look_fn fn, void *engine, struct store_usage *ret,
		      int64_t *ret_looked_us)
{
	pthread_mutex_lock(&look->lock);
	int r = is_fresh(look) ? 0 : look_locked(look, fn, engine);
	if (r == 0) {
		*ret = look->usage;
		*ret_looked_us = look->looked_us;
	}
	pthread_mutex_unlock(&look->lock);
	return r;
}
