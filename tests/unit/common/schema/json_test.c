#include "tests/unit/cmocka_all.h"
#include "tests/unit/common/schema/schemas.h"

#include "common/wire.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static struct schema *own;

static json_t *to_json(const char *type, const void *data, size_t len)
{
	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	assert_int_equal(schema_json(own, type, data, len, &out), 0);
	json_t *object = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(object);
	return object;
}

static void test_a_snapshot(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	schemas_snapshot(&b);
	json_t *o = to_json("sonde.v1.Snapshot", b.data, b.len), *cpu = json_object_get(o, "cpu");
	assert_string_equal(json_string_value(json_object_get(o, "timestamp")), "2026-11-21T04:00:00.123456Z");
	assert_string_equal(json_string_value(json_object_get(o, "instance")), "30313233343536373839616263646566");
	assert_int_equal(json_integer_value(json_object_get(o, "sequence")), 42);
	assert_string_equal(json_string_value(json_object_get(json_object_get(cpu, "state"), "code")), "ok");
	assert_int_equal(json_array_size(json_object_get(cpu, "cores")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(cpu, "total"), "idle_us")), 0);
	assert_null(json_object_get(json_object_get(cpu, "total"), "nice_us"));
	json_t *device = json_array_get(json_object_get(json_object_get(o, "block_io"), "devices"), 0);
	assert_string_equal(json_string_value(json_object_get(device, "device")), "vd\"a\\");
	assert_true(json_is_true(json_object_get(device, "leaf")));
	assert_int_equal(json_integer_value(json_object_get(device, "untraced_operations")), -3);
	json_t *state_object = json_object_get(json_object_get(json_object_get(o, "perf"), "hardware"), "state");
	assert_string_equal(json_string_value(json_object_get(state_object, "code")), "unavailable");
	json_decref(o);
}

/* Encoders may write fields in any order, repeat single ones, split repeated ones, pack or not. */
static void test_any_legal_order(void **state)
{
	static const char a[] =
		"\x22\x01\x07\x08\x01\x1a\x01\x05\x10\x09\x10\x0a\x1a\x01\x06\x20\x08"; /* counts,scheme,indexes,sum,sum,...
											 */
	json_t *o = to_json("sonde.v1.Histogram", a, sizeof(a) - 1);
	assert_int_equal(json_integer_value(json_object_get(o, "sum")), 10); /* the last wins */
	json_t *indexes = json_object_get(o, "indexes"), *counts = json_object_get(o, "counts");
	assert_true(json_array_size(indexes) == 2 && json_array_size(counts) == 2);
	assert_int_equal(json_integer_value(json_array_get(indexes, 1)), 6);
	assert_int_equal(json_integer_value(json_array_get(counts, 1)), 8);
	json_decref(o);
}

static void put_load1(struct buf *b, double d)
{
	buf_reset(b);
	assert_int_equal(wire_put_tag(b, 10, WIRE_FIXED64), 0);
	assert_int_equal(buf_append(b, &d, sizeof(d)), 0);
}

static void test_doubles_read_back_as_they_were(void **state)
{
	static const double values[] = {
		0, 1, -0.5, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789.123456789, 9007199254740993.0};
	BUF_CLEANUP struct buf b = BUF_INIT(100);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		put_load1(&b, values[i]);
		json_t *o = to_json("sonde.v1.Cpu", b.data, b.len);
		assert_true(json_number_value(json_object_get(o, "load1")) == values[i]);
		json_decref(o);
	}
	put_load1(&b, NAN);
	json_t *o = to_json("sonde.v1.Cpu", b.data, b.len);
	assert_true(json_is_null(json_object_get(o, "load1")));
	json_decref(o);
}

static void test_refusals_leave_the_output_as_it_was(void **state)
{
	BUF_CLEANUP struct buf out = BUF_INIT(100);
	assert_int_equal(buf_append_str(&out, "kept"), 0);
	assert_int_equal(schema_json(own, "sonde.v1.NoSuch", (const uint8_t *)"", 0, &out), -ENOENT);
	assert_int_equal(schema_json(own, "sonde.v1.Snapshot", (const uint8_t *)"\x5a\x05", 2, &out), -EPROTO);
	assert_int_equal(schema_json(own, "sonde.v1.State", (const uint8_t *)"\x12\x01\xff", 3, &out), -EPROTO);
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	schemas_snapshot(&b);
	assert_int_equal(schema_json(own, "sonde.v1.Snapshot", b.data, b.len, &out), -EMSGSIZE);
	assert_int_equal(out.len, 4);
}

static void test_strings_that_are_not_utf8(void **state)
{
	BUF_CLEANUP struct buf out = BUF_INIT(100);
	assert_int_equal(schema_json_string(&out, "a\xff\xe2\x82\"\n\xc3\xa9", 8), 0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	assert_string_equal((char *)out.data, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\\"\\u000a\xc3\xa9\"");
}

static int parse(const char *type, const char *json, struct buf *out, char *error)
{
	buf_reset(out);
	error[0] = '\0';
	return schema_json_parse(own, type, json, strlen(json), out, error, 256);
}

static void test_parse_is_the_inverse(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	BUF_CLEANUP struct buf json = BUF_INIT(65536);
	BUF_CLEANUP struct buf back = BUF_INIT(65536);
	BUF_CLEANUP struct buf again = BUF_INIT(65536);
	char error[256];
	schemas_snapshot(&b);
	assert_int_equal(schema_json(own, "sonde.v1.Snapshot", b.data, b.len, &json), 0);
	assert_int_equal(schema_json_parse(own, "sonde.v1.Snapshot", (const char *)json.data, json.len, &back, error,
					   sizeof(error)),
			 0);
	assert_int_equal(schema_json(own, "sonde.v1.Snapshot", back.data, back.len, &again), 0);
	assert_int_equal(again.len, json.len);
	assert_memory_equal(again.data, json.data, json.len);
}

static void test_parse_names_what_is_wrong(void **state)
{
	BUF_CLEANUP struct buf out = BUF_INIT(4096);
	char error[256];
	static const struct {
		const char *json, *names;
	} cases[] = {
		{"{\"cpuu\":{}}", "cpuu"},
		{"{\"cpu\":{\"cores\":[{\"cpu\":-1}]}}", "cpu.cores.cpu: -1 is out of range"},
		{"{\"cpu\":{\"cores\":[{\"cpu\":4294967296}]}}", "out of range"},
		{"{\"cpu\":{\"load1\":\"high\"}}", "cpu.load1: must be a number"},
		{"{\"cpu\":{\"cores\":{}}}", "must be an array"},
		{"{\"cpu\":{\"state\":{\"code\":\"splendid\"}}}", "splendid"},
		{"{\"timestamp\":\"yesterday\"}", "timestamp: must be a time"},
		{"{\"instance\":\"#\"}", "base64"},
		{"{\"sequence\":1.5}", "whole number"},
		{"{\"sequence\":1,\"sequence\":2}", "not JSON"},
		{"[]", "must be an object"},
		{"{", "not JSON: line 1"},
		{"", "not JSON"},
		{"{} {}", "not JSON"},
		{"{\"sequence\":1,}", "not JSON"},
		{"{\"sequence\" 1}", "not JSON"},
		{"{\"sequence\":01}", "not JSON"},
		{"{\"sequence\":-}", "not JSON"},
		{"{\"sequence\":tru}", "not JSON"},
		{"{\n\"sequence\":\n'1'}", "not JSON: line 3"},
		{"{\"sequence\":18446744073709551616}", "out of range"},
		{"{\"sequence\":-1}", "-1 is out of range"},
		{"{\"sequence\":true}", "must be a whole number"},
		{"{\"cpu\":{\"load1\":1e400}}", "not JSON"},
		{"{\"cpu\":{\"load1\":1.}}", "not JSON"},
		{"{\"cpu\":{\"state\":{\"reason\":\"\\ud800x\"}}}", "surrogate"},
		{"{\"cpu\":{\"state\":{\"reason\":\"\\u0000\"}}}", "u0000"},
		{"{\"cpu\":{\"state\":{\"reason\":\"\\x\"}}}", "escape"},
		{"{\"cpu\":{\"state\":{\"reason\":\"\t\"}}}", "control"},
		{"{\"cpu\":{\"state\":{\"reason\":\"\xc3\"}}}", "UTF-8"},
		{"{\"cpu\":{\"state\":{\"reason\":\"a", "does not end"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse("sonde.v1.Snapshot", cases[i].json, &out, error), -EINVAL);
		if (!strstr(error, cases[i].names))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].json, error, cases[i].names);
		assert_int_equal(out.len, 0);
	}
	assert_int_equal(parse("sonde.v1.Snapshot", "{\"cpu\":null}", &out, error), 0);
	assert_int_equal(parse("sonde.v1.NoSuch", "{}", &out, error), -ENOENT);
}

/* The top bit of a counter, characters of each length, white space, a leap day east of Greenwich. */
static void test_parse_reads_all_of_json(void **state)
{
	BUF_CLEANUP struct buf out = BUF_INIT(4096), json = BUF_INIT(65536);
	char error[256];
	assert_int_equal(
		parse("sonde.v1.Snapshot",
		      " { \"sequence\" : 18446744073709551615 ,\r\n\t\"timestamp\":\"2024-02-29T01:30:00.25+02:00\","
		      "\"cpu\":{\"cores\":[ ],\"load1\":-1.5E-2,\"state\":{\"reason\":"
		      "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00\xc3\xa9\"}}} ",
		      &out, error),
		0);
	assert_int_equal(schema_json(own, "sonde.v1.Snapshot", out.data, out.len, &json), 0);
	assert_int_equal(buf_append(&json, "", 1), 0);
	assert_string_equal((char *)json.data,
			    "{\"sequence\":18446744073709551615,\"timestamp\":\"2024-02-28T23:30:00.250000Z\",\"cpu\":{"
			    "\"state\":{\"reason\":\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\xc3\xa9\xe2\x82"
			    "\xac\xf0\x9f\x98\x80\xc3\xa9\"},\"load1\":-0.015}}");
}

static void test_parse_is_not_nested_for_ever(void **state)
{
	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	char error[256], deep[100001];
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(parse("sonde.v1.Snapshot", deep, &out, error), -EINVAL);
	memcpy(deep, "{\"cpu\":{\"cores\":", 17);
	assert_int_equal(parse("sonde.v1.Snapshot", deep, &out, error), -EINVAL);
	assert_int_equal(out.len, 0);
}

static int parse_list(const char *json, struct buf *out, char *error)
{
	buf_reset(out);
	return schema_json_parse_list(own, "sonde.v1.State", json, strlen(json), 3, out, error, 256);
}

static void test_parse_a_list(void **state)
{
	static const char two[] = "\x1a\x02\x08\x01\x1a\x02\x08\x02";
	static const char *const lists[] = {
		"{\"code\":\"ok\"}{\"code\":\"not_due\"}", "{\"code\":\"ok\"}\n{\"code\":\"not_due\"}\n",
		"[{\"code\":\"ok\"},{\"code\":\"not_due\"}]", "[{\"code\":\"ok\"}] [] [{\"code\":\"not_due\"}]"};
	static const char *const refused[] = {"",    " ",      "[",    "[{}", "{},{}", "[{},]",
					      "{}]", "[[{}]]", "null", "1",   "[null]"};
	BUF_CLEANUP struct buf out = BUF_INIT(4096);
	char error[256];
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		assert_int_equal(parse_list(lists[i], &out, error), 0);
		assert_int_equal(out.len, sizeof(two) - 1);
		assert_memory_equal(out.data, two, out.len);
	}
	assert_int_equal(parse_list("[]", &out, error), 0);
	assert_int_equal(out.len, 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(parse_list(refused[i], &out, error), -EINVAL);
		assert_int_equal(out.len, 0);
	}
	out.max = 5;
	assert_int_equal(parse_list(lists[0], &out, error), -EMSGSIZE);
	assert_int_equal(out.len, 0);
}

static int setup(void **state)
{
	own = schemas_own();
	return 0;
}

static int teardown(void **state)
{
	schema_unref(own);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_snapshot),
		cmocka_unit_test(test_any_legal_order),
		cmocka_unit_test(test_doubles_read_back_as_they_were),
		cmocka_unit_test(test_refusals_leave_the_output_as_it_was),
		cmocka_unit_test(test_strings_that_are_not_utf8),
		cmocka_unit_test(test_parse_is_the_inverse),
		cmocka_unit_test(test_parse_names_what_is_wrong),
		cmocka_unit_test(test_parse_reads_all_of_json),
		cmocka_unit_test(test_parse_is_not_nested_for_ever),
		cmocka_unit_test(test_parse_a_list),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
