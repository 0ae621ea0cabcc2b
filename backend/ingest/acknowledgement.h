/* From the fate of each snapshot to the ranges of an Acknowledgement. Pure. */
#pragma once

#include "backend/ingest/verdict.h"
#include "common/buf.h"

struct outcome {
	uint64_t sequence;
	enum verdict verdict;
};

/* Appends a serialised Acknowledgement. Outcomes stand in ascending order of sequence (unreadable ones, 0, anywhere);
 * neighbours of one fate become one range. 0, -ENOMEM, -EMSGSIZE. */
int acknowledgement_put(struct buf *out, const struct outcome *outcomes, size_t n)
	__attribute__((nonnull(1), warn_unused_result));
/* Appends field `number` with a SequenceRange. */
int acknowledgement_put_range(struct buf *out, uint32_t number, uint64_t first, uint64_t last)
	__attribute__((nonnull, warn_unused_result));
