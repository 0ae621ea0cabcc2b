/* Aggregates of a column as bytes of its section's directory. Pure. */
#pragma once

#include "backend/columns/columns.h"
#include "common/buf.h"
#include "common/wire.h"

/* `scale` is that of doubles (doubles.h, ratios.h). 0, -ENOMEM, -EMSGSIZE. */
int aggregates_put(const struct columns_aggregate *aggregate, enum schema_value_type type, enum schema_kind kind,
		   unsigned scale, struct buf *out) __attribute__((nonnull, warn_unused_result));
/* Completes an aggregate of which count and first are set. 0 or -EPROTO. */
int aggregates_take(struct wire_reader *reader, enum schema_value_type type, enum schema_kind kind, unsigned scale,
		    struct columns_aggregate *aggregate) __attribute__((nonnull, warn_unused_result));
/* The same when every value is the first. */
void aggregates_constant(struct columns_aggregate *aggregate, enum schema_value_type type) __attribute__((nonnull));

/* The value that an integer of the column stands for; of ratios, whose integers stand for none, that of its bits. */
uint64_t aggregates_value(uint64_t integer, unsigned scale, bool is_double);
