/* What a backup consists of, as bytes: the store's records, rows and chunks as protobuf fields, numbered as the values
 * are. Pure. */
#pragma once

#include "backend/store/store_records.h"
#include "common/buf.h"

/* Types of records in the archive; those of the small tables are enum store_table. */
#define RECORD_ROW 16
#define RECORD_CHUNK 17
#define RECORD_ABOUT 30

/* Append. 0, -ENOMEM, -EMSGSIZE. */
int record_put_values(const struct store_record *record, struct buf *out) __attribute__((nonnull, warn_unused_result));
int record_put_row(const uint8_t host_id[16], const struct store_row *row, struct buf *out)
	__attribute__((warn_unused_result));
/* All but the data, which is the last field and follows these bytes. */
int record_put_chunk(const uint8_t host_id[16], const struct store_chunk *chunk, struct buf *out)
	__attribute__((warn_unused_result));

/* Borrow from the bytes. 0, or -EBADMSG for what is not so made. */
int record_take_values(enum store_table table, const uint8_t *data, size_t len, struct store_record *ret)
	__attribute__((nonnull(4), warn_unused_result));
int record_take_row(const uint8_t *data, size_t len, const uint8_t **ret_host_id, struct store_row *ret)
	__attribute__((nonnull(3, 4), warn_unused_result));
int record_take_chunk(const uint8_t *data, size_t len, const uint8_t **ret_host_id, struct store_chunk *ret)
	__attribute__((nonnull(3, 4), warn_unused_result));
