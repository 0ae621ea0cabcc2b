/* The agent about itself: its own cost, and what became of its snapshots. Its process is that of the running kernel
 * even when a recorded host is replayed. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/delivery/queue.h"
#include "agent/delivery/sender.h"
#include "agent/ebpf/programs.h"
#include "agent/lane.h"
#include "agent/scan.h"
#include "agent/status.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STATM_MAX 256

struct self {
	const struct agent_status *status;
	struct programs *programs; /* or NULL */
	struct root live;
	struct root_file statm;
	uint64_t page_bytes;
};

static void destroy(void *opaque)
{
	struct self *self = opaque;
	if (!self)
		return;
	root_file_close(&self->statm);
	root_close(&self->live);
	free(self);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	self->live.dirfd = -1;
	self->status = context->status;
	self->programs = context->programs;
	long page = sysconf(_SC_PAGESIZE);
	self->page_bytes = page > 0 ? (uint64_t)page : 4096;
	int r = root_open(&self->live, NULL);
	struct collector_context live = {.root = &self->live};
	if (r == 0)
		r = source_open(&live, "proc/self/statm", STATM_MAX, &self->statm, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	self->statm.has_short_records = true;
	*ret_self = self;
	return 0;
}

static uint64_t timeval_us(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* 4893 1203 1011 5 0 417 0: size, resident, shared, ... in pages */
static int collect_process(struct self *self, struct tick *tick, Sonde__V1__Agent *agent)
{
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		SET(agent, cpu_us, timeval_us(usage.ru_utime) + timeval_us(usage.ru_stime));

	uint64_t size, resident;
	int r = source_read(&self->statm, tick->state);
	if (r < 0)
		return r;
	struct scan line = scan_text(self->statm.text, self->statm.len);
	if (scan_u64(&line, &size) < 0 || scan_u64(&line, &resident) < 0)
		return source_malformed(&self->statm, -EPROTO, tick->state);
	SET(agent, resident_bytes, scale_times(resident, self->page_bytes));
	return 0;
}

static void fill_spool(const struct queue_stats *queue, Sonde__V1__Agent *agent)
{
	static const Sonde__V1__SpoolState states[] = {
		[QUEUE_IN_MEMORY] = SONDE__V1__SPOOL_STATE__SPOOL_STATE_OFF,
		[QUEUE_IN_SPOOL] = SONDE__V1__SPOOL_STATE__SPOOL_STATE_OK,
		[QUEUE_IN_OTHER_SPOOL] = SONDE__V1__SPOOL_STATE__SPOOL_STATE_OTHER_SIZE,
		[QUEUE_WITHOUT_SPOOL] = SONDE__V1__SPOOL_STATE__SPOOL_STATE_UNAVAILABLE,
	};
	SET(agent, spool_state, states[queue->storage]);
	if (queue->storage == QUEUE_IN_MEMORY)
		return;
	SET(agent, corrupt_records, queue->corrupt);
	if (queue->spool_bytes == 0)
		return;
	SET(agent, spool_bytes, queue->spool_bytes);
	SET(agent, spool_used_bytes, queue->spool_used_bytes);
	SET(agent, spool_snapshots, queue->spool_snapshots);
}

static void fill_delivery(const struct agent_status *status, Sonde__V1__Agent *agent)
{
	if (status->queue) {
		struct queue_stats queue = queue_stats(status->queue);
		SET(agent, queue_length, queue.length);
		SET(agent, dropped_snapshots, queue.dropped);
		SET(agent, rejected_snapshots, queue.rejected);
		SET(agent, acknowledged_snapshots, queue.accepted);
		fill_spool(&queue, agent);
	}
	if (status->sender) {
		struct sender_stats sender = sender_stats(status->sender);
		SET(agent, reconnects, sender.connects > 0 ? sender.connects - 1 : 0);
		SET(agent, throttles, sender.throttles);
		SET(agent, throttled_ms, sender.throttled_ms);
		SET(agent, backlog_holds, sender.holds);
	}
}

static int fill_collectors(const struct agent_status *status, struct tick *tick, Sonde__V1__Agent *agent)
{
	agent->collectors = arena_messages(tick->arena, &sonde__v1__collector_status__descriptor, status->n_collectors);
	if (!agent->collectors && status->n_collectors > 0)
		return source_no_room(tick->state);
	for (size_t i = 0; i < status->n_collectors; i++) {
		const struct agent_status_collector *from = &status->collectors[i];
		Sonde__V1__CollectorStatus *to = agent->collectors[i];
		to->collector = (char *)from->name; /* packed, never written to */
		SET(to, runs, from->runs);
		SET(to, failures, from->failures);
		SET(to, duration_us, from->duration_us);
	}
	agent->n_collectors = status->n_collectors;
	return 0;
}

static void fill_cost(const struct program_cost *cost, Sonde__V1__BpfProgram *to)
{
	if (cost->has_runs)
		SET(to, runs, cost->runs);
	if (cost->measured_runs > 0) {
		SET(to, measured_runs, cost->measured_runs);
		SET(to, measured_ns, cost->measured_ns);
	}
	if (cost->has_rate) {
		SET(to, run_ns, cost->run_ns);
		SET(to, cpu_ratio, cost->cpu_ratio);
	}
	if (cost->has_missed)
		SET(to, missed_runs, cost->missed_runs);
}

static int fill_programs(struct programs *programs, struct tick *tick, Sonde__V1__Agent *agent)
{
	static const Sonde__V1__BpfProgram__State states[] = {
		[PROGRAM_ATTACHED] = SONDE__V1__BPF_PROGRAM__STATE__STATE_ATTACHED,
		[PROGRAM_OFF] = SONDE__V1__BPF_PROGRAM__STATE__STATE_OFF,
		[PROGRAM_REFUSED] = SONDE__V1__BPF_PROGRAM__STATE__STATE_REFUSED,
	};
	programs_measure(programs, clock_monotonic_ns());
	unsigned n = programs_count(programs);
	if (n == 0)
		return 0;
	agent->programs = arena_messages(tick->arena, &sonde__v1__bpf_program__descriptor, n);
	if (!agent->programs)
		return source_no_room(tick->state);
	for (unsigned i = 0; i < n; i++) {
		struct program_cost cost;
		const struct program *from = programs_at(programs, i, &cost);
		if (!from)
			continue;
		/* Packed within this tick, never written to. */
		Sonde__V1__BpfProgram *to = agent->programs[agent->n_programs++];
		to->probe = (char *)from->probe;
		to->program = (char *)from->name;
		to->attach = (char *)from->attach;
		if (from->detail[0] != '\0')
			to->detail = (char *)from->detail;
		SET(to, state, states[from->state]);
		fill_cost(&cost, to);
	}
	return 0;
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = opaque;
	Sonde__V1__Agent *agent = (Sonde__V1__Agent *)section;
	int r = collect_process(self, tick, agent);
	if (r == 0 && self->programs)
		r = fill_programs(self->programs, tick, agent);
	if (r < 0 || !self->status)
		return r;
	SET(agent, ticks, self->status->ticks);
	SET(agent, late_ticks, self->status->late_ticks);
	SET(agent, missed_ticks, self->status->missed_ticks);
	fill_delivery(self->status, agent);
	if (self->status->lane) {
		struct lane_stats lane = lane_stats(self->status->lane);
		SET(agent, lane_stuck, lane.stuck);
		SET(agent, lane_waiting, lane.waiting);
	}
	return fill_collectors(self->status, tick, agent);
}

const struct collector collector_agent = {
	.name = "agent",
	.reads = "/proc/self/statm, getrusage(2)",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
