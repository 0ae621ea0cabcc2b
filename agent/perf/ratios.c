#include "agent/perf/ratios.h"

#include "agent/perf/reason.h"

#define DOUBTS 3
#define TRUST 10

struct pair {
	double of, per;
	uint64_t enabled_ns[2], running_ns[2];
};

static bool counted(const struct perf_slot *slot)
{
	return slot->fresh && slot->error == 0 &&
	       (slot->increment.interval == PERF_INTERVAL_FULL ||
		slot->increment.interval == PERF_INTERVAL_MULTIPLEXED);
}

static bool covered(const struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		if (perf_coverage(pair->enabled_ns[i], pair->running_ns[i]) < PERF_RATIO_MIN_COVERAGE)
			return false;
	}
	return true;
}

static void add(struct pair *pair, const struct perf_slot *of, const struct perf_slot *per)
{
	pair->of += (double)of->increment.count;
	pair->per += (double)per->increment.count;
	pair->enabled_ns[0] += of->increment.enabled_ns;
	pair->running_ns[0] += of->increment.running_ns;
	pair->enabled_ns[1] += per->increment.enabled_ns;
	pair->running_ns[1] += per->increment.running_ns;
}

bool perf_ratio(const struct perf_source *source, int cpu, const char *numerator, const char *denominator, double *ret)
{
	int of = perf_events_find(&source->set, numerator), per = perf_events_find(&source->set, denominator);
	struct pair pair = {.of = 0};
	for (unsigned i = cpu < 0 ? 0 : (unsigned)cpu; of >= 0 && per >= 0 && i < source->limit; i++) {
		const struct perf_cpu *c = &source->cpus[i];
		if (c->open && counted(&c->slots[of]) && counted(&c->slots[per]))
			add(&pair, &c->slots[of], &c->slots[per]);
		if (cpu >= 0)
			break;
	}
	if (pair.per <= 0 || !covered(&pair))
		return false;
	*ret = pair.of / pair.per;
	return true;
}

static const struct perf_kind *kind_of(const struct perf_source *source, unsigned cpu)
{
	size_t i = 0;
	while (i < source->n_kinds && !cpu_set_has(&source->kinds[i].cpus, cpu))
		i++;
	return &source->kinds[i];
}

/* cycles / (ref-cycles / base frequency) is cycles by time not halted, exact to the cycle. */
static bool by_reference(const struct perf_source *source, int cpu, double *ret)
{
	double ratio;
	uint64_t base_hz = kind_of(source, cpu < 0 ? 0 : (unsigned)cpu)->base_hz;
	if (base_hz == 0 || (cpu < 0 && source->n_kinds > 1) ||
	    !perf_ratio(source, cpu, "cycles", "ref-cycles", &ratio))
		return false;
	*ret = ratio * (double)base_hz;
	return true;
}

bool perf_effective_frequency(const struct perf_source *source, const struct perf_busy *busy, int cpu, double *ret)
{
	int at = perf_events_find(&source->set, "cycles");
	double cycles = 0;
	uint64_t worked_us = 0;
	if (by_reference(source, cpu, ret))
		return true;
	for (unsigned i = cpu < 0 ? 0 : (unsigned)cpu; busy && at >= 0 && i < source->limit && i < busy->limit; i++) {
		const struct perf_cpu *c = &source->cpus[i];
		if (c->open && counted(&c->slots[at]) && busy->cpus[i].known) {
			cycles += (double)c->slots[at].increment.count;
			worked_us += busy->cpus[i].worked_us;
		}
		if (cpu >= 0)
			break;
	}
	if (worked_us < PERF_RATIO_MIN_WORKED_US)
		return false;
	*ret = cycles * 1e6 / (double)worked_us;
	return true;
}

void perf_ratios_fill(const struct perf_source *source, const struct perf_busy *busy, Sonde__V1__PerfRatios *message)
{
	double value;
#define RATIO(field, numerator, denominator, factor)                                                                   \
	do {                                                                                                           \
		if (perf_ratio(source, -1, numerator, denominator, &value))                                            \
			SET(message, field, value *(factor));                                                          \
	} while (0)
	RATIO(instructions_per_cycle_ratio, "instructions", "cycles", 1);
	RATIO(cache_misses_per_thousand_instructions, "cache-misses", "instructions", 1000);
	RATIO(cache_miss_ratio, "cache-misses", "cache-references", 1);
	RATIO(branch_misses_per_thousand_instructions, "branch-misses", "instructions", 1000);
	RATIO(branch_miss_ratio, "branch-misses", "branches", 1);
	RATIO(dtlb_misses_per_thousand_instructions, "dTLB-load-misses", "instructions", 1000);
	RATIO(itlb_misses_per_thousand_instructions, "iTLB-load-misses", "instructions", 1000);
	RATIO(frontend_stall_ratio, "stalled-cycles-frontend", "cycles", 1);
	RATIO(backend_stall_ratio, "stalled-cycles-backend", "cycles", 1);
#undef RATIO
	if (perf_effective_frequency(source, busy, -1, &value))
		SET(message, effective_frequency_hz, value);
}

static bool doubtful(struct perf_source *source, const struct perf_busy *busy)
{
	int cycles = perf_events_find(&source->set, "cycles");
	int instructions = perf_events_find(&source->set, "instructions");
	struct perf_evidence evidence = {.cycles = 0};
	for (unsigned i = 0; cycles >= 0 && instructions >= 0 && i < source->limit && i < busy->limit; i++) {
		const struct perf_cpu *c = &source->cpus[i];
		if (!c->open || !counted(&c->slots[cycles]) || !counted(&c->slots[instructions]) ||
		    !busy->cpus[i].known)
			continue;
		evidence.cycles += c->slots[cycles].increment.count;
		evidence.instructions += c->slots[instructions].increment.count;
		evidence.worked_us += busy->cpus[i].worked_us;
		evidence.enabled_us += c->slots[cycles].increment.enabled_ns / 1000;
	}
	if (perf_evidence_holds(&evidence))
		return false;
	source->evidence = evidence;
	return true;
}

void perf_check_plausible(struct perf_source *source, const struct perf_busy *busy)
{
	if (!doubtful(source, busy)) {
		source->doubts = 0;
		if (source->implausible && ++source->trust >= TRUST)
			source->implausible = false;
		return;
	}
	source->trust = 0;
	if (source->doubts < DOUBTS && ++source->doubts == DOUBTS)
		source->implausible = true;
}
