#include "agent/sensors/energy_counter.h"
#include "agent/sensors/hwmon_name.h"
#include "agent/sensors/sys_value.h"
#include "agent/sensors/time_keeping.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static int value_of(const char *text, int64_t *ret)
{
	char *copy = exact_copy(text, strlen(text));
	int r = sys_value_parse(copy, strlen(text), ret);
	free(copy);
	return r;
}

static void test_value(void **state)
{
	static const char *const bad[] = {
		"", "\n", "-", "- 1", "+1", "1 2", "1.5", "0x1", "--1", "on", "9223372036854775808"};
	int64_t v = 7;
	assert_int_equal(value_of("42000\n", &v), 0);
	assert_int_equal(v, 42000);
	assert_int_equal(value_of("-5000", &v), 0);
	assert_int_equal(v, -5000);
	assert_int_equal(value_of("9223372036854775807 \n", &v), 0);
	assert_true(v == INT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(value_of(bad[i], &v), -EPROTO);
		assert_true(v == INT64_MAX);
	}
}

static void test_uevent(void **state)
{
	const char *text = "DRIVER=amdgpu\nPCI_ID=1002:73BF\nXPCI_SLOT_NAME=x\nPCI_SLOT_NAME=0000:03:00.0";
	struct word w;
	assert_int_equal(sys_uevent_find(text, strlen(text), "DRIVER", &w), 0);
	assert_true(word_is(w, "amdgpu"));
	assert_int_equal(sys_uevent_find(text, strlen(text), "PCI_SLOT_NAME", &w), 0);
	assert_true(word_is(w, "0000:03:00.0"));
	assert_int_equal(sys_uevent_find(text, strlen(text), "PCI", &w), -ENOENT);
	assert_int_equal(sys_uevent_find("", 0, "PCI", &w), -ENOENT);
	assert_int_equal(sys_uevent_find("DRIVER\n", 7, "DRIVER", &w), -ENOENT);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"temp1_max",
					  "temp_input",
					  "temp1input",
					  "temp1_inputs",
					  "name",
					  "",
					  "temp1_average",
					  "power1_average_interval",
					  "intrusion0_alarm",
					  "temp12345_input",
					  "in1",
					  "pwm1"};
	struct hwmon_name n;
	assert_true(hwmon_name_parse("temp1_input", 11, &n));
	assert_true(n.kind == SENSOR_TEMPERATURE && n.number == 1 && !n.average);
	assert_true(hwmon_name_parse("in0_input", 9, &n));
	assert_true(n.kind == SENSOR_VOLTAGE && n.number == 0);
	assert_true(hwmon_name_parse("power2_average", 14, &n));
	assert_true(n.kind == SENSOR_POWER && n.number == 2 && n.average);
	assert_true(hwmon_name_parse("fan12_input", 11, &n) && n.kind == SENSOR_FAN);
	assert_true(hwmon_name_parse("energy1_input", 13, &n) && n.kind == SENSOR_ENERGY);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (hwmon_name_parse(bad[i], strlen(bad[i]), &n))
			fail_msg("accepted: %s", bad[i]);
	}
}

#define S 1000000ull

static void test_energy(void **state)
{
	struct energy_counter c = {.range_uj = 262143328850};
	assert_int_equal(energy_counter_take(&c, 200000000000, 100 * S), 200000000000);
	assert_int_equal(energy_counter_take(&c, 262143000000, 400 * S), 262143000000);
	/* Round: 328,850 uJ to the end, then 500,000. */
	assert_int_equal(energy_counter_take(&c, 500000, 405 * S), 262143000000 + 328850 + 500000);
	/* Reset from far below the end: 262 kJ in 5 s would be 52 kW. What it counted since is kept, and no more. */
	assert_int_equal(energy_counter_take(&c, 400000, 410 * S), 262143828850 + 400000);
	struct energy_counter plain = {.range_uj = 0};
	assert_int_equal(energy_counter_take(&plain, 10, S), 10);
	assert_int_equal(energy_counter_take(&plain, 4, 2 * S), 14);
}

static void test_clock(void **state)
{
	struct timex t = {.status = STA_NANO | STA_PLL,
			  .offset = -1500,
			  .esterror = 12,
			  .maxerror = 34567,
			  .freq = 65536 * 25,
			  .tai = 37};
	Sonde__V1__TimeKeeping out = SONDE__V1__TIME_KEEPING__INIT;
	time_keeping_fill(&t, TIME_INS, &out);
	assert_true(out.synchronised);
	assert_int_equal(out.offset_ns, -1500);
	assert_int_equal(out.estimated_error_us, 12);
	assert_int_equal(out.maximum_error_us, 34567);
	assert_true(out.frequency_correction_ratio > 24.9e-6 && out.frequency_correction_ratio < 25.1e-6);
	assert_int_equal(out.leap_pending, 1);
	assert_int_equal(out.tai_offset_seconds, 37);
	t.status = STA_UNSYNC;
	time_keeping_fill(&t, TIME_ERROR, &out);
	assert_false(out.synchronised);
	assert_int_equal(out.offset_ns, -1500000);
	assert_int_equal(out.leap_pending, 0);
	assert_int_equal(time_keeping_read(&out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value),  cmocka_unit_test(test_uevent), cmocka_unit_test(test_names),
		cmocka_unit_test(test_energy), cmocka_unit_test(test_clock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
