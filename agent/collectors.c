/* What the agent measures, in the order of collection. The agent's own section is last, because it tells how long the
 * others took. */
#include "agent/collectors/collectors.h"
#ifndef SONDE_WITHOUT_PROBES
#include "agent/ebpf/block_io.h"
#include "agent/perf/perf.h"
#endif

const struct collector *const collectors[] = {
	&collector_cpu,	  &collector_memory,  &collector_vmstat, &collector_disks, &collector_network,
#ifndef SONDE_WITHOUT_PROBES
	&collector_perf,  &collector_block_io,
#endif
	&collector_agent, NULL,
};
