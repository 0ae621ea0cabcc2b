#include "agent/ebpf/budget.h"

#include "agent/ebpf/programs.h"
#include "agent/settings.h"

#include <unistd.h>

static bool rests(const struct budget *budget, double limit, uint64_t now_us, struct collector_state *state)
{
	if (now_us >= budget->rests_until_us || budget->ratio <= limit)
		return false;
	(void)collector_fail(
		state, SONDE__V1__STATE__CODE__CODE_DISABLED, 0, "over_budget",
		"its programs took %.2f%% of the CPUs' time, more than probe_budget (%.2f%%): switched off, tried "
		"again in %llu s; raise probe_budget to keep it on",
		budget->ratio * 100, limit * 100,
		(unsigned long long)((budget->rests_until_us - now_us) / 1000000 + 1));
	return true;
}

bool budget_allows(struct budget *budget, double ratio, uint32_t online_cpus, double limit, uint64_t now_us,
		   struct collector_state *state)
{
	if (rests(budget, limit, now_us, state))
		return false;
	double share = ratio / online_cpus;
	if (budget->rests_until_us != 0 || share <= limit) {
		budget->rests_until_us = 0;
		budget->over_since_us = 0;
		return true;
	}
	if (budget->over_since_us == 0)
		budget->over_since_us = now_us;
	if (now_us - budget->over_since_us < BUDGET_PATIENCE_US)
		return true;
	budget->over_since_us = 0;
	budget->rests_until_us = now_us + BUDGET_REST_US;
	budget->ratio = share;
	budget->rests++;
	return !rests(budget, limit, now_us, state);
}

bool budget_check(struct budget *budget, const struct collector_context *context, const char *probe, struct tick *tick)
{
	double limit = context->settings ? context->settings->probe_budget_ratio : SETTINGS_PROBE_BUDGET_DEFAULT;
	double ratio = programs_cpu_ratio(context->programs, probe);
	/* Asking how many CPUs are online reads a file: only when it matters. */
	long online = ratio > limit ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
	return budget_allows(budget, ratio, online > 0 ? (uint32_t)online : 1, limit, tick->boottime_us, tick->state);
}
