#include "tests/unit/cmocka_all.h"
#include "tests/unit/common/schema/schemas.h"

#include <errno.h>
#include <string.h>

static void test_text(void **state)
{
	struct schema *own = schemas_own();
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	BUF_CLEANUP struct buf out = BUF_INIT(65536);
	schemas_snapshot(&b);
	assert_int_equal(schema_exposition(own, b.data, b.len, "host=\"h\"", &out), 0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	const char *text = (char *)out.data;
	static const char *const want[] = {
		"# HELP sonde_cpu_cores_user_seconds_total Time in user mode, guests included\n"
		"# TYPE sonde_cpu_cores_user_seconds_total counter\n"
		"sonde_cpu_cores_user_seconds_total{host=\"h\",cpu=\"0\"} 0.7\n"
		"sonde_cpu_cores_user_seconds_total{host=\"h\",cpu=\"1\"} 0.700001\n",
		"\nsonde_cpu_total_idle_seconds_total{host=\"h\"} 0\n",
		"\nsonde_cpu_load1{host=\"h\"} 0.25\n",
		/* Escaped; the generation is no label here. Buckets 40 and 41 end below 2^11 and 2^12 ns, bucket 60 at
		   2^17. */
		"# TYPE sonde_block_io_devices_operations_device_latency_seconds histogram\n"
		"sonde_block_io_devices_operations_device_latency_seconds_bucket{host=\"h\",device=\"vd\\\"a\\\\\","
		"operation=\"write\",le=\"4.096e-06\"} 6\n"
		"sonde_block_io_devices_operations_device_latency_seconds_bucket{host=\"h\",device=\"vd\\\"a\\\\\","
		"operation=\"write\",le=\"0.000131072\"} 8\n"
		"sonde_block_io_devices_operations_device_latency_seconds_bucket{host=\"h\",device=\"vd\\\"a\\\\\","
		"operation=\"write\",le=\"+Inf\"} 8\n"
		"sonde_block_io_devices_operations_device_latency_seconds_sum{host=\"h\",device=\"vd\\\"a\\\\\","
		"operation=\"write\"} 1.2345e-05\n"
		"sonde_block_io_devices_operations_device_latency_seconds_count{host=\"h\",device=\"vd\\\"a\\\\\","
		"operation=\"write\"} 8\n",
		"\nroom_temperature{host=\"h\",room=\"caf\xc3\xa9\"} 21.5\n",
		"# TYPE visits_total counter\nvisits_total{host=\"h\"} -7\n",
	};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		if (!strstr(text, want[i]))
			fail_msg("missing:\n%s\nin:\n%s", want[i], text);
	}
	/* TYPE once per name. */
	for (const char *p = text; (p = strstr(p, "# TYPE ")); p++) {
		const char *end = strchr(p, '\n');
		assert_non_null(end);
		char line[300];
		size_t n = (size_t)(end - p);
		assert_true(n < sizeof(line));
		memcpy(line, p, n);
		line[n] = '\0';
		assert_null(strstr(end, line));
	}
	schema_unref(own);
}

static void test_failure_leaves_the_output_as_it_was(void **state)
{
	struct schema *own = schemas_own();
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	BUF_CLEANUP struct buf out = BUF_INIT(50);
	schemas_snapshot(&b);
	assert_int_equal(schema_exposition(own, b.data, b.len, NULL, &out), -EMSGSIZE);
	assert_int_equal(schema_exposition(own, b.data, b.len - 1, NULL, &out), -EPROTO);
	assert_int_equal(out.len, 0);
	assert_int_equal(schema_exposition(own, (const uint8_t *)"", 0, NULL, &out), 0);
	schema_unref(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_failure_leaves_the_output_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
