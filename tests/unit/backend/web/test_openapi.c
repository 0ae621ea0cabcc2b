/* OpenAPI describes what is served, and nothing else: the routes of the API's table and those beside it. */
#include "backend/api/internal.h"
#include "backend/web/http_routes.h"
#include "proto/descriptors.h"
#include "tests/unit/cmocka_all.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static json_t *document, *paths;

static int setup(void **state)
{
	struct descriptor_blob set = descriptors_services();
	BUF_CLEANUP struct buf text = BUF_INIT(API_OPENAPI_MAX);
	struct schema *schema;
	json_error_t error;
	if (schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema) < 0)
		return -1;
	int r = api_openapi_make(schema, &text);
	schema_unref(schema);
	document = r == 0 ? json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error) : NULL;
	paths = document ? json_object_get(document, "paths") : NULL;
	return paths ? 0 : -1;
}

static int teardown(void **state)
{
	json_decref(document);
	return 0;
}

static json_t *operation(const char *path, const char *method)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(paths, path), name, value)
	{
		if (!method || strcasecmp(name, method) == 0)
			return value;
	}
	fail_msg("%s %s is served and not described", method ? method : "", path);
	return NULL;
}

static void every_route_is_described(void **state)
{
	for (size_t i = 0; i < api_operation_count; i++) {
		const struct api_operation *op = &api_operation_table[i];
		assert_non_null(op->summary);
		if (op->http_path)
			(void)operation(op->http_path, op->http_method);
	}
	for (size_t i = 0; i < http_n_routes; i++) {
		if (!http_routes[i].part)
			(void)operation(http_routes[i].path, http_routes[i].method);
	}
}

static bool is_served(const char *path, const char *method)
{
	for (size_t i = 0; i < api_operation_count; i++) {
		const struct api_operation *op = &api_operation_table[i];
		if (op->http_path && strcmp(op->http_path, path) == 0 && strcasecmp(op->http_method, method) == 0)
			return true;
	}
	for (size_t i = 0; i < http_n_routes; i++) {
		const struct http_route *route = &http_routes[i];
		if (strcmp(route->path, path) == 0 && strcasecmp(route->method ? route->method : "get", method) == 0)
			return true;
	}
	return false;
}

static void everything_described_is_served(void **state)
{
	const char *path, *method;
	json_t *methods, *value;
	json_t *ids = json_object();
	json_object_foreach(paths, path, methods)
	{
		json_object_foreach(methods, method, value)
		{
			const char *id = json_string_value(json_object_get(value, "operationId"));
			if (!is_served(path, method))
				fail_msg("%s %s is described and not served", method, path);
			assert_non_null(json_object_get(value, "summary"));
			assert_true(json_is_array(json_object_get(value, "parameters")));
			assert_null(json_object_get(ids, id)); /* each has its own */
			assert_int_equal(json_object_set_new(ids, id, json_true()), 0);
		}
	}
	json_decref(ids);
}

static void what_is_open_and_what_takes_a_body(void **state)
{
	for (size_t i = 0; i < api_operation_count; i++) {
		const struct api_operation *op = &api_operation_table[i];
		json_t *described = operation(op->http_path, op->http_method);
		assert_int_equal(json_object_get(described, "security") != NULL, op->open);
		assert_int_equal(json_object_get(described, "requestBody") != NULL, op->body_type != NULL);
	}
	json_t *messages = json_object_get(json_object_get(document, "components"), "schemas");
	json_t *memory = json_object_get(json_object_get(messages, "sonde.v1.Memory"), "properties");
	assert_string_equal(json_string_value(json_object_get(json_object_get(memory, "free_bytes"), "description")),
			    "Memory nobody uses"); /* a metric's help */
	json_t *snapshot = json_object_get(messages, "sonde.v1.Snapshot");
	assert_non_null(strstr(json_string_value(json_object_get(snapshot, "description")), "One host at one moment."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_is_described),
		cmocka_unit_test(everything_described_is_served),
		cmocka_unit_test(what_is_open_and_what_takes_a_body),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
