/* The sensors collector over synthetic trees: this project's machines have no hwmon, powercap, EDAC or GPU, so the
 * files are written as the kernel's documentation describes them. */
#include "agent/sensors/catalogue.h"
#include "agent/sensors/gpu.h"
#include "agent/sensors/sensors.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
	return fixture_setup(state, &collector_sensors);
}

static void collect(struct fixture *f, uint64_t seconds_later, Sonde__V1__Sensors *out)
{
	assert_int_equal(fixture_collect(f, seconds_later * 1000000, &out->base), 0);
}

static void make_link(const struct fixture *f, const char *path, const char *target)
{
	char full[256];
	snprintf(full, sizeof(full), "%s/%s", f->tree.path, path);
	assert_int_equal(symlink(target, full), 0);
}

static bool near(double a, double b)
{
	return a - b < 1e-9 && b - a < 1e-9;
}

#define H "sys/class/hwmon/"

static void write_coretemp(const struct fixture *f)
{
	tree_write(&f->tree, H "hwmon1/name", "coretemp\n");
	make_link(f, H "hwmon1/device", "../../../coretemp.0");
	tree_write(&f->tree, H "hwmon1/temp1_input", "52000\n");
	tree_write(&f->tree, H "hwmon1/temp1_label", "Package id 0\n");
	tree_write(&f->tree, H "hwmon1/temp1_max", "86000\n");
	tree_write(&f->tree, H "hwmon1/temp1_crit", "100000\n");
	tree_write(&f->tree, H "hwmon1/temp2_input", "-1500\n");
}

static void test_hwmon(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	write_coretemp(f);
	tree_write(&f->tree, H "hwmon10/name", "board\xff\n");
	tree_write(&f->tree, H "hwmon10/fan1_input", "1180\n");
	tree_write(&f->tree, H "hwmon10/in0_input", "1012\n");
	tree_write(&f->tree, H "hwmon10/in0_label", "Vcore\n");
	tree_write(&f->tree, H "hwmon10/power1_input", "99000000\n");
	tree_write(&f->tree, H "hwmon10/power1_average", "61500000\n");
	tree_write(&f->tree, H "hwmon10/energy1_input", "123456\n");
	tree_write(&f->tree, H "hwmon10/temp1_input", "30000\n");
	tree_write(&f->tree, H "hwmon10/temp1_label", "same\n");
	tree_write(&f->tree, H "hwmon10/temp2_input", "31000\n");
	tree_write(&f->tree, H "hwmon10/temp2_label", "same\n");
	tree_write(&f->tree, H "hwmon2/name", "board\xff\n");
	tree_write(&f->tree, H "hwmon2/temp1_input", "32000\n");
	tree_write(&f->tree, H "hwmon2/temp1_label", "same\n");
	tree_write(&f->tree, H "hwmon3/temp1_input", "1\n"); /* a chip without a name */
	tree_write(&f->tree, "sys/class/thermal/thermal_zone0/type", "acpitz\n");
	tree_write(&f->tree, "sys/class/thermal/thermal_zone0/temp", "20000\n");
	collect(f, 1, &out);
	assert_int_equal(f->state.code, 0);
	assert_int_equal(out.n_temperatures, 5);
	assert_string_equal(out.temperatures[0]->chip, "coretemp");
	assert_string_equal(out.temperatures[0]->device, "coretemp.0");
	assert_string_equal(out.temperatures[0]->sensor, "Package id 0");
	assert_true(near(out.temperatures[0]->celsius, 52) && near(out.temperatures[0]->high_celsius, 86));
	assert_true(near(out.temperatures[0]->critical_celsius, 100));
	assert_string_equal(out.temperatures[1]->sensor, "temp2");
	assert_true(near(out.temperatures[1]->celsius, -1.5));
	assert_false(out.temperatures[1]->has_high_celsius);
	assert_string_equal(out.temperatures[2]->chip, "board?");
	assert_null(out.temperatures[2]->device);
	assert_string_equal(out.temperatures[2]->sensor, "same");
	assert_string_equal(out.temperatures[3]->sensor, "same (temp1)");
	assert_string_equal(out.temperatures[4]->sensor, "same (temp2)");
	assert_int_equal(out.n_fans, 1);
	assert_true(near(out.fans[0]->rpm, 1180));
	assert_int_equal(out.n_power, 1);
	assert_true(near(out.power[0]->power_watts, 61.5));
	assert_int_equal(out.n_voltages, 1);
	assert_string_equal(out.voltages[0]->sensor, "Vcore");
	assert_true(near(out.voltages[0]->volts, 1.012));
	assert_int_equal(out.n_energy, 1);
	assert_int_equal(out.energy[0]->energy_uj, 123456);
	assert_int_equal(out.known_sensors, 9);
	assert_int_equal(out.failed_readings, 0);
	assert_null(out.clock);
}

static void test_failing_sensor(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	write_coretemp(f);
	collect(f, 1, &out);
	assert_int_equal(out.n_temperatures, 2);
	tree_write(&f->tree, H "hwmon1/temp2_input", "rubbish\n");
	collect(f, 5, &out);
	assert_int_equal(f->state.code, 0);
	assert_int_equal(out.n_temperatures, 1);
	assert_int_equal(out.failed_readings, 1);
	tree_write(&f->tree, H "hwmon1/temp2_input", "40000\n");
	tree_write(&f->tree, H "hwmon1/temp1_input", "53000\n");
	collect(f, 5, &out);
	assert_int_equal(out.n_temperatures, 2);
	assert_true(near(out.temperatures[0]->celsius, 53));
	/* What is new is found at the next scan. */
	tree_write(&f->tree, H "hwmon1/temp3_input", "41000\n");
	collect(f, 5, &out);
	assert_int_equal(out.n_temperatures, 2);
	collect(f, 60, &out);
	assert_int_equal(out.n_temperatures, 3);
	assert_int_equal(out.failed_readings, 1);
	tree_remove(&f->tree, H "hwmon1");
	collect(f, 60, &out);
	assert_int_equal(out.n_temperatures, 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
}

static void test_asleep(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	tree_write(&f->tree, H "hwmon0/name", "nvme\n");
	tree_write(&f->tree, H "hwmon0/temp1_input", "35000\n");
	tree_write(&f->tree, H "hwmon0/device/power/runtime_status", "suspended\n");
	collect(f, 1, &out);
	assert_int_equal(out.n_temperatures, 0);
	assert_int_equal(out.failed_readings, 0);
	assert_int_equal(out.known_sensors, 1);
	tree_write(&f->tree, H "hwmon0/device/power/runtime_status", "active\n");
	collect(f, 5, &out);
	assert_int_equal(out.n_temperatures, 1);
}

static void test_thermal_zones(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	tree_write(&f->tree, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
	tree_write(&f->tree, "sys/class/thermal/thermal_zone0/temp", "48312\n");
	tree_write(&f->tree, "sys/class/thermal/cooling_device0/type", "fan\n");
	collect(f, 1, &out);
	assert_int_equal(out.n_temperatures, 1);
	assert_string_equal(out.temperatures[0]->chip, "thermal");
	assert_string_equal(out.temperatures[0]->device, "thermal_zone0");
	assert_string_equal(out.temperatures[0]->sensor, "cpu-thermal");
	assert_true(near(out.temperatures[0]->celsius, 48.312));
}

#define P "sys/class/powercap/"

static void test_energy_over_scans(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	tree_write(&f->tree, P "intel-rapl/enabled", "1\n");
	tree_write(&f->tree, P "intel-rapl:0/name", "package-0\n");
	tree_write(&f->tree, P "intel-rapl:0/energy_uj", "262143000000\n");
	tree_write(&f->tree, P "intel-rapl:0/max_energy_range_uj", "262143328850\n");
	tree_write(&f->tree, P "intel-rapl:0:1/name", "dram\n");
	tree_write(&f->tree, P "intel-rapl:0:1/energy_uj", "5\n");
	tree_write(&f->tree, P "intel-rapl:0:1/max_energy_range_uj", "65712999613\n");
	collect(f, 1, &out);
	assert_int_equal(out.n_energy, 2);
	assert_string_equal(out.energy[0]->chip, "intel-rapl");
	assert_string_equal(out.energy[0]->device, "intel-rapl:0");
	assert_string_equal(out.energy[0]->sensor, "package-0");
	assert_int_equal(out.energy[0]->energy_uj, 262143000000);
	tree_write(&f->tree, P "intel-rapl:0/energy_uj", "1000\n");
	/* A scan in between: the counter goes on where it was. */
	collect(f, 100, &out);
	assert_int_equal(out.energy[0]->energy_uj, 262143000000 + 328850 + 1000);
	tree_write(&f->tree, P "intel-rapl:0/energy_uj", "2000\n");
	collect(f, 100, &out);
	assert_int_equal(out.energy[0]->energy_uj, 262143000000 + 328850 + 2000);
	assert_int_equal(out.energy[1]->energy_uj, 5);
}

#define C "sys/devices/system/cpu/"

static void write_cpu(const struct fixture *f, int cpu, const char *package, const char *siblings, const char *count)
{
	char path[128];
	snprintf(path, sizeof(path), C "cpu%d/thermal_throttle/core_throttle_count", cpu);
	tree_write(&f->tree, path, count);
	snprintf(path, sizeof(path), C "cpu%d/thermal_throttle/package_throttle_count", cpu);
	tree_write(&f->tree, path, "7\n");
	snprintf(path, sizeof(path), C "cpu%d/thermal_throttle/package_throttle_total_time_ms", cpu);
	tree_write(&f->tree, path, "12\n");
	snprintf(path, sizeof(path), C "cpu%d/topology/physical_package_id", cpu);
	tree_write(&f->tree, path, package);
	snprintf(path, sizeof(path), C "cpu%d/topology/thread_siblings_list", cpu);
	tree_write(&f->tree, path, siblings);
}

static void test_throttling(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	tree_write(&f->tree, C "cpufreq/x", "");
	write_cpu(f, 0, "0\n", "0,2\n", "3\n");
	write_cpu(f, 2, "0\n", "0,2\n", "3\n");
	write_cpu(f, 1, "0\n", "1,3\n", "4\n");
	write_cpu(f, 3, "0\n", "1,3\n", "4\n");
	write_cpu(f, 4, "1\n", "4\n", "9\n");
	collect(f, 1, &out);
	assert_int_equal(f->state.code, 0);
	assert_int_equal(out.n_throttling, 2);
	for (size_t i = 0; i < 2; i++) {
		const Sonde__V1__Throttling *t = out.throttling[i];
		assert_int_equal(t->core_throttles, t->package == 0 ? 7 : 9);
		assert_int_equal(t->package_throttles, 7);
		assert_int_equal(t->package_throttled_us, 12000);
	}
	tree_remove(&f->tree, C "cpu4");
	collect(f, 5, &out);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(out.throttling[i]->has_core_throttles, out.throttling[i]->package == 0);
}

#define E "sys/devices/system/edac/mc/"

static void test_memory_errors(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	tree_write(&f->tree, E "mc0/mc_name", "Skylake Socket#0 IMC#0\n");
	tree_write(&f->tree, E "mc0/ce_count", "5\n");
	tree_write(&f->tree, E "mc0/ue_count", "1\n");
	tree_write(&f->tree, E "mc0/dimm0/dimm_label", "CPU_SrcID#0_MC#0_Chan#0_DIMM#0\n");
	tree_write(&f->tree, E "mc0/dimm0/dimm_ce_count", "4\n");
	tree_write(&f->tree, E "mc0/dimm0/dimm_ue_count", "1\n");
	tree_write(&f->tree, E "mc0/csrow0/ce_count", "4\n");
	tree_write(&f->tree, E "mc1/ce_count", "0\n");
	tree_write(&f->tree, E "mc1/csrow0/ce_count", "2\n");
	tree_write(&f->tree, E "mc1/csrow0/ue_count", "0\n");
	tree_write(&f->tree, E "mc1/csrow0/ch0_dimm_label", "slot A\n");
	tree_mkdir(&f->tree, E "power");
	collect(f, 1, &out);
	assert_int_equal(out.n_memory_controllers, 2);
	for (size_t i = 0; i < 2; i++) {
		const Sonde__V1__MemoryController *c = out.memory_controllers[i];
		bool first = strcmp(c->controller, "mc0") == 0;
		assert_int_equal(c->corrected_errors, first ? 5 : 0);
		assert_int_equal(c->has_uncorrected_errors, first);
		assert_int_equal(c->n_modules, 1);
		assert_string_equal(c->modules[0]->module, first ? "dimm0" : "csrow0");
		assert_string_equal(c->modules[0]->location, first ? "CPU_SrcID#0_MC#0_Chan#0_DIMM#0" : "slot A");
		assert_int_equal(c->modules[0]->corrected_errors, first ? 4 : 2);
		assert_int_equal(c->modules[0]->uncorrected_errors, first ? 1 : 0);
	}
}

#define D "sys/class/drm/card0/device/"

static void test_amdgpu(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	tree_write(&f->tree, D "uevent", "DRIVER=amdgpu\nPCI_ID=1002:73BF\nPCI_SLOT_NAME=0000:03:00.0\n");
	tree_write(&f->tree, D "gpu_busy_percent", "37\n");
	tree_write(&f->tree, D "mem_info_vram_total", "17163091968\n");
	tree_write(&f->tree, D "mem_info_vram_used", "1000000\n");
	tree_write(&f->tree, D "hwmon/hwmon4/temp1_input", "55000\n");
	tree_write(&f->tree, D "hwmon/hwmon4/power1_average", "31000000\n");
	tree_write(&f->tree, D "hwmon/hwmon4/freq1_input", "500000000\n");
	tree_write(&f->tree, "sys/class/drm/card0-DP-1/status", "connected\n");
	tree_write(&f->tree, "sys/class/drm/card1/device/uevent", "DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n");
	tree_write(&f->tree, "sys/class/drm/card1/gt_act_freq_mhz", "350\n");
	tree_write(&f->tree, "sys/class/drm/card2/device/uevent", "DRIVER=bochs-drm\nPCI_SLOT_NAME=0000:00:01.0\n");
	collect(f, 1, &out);
	assert_int_equal(out.n_gpus, 2);
	for (size_t i = 0; i < 2; i++) {
		const Sonde__V1__Gpu *gpu = out.gpus[i];
		if (strcmp(gpu->driver, "i915") == 0) {
			assert_int_equal(gpu->frequency_hz, 350000000);
			assert_false(gpu->has_busy_ratio);
			continue;
		}
		assert_string_equal(gpu->gpu, "0000:03:00.0");
		assert_string_equal(gpu->model, "1002:73BF");
		assert_true(near(gpu->busy_ratio, 0.37) && near(gpu->temperature_celsius, 55));
		assert_true(near(gpu->power_watts, 31));
		assert_int_equal(gpu->memory_total_bytes, 17163091968);
		assert_int_equal(gpu->frequency_hz, 500000000);
	}
	tree_write(&f->tree, D "power/runtime_status", "suspended\n");
	collect(f, 5, &out);
	assert_int_equal(out.n_gpus, 1);
}

static void test_nvml(void **state)
{
	struct fixture *f = *state;
	static struct gpus gpus;
	Sonde__V1__Sensors out = SONDE__V1__SENSORS__INIT;
	struct nvml *nvml = NULL;
	assert_int_equal(nvml_open("/nonexistent/libnvidia-ml.so.1", &nvml), -ENOENT);
	assert_int_equal(nvml_open("libm.so.6", &nvml), -ELIBBAD);
	setenv("FAKE_NVML_FAILS", "init", 1);
	assert_int_equal(nvml_open(FAKE_NVML, &nvml), -EIO);
	unsetenv("FAKE_NVML_FAILS");

	gpus = (struct gpus){.library = FAKE_NVML};
	assert_int_equal(gpus_fill(&gpus, &f->tree.root, 1, f->arena, &out), 0);
	assert_int_equal(out.n_gpus, 0); /* the driver is not loaded */
	tree_mkdir(&f->tree, "sys/module/nvidia");
	assert_int_equal(gpus_fill(&gpus, &f->tree.root, 2, f->arena, &out), 0);
	assert_int_equal(out.n_gpus, 2);
	const Sonde__V1__Gpu *gpu = out.gpus[0];
	assert_string_equal(gpu->gpu, "0000:3b:00.0");
	assert_string_equal(gpu->driver, "nvidia");
	assert_string_equal(gpu->model, "NVIDIA A100??");
	assert_true(near(gpu->busy_ratio, 0.73) && near(gpu->memory_busy_ratio, 0.12));
	assert_int_equal(gpu->memory_total_bytes, 42949672960);
	assert_int_equal(gpu->memory_used_bytes, 949672960);
	assert_true(near(gpu->temperature_celsius, 41) && near(gpu->power_watts, 61.5));
	assert_false(gpu->has_frequency_hz); /* a function this library does not have */
	gpu = out.gpus[1];
	assert_string_equal(gpu->gpu, "nvidia1");
	assert_null(gpu->model);
	assert_true(!gpu->has_busy_ratio && !gpu->has_memory_total_bytes && gpu->has_temperature_celsius);

	setenv("FAKE_NVML_FAILS", "count", 1);
	sonde__v1__sensors__init(&out);
	assert_int_equal(gpus_fill(&gpus, &f->tree.root, 3, f->arena, &out), 0);
	assert_int_equal(out.n_gpus, 0);
	assert_null(gpus.nvml);
	unsetenv("FAKE_NVML_FAILS");
	assert_int_equal(gpus_fill(&gpus, &f->tree.root, 4, f->arena, &out), 0);
	assert_int_equal(out.n_gpus, 0);
	assert_int_equal(gpus_fill(&gpus, &f->tree.root, 3 + GPU_RETRY_US, f->arena, &out), 0);
	assert_int_equal(out.n_gpus, 2);
	gpus_close(&gpus);
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	collect(f, 1, &out);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "no_sensors");
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Sensors out;
	char path[64];
	for (int chip = 0; chip < 3; chip++) {
		snprintf(path, sizeof(path), H "hwmon%d/name", chip);
		tree_write(&f->tree, path, "big\n");
		for (int i = 0; i < 200; i++) {
			snprintf(path, sizeof(path), H "hwmon%d/temp%d_input", chip, i);
			tree_write(&f->tree, path, "1000\n");
		}
	}
	collect(f, 1, &out);
	assert_int_equal(out.n_temperatures, CATALOGUE_MAX);
	assert_string_equal(f->state.reason, "too_many_sensors");
	assert_non_null(strstr(f->state.detail, "88 sensors"));
	/* No name twice. */
	for (size_t i = 0; i < out.n_temperatures; i++) {
		for (size_t j = i + 1; j < out.n_temperatures; j++)
			assert_true(strcmp(out.temperatures[i]->sensor, out.temperatures[j]->sensor) != 0);
	}
	collect(f, 60, &out);
	assert_int_equal(out.n_temperatures, CATALOGUE_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hwmon),
		TEST(test_failing_sensor),
		TEST(test_asleep),
		TEST(test_thermal_zones),
		TEST(test_energy_over_scans),
		TEST(test_throttling),
		TEST(test_memory_errors),
		TEST(test_amdgpu),
		TEST(test_nvml),
		TEST(test_nothing),
		TEST(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
