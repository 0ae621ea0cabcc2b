#include "agent/perf/pmu.h"

#include "tests/unit/agent/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct tree tree;
static char why[PERF_WHY_SIZE];

static int set_up(void **state)
{
	tree_make(&tree);
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/type", "14\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/cpumask", "0,24\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/format/event", "config:0-7\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/format/umask", "config:8-15\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/format/edge", "config:18\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/format/split", "config1:0-3,60-63\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/format/broken", "config:9-1\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/events/cas_count_read", "event=0x04,umask=0x03\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/events/nonsense", "event=zero\n");
	tree_write(&tree, PERF_PMU_DIR "/uncore_imc_0/events/elsewhere", "cas_count_read\n");
	return 0;
}

static int tear_down(void **state)
{
	tree_destroy(&tree);
	return 0;
}

static int resolve(const char *text, struct perf_code *ret)
{
	struct perf_name name;
	assert_int_equal(perf_name_parse(text, strlen(text), &name), 0);
	why[0] = '\0';
	return perf_pmu_resolve(&tree.root, &name, ret, why);
}

static void names_become_codes(void **state)
{
	struct perf_code code;
	assert_int_equal(resolve("uncore_imc_0/cas_count_read/", &code), 0);
	assert_int_equal(code.type, 14);
	assert_int_equal(code.config[0], 0x304);
	assert_int_equal(resolve("uncore_imc_0/event=1,edge,split=0xa5/", &code), 0);
	assert_true(code.config[0] == (1 | 1 << 18) && code.config[1] == (0xaull << 60 | 5));
	assert_int_equal(resolve("uncore_imc_0/config=0x10,config2=7/", &code), 0);
	assert_true(code.config[0] == 0x10 && code.config[1] == 0 && code.config[2] == 7);
	assert_int_equal(resolve("r1f", &code), 0);
	assert_int_equal(code.config[0], 0x1f);
}

static void what_the_host_does_not_know_is_said(void **state)
{
	struct perf_code code = {.type = 77};
	assert_int_equal(resolve("uncore_imc_9/event=1/", &code), -ENOENT);
	assert_non_null(strstr(why, "no PMU \"uncore_imc_9\""));
	assert_int_equal(resolve("uncore_imc_0/cas_count_write/", &code), -ENOENT);
	assert_non_null(strstr(why, "\"cas_count_write\""));
	assert_int_equal(resolve("uncore_imc_0/event=0x100/", &code), -ERANGE);
	assert_non_null(strstr(why, "larger than its field"));
	assert_int_equal(resolve("uncore_imc_0/broken=1/", &code), -EPROTO);
	assert_int_equal(resolve("uncore_imc_0/nonsense/", &code), -EPROTO);
	assert_int_equal(resolve("uncore_imc_0/elsewhere/", &code), -EPROTO);
	assert_int_equal(code.type, 77);
	struct cpu_set cpus;
	assert_int_equal(perf_pmu_cpus(&tree.root, "uncore_imc_0", "cpumask", &cpus), 0);
	assert_true(cpu_set_has(&cpus, 0) && cpu_set_has(&cpus, 24) && !cpu_set_has(&cpus, 1));
	assert_int_equal(perf_pmu_cpus(&tree.root, "uncore_imc_0", "cpus", &cpus), -ENOENT);
}

static void formats_that_are_none(void **state)
{
	static const char *const wrong[] = {"",
					    "config",
					    "config:",
					    "config:0-",
					    "config:64",
					    "config:5-4",
					    "config3:0",
					    "config0:0",
					    "conf:0",
					    "config:0,",
					    "config:0 1",
					    "config:-1",
					    "config1:0-3,4-",
					    "config:0-7\n\n",
					    "config:99999999999999999999",
					    "config:0,1,2,3,4,5,6,7,8"};
	struct perf_format format = {.n = 77};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (perf_format_parse(wrong[i], strlen(wrong[i]), &format) != -EPROTO)
			fail_msg("\"%s\" was taken for a format", wrong[i]);
	}
	assert_int_equal(format.n, 77);
	assert_int_equal(perf_format_parse("config2:0-63\n", 13, &format), 0);
	uint64_t config[PERF_CONFIGS] = {0};
	assert_int_equal(perf_format_apply(&format, UINT64_MAX, config), 0);
	assert_true(config[2] == UINT64_MAX);
}

static double scale(const char *text)
{
	double value = -1;
	return perf_scale_parse(text, strlen(text), &value) == 0 ? value : -1;
}

static void scales_are_positive_numbers(void **state)
{
	assert_true(scale("64\n") == 64);
	assert_true(scale("1") == 1);
	assert_true(scale("0.5") == 0.5);
	double joules = scale("2.3283064365386962890625e-10\n") * 4294967296.0;
	assert_true(joules > 0.999999999999 && joules < 1.000000000001);
	double mib = scale("6.103515625e-5") * 16384;
	assert_true(mib > 0.999999999999 && mib < 1.000000000001);
	assert_true(scale("1E+3") == 1000);
	static const char *const wrong[] = {"",
					    "0",
					    "-1",
					    "e5",
					    ".",
					    "1e",
					    "1e-",
					    "1..2",
					    "nan",
					    "inf",
					    "1e999",
					    "0x10",
					    "1 ",
					    "1\n\n",
					    "1e400",
					    "0.0e0",
					    "1e99999999999999999999"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (scale(wrong[i]) != -1)
			fail_msg("\"%s\" was taken for a scale", wrong[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_become_codes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_host_does_not_know_is_said, set_up, tear_down),
		cmocka_unit_test(formats_that_are_none),
		cmocka_unit_test(scales_are_positive_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
