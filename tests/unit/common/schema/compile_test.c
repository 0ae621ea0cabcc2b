#include "tests/unit/cmocka_all.h"
#include "tests/unit/common/schema/schemas.h"

#include "common/wire.h"
#include "proto/descriptors.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_the_catalogue_is_in_order_and_complete(void **state)
{
	struct schema *s = schemas_own();
	size_t n;
	const struct schema_metric *m = schema_metrics(s, &n);
	assert_true(n > 100);
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || strcmp(m[i - 1].path, m[i].path) < 0);
		assert_true(m[i].help[0] != '\0' && m[i].help[strlen(m[i].help) - 1] != '.');
		assert_true(m[i].kind != SCHEMA_KIND_NONE && m[i].unit != SCHEMA_UNIT_NONE);
		assert_ptr_equal(schema_find(s, m[i].path), &m[i]);
		assert_string_equal(schema_find(s, m[i].name)->name, m[i].name);
		for (const char *p = m[i].name; *p; p++)
			assert_true(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
		size_t len = strlen(m[i].name);
		if (m[i].kind == SCHEMA_KIND_COUNTER)
			assert_string_equal(m[i].name + len - 6, "_total");
	}
	const struct schema_metric *d = schema_find(s, "block_io.devices.operations.device_latency_ns");
	assert_non_null(d);
	assert_string_equal(d->name, "sonde_block_io_devices_operations_device_latency_seconds");
	assert_true(d->kind == SCHEMA_KIND_HISTOGRAM && d->n_labels == 3);
	assert_true(d->labels[1].role == SCHEMA_LABEL_GENERATION && strcmp(d->labels[2].name, "operation") == 0);
	assert_int_equal(schema_section(s, "block_io"), 19);
	assert_int_equal(schema_section(s, "timestamp"), 0);
	assert_null(schema_find(s, "no.such"));
	schema_unref(s);
}

static void test_damaged_sets_are_refused(void **state)
{
	struct descriptor_blob blob = descriptors_snapshot();
	struct schema *s = NULL;
	assert_int_equal(schema_compile(blob.data, blob.len, "sonde.v1.NoSuch", &s), -ENOENT);
	assert_int_equal(schema_compile((const uint8_t *)"rubbish", 7, "sonde.v1.Snapshot", &s), -EPROTO);
	assert_int_equal(schema_compile((const uint8_t *)"", 0, "sonde.v1.Snapshot", &s), -ENOENT);
	assert_null(s);
	uint8_t *copy = malloc(blob.len);
	assert_non_null(copy);
	/* 3,000 truncations and 4,000 flipped bits, however large the schema grows: refused or compiled, never a crash.
	 */
	for (size_t len = 0; len < blob.len; len += blob.len / 3000 + 1) {
		s = NULL;
		if (schema_compile(blob.data, len, "sonde.v1.Snapshot", &s) == 0)
			schema_unref(s);
	}
	for (size_t bit = 0; bit < blob.len * 8; bit += blob.len * 8 / 4000 + 1) {
		memcpy(copy, blob.data, blob.len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		s = NULL;
		if (schema_compile(copy, blob.len, "sonde.v1.Snapshot", &s) == 0)
			schema_unref(s);
	}
	free(copy);
}

/* FileDescriptorSet{file{package:"t", message_type{name:NAME, field...}}} */
static void put_message(struct buf *file, const char *name, const struct buf *fields)
{
	BUF_CLEANUP struct buf m = BUF_INIT(1000);
	assert_int_equal(wire_put_bytes(&m, 1, name, strlen(name)), 0);
	assert_int_equal(buf_append(&m, fields->data, fields->len), 0);
	assert_int_equal(wire_put_bytes(file, 4, m.data, m.len), 0);
}

static void put_field(struct buf *fields, const char *name, uint64_t number, uint64_t type, const char *type_name)
{
	BUF_CLEANUP struct buf f = BUF_INIT(1000);
	assert_int_equal(wire_put_bytes(&f, 1, name, strlen(name)), 0);
	assert_int_equal(wire_put_uint(&f, 3, number), 0);
	assert_int_equal(wire_put_uint(&f, 5, type), 0);
	if (type_name)
		assert_int_equal(wire_put_bytes(&f, 6, type_name, strlen(type_name)), 0);
	assert_int_equal(wire_put_bytes(fields, 2, f.data, f.len), 0);
}

static int compile_one(const char *field, uint64_t number, uint64_t type, const char *type_name)
{
	BUF_CLEANUP struct buf fields = BUF_INIT(1000);
	BUF_CLEANUP struct buf file = BUF_INIT(1000);
	BUF_CLEANUP struct buf set = BUF_INIT(1000);
	struct schema *s = NULL;
	put_field(&fields, field, number, type, type_name);
	put_message(&file, "M", &fields);
	assert_int_equal(wire_put_bytes(&set, 1, file.data, file.len), 0);
	int r = schema_compile(set.data, set.len, "M", &s);
	schema_unref(s);
	return r;
}

static void test_hostile_definitions(void **state)
{
	assert_int_equal(compile_one("a", 1, 4, NULL), 0);
	assert_int_equal(compile_one("", 1, 4, NULL), -EPROTO);
	assert_int_equal(compile_one("a\"b", 1, 4, NULL), -EPROTO);
	assert_int_equal(compile_one("a", 0, 4, NULL), -EPROTO);
	assert_int_equal(compile_one("a", 536870912, 4, NULL), -EPROTO);
	assert_int_equal(compile_one("a", 1, 10, NULL), -EPROTO); /* group */
	assert_int_equal(compile_one("a", 1, 99, NULL), -EPROTO);
	assert_int_equal(compile_one("a", 1, 11, NULL), -EPROTO); /* a message of no type */
	assert_int_equal(compile_one("a", 1, 11, ".Missing"), -EPROTO);
	assert_int_equal(compile_one("a", 1, 11, ".M"), 0); /* holds itself: cut at the largest depth */
}

/* Types inside types, as deep as a megabyte holds: refused before anything recurses over them. */
static void test_deep_nesting_does_not_use_up_the_stack(void **state)
{
	enum { SIZE = 1 << 20 };
	uint8_t *bytes = malloc(SIZE), *p = bytes + SIZE;
	struct schema *s = NULL;
	assert_non_null(bytes);
	/* From the inside out: nested_type around nested_type, then message_type, then file. */
	for (unsigned level = 0; p - bytes > 16; level++) {
		size_t len = (size_t)(bytes + SIZE - p);
		*--p = (uint8_t)(len >> 14);
		*--p = (uint8_t)(len >> 7 | 0x80);
		*--p = (uint8_t)(len | 0x80);
		*--p = 3 << 3 | 2;
	}
	for (int i = 0; i < 2; i++) {
		size_t len = (size_t)(bytes + SIZE - p);
		*--p = (uint8_t)(len >> 14);
		*--p = (uint8_t)(len >> 7 | 0x80);
		*--p = (uint8_t)(len | 0x80);
		*--p = (uint8_t)((i == 0 ? 4 : 1) << 3 | 2);
	}
	assert_int_equal(schema_compile(p, (size_t)(bytes + SIZE - p), "M", &s), -EMSGSIZE);
	assert_null(s);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_catalogue_is_in_order_and_complete),
		cmocka_unit_test(test_damaged_sets_are_refused),
		cmocka_unit_test(test_hostile_definitions),
		cmocka_unit_test(test_deep_nesting_does_not_use_up_the_stack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
