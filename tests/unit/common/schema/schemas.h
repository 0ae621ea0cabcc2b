/* What the schema's tests share: our own schema, a snapshot with a little of everything, and a walk that keeps what it
 * yields. */
#pragma once

#include "common/schema/schema.h"

/* Compiled from the embedded descriptor set; the caller unrefs. */
struct schema *schemas_own(void);

/* A packed Snapshot: summary, cpu with two cores, one disk, one interface, perf, block_io with a histogram, custom
 * metrics. */
void schemas_snapshot(struct buf *out);

struct kept {
	size_t n;
	struct {
		char text[256]; /* "path{label=value,...} value" */
	} samples[512];
};
int schemas_keep(void *arg, const struct schema_sample *sample);
/* The line that begins with this, or NULL. */
const char *schemas_find(const struct kept *kept, const char *beginning);
