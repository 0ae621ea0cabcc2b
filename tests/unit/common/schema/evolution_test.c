/* An agent one schema newer or older than the backend: its metrics are read by its own descriptor set, and each side
 * reads the other's bytes without losing what it knows. */
#include "tests/unit/cmocka_all.h"
#include "tests/unit/common/schema/schemas.h"

#include "common/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct schema *own, *newer;
static struct kept kept;

/* Our snapshot with what only the newer schema knows: cpu.throwaway_us and a section weather. */
static void newer_snapshot(struct buf *out)
{
	BUF_CLEANUP struct buf cpu = BUF_INIT(100);
	BUF_CLEANUP struct buf station = BUF_INIT(100);
	BUF_CLEANUP struct buf weather = BUF_INIT(100);
	double celsius = -12.5;
	schemas_snapshot(out);
	assert_int_equal(wire_put_uint(&cpu, 99, 250000), 0);
	assert_int_equal(wire_put_bytes(out, 11, cpu.data, cpu.len), 0);
	assert_int_equal(wire_put_tag(&station, 2, WIRE_FIXED64), 0);
	assert_int_equal(buf_append(&station, &celsius, sizeof(celsius)), 0);
	assert_int_equal(wire_put_bytes(&station, 1, "roof", 4), 0);
	assert_int_equal(wire_put_bytes(&weather, 2, station.data, station.len), 0);
	assert_int_equal(wire_put_bytes(out, 100, weather.data, weather.len), 0);
}

static size_t walk(const struct schema *schema, const struct buf *b)
{
	kept.n = 0;
	assert_int_equal(schema_walk(schema, b->data, b->len, schemas_keep, &kept), 0);
	return kept.n;
}

static void test_a_newer_agent_is_read_whole_by_its_own_schema(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(8192);
	newer_snapshot(&b);
	walk(newer, &b);
	assert_non_null(schemas_find(&kept, "cpu.throwaway_us{} 250000"));
	assert_non_null(schemas_find(&kept, "weather.stations.temperature_celsius{station=roof} -12.5"));
	assert_non_null(schemas_find(&kept, "cpu.cores.user_us{cpu=1} 700001"));

	const struct schema_metric *m = schema_find(newer, "cpu.throwaway_us");
	assert_non_null(m);
	assert_string_equal(m->name, "sonde_cpu_throwaway_seconds_total");
	assert_string_equal(m->help, "Time thrown away");
	assert_true(m->kind == SCHEMA_KIND_COUNTER && m->unit == SCHEMA_UNIT_MICROSECONDS && m->scale == 1e-6);
	assert_true(m->n_numbers == 2 && m->numbers[0] == 11 && m->numbers[1] == 99);
	assert_int_equal(schema_section(newer, "weather"), 100);
	assert_int_equal(schema_section(own, "weather"), 0);
	assert_null(schema_find(own, "cpu.throwaway_us"));
}

static void test_json_and_exposition_show_it_without_a_line_of_c(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(8192);
	BUF_CLEANUP struct buf json = BUF_INIT(65536);
	BUF_CLEANUP struct buf text = BUF_INIT(65536);
	newer_snapshot(&b);
	assert_int_equal(schema_json(newer, "sonde.v1.Snapshot", b.data, b.len, &json), 0);
	assert_int_equal(buf_append(&json, "", 1), 0);
	assert_non_null(strstr((char *)json.data,
			       "\"weather\":{\"stations\":[{\"station\":\"roof\",\"temperature_celsius\":-12.5}]}"));
	assert_int_equal(schema_exposition(newer, b.data, b.len, NULL, &text), 0);
	assert_int_equal(buf_append(&text, "", 1), 0);
	assert_non_null(strstr((char *)text.data, "\nsonde_cpu_throwaway_seconds_total 0.25\n"));
	assert_non_null(
		strstr((char *)text.data, "\nsonde_weather_stations_temperature_celsius{station=\"roof\"} -12.5\n"));
}

static void test_an_older_backend_keeps_what_it_knows(void **state)
{
	BUF_CLEANUP struct buf old = BUF_INIT(8192);
	BUF_CLEANUP struct buf b = BUF_INIT(8192);
	schemas_snapshot(&old);
	newer_snapshot(&b);
	size_t known = walk(own, &old);
	assert_int_equal(walk(own, &b), known);
	assert_null(schemas_find(&kept, "weather"));
	/* And an older agent under a newer backend. */
	assert_int_equal(walk(newer, &old), known);
}

static int setup(void **state)
{
	static uint8_t set[SCHEMA_MAX_SET];
	FILE *f = fopen(NEWER_SCHEMA, "rb");
	if (!f)
		return -1;
	size_t len = fread(set, 1, sizeof(set), f);
	fclose(f);
	own = schemas_own();
	return schema_compile(set, len, "sonde.v1.Snapshot", &newer);
}

static int teardown(void **state)
{
	schema_unref(own);
	schema_unref(newer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_newer_agent_is_read_whole_by_its_own_schema),
		cmocka_unit_test(test_json_and_exposition_show_it_without_a_line_of_c),
		cmocka_unit_test(test_an_older_backend_keeps_what_it_knows),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
