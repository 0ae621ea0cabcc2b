/* What the collectors themselves say: the states of a snapshot's sections and of their parts, the BPF programs, the
 * events of perf. Pure functions of a snapshot, so that what the doctor tells is what a backend would be told. */
#pragma once

#include "agent/collector.h"
#include "agent/doctor/report.h"

/* Group "sections": one finding for each collector of the table, and one for each part that has a state of its own
 * ("perf.hardware"). */
void sections_report(const struct collector *const *table, const Sonde__V1__Snapshot *snapshot, struct report *report)
	__attribute__((nonnull));
/* Group "eBPF programs": probe/program, how it is attached, what a run costs. */
void programs_report(const Sonde__V1__Snapshot *snapshot, struct report *report) __attribute__((nonnull));
/* Group "perf events". */
void perf_events_report(const Sonde__V1__Snapshot *snapshot, struct report *report) __attribute__((nonnull));
