/* Only the top level is looked at: the walk reads the inside of sections once they are wanted, and whoever forwards
 * slices does not pay for it. */
#include "common/schema/snapshot_index.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

/* Field numbers of sonde.v1.Snapshot: an interface that is never re-numbered. */
enum { BOOT_ID = 1, INSTANCE = 2, SEQUENCE = 3, TIMESTAMP = 4, BOOTTIME_US = 5, INTERVAL_MS = 6, FIRST_SECTION = 10 };

#define LAST_SECOND 253402300799 /* 9999-12-31T23:59:59Z: where google.protobuf.Timestamp ends */
#define FIRST_SECOND (-62135596800)

static int parse_timestamp(const struct wire_field *field, int64_t *ret)
{
	struct wire_reader reader = wire_reader(field->data, field->len);
	struct wire_field part;
	int64_t seconds = 0;
	uint64_t nanos = 0;
	int r;

	if (field->type != WIRE_BYTES)
		return -EPROTO;
	while ((r = wire_next(&reader, &part)) == 1) {
		if (part.number > 2)
			continue;
		if (part.type != WIRE_VARINT)
			return -EPROTO;
		if (part.number == 1)
			seconds = (int64_t)part.value;
		else
			nanos = part.value;
	}
	if (r < 0 || seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos > 999999999)
		return -EPROTO;
	*ret = seconds * 1000000 + (int64_t)(nanos / 1000);
	return 0;
}

static int parse_id(const struct wire_field *field, uint8_t ret[16])
{
	if (field->type != WIRE_BYTES || field->len != 16)
		return -EPROTO;
	memcpy(ret, field->data, 16);
	return 0;
}

static int parse_header_field(const struct wire_field *field, struct snapshot_index *index)
{
	switch (field->number) {
	case BOOT_ID:
		return parse_id(field, index->boot_id);
	case INSTANCE:
		return parse_id(field, index->instance);
	case TIMESTAMP:
		return parse_timestamp(field, &index->timestamp_us);
	case SEQUENCE:
	case BOOTTIME_US:
	case INTERVAL_MS:
		break;
	default:
		return 0; /* of a newer schema */
	}
	if (field->type != WIRE_VARINT)
		return -EPROTO;
	if (field->number == SEQUENCE)
		index->sequence = field->value;
	else if (field->number == BOOTTIME_US)
		index->boottime_us = field->value;
	else if (field->value > UINT32_MAX)
		return -EPROTO;
	else
		index->interval_ms = (uint32_t)field->value;
	return 0;
}

static int add_section(struct snapshot_index *index, const struct wire_field *field, size_t offset, size_t len)
{
	if (field->type != WIRE_BYTES || index->n_sections == SNAPSHOT_INDEX_MAX_SECTIONS)
		return -EPROTO;
	for (uint32_t i = 0; i < index->n_sections; i++) {
		if (index->sections[i].number == field->number)
			return -EPROTO;
	}
	index->sections[index->n_sections++] =
		(struct snapshot_slice){.number = field->number, .offset = (uint32_t)offset, .len = (uint32_t)len};
	return 0;
}

/* A field of a snapshot that begins at `data`; it ends at `end`. */
static int take_field(struct snapshot_index *index, const struct wire_field *field, const uint8_t *data,
		      const uint8_t *end)
{
	if (field->number < FIRST_SECTION)
		return parse_header_field(field, index);
	return add_section(index, field, (size_t)(field->begin - data), (size_t)(end - field->begin));
}

int snapshot_index_parse(const uint8_t *data, size_t len, struct snapshot_index *ret)
{
	struct snapshot_index index = {.n_sections = 0};
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field field;
	int r;

	if (len > UINT32_MAX)
		return -EPROTO;
	while ((r = wire_next(&reader, &field)) == 1) {
		r = take_field(&index, &field, data, reader.p);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = index;
	return 0;
}

/* A field's tag and, of one with bytes, its length: at most so many. */
#define LONGEST_START 20

/* Where the field at `at` ends, as far as its start says, and which it is. 0, -EPROTO, -EAGAIN. */
static int look_at_start(const uint8_t *data, size_t at, size_t len, size_t whole, uint64_t *ret_number,
			 size_t *ret_end)
{
	struct wire_reader reader = wire_reader(data + at, len - at);
	uint64_t tag, bytes = 0;
	if (len < whole && len - at < LONGEST_START)
		return -EAGAIN;
	if (wire_varint(&reader, &tag) != 1)
		return -EPROTO;
	*ret_number = tag >> 3;
	*ret_end = at + 1; /* anything but bytes is all here */
	if ((tag & 7) != WIRE_BYTES)
		return 0;
	if (wire_varint(&reader, &bytes) != 1 || bytes > whole - (size_t)(reader.p - data))
		return -EPROTO;
	*ret_end = (size_t)(reader.p - data) + (size_t)bytes;
	return 0;
}

static int not_here(size_t needed, size_t whole, size_t *ret_need)
{
	*ret_need = needed < whole ? needed : whole;
	return -EAGAIN;
}

int snapshot_index_head(const uint8_t *data, size_t len, size_t whole, uint32_t section, struct snapshot_index *ret,
			size_t *ret_need)
{
	struct snapshot_index index = {.n_sections = 0};
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field field;
	bool boot = false, interval = false;
	size_t at = 0, end;
	uint64_t number;

	if (len > whole || whole > UINT32_MAX)
		return -EPROTO;
	while (at < whole && !(boot && interval && index.n_sections > 0)) {
		int r = at <= len ? look_at_start(data, at, len, whole, &number, &end) : -EAGAIN;
		if (r == -EAGAIN)
			return not_here(at + LONGEST_START, whole, ret_need);
		if (r < 0)
			return r;
		bool wanted = number < FIRST_SECTION || number == section;
		if (end > len && wanted)
			return not_here(end, whole, ret_need);
		if (end > len) {
			at = end;
			continue;
		}
		reader.p = data + at;
		if (wire_next(&reader, &field) != 1)
			return -EPROTO;
		at = (size_t)(reader.p - data);
		if (wanted)
			r = take_field(&index, &field, data, reader.p);
		if (r < 0)
			return r;
		boot |= number == BOOT_ID;
		interval |= number == INTERVAL_MS;
	}
	*ret = index;
	return 0;
}

int snapshot_index_beginning(const uint8_t *data, size_t len, size_t whole, struct snapshot_index *ret, size_t *ret_end)
{
	struct snapshot_index index = {.n_sections = 0};
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field field;
	bool boot = len == whole, interval = len == whole;
	size_t at = 0, end;
	uint64_t number;

	if (len > whole || whole > UINT32_MAX)
		return -EPROTO;
	while (at < len) {
		int r = look_at_start(data, at, len, whole, &number, &end);
		if (r == -EAGAIN || (r == 0 && end > len))
			break;
		reader.p = data + at;
		if (r == 0)
			r = wire_next(&reader, &field) == 1 ? 0 : -EPROTO;
		if (r == 0)
			r = take_field(&index, &field, data, reader.p);
		if (r < 0)
			return r;
		at = (size_t)(reader.p - data);
		boot |= number == BOOT_ID;
		interval |= number == INTERVAL_MS;
	}
	if (!boot || !interval)
		return -EAGAIN;
	*ret = index;
	*ret_end = at;
	return 0;
}

bool snapshot_index_newer(const struct snapshot_index *index, const struct snapshot_index *than)
{
	if (memcmp(index->instance, than->instance, sizeof(index->instance)) == 0)
		return index->sequence > than->sequence;
	if (memcmp(index->boot_id, than->boot_id, sizeof(index->boot_id)) == 0 &&
	    index->boottime_us != than->boottime_us)
		return index->boottime_us > than->boottime_us;
	return index->timestamp_us > than->timestamp_us;
}

static bool is_wanted(uint32_t number, uint64_t wanted)
{
	if (number < FIRST_SECTION)
		return true;
	/* Numbers without a bit of their own go only to who wants everything. */
	return number < 64 ? (wanted >> number & 1) != 0 : wanted == UINT64_MAX;
}

int snapshot_index_copy(const uint8_t *data, size_t len, uint64_t wanted, struct buf *out)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field field;
	size_t before = out->len;
	int r;

	while ((r = wire_next(&reader, &field)) == 1) {
		if (is_wanted(field.number, wanted))
			r = buf_append(out, field.begin, (size_t)(reader.p - field.begin));
		if (r < 0)
			break;
	}
	if (r < 0)
		out->len = before;
	return r;
}
