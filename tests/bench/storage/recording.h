/* A recording as take.py writes it, or a tile of it: read in memory, one snapshot after the other. */
#pragma once

#include "backend/columns/columns.h"
#include "common/buf.h"
#include "common/schema/schema.h"

struct recording {
	struct buf bytes;
	struct schema *schema;
	size_t at;
};

#define RECORD_HEADER 12 /* time of receipt in us (8 bytes), length (4) */

/* Ends the program with a line when it cannot. */
void recording_open(struct recording *recording, const char *path);
/* The next snapshot, borrowed; false at the end. */
bool recording_next(struct recording *recording, struct columns_tick *tick, const uint8_t **payload, size_t *len);
void recording_close(struct recording *recording);
