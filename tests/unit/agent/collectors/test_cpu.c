/* The CPU collector on a made-up host: CPUs that go and come back, and what hosts leave out. */
#include "agent/collectors/collectors.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#define SECOND 1000000ull
#define TOTAL "cpu  10 20 30 40 50 60 70 80 90 100\n"
#define CORE(n) "cpu" n " 1 2 3 4 5 6 7 8 9 10\n"
#define REST "ctxt 2000\nbtime 1700000000\nsoftirq 6 1 2 3\n"
#define FREQUENCY(n) "sys/devices/system/cpu/cpu" n "/cpufreq/scaling_cur_freq"

static int setup(void **state)
{
	int r = fixture_setup(state, &collector_cpu);
	tree_write(&((struct fixture *)*state)->tree, "proc/stat", TOTAL CORE("0") CORE("1") CORE("2") REST);
	return r;
}

static int collect(struct fixture *f, Sonde__V1__Cpu *out)
{
	return fixture_collect(f, SECOND, &out->base);
}

static void test_bare(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Cpu out;
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_cores, 3);
	assert_int_equal(out.online, 3);
	assert_true(out.has_boot_time_seconds && out.boot_time_seconds == 1700000000);
	assert_int_equal(out.n_softirq_kinds, 3);
	assert_string_equal(out.softirq_kinds[0]->kind, "HI");
	assert_string_equal(out.softirq_kinds[2]->kind, "NET_TX");
	assert_true(out.softirq_kinds[2]->has_serviced && out.softirq_kinds[2]->serviced == 3);
	assert_false(out.has_possible || out.has_present || out.has_offline || out.has_file_handles || out.has_load1);
	assert_false(out.cores[0]->has_frequency_hz || out.total->has_frequency_hz);
}

static void test_hotplug(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Cpu out;
	tree_write(&f->tree, "sys/devices/system/cpu/possible", "0-7\n");
	tree_write(&f->tree, "sys/devices/system/cpu/present", "0-2\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.possible, 8);
	assert_int_equal(out.present, 3);
	assert_true(out.has_offline && out.offline == 0);
	tree_write(&f->tree, "proc/stat", TOTAL CORE("0") CORE("2") REST);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_cores, 2);
	assert_int_equal(out.cores[1]->cpu, 2);
	assert_int_equal(out.online, 2);
	assert_int_equal(out.offline, 1);
	tree_write(&f->tree, "proc/stat", TOTAL CORE("0") CORE("1") CORE("2") CORE("3") REST);
	tree_write(&f->tree, "sys/devices/system/cpu/present", "0-3\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_cores, 4);
	assert_int_equal(out.present, 4);
	assert_int_equal(out.offline, 0);
	/* Between the two readings a CPU came: not "minus one". */
	tree_write(&f->tree, "sys/devices/system/cpu/present", "0-2\n");
	assert_int_equal(collect(f, &out), 0);
	assert_false(out.has_offline);
}

static void test_frequency(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Cpu out;
	tree_write(&f->tree, FREQUENCY("0"), "2400000\n");
	tree_write(&f->tree, FREQUENCY("1"), "<unknown>\n");
	tree_write(&f->tree, FREQUENCY("2"), "800000\n");
	assert_int_equal(collect(f, &out), 0);
	assert_true(out.cores[0]->has_frequency_hz && out.cores[0]->frequency_hz == 2400000000);
	assert_false(out.cores[1]->has_frequency_hz);
	assert_true(out.cores[2]->frequency_hz == 800000000);
	/* It is not read again before its time, and stays with its CPU when another goes. */
	tree_write(&f->tree, FREQUENCY("2"), "900000\n");
	tree_write(&f->tree, "proc/stat", TOTAL CORE("1") CORE("2") REST);
	assert_int_equal(collect(f, &out), 0);
	assert_false(out.cores[0]->has_frequency_hz);
	assert_true(out.cores[1]->frequency_hz == 800000000);
	f->now_us += 5 * SECOND;
	tree_write(&f->tree, "proc/stat", TOTAL CORE("0") CORE("1") CORE("2") REST);
	tree_write(&f->tree, FREQUENCY("0"), "18446744073709551615\n");
	assert_int_equal(collect(f, &out), 0);
	assert_false(out.cores[0]->has_frequency_hz);
	assert_true(out.cores[2]->frequency_hz == 900000000);
}

static void test_file_handles(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Cpu out;
	tree_write(&f->tree, "proc/sys/fs/file-nr", "1024\t0\t4096\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.file_handles, 1024);
	assert_int_equal(out.file_handles_max, 4096);
	tree_write(&f->tree, "proc/sys/fs/file-nr", "many\n");
	assert_int_equal(collect(f, &out), -EPROTO);
	assert_non_null(strstr(f->state.detail, "file-nr"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_bare), TEST(test_hotplug), TEST(test_frequency),
					   TEST(test_file_handles)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
