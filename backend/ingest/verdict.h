/* Whether one Snapshot is fit to be kept. Nothing here knows of streams or stores. */
#pragma once

#include "backend/ingest/row_set.h"
#include "common/schema/schema.h"
#include "common/schema/snapshot_index.h"

#define INGEST_MAX_SNAPSHOT (1u << 20)
#define INGEST_MAX_VALUES 100000 /* of a snapshot: as many series a host may have at one time */

/* Numbers as sonde.v1.Rejection.Reason; 0 stands for accepted. */
enum verdict {
	VERDICT_ACCEPTED = 0,
	VERDICT_MALFORMED = 1,
	VERDICT_TOO_LARGE = 2,
	VERDICT_CONFLICT = 3,
	VERDICT_WRONG_INSTANCE = 4,
	VERDICT_TOO_MANY_VALUES = 5,
	VERDICT_TOO_MANY_ROWS = 6,
};

/* One line for people. */
const char *verdict_detail(enum verdict verdict);

/* Judges the bytes, and adds their rows to those that the host has brought (NULL: they are not counted); processes are
 * not among them, for they are kept as tables. *ret_sequence is what the snapshot calls itself even when it is refused,
 * as far as that can be read; 0 if it cannot. *ret_index is set when it is accepted. */
enum verdict verdict_of(const struct schema *schema, struct row_set *rows, const uint8_t instance[16],
			const uint8_t *data, size_t len, uint64_t *ret_sequence, struct snapshot_index *ret_index)
	__attribute__((warn_unused_result));
