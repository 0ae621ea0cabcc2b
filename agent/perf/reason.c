#include "agent/perf/reason.h"

#include "agent/scan.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>

/* No CPU is clocked slower while it works, or faster. */
#define MIN_CYCLES_PER_US 20
#define MAX_CYCLES_PER_US 20000
#define MAX_INSTRUCTIONS_PER_CYCLE 20
#define MIN_WORKED_US 200000
#define WORKED_US_PER_INSTRUCTION 10

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of a line "Key:\tvalue". */
static bool find_line(const char *text, size_t len, const char *key, struct word *ret)
{
	struct scan rest = scan_text(text, len), line;
	while (scan_line(&rest, &line) > 0) {
		struct word name, value;
		if (scan_until(&line, ':', &name) == 0 && word_is(name, key) && scan_word(&line, &value) == 0) {
			*ret = value;
			return true;
		}
	}
	return false;
}

/* CapEff:	000001ffffffffff */
int perf_capabilities_parse(const char *text, size_t len, uint64_t *ret)
{
	struct word word;
	uint64_t mask = 0;
	if (!find_line(text, len, "CapEff", &word) || word.len != 16)
		return -EPROTO;
	for (size_t i = 0; i < word.len; i++) {
		int digit = hex_digit(word.text[i]);
		if (digit < 0)
			return -EPROTO;
		mask = mask << 4 | (unsigned)digit;
	}
	*ret = mask;
	return 0;
}

/* Seccomp:	2 */
bool perf_seccomp_parse(const char *text, size_t len)
{
	struct word word;
	return find_line(text, len, "Seccomp", &word) && word_is(word, "2");
}

/*          0          0 4294967295 */
bool perf_in_user_namespace(const char *text, size_t len)
{
	struct scan rest = scan_text(text, len), line;
	uint64_t inside, outside, count;
	if (scan_line(&rest, &line) <= 0 || scan_u64(&line, &inside) < 0 || scan_u64(&line, &outside) < 0 ||
	    scan_u64(&line, &count) < 0)
		return true;
	return inside != 0 || outside != 0 || count != UINT32_MAX;
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
	case -EMFILE:
	case -ENFILE:
		return SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_LEFT_OUT;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return has_pmu ? SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED
			       : SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NO_PMU;
	default:
		return SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED;
	}
}

static int deny(struct collector_state *state, int error, const char *reason, const char *detail)
{
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, reason, "%s", detail);
}

/* The kernel's own answer is EACCES; EPERM comes from seccomp filters and security modules. */
static int fail_denied(struct collector_state *state, int error, const struct perf_permission *permission)
{
	if (error == -EPERM && permission->seccomp)
		return deny(state, error, "seccomp",
			    "a seccomp filter refuses perf_event_open: run the container with a seccomp profile that "
			    "allows it (Docker's default does not without CAP_PERFMON)");
	if (permission->has_capability && permission->user_namespace)
		return deny(state, error, "user_namespace",
			    "CAP_PERFMON counts in the initial user namespace only: run the container without a user "
			    "namespace, or set kernel.perf_event_paranoid=0 on the host");
	if (permission->has_capability && permission->has_paranoid && permission->paranoid > 2 && error == -EACCES)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "perf_event_paranoid",
				      "perf_event_paranoid=%d: above 2 this kernel (Debian's) wants CAP_SYS_ADMIN and "
				      "heeds no CAP_PERFMON: set kernel.perf_event_paranoid=2",
				      permission->paranoid);
	if (permission->has_capability)
		return deny(state, error, "security_module",
			    "perf_event_open is refused in spite of CAP_PERFMON: a security module (SELinux, AppArmor) "
			    "forbids it");
	if (!permission->has_paranoid)
		return deny(state, error, "no_cap_perfmon",
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
	case SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_LEFT_OUT:
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "few_descriptors",
				      "no file descriptors are left for counters: raise the hard limit (LimitNOFILE, "
				      "ulimit -Hn)");
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

bool perf_evidence_holds(const struct perf_evidence *evidence)
{
	uint64_t cycles = evidence->cycles, instructions = evidence->instructions;
	if (cycles > (evidence->enabled_us + 1) * MAX_CYCLES_PER_US)
		return false;
	if (instructions > 1000000 && instructions / MAX_INSTRUCTIONS_PER_CYCLE > cycles)
		return false;
	if (evidence->worked_us < MIN_WORKED_US)
		return true;
	return cycles >= evidence->worked_us * MIN_CYCLES_PER_US &&
	       instructions >= evidence->worked_us / WORKED_US_PER_INSTRUCTION;
}

const char *perf_event_state_words(Sonde__V1__PerfEventState state)
{
	static const char *const words[] = {
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_MULTIPLEXED] =
			"took turns with other events and was scaled; coverage says how much was really counted: count "
			"fewer events for exact numbers",
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NEVER_SCHEDULED] =
			"was not on the PMU once: its group is larger than the PMU, or others hold the counters (the "
			"NMI "
			"watchdog holds one: kernel.nmi_watchdog=0)",
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NO_PMU] =
			"this machine exposes no hardware counters to its kernel",
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_DENIED] = "the kernel refused to open it",
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED] = "this CPU does not have it",
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_IMPLAUSIBLE] =
			"what the counters say contradicts the CPU time: a virtual PMU's defect",
		[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_LEFT_OUT] =
			"too few file descriptors for it: raise LimitNOFILE",
	};
	size_t i = (size_t)state;
	return i < sizeof(words) / sizeof(words[0]) ? words[i] : NULL;
}
