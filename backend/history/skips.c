#include "backend/history/skips.h"

#include <stdlib.h>
#include <string.h>

void skips_free(struct skips *skips)
{
	free(skips->windows);
	*skips = (struct skips){0};
}

void skips_add(struct skips *skips, enum store_tier tier, const struct store_window *window)
{
	if (!skips->windows)
		skips->windows = calloc(SKIPS_MAX, sizeof(*skips->windows));
	if (!skips->windows)
		return;
	skips->windows[skips->next] = (struct skip){.tier = tier, .window = *window};
	skips->next = (skips->next + 1) % SKIPS_MAX;
	skips->n += skips->n < SKIPS_MAX;
}

bool skips_has(const struct skips *skips, enum store_tier tier, const struct store_window *window)
{
	for (unsigned i = 0; i < skips->n; i++) {
		const struct store_window *w = &skips->windows[i].window;
		if (skips->windows[i].tier == tier && w->window_us == window->window_us &&
		    w->newest_us == window->newest_us && w->statistic == window->statistic &&
		    memcmp(w->host_id, window->host_id, sizeof(w->host_id)) == 0)
			return true;
	}
	return false;
}
