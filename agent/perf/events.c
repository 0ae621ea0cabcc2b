#include "agent/perf/events.h"

#include <linux/perf_event.h>

#define HARDWARE(name, config, group)                                                                                  \
	{                                                                                                              \
		(name), PERF_TYPE_HARDWARE, PERF_COUNT_HW_##config, (group)                                            \
	}
#define SOFTWARE(name, config)                                                                                         \
	{                                                                                                              \
		(name), PERF_TYPE_SOFTWARE, PERF_COUNT_SW_##config, 0                                                  \
	}

static const struct perf_event hardware[] = {
	HARDWARE("cycles", CPU_CYCLES, 0),
	HARDWARE("instructions", INSTRUCTIONS, 0),
	HARDWARE("cache-references", CACHE_REFERENCES, 1),
	HARDWARE("cache-misses", CACHE_MISSES, 1),
	HARDWARE("branches", BRANCH_INSTRUCTIONS, 2),
	HARDWARE("branch-misses", BRANCH_MISSES, 2),
	HARDWARE("stalled-cycles-frontend", STALLED_CYCLES_FRONTEND, 3),
	HARDWARE("stalled-cycles-backend", STALLED_CYCLES_BACKEND, 3),
	HARDWARE("bus-cycles", BUS_CYCLES, 4),
	HARDWARE("ref-cycles", REF_CPU_CYCLES, 4),
};

static const struct perf_event software[] = {
	SOFTWARE("cpu-clock", CPU_CLOCK),
	SOFTWARE("context-switches", CONTEXT_SWITCHES),
	SOFTWARE("cpu-migrations", CPU_MIGRATIONS),
	SOFTWARE("page-faults", PAGE_FAULTS),
	SOFTWARE("minor-faults", PAGE_FAULTS_MIN),
	SOFTWARE("major-faults", PAGE_FAULTS_MAJ),
	SOFTWARE("alignment-faults", ALIGNMENT_FAULTS),
	SOFTWARE("emulation-faults", EMULATION_FAULTS),
};

const struct perf_event_table perf_hardware_events = {hardware, sizeof(hardware) / sizeof(hardware[0])};
const struct perf_event_table perf_software_events = {software, sizeof(software) / sizeof(software[0])};
