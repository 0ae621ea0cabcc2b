/* Routes are made for messages that exist in the schema, so that every field type a query may use is tried: the health
 * reply has text, numbers and a real one, Host has an enum and signed numbers. */
#include "backend/web/route.h"

#include "common/wire.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct api_operation operations[] = {
	{.name = "GetHealth",
	 .request_type = "sonde.v1.GetHealthRequest",
	 .http_method = "GET",
	 .http_path = "/api/health",
	 .open = true},
	{.name = "ListHosts",
	 .request_type = "sonde.v1.ListHostsRequest",
	 .http_method = "GET",
	 .http_path = "/api/servers"},
	{.name = "GetHost",
	 .request_type = "sonde.v1.GetHostRequest",
	 .http_method = "GET",
	 .http_path = "/api/servers/{hostname}"},
	{.name = "Put", .request_type = "sonde.v1.Host", .http_method = "PUT", .http_path = "/api/servers/{hostname}"},
	{.name = "Two",
	 .request_type = "sonde.v1.Host",
	 .http_method = "POST",
	 .http_path = "/api/{host_id}/x/{hostname}/end"},
	{.name = "Types", .request_type = "sonde.v1.Host", .http_method = "GET", .http_path = "/types"},
	{.name = "Reply", .request_type = "sonde.v1.GetHealthReply", .http_method = "GET", .http_path = "/reply"},
	{.name = "Repeated",
	 .request_type = "sonde.v1.MetricDescription",
	 .http_method = "GET",
	 .http_path = "/repeated"},
	{.name = "GrpcOnly", .request_type = "sonde.v1.ListMetricsRequest"},
};
static struct route_table *table;

static int setup(void **state)
{
	struct descriptor_blob set = descriptors_services();
	return route_table_new(operations, sizeof(operations) / sizeof(operations[0]), set.data, set.len, &table);
}

static int teardown(void **state)
{
	route_table_free(table);
	return 0;
}

static enum route_result find(const char *method, const char *path, struct route_match *match)
{
	return route_find(table, method, path, strlen(path), match);
}

static void paths_find_operations(void **state)
{
	static const struct {
		const char *method, *path, *name;
	} cases[] = {
		{"GET", "/api/health", "GetHealth"},
		{"HEAD", "/api/health", "GetHealth"},
		{"GET", "/api/servers", "ListHosts"},
		{"GET", "/api/servers/web-1.example", "GetHost"},
		{"PUT", "/api/servers/a", "Put"},
		{"POST", "/api/1/x/2/end", "Two"},
		{"GET", "/api/servers/{hostname}", "GetHost"},
	};
	struct route_match match;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(find(cases[i].method, cases[i].path, &match), ROUTE_FOUND);
		assert_string_equal(match.op->name, cases[i].name);
	}
}

static void unknown_paths_and_wrong_methods(void **state)
{
	static const char *const unknown[] = {"",
					      "/",
					      "/api",
					      "/api/servers/",
					      "/api/servers/a/b",
					      "/api/serversx",
					      "/api/server",
					      "api/servers",
					      "/api//x/2/end",
					      "/api/1/x//end",
					      "/api/1/x/2/end/",
					      "/API/servers"};
	struct route_match match = {.op = &operations[0]};
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_int_equal(find("GET", unknown[i], &match), ROUTE_UNKNOWN);
		assert_ptr_equal(match.op, &operations[0]);
	}
	assert_int_equal(find("DELETE", "/api/servers/a", &match), ROUTE_WRONG_METHOD);
	assert_string_equal(match.allow, "GET, HEAD, PUT");
	assert_int_equal(find("get", "/api/servers", &match), ROUTE_WRONG_METHOD);
	assert_string_equal(match.allow, "GET, HEAD");
	assert_int_equal(route_find(table, "GET", "/api/servers/a\0b", 16, &match), ROUTE_FOUND); /* refused below */
}

/* The request's fields in order: "1=web,7=500". */
static int build(const char *method, const char *path, const char *const *arguments, struct buf *out, char *error)
{
	struct route_match match;
	struct route_text texts[ROUTE_MAX_ARGUMENTS + 1];
	size_t n = 0;
	assert_int_equal(find(method, path, &match), ROUTE_FOUND);
	for (; arguments && arguments[n]; n++)
		texts[n] = (struct route_text){.text = arguments[n], .len = strlen(arguments[n])};
	return route_request(table, &match, texts, n, out, error, 256);
}

static struct wire_field only_field(const struct buf *message)
{
	struct wire_reader reader = wire_reader(message->data, message->len);
	struct wire_field field, none;
	assert_int_equal(wire_next(&reader, &field), 1);
	assert_int_equal(wire_next(&reader, &none), 0);
	return field;
}

static void path_parameters_become_fields(void **state)
{
	struct buf BUF_CLEANUP out = BUF_INIT(1000);
	char error[256];
	assert_int_equal(build("GET", "/api/servers/web-1", NULL, &out, error), 0);
	assert_memory_equal(out.data, "\x0a\x05web-1", 7);
	assert_int_equal(out.len, 7);
	buf_reset(&out);
	assert_int_equal(build("POST", "/api/id/x/name/end", NULL, &out, error), 0);
	assert_int_equal(out.len, 10);
	assert_memory_equal(out.data, "\x0a\x02id\x12\x04name", 10);
	buf_reset(&out);
	assert_int_equal(build("GET", "/api/servers/\xff", NULL, &out, error), -EINVAL);
	struct route_match match;
	assert_int_equal(route_find(table, "GET", "/api/servers/a\0b", 16, &match), ROUTE_FOUND);
	assert_int_equal(route_request(table, &match, NULL, 0, &out, error, sizeof(error)), -EINVAL);
}

static void query_values_have_the_types_of_their_fields(void **state)
{
	static const struct {
		const char *path, *argument;
		uint32_t number;
		uint64_t value;
	} cases[] = {
		{"/types", "interval_ms=4294967295", 7, UINT32_MAX},
		{"/types", "interval_ms=0", 7, 0},
		{"/types", "status=live", 3, 1},
		{"/types", "status=STATUS_OFFLINE", 3, 3},
		{"/types", "clock_skew_ms=-3", 8, 5}, /* zigzag */
		{"/types", "clock_skew_ms=-9223372036854775808", 8, UINT64_MAX},
		{"/reply", "uptime_seconds=1.5", 3, 0x3ff8000000000000u},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf BUF_CLEANUP out = BUF_INIT(1000);
		char error[256] = "";
		const char *const arguments[] = {cases[i].argument, NULL};
		assert_int_equal(build("GET", cases[i].path, arguments, &out, error), 0);
		struct wire_field field = only_field(&out);
		assert_int_equal(field.number, cases[i].number);
		assert_true(field.value == cases[i].value);
	}
	struct buf BUF_CLEANUP out = BUF_INIT(1000);
	char error[256];
	const char *const repeated[] = {"labels=a", "labels=", "labels=b=c", NULL};
	assert_int_equal(build("GET", "/repeated", repeated, &out, error), 0);
	assert_int_equal(out.len, 10);
	assert_memory_equal(out.data,
			    "\x32\x01"
			    "a\x32\x00\x32\x03"
			    "b=c",
			    10);
}

static void bad_queries_name_the_parameter(void **state)
{
	static const struct {
		const char *path, *first, *second, *named;
	} cases[] = {
		{"/types", "bogus=1", NULL, "bogus"},
		{"/types", "bogus", NULL, "bogus"},
		{"/types", "=1", NULL, "unknown"},
		{"/types", "interval_ms=4294967296", NULL, "interval_ms"},
		{"/types", "interval_ms=-1", NULL, "interval_ms"},
		{"/types", "interval_ms=", NULL, "interval_ms"},
		{"/types", "interval_ms", NULL, "interval_ms"},
		{"/types", "interval_ms=1x", NULL, "interval_ms"},
		{"/types", "interval_ms= 1", NULL, "interval_ms"},
		{"/types", "interval_ms=1", "interval_ms=1", "twice"},
		{"/types", "clock_skew_ms=9223372036854775808", NULL, "clock_skew_ms"},
		{"/types", "clock_skew_ms=--1", NULL, "clock_skew_ms"},
		{"/types", "status=gone", NULL, "status"},
		{"/types", "status=", NULL, "status"},
		{"/types", "facts=x", NULL, "facts"},
		{"/reply", "uptime_seconds=nan", NULL, "uptime_seconds"},
		{"/reply", "uptime_seconds=1e999", NULL, "uptime_seconds"},
		{"/reply", "uptime_seconds=1.5x", NULL, "uptime_seconds"},
		{"/reply", "store=\xff", NULL, "store"},
		{"/api/servers/a", "hostname=b", NULL, "twice"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf BUF_CLEANUP out = BUF_INIT(1000);
		char error[256] = "";
		const char *const arguments[] = {cases[i].first, cases[i].second, NULL};
		assert_int_equal(build("GET", cases[i].path, arguments, &out, error), -EINVAL);
		assert_non_null(strstr(error, cases[i].named));
	}
	const char *many[ROUTE_MAX_ARGUMENTS + 2];
	for (size_t i = 0; i < ROUTE_MAX_ARGUMENTS + 1; i++)
		many[i] = "labels=x";
	many[ROUTE_MAX_ARGUMENTS + 1] = NULL;
	struct buf BUF_CLEANUP out = BUF_INIT(1000), small = BUF_INIT(4);
	char error[256];
	assert_int_equal(build("GET", "/repeated", many, &out, error), -EINVAL);
	assert_int_equal(build("GET", "/api/servers/longer", NULL, &small, error), -EMSGSIZE);
}

static void tables_that_cannot_be_made(void **state)
{
	struct descriptor_blob set = descriptors_services();
	struct route_table *none = NULL;
	struct api_operation op = operations[2];
	assert_int_equal(route_table_new(&op, 1, set.data, 10, &none), -EPROTO);
	op.request_type = "sonde.v1.Nothing";
	assert_int_equal(route_table_new(&op, 1, set.data, set.len, &none), -ENOENT);
	op = operations[2];
	op.http_path = "/api/{nothing}";
	assert_int_equal(route_table_new(&op, 1, set.data, set.len, &none), -ENOENT);
	op.http_path = "/api/{hostname";
	assert_int_equal(route_table_new(&op, 1, set.data, set.len, &none), -ENOENT);
	assert_null(none);
	route_table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_find_operations),
		cmocka_unit_test(unknown_paths_and_wrong_methods),
		cmocka_unit_test(path_parameters_become_fields),
		cmocka_unit_test(query_values_have_the_types_of_their_fields),
		cmocka_unit_test(bad_queries_name_the_parameter),
		cmocka_unit_test(tables_that_cannot_be_made),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
