/* What is asked for on the command line, alike for bench_load and bench_export: which hosts, how long, what of them. */
#pragma once

#include "tests/bench/storage/warp.h"

struct wish {
	uint64_t sections; /* bits */
	uint32_t every, hosts;
	bool scale;
	uint32_t hours, skip_hours; /* 0 hours: the recording as it is */
	int64_t end_us;		    /* where the hours end */
};

/* Takes argv[i] and its value: --without SECTION, --only SECTION (again for more), --every N, --hosts N, --hours H,
 * --skip-hours H (of those, the first), --end SECONDS, --scale 1. False for what it does not know. */
bool wish_take(struct wish *wish, const char *name, const char *value);
#define WISH_INIT ((struct wish){.sections = WARP_ALL_SECTIONS, .every = 1, .hosts = 1})

static inline int64_t wish_begin_us(const struct wish *w)
{
	return w->end_us - w->hours * WARP_HOUR_US;
}
