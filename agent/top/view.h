/* What `sonde-agent top` shows of two snapshots, as lines of text. Pure: no terminal, no clock. Rates are those of the
 * time between the two; what they do not tell is "-", never 0. */
#pragma once

#include "common/buf.h"

#include <sonde/v1/snapshot.pb-c.h>

#include <stddef.h>

enum view_order { VIEW_BY_CPU, VIEW_BY_MEMORY, VIEW_BY_IO };

struct view {
	size_t columns; /* characters a line may have; at least VIEW_MIN_COLUMNS */
	size_t rows;	/* lines in all; 0: as many as there are */
	enum view_order order;
	const char *hostname;
	const char *note; /* in the last line; NULL for none */
};

#define VIEW_MIN_COLUMNS 40
#define VIEW_TEXT_MAX ((size_t)4 << 20)

/* Appends lines, each ending in a newline; before may be NULL. 0, -ENOMEM or -EMSGSIZE. */
int view_write(const struct view *view, const Sonde__V1__Snapshot *before, const Sonde__V1__Snapshot *now,
	       struct buf *out) __attribute__((nonnull(1, 3, 4), warn_unused_result));

/* "0", "1023", "1.0K", "999M", "1.2G": at most five characters. */
void view_bytes(double bytes, char ret[8]);
