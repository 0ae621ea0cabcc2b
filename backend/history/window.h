/* What the chunks of a window become: one, and the statistics of its minutes. Pure: bytes in, bytes out. */
#pragma once

#include "backend/columns/rollup.h"
#include "common/buf.h"

#include <stdatomic.h>
#include <stdbool.h>

#define WINDOW_MAX_BYTES (512u << 20) /* of a chunk */

struct window_input {
	const uint8_t *data;
	size_t len;
	bool damaged; /* out: wholly or in parts: it has no part in `merged` */
};

struct window_output {
	struct buf merged;		/* of all that is whole; empty when nothing is */
	struct buf minutes[ROLLUP_END]; /* of all that can be read, also of what is damaged in parts */
	/* What says that a statistic has nothing at these minutes, for those of which a later generation has
	 * nothing where an earlier had something. */
	struct buf no_minutes;
	uint32_t damaged; /* inputs */
	uint64_t samples;
};

/* Inputs come in the order of their generations, oldest first; any number. 0; -ECANCELED when *stop was set (which may
 * be NULL); -ENOTSUP when a chunk is of a newer version; -EMSGSIZE; -ENOMEM. But for 0 nothing is in *ret. */
int window_merge(struct window_input *inputs, size_t n, bool minutes, const atomic_bool *stop,
		 struct window_output *ret) __attribute__((nonnull(1, 5), warn_unused_result));
/* Whether merging them would save little. What is damaged is not for this to judge: false. 0 or -ENOMEM. */
int window_saves_little(const struct window_input *inputs, size_t n, bool *ret)
	__attribute__((nonnull, warn_unused_result));
void window_output_free(struct window_output *output); /* accepts a zeroed one */
