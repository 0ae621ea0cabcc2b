/* The library asks each message for its size, each of its submessages again when it is their turn, and then walks all
 * of it once more to write. Once a second all that comes out of main memory: one walk is worth having. */
#include "agent/pack.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define FIRST_ROOM ((size_t)32 << 10)
#define VARINT_MAX 10

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Room [begin, at) is free; what is written stands from `at` on. */
struct out {
	uint8_t *begin, *at;
};

static bool put(struct out *out, const void *data, size_t len)
{
	if ((size_t)(out->at - out->begin) < len)
		return false;
	out->at -= len;
	if (len > 0)
		memcpy(out->at, data, len);
	return true;
}

static bool put_varint(struct out *out, uint64_t value)
{
	uint8_t bytes[VARINT_MAX];
	size_t n = 0;
	for (; value >= 0x80; value >>= 7)
		bytes[n++] = (uint8_t)(value | 0x80);
	bytes[n++] = (uint8_t)value;
	return put(out, bytes, n);
}

static bool put_fixed32(struct out *out, const void *member)
{
	uint32_t value;
	memcpy(&value, member, sizeof(value));
	value = htole32(value);
	return put(out, &value, sizeof(value));
}

static bool put_fixed64(struct out *out, const void *member)
{
	uint64_t value;
	memcpy(&value, member, sizeof(value));
	value = htole64(value);
	return put(out, &value, sizeof(value));
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static bool put_fields(struct out *out, const ProtobufCMessage *message);

/* What stands behind the bytes from `end` on is theirs; how many they are goes before them. */
static bool put_length(struct out *out, const uint8_t *end)
{
	return put_varint(out, (uint64_t)(end - out->at));
}

static bool put_bytes(struct out *out, const void *data, size_t len)
{
	return put(out, data, len) && put_varint(out, len);
}

static bool put_submessage(struct out *out, const ProtobufCMessage *message)
{
	const uint8_t *end = out->at;
	return (!message || put_fields(out, message)) && put_length(out, end);
}

static bool put_value(struct out *out, ProtobufCType type, const void *member)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		return put_varint(out, (uint64_t)(int64_t) * (const int32_t *)member);
	case PROTOBUF_C_TYPE_SINT32:
		return put_varint(out, zigzag(*(const int32_t *)member));
	case PROTOBUF_C_TYPE_UINT32:
		return put_varint(out, *(const uint32_t *)member);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return put_varint(out, *(const uint64_t *)member);
	case PROTOBUF_C_TYPE_SINT64:
		return put_varint(out, zigzag(*(const int64_t *)member));
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return put_fixed32(out, member);
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return put_fixed64(out, member);
	case PROTOBUF_C_TYPE_BOOL:
		return put_varint(out, *(const protobuf_c_boolean *)member != 0);
	case PROTOBUF_C_TYPE_STRING: {
		const char *text = *(char *const *)member;
		return put_bytes(out, text, text ? strlen(text) : 0);
	}
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *bytes = member;
		return put_bytes(out, bytes->data, bytes->len);
	}
	case PROTOBUF_C_TYPE_MESSAGE:
		return put_submessage(out, *(const ProtobufCMessage *const *)member);
	}
	return false;
}

static unsigned wire_type(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return FIXED32;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return BYTES;
	default:
		return VARINT;
	}
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static bool put_one(struct out *out, const ProtobufCFieldDescriptor *field, const void *member)
{
	return put_value(out, field->type, member) &&
	       put_varint(out, (uint64_t)field->id << 3 | wire_type(field->type));
}

static bool put_repeated(struct out *out, const ProtobufCFieldDescriptor *field, const void *member, size_t n)
{
	const char *items = *(char *const *)member;
	size_t size = size_of(field->type);
	bool packed = field->flags & PROTOBUF_C_FIELD_FLAG_PACKED, good = true;
	const uint8_t *end = out->at;
	for (size_t i = n; good && i-- > 0;)
		good = packed ? put_value(out, field->type, items + i * size) : put_one(out, field, items + i * size);
	if (good && packed && n > 0)
		good = put_length(out, end) && put_varint(out, (uint64_t)field->id << 3 | BYTES);
	return good;
}

static bool is_zero(ProtobufCType type, const void *member)
{
	static const char zeroes[8];
	if (type == PROTOBUF_C_TYPE_STRING)
		return !*(char *const *)member || **(char *const *)member == '\0';
	if (type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)member)->len == 0;
	if (type == PROTOBUF_C_TYPE_DOUBLE)
		return *(const double *)member == 0;
	if (type == PROTOBUF_C_TYPE_FLOAT)
		return *(const float *)member == 0;
	return memcmp(member, zeroes, size_of(type)) == 0;
}

static bool is_present(const ProtobufCFieldDescriptor *field, const char *message)
{
	const void *member = message + field->offset, *quantifier = message + field->quantifier_offset;
	bool is_pointer = field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE;
	bool is_one_of = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
	if (field->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	if (is_one_of && *(const uint32_t *)quantifier != field->id)
		return false;
	if (is_pointer && (is_one_of || field->label == PROTOBUF_C_LABEL_OPTIONAL)) {
		const void *pointer = *(void *const *)member;
		return pointer && pointer != field->default_value;
	}
	if (is_one_of)
		return true;
	if (field->label == PROTOBUF_C_LABEL_OPTIONAL)
		return *(const protobuf_c_boolean *)quantifier != 0;
	return !is_zero(field->type, member);
}

static bool put_fields(struct out *out, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const char *base = (const char *)message;
	bool good = true;
	for (unsigned i = type->n_fields; good && i-- > 0;) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			good = put_repeated(out, field, base + field->offset,
					    *(const size_t *)(base + field->quantifier_offset));
		else if (is_present(field, base))
			good = put_one(out, field, base + field->offset);
	}
	return good;
}

int pack_message(const ProtobufCMessage *message, struct buf *buf, const uint8_t **ret_data, size_t *ret_len)
{
	size_t room = buf->cap > 0 ? buf->cap : FIRST_ROOM;
	buf_reset(buf);
	for (;;) {
		if (room > buf->max)
			room = buf->max;
		int r = buf_reserve(buf, room);
		if (r < 0)
			return r;
		struct out out = {.begin = buf->data, .at = buf->data + buf->cap};
		if (put_fields(&out, message)) {
			*ret_data = out.at;
			*ret_len = (size_t)(buf->data + buf->cap - out.at);
			return 0;
		}
		if (buf->cap >= buf->max)
			return -EMSGSIZE;
		room = buf->cap * 2;
	}
}
