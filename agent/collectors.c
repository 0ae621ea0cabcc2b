/* What the agent measures, in the order of collection. Those that declare capabilities stand together, the one that
 * declares most of them first: each change of rights is a system call of a microsecond. The agent's own section is last,
 * because it tells how long the others took. */
#include "agent/cgroups/cgroups.h"
#include "agent/collectors/collectors.h"
#include "agent/custom/custom.h"
#include "agent/ebpf/block_io.h"
#include "agent/ebpf/interrupts.h"
#include "agent/ebpf/scheduler.h"
#include "agent/ebpf/tcp.h"
#include "agent/events/events.h"
#include "agent/perf/perf.h"
#include "agent/processes/processes.h"
#include "agent/sensors/sensors.h"

/* One a line, so that two additions do not meet. */
/* clang-format off */
const struct collector *const collectors[] = {
	&collector_cpu,
	&collector_memory,
	&collector_vmstat,
	&collector_pressure,
	&collector_disks,
	&collector_network,
	&collector_cgroups,
	&collector_processes, /* from here on with capabilities */
	&collector_block_io,
	&collector_scheduler,
	&collector_interrupts,
	&collector_tcp,
	&collector_perf,
	&collector_filesystems,
	&collector_sensors,
	&collector_events, /* up to here */
	&collector_custom,
	&collector_agent,
	NULL,
};
/* clang-format on */
