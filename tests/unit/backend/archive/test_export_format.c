#include "backend/archive/export_format.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct export_metric counter = {.path = (char *)"cpu.cores.user_us",
				       .name = (char *)"sonde_cpu_cores_user_seconds_total",
				       .help = (char *)"Time in \\ user\nspace",
				       .kind = SCHEMA_KIND_COUNTER,
				       .unit = SCHEMA_UNIT_MICROSECONDS,
				       .scale = 1e-6};
static struct export_metric odd = {.path = (char *)"custom.a,b",
				   .name = (char *)"a_b",
				   .help = (char *)"",
				   .kind = SCHEMA_KIND_COUNTER,
				   .unit = SCHEMA_UNIT_BYTES,
				   .scale = 1,
				   .custom = true};

static const char *reading(enum export_format format, const struct export_metric *metric, const char *function,
			   struct export_value value)
{
	static const struct schema_label_value labels[] = {
		{.name = "cpu", .number = UINT64_MAX},
		{.name = "b", .is_text = true, .text = "x\"\\\n,", .len = 5},
	};
	static struct buf out = BUF_INIT(1u << 20), text = BUF_INIT(1u << 20);
	buf_reset(&out);
	buf_reset(&text);
	assert_int_equal(export_put_labels(format, labels, 2, 1, &text), 0);
	assert_int_equal(export_put_reading(format, metric, function, "h\"1", (const char *)text.data, text.len,
					    1700000000000001, &value, &out),
			 0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	return (const char *)out.data;
}

static void test_csv(void **state)
{
	assert_string_equal(
		reading(EXPORT_CSV, &counter, NULL, (struct export_value){.type = SCHEMA_VALUE_UINT, .u = UINT64_MAX}),
		"2023-11-14T22:13:20.000001Z,\"h\"\"1\",cpu.cores.user_us,"
		"\"cpu=\"\"18446744073709551615\"\",b=\"\"x\\\"\"\\\\\\n,\"\",row=\"\"1\"\"\","
		"18446744073709551615\r\n");
	assert_string_equal(
		reading(EXPORT_CSV, &odd, "avg", (struct export_value){.type = SCHEMA_VALUE_DOUBLE, .d = 0.1}),
		"2023-11-14T22:13:20.000001Z,\"h\"\"1\",\"custom.a,b\":avg,"
		"\"cpu=\"\"18446744073709551615\"\",b=\"\"x\\\"\"\\\\\\n,\"\",row=\"\"1\"\"\",0.1\r\n");
}

static void test_jsonl(void **state)
{
	static const char head[] = "{\"time\":\"2023-11-14T22:13:20.000001Z\",\"host\":\"h\\\"1\",\"metric\":";
	const char *line =
		reading(EXPORT_JSONL, &odd, NULL, (struct export_value){.type = SCHEMA_VALUE_INT, .i = INT64_MIN});
	assert_memory_equal(line, head, strlen(head));
	assert_string_equal(
		line + strlen(head),
		"\"custom.a,b\",\"kind\":1,\"unit\":2,\"type\":\"int\",\"labels\":{\"cpu\":\"18446744073709551615\","
		"\"b\":\"x\\\"\\\\\\u000a,\",\"row\":1},\"value\":-9223372036854775808}\n");
	static const struct {
		double d;
		const char *text;
	} doubles[] = {{1, "1.0}\n"},	    {1e300, "1e+300}\n"},
		       {0.1, "0.1}\n"},	    {1.0 / 3, "0.3333333333333333}\n"},
		       {NAN, "\"NaN\"}\n"}, {-INFINITY, "\"-Inf\"}\n"},
		       {-0.0, "-0.0}\n"},   {5e-324, "4.94065645841247e-324}\n"}};
	for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
		line = reading(EXPORT_JSONL, &counter, NULL,
			       (struct export_value){.type = SCHEMA_VALUE_DOUBLE, .d = doubles[i].d});
		assert_string_equal(strstr(line, "\"value\":") + 8, doubles[i].text);
	}
	line = reading(EXPORT_JSONL, &counter, NULL, (struct export_value){.type = SCHEMA_VALUE_UINT, .u = UINT64_MAX});
	assert_non_null(strstr(line, "\"value\":\"18446744073709551615\"}"));
}

static void test_openmetrics(void **state)
{
	static const char labels[] = "{host=\"h\\\"1\",cpu=\"18446744073709551615\",b=\"x\\\"\\\\\\n,\",row=\"1\"} ";
	struct schema_histogram h = {.sum = 1500, .count = 7, .n = 3, .buckets = {{0, 1}, {57, 2}, {251, 4}}};
	struct buf out BUF_CLEANUP = BUF_INIT(1u << 16);
	char wanted[400];
	snprintf(wanted, sizeof(wanted), "sonde_cpu_cores_user_seconds_total%s9007.199254 1700000000.000001\n", labels);
	assert_string_equal(reading(EXPORT_OPENMETRICS, &counter, NULL,
				    (struct export_value){.type = SCHEMA_VALUE_UINT, .u = 9007199254}),
			    wanted);
	snprintf(wanted, sizeof(wanted), "a_b%s-5 1700000000.000001\n", labels);
	assert_string_equal(
		reading(EXPORT_OPENMETRICS, &odd, NULL, (struct export_value){.type = SCHEMA_VALUE_INT, .i = -5}),
		wanted);
	struct export_metric latency = counter;
	latency.name = (char *)"latency_seconds";
	latency.kind = SCHEMA_KIND_HISTOGRAM;
	const char *text = reading(EXPORT_OPENMETRICS, &latency, NULL,
				   (struct export_value){.type = SCHEMA_VALUE_HISTOGRAM, .histogram = &h});
	assert_non_null(strstr(text, ",le=\"0.000001\"} 1 1700000000.000001\n"));
	assert_non_null(strstr(text, ",le=\"0.049152\"} 3 1700000000.000001\n"));
	assert_non_null(strstr(text, ",le=\"+Inf\"} 7 1700000000.000001\n"));
	assert_non_null(strstr(text, "latency_seconds_count{"));
	assert_non_null(strstr(text, "} 0.001500 1700000000.000001\n"));
	assert_int_equal(export_put_metric(EXPORT_OPENMETRICS, &counter, NULL, &out), 0);
	assert_int_equal(export_put_metric(EXPORT_OPENMETRICS, &counter, "rate", &out), 0);
	/* No counter by OpenMetrics' rules, and its name ends in no unit. */
	assert_int_equal(export_put_metric(EXPORT_OPENMETRICS, &odd, NULL, &out), 0);
	assert_int_equal(export_put_end(EXPORT_OPENMETRICS, &out), 0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	assert_string_equal((const char *)out.data,
			    "# TYPE sonde_cpu_cores_user_seconds counter\n"
			    "# UNIT sonde_cpu_cores_user_seconds seconds\n"
			    "# HELP sonde_cpu_cores_user_seconds Time in \\\\ user\\nspace\n"
			    "# TYPE sonde_cpu_cores_user_seconds_rate gauge\n"
			    "# HELP sonde_cpu_cores_user_seconds_rate Time in \\\\ user\\nspace\n"
			    "# TYPE a_b unknown\n# EOF\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_jsonl),
		cmocka_unit_test(test_openmetrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
