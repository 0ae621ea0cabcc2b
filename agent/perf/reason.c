#include "agent/perf/reason.h"

#include "common/log.h"

#include <errno.h>
#include <string.h>

/* No CPU is clocked slower while it works, or faster. */
#define MIN_CYCLES_PER_US 20
#define MAX_CYCLES_PER_US 20000
#define MAX_INSTRUCTIONS_PER_CYCLE 16

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* CapEff:	000001ffffffffff */
int perf_capabilities_parse(const char *text, size_t len, uint64_t *ret)
{
	static const char key[] = "CapEff:\t";
	const size_t key_len = sizeof(key) - 1, digits = 16;
	const char *end = text + len;
	for (const char *line = text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			return -EPROTO;
		if ((size_t)(newline - line) == key_len + digits && memcmp(line, key, key_len) == 0) {
			uint64_t mask = 0;
			for (size_t i = 0; i < digits; i++) {
				int digit = hex_digit(line[key_len + i]);
				if (digit < 0)
					return -EPROTO;
				mask = mask << 4 | (unsigned)digit;
			}
			*ret = mask;
			return 0;
		}
		line = newline + 1;
	}
	return -EPROTO;
}

int perf_paranoid_parse(const char *text, size_t len, int *ret)
{
	bool negative = len > 0 && text[0] == '-';
	size_t i = negative;
	int value = 0;
	for (; i < len && text[i] >= '0' && text[i] <= '9' && value < 100; i++)
		value = value * 10 + (text[i] - '0');
	if (i == (size_t)negative || i > (size_t)negative + 3 || (i < len && (text[i] != '\n' || i + 1 != len)))
		return -EPROTO;
	*ret = negative ? -value : value;
	return 0;
}

Sonde__V1__PerfEventState perf_event_state(int error, bool has_pmu)
{
	switch (error) {
	case 0:
		return SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK;
	case -EACCES:
	case -EPERM:
		return SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_DENIED;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return has_pmu ? SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED
			       : SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NO_PMU;
	default:
		return SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED;
	}
}

static int fail_denied(struct collector_state *state, int error, const struct perf_permission *permission)
{
	if (permission->has_capability)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "seccomp",
				      "perf_event_open is refused in spite of CAP_PERFMON: run the container with a "
				      "seccomp profile that allows it");
	if (!permission->has_paranoid)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "no_cap_perfmon",
				      "counting on whole CPUs needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8)");
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "perf_event_paranoid",
			      "perf_event_paranoid=%d: counting on whole CPUs needs CAP_PERFMON (CAP_SYS_ADMIN before "
			      "Linux 5.8), or kernel.perf_event_paranoid=0",
			      permission->paranoid);
}

int perf_source_fail(struct collector_state *state, int error, const struct perf_permission *permission, bool hardware)
{
	if (error == -ENOSYS)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_perf_events",
				      "this kernel was built without CONFIG_PERF_EVENTS");
	switch (perf_event_state(error, false)) {
	case SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_DENIED:
		return fail_denied(state, error, permission);
	case SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NO_PMU:
		if (hardware)
			return collector_fail(
				state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_pmu",
				"this machine exposes no hardware counters (PMU) to its kernel: a virtual "
				"machine has them if its hypervisor passes the PMU through");
		break;
	default:
		break;
	}
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "not_supported",
			      "the kernel cannot open these counters (%s)", log_strerror(error));
}

bool perf_is_plausible(uint64_t cycles, uint64_t instructions, uint64_t iterations, uint64_t cpu_ns)
{
	if (instructions < iterations || instructions / MAX_INSTRUCTIONS_PER_CYCLE > cycles)
		return false;
	uint64_t us = cpu_ns / 1000;
	return cycles >= us * MIN_CYCLES_PER_US && cycles <= (us + 1) * MAX_CYCLES_PER_US;
}
