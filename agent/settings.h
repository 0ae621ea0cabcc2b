/* What a person may set about how much the collectors show, beside which of them run and how often. One struct, owned
 * by the sampler; the scheduler replaces it between two ticks. Collectors read it at each tick and keep no copy; one
 * that runs on the slow lane reads what was in force when it was made. */
#pragma once

#include "agent/extras.h"

#include <stddef.h>
#include <stdint.h>

enum command_line {
	COMMAND_LINE_OFF,
	COMMAND_LINE_SCRUBBED, /* values that look like secrets are replaced by "***" */
	COMMAND_LINE_FULL,
};

/* Counters outside the cores: energy, memory controllers. */
enum perf_uncore {
	PERF_UNCORE_OFF,
	PERF_UNCORE_AUTO, /* energy, and memory bandwidth where its counters are few */
	PERF_UNCORE_ALL,
};

#define SETTINGS_TOP_DEFAULT 12
#define SETTINGS_TOP_MAX 1000
#define SETTINGS_KEYFRAME_MS_DEFAULT 60000
#define SETTINGS_PATH_SIZE 4096
#define SETTINGS_PERF_EVENTS_MAX 32
#define SETTINGS_PERF_ENTRY_SIZE 512
#define SETTINGS_PROBE_BUDGET_DEFAULT 0.01
#define SETTINGS_PERF_CGROUPS_MAX 16
#define SETTINGS_PERF_CGROUP_SIZE 512

struct collector_settings {
	uint32_t top;	      /* processes shown by each measure; 1 to SETTINGS_TOP_MAX */
	uint32_t keyframe_ms; /* the whole process table this often */
	enum command_line command_line;
	char custom_dir[SETTINGS_PATH_SIZE]; /* of Prometheus-text files, "*.prom"; "" is none */
	/* Hardware events, each entry one or a group in braces (agent/perf/events.h); none are the default list. */
	char perf_events[SETTINGS_PERF_EVENTS_MAX][SETTINGS_PERF_ENTRY_SIZE];
	size_t n_perf_events;
	/* What a section's BPF programs may cost, of the online CPUs' time: 0 to 1 (agent/ebpf/budget.h). */
	double probe_budget_ratio;
	size_t extras; /* bits: 1 << enum extra (agent/extras.h) */
	/* Cgroups whose tasks are counted apart, by path: "/system.slice/nginx.service" (agent/perf/cgroup_events.h).
	 */
	char perf_cgroups[SETTINGS_PERF_CGROUPS_MAX][SETTINGS_PERF_CGROUP_SIZE];
	size_t n_perf_cgroups;
	enum perf_uncore perf_uncore;
};

/* As it is when nobody says otherwise. */
static inline void settings_default(struct collector_settings *ret)
{
	*ret = (struct collector_settings){
		.top = SETTINGS_TOP_DEFAULT,
		.keyframe_ms = SETTINGS_KEYFRAME_MS_DEFAULT,
		.command_line = COMMAND_LINE_SCRUBBED,
		.probe_budget_ratio = SETTINGS_PROBE_BUDGET_DEFAULT,
		.extras = (size_t)1 << EXTRA_TCP_RTT,
		.perf_uncore = PERF_UNCORE_AUTO,
	};
}
