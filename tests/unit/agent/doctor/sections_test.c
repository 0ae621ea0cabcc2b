/* What the doctor makes of a snapshot. */
#include "agent/doctor/sections.h"
#include "tests/unit/cmocka_all.h"

#include <string.h>

static const struct collector cpu = {.name = "cpu", .reads = "/proc/stat", .needs = ""};
static const struct collector perf = {.name = "perf", .reads = "perf_event_open(2)", .needs = "CAP_PERFMON"};
static const struct collector block_io = {.name = "block_io", .reads = "tracepoints", .needs = "CAP_BPF"};
static const struct collector *const table[] = {&cpu, &perf, &block_io, NULL};

static struct report report;

static const struct finding *find(const char *group, const char *name)
{
	for (size_t i = 0; i < report.n; i++) {
		if (strcmp(report.findings[i].group, group) == 0 && strcmp(report.findings[i].name, name) == 0)
			return &report.findings[i];
	}
	fail_msg("no finding %s in %s", name, group);
	return NULL;
}

static Sonde__V1__State state_with(Sonde__V1__State__Code code, const char *reason, const char *detail)
{
	Sonde__V1__State state = SONDE__V1__STATE__INIT;
	SET(&state, code, code);
	state.reason = (char *)reason;
	state.detail = (char *)detail;
	return state;
}

static void test_each_collector_has_a_line(void **state)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Sonde__V1__Cpu cpu_section = SONDE__V1__CPU__INIT;
	Sonde__V1__Perf perf_section = SONDE__V1__PERF__INIT;
	Sonde__V1__PerfSource hardware = SONDE__V1__PERF_SOURCE__INIT, software = SONDE__V1__PERF_SOURCE__INIT;
	Sonde__V1__State ok = state_with(SONDE__V1__STATE__CODE__CODE_OK, NULL, NULL);
	Sonde__V1__State no_pmu = state_with(SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, "no_pmu", "no PMU here");
	Sonde__V1__State degraded = state_with(SONDE__V1__STATE__CODE__CODE_DEGRADED, "half", "half of it");
	cpu_section.state = &degraded;
	hardware.state = &no_pmu;
	software.state = &ok;
	perf_section.state = &ok;
	perf_section.hardware = &hardware;
	perf_section.software = &software;
	snapshot.cpu = &cpu_section;
	snapshot.perf = &perf_section;
	memset(&report, 0, sizeof(report));
	sections_report(table, &snapshot, &report);

	assert_int_equal(report.n, 5);
	assert_int_equal(find("sections", "cpu")->verdict, VERDICT_LIMITED);
	assert_string_equal(find("sections", "cpu")->reason, "half");
	assert_string_equal(find("sections", "cpu")->remedy, "half of it");
	assert_int_equal(find("sections", "perf")->verdict, VERDICT_OK);
	assert_non_null(strstr(find("sections", "perf")->value, "perf_event_open(2)"));
	/* A part the machine has not is no fault. */
	assert_int_equal(find("sections", "perf.hardware")->verdict, VERDICT_NOTE);
	assert_string_equal(find("sections", "perf.hardware")->remedy, "no PMU here");
	assert_int_equal(find("sections", "perf.software")->verdict, VERDICT_OK);
	/* A collector that gave no section at all. */
	assert_int_equal(find("sections", "block_io")->verdict, VERDICT_FAILED);
	assert_non_null(strstr(find("sections", "block_io")->value, "CAP_BPF"));
}

static enum verdict verdict_with(Sonde__V1__State__Code code)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Sonde__V1__Cpu section = SONDE__V1__CPU__INIT;
	Sonde__V1__State state = state_with(code, "r", "d");
	section.state = &state;
	snapshot.cpu = &section;
	memset(&report, 0, sizeof(report));
	sections_report(table, &snapshot, &report);
	return find("sections", "cpu")->verdict;
}

static void test_states(void **state)
{
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_OK), VERDICT_OK);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_NOT_DUE), VERDICT_OK);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_STARTING), VERDICT_OK);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_DISABLED), VERDICT_NOTE);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_DEGRADED), VERDICT_LIMITED);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_UNAVAILABLE), VERDICT_FAILED);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_DENIED), VERDICT_FAILED);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_FAILED), VERDICT_FAILED);
	assert_int_equal(verdict_with(SONDE__V1__STATE__CODE__CODE_UNSPECIFIED), VERDICT_FAILED);
	assert_int_equal(verdict_with((Sonde__V1__State__Code)99), VERDICT_FAILED);
}

static void test_programs(void **state)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Sonde__V1__Agent agent = SONDE__V1__AGENT__INIT;
	Sonde__V1__BpfProgram attached = SONDE__V1__BPF_PROGRAM__INIT, off = attached, refused = attached,
			      empty = attached;
	Sonde__V1__BpfProgram *programs[] = {&attached, &off, &refused, &empty};
	attached.probe = off.probe = refused.probe = (char *)"block_io";
	attached.program = (char *)"done";
	attached.attach = off.attach = (char *)"tp_btf";
	SET(&attached, state, SONDE__V1__BPF_PROGRAM__STATE__STATE_ATTACHED);
	SET(&attached, run_ns, 61.4);
	off.program = (char *)"issue";
	SET(&off, state, SONDE__V1__BPF_PROGRAM__STATE__STATE_OFF);
	off.detail = (char *)"switched off";
	refused.program = (char *)"wait";
	SET(&refused, state, SONDE__V1__BPF_PROGRAM__STATE__STATE_REFUSED);
	refused.detail = (char *)"this kernel has no tracepoint wait";
	agent.programs = programs;
	agent.n_programs = 4;
	snapshot.agent = &agent;
	memset(&report, 0, sizeof(report));
	programs_report(&snapshot, &report);
	assert_int_equal(report.n, 4);
	assert_string_equal(find("eBPF programs", "block_io/done")->value, "attached by tp_btf, 61 ns a run");
	assert_int_equal(find("eBPF programs", "block_io/issue")->verdict, VERDICT_NOTE);
	assert_string_equal(find("eBPF programs", "block_io/issue")->remedy, "switched off");
	assert_int_equal(find("eBPF programs", "block_io/wait")->verdict, VERDICT_LIMITED);
	assert_string_equal(find("eBPF programs", "block_io/wait")->remedy, "this kernel has no tracepoint wait");
	assert_int_equal(find("eBPF programs", "/")->verdict, VERDICT_NOTE);

	/* The section says that it has all it wants. */
	Sonde__V1__BlockIo section = SONDE__V1__BLOCK_IO__INIT;
	Sonde__V1__State ok = state_with(SONDE__V1__STATE__CODE__CODE_OK, NULL, NULL);
	section.state = &ok;
	snapshot.block_io = &section;
	memset(&report, 0, sizeof(report));
	programs_report(&snapshot, &report);
	assert_int_equal(find("eBPF programs", "block_io/wait")->verdict, VERDICT_NOTE);
	assert_string_equal(find("eBPF programs", "block_io/wait")->reason, "refused");
}

static void test_events(void **state)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Sonde__V1__Perf section = SONDE__V1__PERF__INIT;
	Sonde__V1__PerfSource hardware = SONDE__V1__PERF_SOURCE__INIT;
	Sonde__V1__PerfEvent one = SONDE__V1__PERF_EVENT__INIT, two = one;
	Sonde__V1__PerfEvent *events[] = {&one, &two};
	one.event = (char *)"cycles";
	SET(&one, event_state, SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_MULTIPLEXED);
	SET(&one, coverage_ratio, 0.5);
	two.event = (char *)"branches";
	SET(&two, event_state, SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NEVER_SCHEDULED);
	hardware.total = events;
	hardware.n_total = 2;
	section.hardware = &hardware;
	snapshot.perf = &section;
	memset(&report, 0, sizeof(report));
	perf_events_report(&snapshot, &report);
	assert_string_equal(find("perf events", "cycles")->value, "counts, multiplexed 50% of the time");
	assert_int_equal(find("perf events", "branches")->verdict, VERDICT_LIMITED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_collector_has_a_line),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
