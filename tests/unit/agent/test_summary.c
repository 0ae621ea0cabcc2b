#include "agent/collector.h"
#include "agent/summary.h"
#include "tests/unit/cmocka_all.h"

#include <string.h>

#define SECOND 1000000ull
#define N_STATES 6

/* One host at two or more moments; a test changes what it is about between two calls of take(). */
struct host {
	Sonde__V1__Snapshot snapshot;
	Sonde__V1__State states[N_STATES];
	Sonde__V1__Cpu cpu;
	Sonde__V1__CpuTimes total, times, core[3], *core_pointers[4];
	Sonde__V1__Pressure pressure;
	Sonde__V1__PressureStall stalls[3];
	Sonde__V1__PressureLine lines[5];
	Sonde__V1__Memory memory;
	Sonde__V1__Vmstat vmstat;
	Sonde__V1__Disks disks;
	Sonde__V1__Disk disk[3], *disk_pointers[3];
	Sonde__V1__Network network;
	Sonde__V1__Interface interface[3], *interface_pointers[3];
	struct summary *summary;
	struct arena *arena;
	uint64_t now_us;
};

static int setup(void **state)
{
	static struct host h;
	memset(&h, 0, sizeof(h));
	sonde__v1__snapshot__init(&h.snapshot);
	sonde__v1__cpu__init(&h.cpu);
	sonde__v1__cpu_times__init(&h.total);
	sonde__v1__cpu_times__init(&h.times);
	SET(&h.times, cpu, 0);
	h.core_pointers[0] = &h.times;
	for (uint32_t i = 0; i < 3; i++) {
		sonde__v1__cpu_times__init(&h.core[i]);
		SET(&h.core[i], cpu, i + 1);
		h.core_pointers[i + 1] = &h.core[i];
	}
	sonde__v1__pressure__init(&h.pressure);
	for (int i = 0; i < 3; i++)
		sonde__v1__pressure_stall__init(&h.stalls[i]);
	for (int i = 0; i < 5; i++) {
		sonde__v1__pressure_line__init(&h.lines[i]);
		SET(&h.lines[i], total_us, 1000);
	}
	sonde__v1__memory__init(&h.memory);
	sonde__v1__vmstat__init(&h.vmstat);
	sonde__v1__disks__init(&h.disks);
	sonde__v1__network__init(&h.network);
	for (int i = 0; i < N_STATES; i++) {
		sonde__v1__state__init(&h.states[i]);
		SET(&h.states[i], code, SONDE__V1__STATE__CODE__CODE_OK);
	}
	h.snapshot.cpu = &h.cpu;
	h.snapshot.memory = &h.memory;
	h.snapshot.vmstat = &h.vmstat;
	h.snapshot.disks = &h.disks;
	h.snapshot.network = &h.network;
	h.cpu.state = &h.states[0];
	h.cpu.total = &h.total;
	h.cpu.cores = h.core_pointers;
	h.cpu.n_cores = 1;
	h.snapshot.pressure = &h.pressure;
	h.pressure.state = &h.states[5];
	h.pressure.cpu = &h.stalls[0];
	h.pressure.memory = &h.stalls[1];
	h.pressure.io = &h.stalls[2];
	h.stalls[0].some = &h.lines[0];
	h.stalls[1].some = &h.lines[1];
	h.stalls[1].full = &h.lines[2];
	h.stalls[2].some = &h.lines[3];
	h.stalls[2].full = &h.lines[4];
	h.memory.state = &h.states[1];
	h.vmstat.state = &h.states[2];
	h.disks.state = &h.states[3];
	h.network.state = &h.states[4];
	SET(&h.total, iowait_us, 0);
	SET(&h.total, steal_us, 0);
	SET(&h.vmstat, page_in_bytes, 0);
	SET(&h.vmstat, page_out_bytes, 0);
	for (int i = 0; i < 3; i++) {
		sonde__v1__disk__init(&h.disk[i]);
		sonde__v1__interface__init(&h.interface[i]);
		h.disk_pointers[i] = &h.disk[i];
		h.interface_pointers[i] = &h.interface[i];
		SET(&h.disk[i], leaf, 1);
	}
	h.disk[0].device = (char *)"sda";
	h.disk[1].device = (char *)"sdb";
	h.disk[2].device = (char *)"dm-0";
	h.disk[2].leaf = 0;
	h.disks.devices = h.disk_pointers;
	h.disks.n_devices = 3;
	h.interface[0].interface = (char *)"lo";
	SET(&h.interface[0], virtual_, 1);
	h.interface[1].interface = (char *)"eth0";
	h.interface[2].interface = (char *)"eth1";
	h.network.interfaces = h.interface_pointers;
	h.network.n_interfaces = 3;
	h.summary = summary_new();
	h.arena = arena_new(1 << 20);
	h.now_us = 100 * SECOND;
	*state = &h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;
	summary_free(h->summary);
	arena_free(h->arena);
	return 0;
}

static const Sonde__V1__Summary *take(struct host *h, uint64_t elapsed_us)
{
	arena_reset(h->arena);
	h->now_us += elapsed_us;
	SET(&h->snapshot, boottime_us, h->now_us);
	for (int i = 0; i < N_STATES; i++)
		SET(&h->states[i], collected_at_us, h->now_us);
	const Sonde__V1__Summary *s = summary_take(h->summary, &h->snapshot, h->arena);
	assert_non_null(s);
	assert_int_equal(s->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	return s;
}

static void test_first_reading_has_no_rates(void **state)
{
	struct host *h = *state;
	SET(&h->cpu, load1, 0.5);
	SET(&h->cpu, online, 8);
	SET(&h->memory, total_bytes, 1000);
	SET(&h->memory, used_bytes, 250);
	SET(&h->memory, swap_total_bytes, 100);
	SET(&h->memory, swap_free_bytes, 60);
	const Sonde__V1__Summary *s = take(h, SECOND);
	assert_false(s->has_cpu_busy_ratio || s->has_cpu_iowait_ratio || s->has_cpu_steal_ratio);
	assert_false(s->has_disk_utilisation_ratio || s->has_disk_read_bytes_per_second);
	assert_false(s->has_network_receive_bytes_per_second || s->has_page_in_bytes_per_second);
	assert_float_equal(s->load1, 0.5, 0);
	assert_float_equal(s->cpus_online, 8, 0);
	assert_float_equal(s->memory_used_ratio, 0.25, 1e-12);
	assert_float_equal(s->memory_total_bytes, 1000, 0);
	assert_float_equal(s->swap_used_ratio, 0.4, 1e-12);
	assert_float_equal(s->uptime_seconds, 101, 1e-9);
}

static void test_cpu(void **state)
{
	struct host *h = *state;
	h->times.user_us = 1000;
	h->times.idle_us = 5000;
	h->times.guest_us = 1000; /* inside user */
	take(h, SECOND);
	h->times.user_us += 30;
	h->times.guest_us += 30;
	h->times.system_us += 10;
	h->times.idle_us += 50;
	h->times.iowait_us += 6;
	h->times.steal_us += 4;
	const Sonde__V1__Summary *s = take(h, SECOND);
	assert_float_equal(s->cpu_busy_ratio, 0.44, 1e-9);
	assert_float_equal(s->cpu_iowait_ratio, 0.06, 1e-9);
	assert_float_equal(s->cpu_steal_ratio, 0.04, 1e-9);
	/* iowait goes backwards, and nothing is the worse for it. */
	h->times.iowait_us -= 5;
	h->times.user_us += 100;
	s = take(h, SECOND);
	assert_float_equal(s->cpu_busy_ratio, 1, 1e-9);
	assert_float_equal(s->cpu_iowait_ratio, 0, 1e-9);
	/* No time passed on any CPU: nothing is known. */
	assert_false(take(h, SECOND)->has_cpu_busy_ratio);
}

/* Four CPUs, each half busy; the total is what /proc/stat makes of them and is not asked. */
static void run_cpus(struct host *h, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		h->core_pointers[i]->user_us += SECOND / 2;
		h->core_pointers[i]->idle_us += SECOND / 2;
	}
	h->cpu.n_cores = n;
}

static void test_cpu_goes_and_comes_back(void **state)
{
	struct host *h = *state;
	for (size_t i = 0; i < 4; i++) {
		h->core_pointers[i]->user_us = 1000 * SECOND;
		h->core_pointers[i]->idle_us = 9000 * SECOND;
	}
	run_cpus(h, 4);
	take(h, SECOND);
	run_cpus(h, 4);
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 0.5, 1e-9);
	/* The last one goes: its idle time falls out of, or jumps in, the kernel's total. */
	h->total.idle_us = 1;
	run_cpus(h, 3);
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 0.5, 1e-9);
	/* And comes back with less idle time than it had. */
	h->core[2].idle_us = 3000 * SECOND;
	run_cpus(h, 4);
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 0.5, 1e-9);
	run_cpus(h, 4);
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 0.5, 1e-9);
	/* Away and back between two readings: only its counters tell, falling or rising by more than there was time. */
	run_cpus(h, 4);
	h->core[2].idle_us = 5;
	h->core[1].idle_us += 500 * SECOND;
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 0.5, 1e-9);
	run_cpus(h, 4);
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 0.5, 1e-9);
	/* One in the middle goes: the others are still compared each with itself. */
	h->core_pointers[1] = &h->core[1];
	h->core_pointers[2] = &h->core[2];
	run_cpus(h, 3);
	h->core[2].idle_us -= SECOND / 2;
	h->core[2].user_us += SECOND / 2;
	assert_float_equal(take(h, SECOND)->cpu_busy_ratio, 2.0 / 3, 1e-9);
	/* The only one that was there at both is one that came back: nothing is known. */
	h->core_pointers[0] = &h->core[2];
	run_cpus(h, 1);
	h->core[2].idle_us += 77 * SECOND;
	const Sonde__V1__Summary *s = take(h, SECOND);
	assert_false(s->has_cpu_busy_ratio || s->has_cpu_iowait_ratio || s->has_cpu_steal_ratio);
}

static void test_pressure(void **state)
{
	struct host *h = *state;
	const Sonde__V1__Summary *s = take(h, SECOND);
	assert_false(s->has_pressure_cpu_some_ratio || s->has_pressure_memory_full_ratio);
	h->lines[0].total_us += 500000;
	h->lines[1].total_us += 200000;
	h->lines[2].total_us += 100000;
	h->lines[3].total_us += 2 * SECOND + 50; /* asked a little later than the clock */
	s = take(h, 2 * SECOND);
	assert_float_equal(s->pressure_cpu_some_ratio, 0.25, 1e-9);
	assert_float_equal(s->pressure_memory_some_ratio, 0.1, 1e-9);
	assert_float_equal(s->pressure_memory_full_ratio, 0.05, 1e-9);
	assert_float_equal(s->pressure_io_some_ratio, 1, 0);
	assert_true(s->has_pressure_io_full_ratio);
	assert_float_equal(s->pressure_io_full_ratio, 0, 0);
	/* A resource that is gone leaves the others alone; back again it needs two readings. */
	h->pressure.io = NULL;
	h->stalls[1].full = NULL;
	h->lines[0].total_us = 3; /* reset */
	s = take(h, SECOND);
	assert_false(s->has_pressure_io_some_ratio || s->has_pressure_io_full_ratio ||
		     s->has_pressure_memory_full_ratio);
	assert_false(s->has_pressure_cpu_some_ratio);
	assert_true(s->has_pressure_memory_some_ratio);
	h->pressure.io = &h->stalls[2];
	s = take(h, SECOND);
	assert_false(s->has_pressure_io_some_ratio);
	assert_true(s->has_pressure_cpu_some_ratio);
	/* Kernels without pressure accounting. */
	h->states[5].code = SONDE__V1__STATE__CODE__CODE_UNAVAILABLE;
	assert_false(take(h, SECOND)->has_pressure_cpu_some_ratio);
}

static void test_totals(void **state)
{
	struct host *h = *state;
	take(h, SECOND);
	h->disk[0].read_bytes += 4000;
	h->disk[0].reads += 4;
	h->disk[0].io_time_us += SECOND / 2;
	h->disk[1].write_bytes += 1000;
	h->disk[1].writes += 2;
	h->disk[1].io_time_us += SECOND; /* half of the two seconds */
	h->disk[2].read_bytes += 4000;	 /* not a leaf: sda counts it */
	h->disk[2].io_time_us += 2 * SECOND;
	h->interface[0].receive_bytes += 999; /* loopback */
	h->interface[1].receive_bytes += 10;
	h->interface[2].receive_bytes += 20;
	h->interface[2].transmit_bytes += 40;
	h->vmstat.page_in_bytes += 100;
	h->vmstat.page_out_bytes += 200;
	const Sonde__V1__Summary *s = take(h, 2 * SECOND);
	assert_float_equal(s->disk_read_bytes_per_second, 2000, 1e-9);
	assert_float_equal(s->disk_write_bytes_per_second, 500, 1e-9);
	assert_float_equal(s->disk_operations_per_second, 3, 1e-9);
	assert_float_equal(s->disk_utilisation_ratio, 0.5, 1e-9);
	assert_float_equal(s->network_receive_bytes_per_second, 15, 1e-9);
	assert_float_equal(s->network_transmit_bytes_per_second, 20, 1e-9);
	assert_float_equal(s->page_in_bytes_per_second, 50, 1e-9);
	assert_float_equal(s->page_out_bytes_per_second, 100, 1e-9);
}

/* An old driver's counters come round at 2^32; one that was reset looks alike but for how fast it would have been. */
static void test_interface_counters_of_32_bits(void **state)
{
	struct host *h = *state;
	h->interface[1].receive_bytes = UINT32_MAX - 999;
	h->interface[2].receive_bytes = UINT32_MAX - 49999999;
	SET(&h->interface[2], speed_bytes_per_second, 12500000);
	take(h, SECOND);
	h->interface[1].receive_bytes = 500;
	h->interface[2].receive_bytes = 0; /* 50 MB in a second over 100 Mbit/s */
	assert_float_equal(take(h, SECOND)->network_receive_bytes_per_second, 1500, 1e-9);
	h->interface[1].receive_bytes = UINT32_MAX / 2;
	take(h, SECOND);
	h->interface[1].receive_bytes = 0;
	h->interface[2].receive_bytes += 7;
	assert_float_equal(take(h, SECOND)->network_receive_bytes_per_second, 7, 1e-9);
}

static void test_utilisation_is_at_most_one(void **state)
{
	struct host *h = *state;
	take(h, SECOND);
	h->disk[1].io_time_us += SECOND + 3000;
	assert_float_equal(take(h, SECOND)->disk_utilisation_ratio, 1, 0);
}

static void test_reset(void **state)
{
	struct host *h = *state;
	h->disk[0].read_bytes = 1 << 20;
	h->interface[1].receive_bytes = 500;
	h->interface[2].receive_bytes = 500;
	h->vmstat.page_in_bytes = 500;
	take(h, SECOND);
	h->disk[0].read_bytes = 5;
	h->disk[1].read_bytes += 7;
	h->interface[1].receive_bytes = 0;
	h->interface[2].receive_bytes = 0;
	h->vmstat.page_in_bytes = 1;
	h->vmstat.page_out_bytes = 9;
	const Sonde__V1__Summary *s = take(h, SECOND);
	assert_float_equal(s->disk_read_bytes_per_second, 7, 1e-9); /* the one that was not reset */
	assert_false(s->has_network_receive_bytes_per_second);	    /* none is left */
	assert_false(s->has_page_in_bytes_per_second);
	assert_float_equal(s->page_out_bytes_per_second, 9, 1e-9);
	h->disk[0].read_bytes += 3;
	assert_float_equal(take(h, SECOND)->disk_read_bytes_per_second, 3, 1e-9);
}

static void test_gap(void **state)
{
	struct host *h = *state;
	take(h, SECOND);
	/* Three ticks without the section, and one in which it failed: the next rate is over all of the time. */
	for (int i = 0; i < 4; i++) {
		h->snapshot.disks = i < 3 ? NULL : &h->disks;
		h->states[3].code = i < 3 ? SONDE__V1__STATE__CODE__CODE_OK : SONDE__V1__STATE__CODE__CODE_FAILED;
		h->disk[0].read_bytes += 100;
		assert_false(take(h, SECOND)->has_disk_read_bytes_per_second);
	}
	h->states[3].code = SONDE__V1__STATE__CODE__CODE_DEGRADED; /* numbers are there */
	h->disk[0].read_bytes += 100;
	assert_float_equal(take(h, SECOND)->disk_read_bytes_per_second, 100, 1e-9);
}

static void test_new_and_gone_devices(void **state)
{
	struct host *h = *state;
	h->disks.n_devices = 1;
	take(h, SECOND);
	h->disks.n_devices = 2;
	h->disk[0].read_bytes += 10;
	h->disk[1].read_bytes = 1 << 30; /* of its whole life, not of this second */
	assert_float_equal(take(h, SECOND)->disk_read_bytes_per_second, 10, 1e-9);
	h->disk[1].read_bytes += 5;
	assert_float_equal(take(h, SECOND)->disk_read_bytes_per_second, 5, 1e-9);
	/* sda is pulled: sdb moves up in the list. */
	h->disk_pointers[0] = &h->disk[1];
	h->disks.n_devices = 1;
	h->disk[1].read_bytes += 6;
	assert_float_equal(take(h, SECOND)->disk_read_bytes_per_second, 6, 1e-9);
	h->disks.n_devices = 0;
	assert_false(take(h, SECOND)->has_disk_read_bytes_per_second);
}

static void test_replaced_device(void **state)
{
	struct host *h = *state;
	SET(&h->disk[0], diskseq, 1);
	SET(&h->interface[1], ifindex, 2);
	h->disk[0].read_bytes = 100;
	h->interface[1].receive_bytes = 100;
	h->disks.n_devices = 1;
	h->network.n_interfaces = 2;
	take(h, SECOND);
	/* Larger counters under the same name: only the generation tells. */
	h->disk[0].diskseq = 3;
	h->disk[0].read_bytes = 1000000;
	h->interface[1].ifindex = 4;
	h->interface[1].receive_bytes = 1000000;
	const Sonde__V1__Summary *s = take(h, SECOND);
	assert_false(s->has_disk_read_bytes_per_second);
	assert_false(s->has_network_receive_bytes_per_second);
	h->disk[0].read_bytes += 8;
	h->interface[1].receive_bytes += 9;
	s = take(h, SECOND);
	assert_float_equal(s->disk_read_bytes_per_second, 8, 1e-9);
	assert_float_equal(s->network_receive_bytes_per_second, 9, 1e-9);
}

static void test_no_time_no_rates(void **state)
{
	struct host *h = *state;
	take(h, SECOND);
	h->disk[0].read_bytes += 8;
	assert_false(take(h, 0)->has_disk_read_bytes_per_second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_reading_has_no_rates),
		TEST(test_cpu),
		TEST(test_cpu_goes_and_comes_back),
		TEST(test_pressure),
		TEST(test_totals),
		TEST(test_interface_counters_of_32_bits),
		TEST(test_utilisation_is_at_most_one),
		TEST(test_reset),
		TEST(test_gap),
		TEST(test_new_and_gone_devices),
		TEST(test_replaced_device),
		TEST(test_no_time_no_rates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
