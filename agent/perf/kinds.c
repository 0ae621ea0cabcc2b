#include "agent/perf/kinds.h"

#include <stdio.h>
#include <string.h>

/* Where it does not stand, cycles by busy time do. */
static uint64_t read_base_hz(const struct root *root, unsigned cpu)
{
	char path[96];
	unsigned long long khz;
	(void)snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/cpufreq/base_frequency", cpu);
	return root_read_u64(root, path, &khz) == 0 && khz <= 100000000 ? khz * 1000 : 0;
}

static void add_kind(const struct root *root, const char *pmu, struct perf_source *source)
{
	struct perf_kind *kind = &source->kinds[source->n_kinds];
	char path[256];
	unsigned long long type;
	int n = snprintf(path, sizeof(path), PERF_PMU_DIR "/%s/type", pmu);
	if (n < 0 || (size_t)n >= sizeof(path) || perf_pmu_cpus(root, pmu, "cpus", &kind->cpus) < 0 ||
	    cpu_set_limit(&kind->cpus) == 0 || root_read_u64(root, path, &type) < 0 || type > UINT32_MAX)
		return;
	/* x86 wants the PMU named in generic events; elsewhere each event finds the PMU of its CPU. */
	kind->hybrid = strncmp(pmu, "cpu_", 4) == 0 ? (uint32_t)type : 0;
	unsigned first = 0;
	while (!cpu_set_has(&kind->cpus, first))
		first++;
	kind->base_hz = read_base_hz(root, first);
	source->n_kinds++;
}

void perf_kinds_read(const struct root *root, struct perf_source *source)
{
	struct root_dir dir;
	const char *name;
	source->n_kinds = 0;
	if (root_dir_open(root, PERF_PMU_DIR, &dir) == 0) {
		while (source->n_kinds < PERF_MAX_KINDS && (name = root_dir_next(&dir)))
			add_kind(root, name, source);
		root_dir_close(&dir);
	}
	struct perf_kind *others = &source->kinds[source->n_kinds];
	*others = (struct perf_kind){.base_hz = read_base_hz(root, 0)};
}
