#include "backend/archive/records.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

enum {
	ROW_HOST = 1,
	ROW_INSTANCE,
	ROW_SEQUENCE,
	ROW_AGENT_US,
	ROW_BOOTTIME_US,
	ROW_RECEIVED_US,
	ROW_HASH,
	ROW_PAYLOAD,
	ROW_END
};
enum {
	CHUNK_HOST = 1,
	CHUNK_TIER,
	CHUNK_STATISTIC,
	CHUNK_COMPACTED,
	CHUNK_WINDOW_US,
	CHUNK_FIRST_US,
	CHUNK_LAST_US,
	CHUNK_MADE_US,
	CHUNK_GENERATION,
	CHUNK_DATA,
	CHUNK_END
};
#define FIELDS_MAX 12

int record_put_values(const struct store_record *record, struct buf *out)
{
	size_t n;
	int r = 0;
	(void)store_columns(record->table, &n);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct store_value *v = &record->values[i];
		if (v->type == STORE_INTEGER)
			r = wire_put_uint(out, (uint32_t)i + 1, (uint64_t)v->integer);
		else if (v->type != STORE_NULL)
			r = wire_put_bytes(out, (uint32_t)i + 1, v->data, v->len);
	}
	return r;
}

int record_put_row(const uint8_t host_id[16], const struct store_row *row, struct buf *out)
{
	int r = wire_put_bytes(out, ROW_HOST, host_id, 16);
	r = r ? r : wire_put_bytes(out, ROW_INSTANCE, row->instance, 16);
	r = r ? r : wire_put_uint(out, ROW_SEQUENCE, row->sequence);
	r = r ? r : wire_put_uint(out, ROW_AGENT_US, (uint64_t)row->agent_us);
	r = r ? r : wire_put_uint(out, ROW_BOOTTIME_US, row->boottime_us);
	r = r ? r : wire_put_uint(out, ROW_RECEIVED_US, (uint64_t)row->received_us);
	r = r ? r : wire_put_bytes(out, ROW_HASH, row->descriptor_hash, 32);
	return r ? r : wire_put_bytes(out, ROW_PAYLOAD, row->payload, row->len);
}

int record_put_chunk(const uint8_t host_id[16], const struct store_chunk *chunk, struct buf *out)
{
	int r = wire_put_bytes(out, CHUNK_HOST, host_id, 16);
	r = r ? r : wire_put_uint(out, CHUNK_TIER, chunk->tier);
	r = r ? r : wire_put_uint(out, CHUNK_STATISTIC, chunk->statistic);
	r = r ? r : wire_put_uint(out, CHUNK_COMPACTED, chunk->compacted);
	r = r ? r : wire_put_uint(out, CHUNK_WINDOW_US, (uint64_t)chunk->window_us);
	r = r ? r : wire_put_uint(out, CHUNK_FIRST_US, (uint64_t)chunk->first_us);
	r = r ? r : wire_put_uint(out, CHUNK_LAST_US, (uint64_t)chunk->last_us);
	r = r ? r : wire_put_uint(out, CHUNK_MADE_US, (uint64_t)chunk->made_us);
	r = r ? r : wire_put_uint(out, CHUNK_GENERATION, (uint64_t)chunk->generation);
	r = r ? r : wire_put_tag(out, CHUNK_DATA, WIRE_BYTES);
	return r ? r : wire_put_varint(out, chunk->len);
}

/* Fields 1 to n, none of them twice; those that are not there stay zero, which no field has as its number. */
static int take_fields(const uint8_t *data, size_t len, size_t n, struct wire_field fields[FIELDS_MAX])
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	int r;
	memset(fields, 0, FIELDS_MAX * sizeof(fields[0]));
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number == 0 || f.number > n || fields[f.number].number != 0)
			return -EBADMSG;
		fields[f.number] = f;
	}
	return r < 0 ? -EBADMSG : 0;
}

static bool all_there(const struct wire_field *fields, size_t n, uint32_t bytes)
{
	for (size_t i = 1; i <= n; i++) {
		if (fields[i].number == 0 || fields[i].type != (bytes >> i & 1 ? WIRE_BYTES : WIRE_VARINT))
			return false;
	}
	return true;
}

int record_take_values(enum store_table table, const uint8_t *data, size_t len, struct store_record *ret)
{
	struct wire_field fields[FIELDS_MAX];
	struct store_record record = {.table = table};
	size_t n;
	const struct store_column *columns = store_columns(table, &n);
	if (take_fields(data, len, n, fields) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		const struct wire_field *f = &fields[i + 1];
		if (f->number == 0)
			continue;
		if (f->type == WIRE_VARINT)
			record.values[i] = (struct store_value){.type = STORE_INTEGER, .integer = (int64_t)f->value};
		else if (f->type == WIRE_BYTES)
			record.values[i] =
				(struct store_value){.type = columns[i].type, .data = f->data, .len = f->len};
		else
			return -EBADMSG;
		if (f->type == WIRE_BYTES && columns[i].type == STORE_INTEGER)
			return -EBADMSG;
	}
	if (!store_record_fits(&record))
		return -EBADMSG;
	*ret = record;
	return 0;
}

int record_take_row(const uint8_t *data, size_t len, const uint8_t **ret_host_id, struct store_row *ret)
{
	static const uint32_t bytes = 1u << ROW_HOST | 1u << ROW_INSTANCE | 1u << ROW_HASH | 1u << ROW_PAYLOAD;
	struct wire_field f[FIELDS_MAX];
	if (take_fields(data, len, ROW_END - 1, f) < 0 || !all_there(f, ROW_END - 1, bytes) || f[ROW_HOST].len != 16 ||
	    f[ROW_INSTANCE].len != 16 || f[ROW_HASH].len != 32)
		return -EBADMSG;
	*ret_host_id = f[ROW_HOST].data;
	*ret = (struct store_row){
		.sequence = f[ROW_SEQUENCE].value,
		.agent_us = (int64_t)f[ROW_AGENT_US].value,
		.boottime_us = f[ROW_BOOTTIME_US].value,
		.received_us = (int64_t)f[ROW_RECEIVED_US].value,
		.payload = f[ROW_PAYLOAD].data,
		.len = f[ROW_PAYLOAD].len,
	};
	memcpy(ret->instance, f[ROW_INSTANCE].data, sizeof(ret->instance));
	memcpy(ret->descriptor_hash, f[ROW_HASH].data, sizeof(ret->descriptor_hash));
	return 0;
}

int record_take_chunk(const uint8_t *data, size_t len, const uint8_t **ret_host_id, struct store_chunk *ret)
{
	struct wire_field f[FIELDS_MAX];
	if (take_fields(data, len, CHUNK_END - 1, f) < 0 ||
	    !all_there(f, CHUNK_END - 1, 1u << CHUNK_HOST | 1u << CHUNK_DATA) || f[CHUNK_HOST].len != 16 ||
	    f[CHUNK_TIER].value < STORE_TIER_RAW || f[CHUNK_TIER].value >= STORE_TIER_END ||
	    f[CHUNK_STATISTIC].value > UINT32_MAX || f[CHUNK_COMPACTED].value > 1 ||
	    (int64_t)f[CHUNK_FIRST_US].value > (int64_t)f[CHUNK_LAST_US].value)
		return -EBADMSG;
	*ret_host_id = f[CHUNK_HOST].data;
	*ret = (struct store_chunk){
		.tier = (enum store_tier)f[CHUNK_TIER].value,
		.statistic = (uint32_t)f[CHUNK_STATISTIC].value,
		.compacted = f[CHUNK_COMPACTED].value == 1,
		.window_us = (int64_t)f[CHUNK_WINDOW_US].value,
		.first_us = (int64_t)f[CHUNK_FIRST_US].value,
		.last_us = (int64_t)f[CHUNK_LAST_US].value,
		.made_us = (int64_t)f[CHUNK_MADE_US].value,
		.generation = (int64_t)f[CHUNK_GENERATION].value,
		.len = f[CHUNK_DATA].len,
		.data = f[CHUNK_DATA].data,
	};
	return 0;
}
