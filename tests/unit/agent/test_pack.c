/* Whatever a message holds, the bytes are the library's. */
#include "agent/arena.h"
#include "agent/pack.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <sonde/v1/ingest.pb-c.h>
#include <sonde/v1/snapshot.pb-c.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 5

struct maker {
	struct arena *arena;
	uint64_t random;
};

static uint64_t next(struct maker *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

/* Of every length as a varint; zero and the extremes often. */
static uint64_t number(struct maker *m)
{
	uint64_t kind = next(m) % 8;
	return kind == 0 ? 0 : kind == 1 ? UINT64_MAX : kind == 2 ? (uint64_t)INT64_MIN : next(m) >> next(m) % 64;
}

static ProtobufCMessage *make(struct maker *m, const ProtobufCMessageDescriptor *type, int depth);

static void fill_value(struct maker *m, const ProtobufCFieldDescriptor *field, int depth, void *member)
{
	uint64_t value = number(m);
	double real = (double)(int64_t)value / 3;
	char *text;
	size_t len = next(m) % 5 == 0 ? next(m) % 300 : next(m) % 4;
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
		text = arena_alloc(m->arena, len + 1);
		memset(text, 'a' + (int)(value % 26), len);
		if (field->type == PROTOBUF_C_TYPE_STRING)
			memcpy(member, &text, sizeof(text));
		else
			*(ProtobufCBinaryData *)member = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)text};
		return;
	case PROTOBUF_C_TYPE_MESSAGE: {
		ProtobufCMessage *sub = make(m, field->descriptor, depth + 1);
		memcpy(member, &sub, sizeof(sub));
		return;
	}
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(member, &real, sizeof(real));
		return;
	case PROTOBUF_C_TYPE_BOOL: {
		protobuf_c_boolean yes = value & 1;
		memcpy(member, &yes, sizeof(yes));
		return;
	}
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_SINT64:
		memcpy(member, &value, sizeof(value));
		return;
	default:
		memcpy(member, &value, 4);
	}
}

static void fill_repeated(struct maker *m, const ProtobufCFieldDescriptor *field, int depth, ProtobufCMessage *message)
{
	size_t n = next(m) % 4, size = field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : 8;
	bool is_small = field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_UINT32 ||
			field->type == PROTOBUF_C_TYPE_SINT32 || field->type == PROTOBUF_C_TYPE_ENUM ||
			field->type == PROTOBUF_C_TYPE_BOOL;
	char *items = arena_alloc(m->arena, n * size + 1);
	for (size_t i = 0; i < n; i++)
		fill_value(m, field, depth, items + i * (is_small ? 4 : size));
	memcpy((char *)message + field->offset, &items, sizeof(void *));
	memcpy((char *)message + field->quantifier_offset, &n, sizeof(n));
}

static ProtobufCMessage *make(struct maker *m, const ProtobufCMessageDescriptor *type, int depth)
{
	ProtobufCMessage *message = arena_message(m->arena, type);
	assert_non_null(message);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const protobuf_c_boolean yes = 1;
		if (next(m) % 3 == 0 || (field->type == PROTOBUF_C_TYPE_MESSAGE && depth == DEPTH))
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			fill_repeated(m, field, depth, message);
			continue;
		}
		fill_value(m, field, depth, (char *)message + field->offset);
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			memcpy((char *)message + field->quantifier_offset, &field->id, sizeof(field->id));
		else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
			 field->type != PROTOBUF_C_TYPE_MESSAGE)
			memcpy((char *)message + field->quantifier_offset, &yes, sizeof(yes));
	}
	return message;
}

static void the_bytes_are_the_librarys(void **state)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&sonde__v1__snapshot__descriptor, &sonde__v1__agent_message__descriptor,
		&sonde__v1__backend_message__descriptor, &sonde__v1__block_io__descriptor};
	struct maker m = {.arena = arena_new((size_t)64 << 20), .random = 88172645463325252u};
	struct buf buf = BUF_INIT((size_t)32 << 20);
	size_t longest = 0;
	for (int round = 0; round < 400; round++) {
		arena_reset(m.arena);
		ProtobufCMessage *message = make(&m, types[round % 4], 0);
		size_t want = protobuf_c_message_get_packed_size(message), len;
		uint8_t *bytes = malloc(want + 1);
		const uint8_t *data;
		assert_int_equal(protobuf_c_message_pack(message, bytes), want);
		assert_int_equal(pack_message(message, &buf, &data, &len), 0);
		assert_int_equal(len, want);
		assert_memory_equal(data, bytes, want);
		longest = want > longest ? want : longest;
		free(bytes);
	}
	assert_true(longest > 10000);
	buf_free(&buf);
	arena_free(m.arena);
}

static void a_maximum_is_kept_to_the_byte(void **state)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	static uint8_t id[70000];
	snapshot.has_boot_id = 1;
	snapshot.boot_id = (ProtobufCBinaryData){.len = sizeof(id), .data = id};
	size_t want = protobuf_c_message_get_packed_size(&snapshot.base), len = 5;
	const uint8_t *data = NULL;
	struct buf exact = BUF_INIT(want), small = BUF_INIT(want - 1);
	assert_int_equal(pack_message(&snapshot.base, &small, &data, &len), -EMSGSIZE);
	assert_true(!data && len == 5);
	assert_int_equal(pack_message(&snapshot.base, &exact, &data, &len), 0);
	assert_int_equal(len, want);
	snapshot.has_boot_id = 0;
	assert_int_equal(pack_message(&snapshot.base, &exact, &data, &len), 0);
	assert_int_equal(len, 0);
	buf_free(&exact);
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_are_the_librarys),
		cmocka_unit_test(a_maximum_is_kept_to_the_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
