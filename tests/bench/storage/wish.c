#include "tests/bench/storage/wish.h"

#include <stdlib.h>
#include <string.h>

bool wish_take(struct wish *w, const char *name, const char *value)
{
	uint64_t n = strtoull(value, NULL, 10);
	if (strcmp(name, "--every") == 0)
		w->every = (uint32_t)n;
	else if (strcmp(name, "--hosts") == 0)
		w->hosts = (uint32_t)n;
	else if (strcmp(name, "--hours") == 0)
		w->hours = (uint32_t)n;
	else if (strcmp(name, "--skip-hours") == 0)
		w->skip_hours = (uint32_t)n;
	else if (strcmp(name, "--scale") == 0)
		w->scale = n != 0;
	else if (strcmp(name, "--end") == 0)
		w->end_us = (int64_t)n * 1000000;
	else if (strcmp(name, "--without") == 0 && n < 64)
		w->sections &= ~(1ull << n);
	else if (strcmp(name, "--only") == 0 && n < 64)
		w->sections = (w->sections == WARP_ALL_SECTIONS ? 0 : w->sections) | 1ull << n;
	else
		return false;
	return true;
}
