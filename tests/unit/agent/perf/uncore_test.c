/* Made-up PMUs whose type is that of the kernel's software events, so that they open and count on any machine: what
 * sysfs says of names, masks, scales and units is what is tested. */
#include "agent/perf/uncore.h"

#include "tests/unit/agent/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tree tree;
static struct collector_settings settings;
static struct perf_uncore_set set;
static struct arena *arena;
static const struct cpu_set online = {{1}};

static void write_pmu(const char *pmu, const char *file, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), PERF_PMU_DIR "/%s/%s", pmu, file);
	tree_write(&tree, path, text);
}

static void make_pmu(const char *pmu)
{
	write_pmu(pmu, "type", "1\n");
	write_pmu(pmu, "cpumask", "0,4\n"); /* the second is not online */
	write_pmu(pmu, "format/event", "config:0-7\n");
}

static int set_up(void **state)
{
	arena = arena_new(1 << 20);
	settings_default(&settings);
	tree_make(&tree);
	make_pmu("power");
	write_pmu("power", "events/energy-pkg", "event=0x00\n"); /* cpu-clock: nanoseconds */
	write_pmu("power", "events/energy-pkg.scale", "1e-9\n");
	write_pmu("power", "events/energy-pkg.unit", "Joules\n");
	make_pmu("uncore_imc_0");
	write_pmu("uncore_imc_0", "events/cas_count_read", "event=0x00\n");
	write_pmu("uncore_imc_0", "events/cas_count_read.scale", "6.103515625e-5\n");
	write_pmu("uncore_imc_0", "events/cas_count_read.unit", "MiB\n");
	write_pmu("uncore_imc_0", "events/clockticks", "event=0x00\n");
	make_pmu("uncore_cha_0");
	write_pmu("uncore_cha_0", "events/lookups", "event=0x00\n");
	write_pmu("cpu", "type", "4\n"); /* of the cores: no mask */
	write_pmu("cpu", "events/instructions", "event=0xc0\n");
	return 0;
}

static int tear_down(void **state)
{
	perf_uncore_close(&set);
	tree_destroy(&tree);
	arena_free(arena);
	return 0;
}

static Sonde__V1__PerfUncore look(void)
{
	Sonde__V1__PerfUncore message = SONDE__V1__PERF_UNCORE__INIT;
	arena_reset(arena);
	perf_uncore_read(&set, &online);
	assert_int_equal(perf_uncore_fill(&set, &tree.root, arena, &message), 0);
	return message;
}

static void open_set(void)
{
	perf_uncore_close(&set);
	assert_int_equal(perf_uncore_open(&set, &tree.root, &settings, 8, 1000, &online), 0);
}

static const Sonde__V1__PerfUncoreEvent *find(const Sonde__V1__PerfUncore *m, const char *pmu, const char *event)
{
	for (size_t i = 0; i < m->n_events; i++) {
		if (strcmp(m->events[i]->pmu, pmu) == 0 && strcmp(m->events[i]->event, event) == 0)
			return m->events[i];
	}
	return NULL;
}

static void energy_and_bandwidth_come_unasked(void **state)
{
	open_set();
	for (size_t i = 0; i < set.n; i++) {
		if (set.pmus[i].source.error == -EACCES || set.pmus[i].source.error == -EPERM)
			skip(); /* not for this user */
	}
	Sonde__V1__PerfUncore before = look();
	uint64_t energy = find(&before, "power", "energy-pkg")->energy_microjoules;
	usleep(100000);
	Sonde__V1__PerfUncore m = look();
	assert_int_equal(m.state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_int_equal(m.n_events, 2);
	const Sonde__V1__PerfUncoreEvent *e = find(&m, "power", "energy-pkg");
	assert_int_equal(e->cpu, 0);
	assert_int_equal(e->event_state, SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK);
	assert_true(e->has_energy_microjoules && !e->has_count && !e->has_transferred_bytes);
	/* A joule a second, of a clock that runs for 0.1 s at least. */
	assert_true(e->energy_microjoules - energy >= 90000 && e->energy_microjoules - energy < 60000000);
	const Sonde__V1__PerfUncoreEvent *b = find(&m, "uncore_imc_0", "cas_count_read");
	assert_true(b->has_transferred_bytes && !b->has_count);
	/* 64 bytes a count. */
	assert_true(b->transferred_bytes / 64 >= 100000000 && b->transferred_bytes % 64 == 0);
}

static void everything_is_there_on_request(void **state)
{
	settings.perf_uncore = PERF_UNCORE_ALL;
	open_set();
	Sonde__V1__PerfUncore m = look();
	if (m.state->code == SONDE__V1__STATE__CODE__CODE_DENIED)
		skip();
	assert_int_equal(m.n_events, 4);
	assert_true(find(&m, "uncore_imc_0", "clockticks")->has_count);
	assert_true(find(&m, "uncore_cha_0", "lookups")->has_count);
	assert_int_equal(perf_uncore_descriptors(&set), 4);
}

static void what_the_configuration_names(void **state)
{
	settings.perf_uncore = PERF_UNCORE_OFF;
	open_set();
	Sonde__V1__PerfUncore m = look();
	assert_int_equal(m.n_events, 0);
	assert_string_equal(m.state->reason, "configuration");
	(void)snprintf(settings.perf_events[0], SETTINGS_PERF_ENTRY_SIZE, "uncore_cha_0/lookups/");
	(void)snprintf(settings.perf_events[1], SETTINGS_PERF_ENTRY_SIZE, "uncore_cha_0/event=0x3/");
	(void)snprintf(settings.perf_events[2], SETTINGS_PERF_ENTRY_SIZE, "cycles");
	settings.n_perf_events = 3;
	open_set();
	m = look();
	if (m.state->code == SONDE__V1__STATE__CODE__CODE_DENIED)
		skip();
	assert_int_equal(m.n_events, 2);
	assert_true(find(&m, "uncore_cha_0", "lookups")->has_count);
	assert_true(find(&m, "uncore_cha_0", "event=0x3")->has_count);
	/* And not on every CPU as well. */
	struct perf_event_set cores;
	perf_events_hardware(&tree.root, &settings, &cores);
	assert_int_equal(cores.n, 1);
	assert_string_equal(cores.events[0].name, "cycles");
}

static void many_are_counted_and_left_out(void **state)
{
	for (int i = 1; i < 20; i++) {
		char pmu[32];
		(void)snprintf(pmu, sizeof(pmu), "uncore_imc_%d", i);
		make_pmu(pmu);
		write_pmu(pmu, "events/cas_count_read", "event=0x00\n");
	}
	open_set();
	Sonde__V1__PerfUncore m = look();
	assert_int_equal(m.pmus_left_out, 4);
	assert_int_equal(m.state->code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_non_null(strstr(m.state->detail, "perf"));
}

static void a_machine_without_any(void **state)
{
	tree_destroy(&tree);
	tree_make(&tree);
	open_set();
	Sonde__V1__PerfUncore m = look();
	assert_string_equal(m.state->reason, "no_uncore_pmu");
	assert_int_equal(m.n_events, 0);
}

static void units_become_base_units(void **state)
{
	struct perf_uncore_meaning m = perf_uncore_meaning("Joules", 0.5);
	assert_true(m.unit == PERF_UNCORE_MICROJOULES && m.factor == 500000);
	m = perf_uncore_meaning("MiB", 6.103515625e-5);
	assert_true(m.unit == PERF_UNCORE_BYTES && m.factor == 64);
	m = perf_uncore_meaning("", 4);
	assert_true(m.unit == PERF_UNCORE_COUNT && m.factor == 1);
	m = perf_uncore_meaning("Gbps", 4);
	assert_true(m.unit == PERF_UNCORE_COUNT && m.factor == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(energy_and_bandwidth_come_unasked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(everything_is_there_on_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_configuration_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_are_counted_and_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_machine_without_any, set_up, tear_down),
		cmocka_unit_test(units_become_base_units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
