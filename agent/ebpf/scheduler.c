/* The program counts in memory of each CPU, which is mapped: a tick makes no system call for it. It is attached as long
 * as the section is wanted and within its budget; what it remembered of tasks before it was attached again is of
 * another epoch and is not used. */
#include "agent/ebpf/scheduler.h"

#include "agent/ebpf/histogram.h"
#include "agent/ebpf/kernel_facts.h"
#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"
#include "agent/ebpf/scheduler_cgroups.h"
#include "agent/extras.h"
#include "agent/host/capabilities.h"
#include "agent/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <scheduler.skel.h>

#include "bpf/scheduler.h"

struct self {
	const struct collector_context *context;
	struct probe *probe;
	struct scheduler *skeleton;
	const char *program; /* the variant that is loaded */
	struct scheduler_cpu *cpus;
	struct scheduler_off_cpu *off_cpu;
	uint32_t n_cpus;
	bool has_run_delay;
	struct scheduler_cgroups *cgroups; /* NULL unless asked for */
	struct scheduler_off_cpu sum;
};

PROBE_SKELETON(scheduler)

static const char *const meters[] = {[SCHEDULER_METER_SWITCH] = "switch", NULL};

/* A place for each pid there can be, as far as that is little. */
static uint32_t places(const struct root *root)
{
	unsigned long long pids = SCHEDULER_PLACES_MAX;
	uint32_t n = 4096;
	if (root_read_u64(root, "proc/sys/kernel/pid_max", &pids) < 0)
		pids = SCHEDULER_PLACES_MAX;
	while (n < pids && n < SCHEDULER_PLACES_MAX)
		n *= 2;
	return n;
}

int scheduler_size_maps(struct scheduler *skeleton, uint32_t cpus, uint32_t n)
{
	skeleton->rodata->place_mask = n - 1;
	int r = bpf_map__set_max_entries(skeleton->maps.places, n);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.cpus, cpus);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.off_cpu, cpus);
	return r;
}

static int prepare(void *opaque, const struct btf *btf, void *arg)
{
	struct self *self = arg;
	self->has_run_delay = kernel_has_member(btf, "sched_info", "run_delay");
	return scheduler_size_maps(opaque, self->n_cpus, places(self->context->root));
}

static bool wants(const char *program, const struct btf *btf, void *arg)
{
	bool has_state = kernel_tracepoint_arguments(btf, "sched_switch") >= 4;
	return strcmp(program, "switch") == 0 ? has_state : !has_state;
}

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	scheduler_cgroups_free(self->cgroups);
	probe_free(self->probe);
	free(self);
}

static int map_rows(struct self *self)
{
	void *p;
	int r = probe_map_array(self->probe, self->skeleton->maps.cpus, &p);
	if (r < 0)
		return r;
	self->cpus = p;
	r = probe_map_array(self->probe, self->skeleton->maps.off_cpu, &p);
	if (r < 0)
		return r;
	self->off_cpu = p;
	return 0;
}

/* Rows by cgroup are made before the program looks for them, and go when it no longer does. */
static int apply_settings(struct self *self)
{
	size_t extras = self->context->settings ? self->context->settings->extras : 0;
	bool by_cgroup = extra_wanted(extras, EXTRA_RUN_QUEUE_CGROUPS);
	int r = 0;
	self->skeleton->bss->wants_off_cpu = extra_wanted(extras, EXTRA_OFF_CPU);
	if (by_cgroup && !self->cgroups)
		r = scheduler_cgroups_new(bpf_map__fd(self->skeleton->maps.cgroups), self->context->cgroups,
					  &self->cgroups);
	self->skeleton->bss->wants_cgroups = by_cgroup && r == 0;
	if (!by_cgroup) {
		scheduler_cgroups_free(self->cgroups);
		self->cgroups = NULL;
	}
	return r;
}

static int attach(struct self *self, struct collector_state *state)
{
	if (probe_is_attached(self->probe, self->program))
		return 0;
	self->skeleton->data->epoch++;
	self->skeleton->bss->task_cgroup_hierarchy = 0; /* looked for anew: something may have been mounted */
	for (uint32_t i = 0; i < self->n_cpus; i++)
		self->cpus[i].running_pid = 0;
	int r = apply_settings(self);
	if (r < 0)
		return r;
	r = probe_attach(self->probe, self->program);
	return r < 0 ? refusal_state(self->context, state, r, "the scheduler's probe", "attach_failed") : 0;
}

static int start(struct self *self, struct collector_state *state)
{
	static const struct probe_kind kind = {
		.name = "scheduler",
		.what = "the scheduler's probe",
		.open = open_skeleton,
		.destroy = destroy_skeleton,
		.prepare = prepare,
		.wants = wants,
		.meters = meters,
	};
	int r = probe_load(&kind, self->context, self, &self->probe, state);
	if (r < 0)
		return r;
	self->skeleton = probe_skeleton(self->probe);
	self->program = probe_has(self->probe, "switch") ? "switch" : "switch_old";
	r = map_rows(self);
	return r < 0 ? r : attach(self, state);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	int r = refusal_if_recorded(context, "its switches can no longer be traced", state);
	if (r < 0)
		return r;
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->context = context;
	self->n_cpus = probe_cpus();
	r = start(self, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static int fill_cpus(struct self *self, struct arena *arena, Sonde__V1__Scheduler *message)
{
	struct probe_histogram run_queue = {.sum = 0};
	uint64_t voluntary = 0, involuntary = 0, from_idle = 0, unknown = 0;
	for (uint32_t i = 0; i < self->n_cpus; i++) {
		const struct scheduler_cpu *cpu = &self->cpus[i];
		voluntary += load(&cpu->voluntary);
		involuntary += load(&cpu->involuntary);
		from_idle += load(&cpu->from_idle);
		unknown += load(&cpu->unknown);
		histogram_add(&cpu->run_queue, &run_queue);
	}
	SET(message, voluntary_switches, voluntary);
	SET(message, involuntary_switches, involuntary);
	SET(message, idle_switches, from_idle);
	if (!self->has_run_delay)
		return 0;
	SET(message, run_queue_unknown, unknown);
	return histogram_fill(&run_queue, arena, &message->run_queue_latency_ns);
}

static int fill_off_cpu(struct self *self, struct arena *arena, Sonde__V1__Scheduler *message)
{
	memset(&self->sum, 0, sizeof(self->sum));
	for (uint32_t i = 0; i < self->n_cpus; i++) {
		for (unsigned state = 0; state < SCHEDULER_OFF_STATES; state++)
			histogram_add(&self->off_cpu[i].states[state], &self->sum.states[state]);
	}
	return scheduler_fill_off_cpu(self->sum.states, arena, &message->off_cpu, &message->n_off_cpu);
}

static int fill_cgroups(struct self *self, struct tick *tick, Sonde__V1__Scheduler *message)
{
	SET(message, cgroups_without_row, load(&self->skeleton->bss->cgroups_left_out));
	return scheduler_cgroups_fill(self->cgroups, tick, message);
}

static int collect(void *arg, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = arg;
	Sonde__V1__Scheduler *message = (Sonde__V1__Scheduler *)section;
	if (!probe_may_run(self->probe, tick))
		return 0;
	int r = attach(self, tick->state);
	if (r < 0)
		return r;
	r = apply_settings(self);
	if (r < 0)
		return r;
	message->attach = (char *)probe_rung(self->probe); /* packed, never written to */
	r = fill_cpus(self, tick->arena, message);
	if (r == 0 && self->skeleton->bss->wants_off_cpu)
		r = fill_off_cpu(self, tick->arena, message);
	if (r == 0 && self->skeleton->bss->wants_cgroups)
		r = fill_cgroups(self, tick, message);
	if (r == 0 && !self->has_run_delay)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "no_sched_info",
				     "this kernel keeps no run delays: use one with CONFIG_SCHEDSTATS or "
				     "CONFIG_TASK_DELAY_ACCT for run queue latencies; switches are counted");
	return r;
}

static void rest(void *arg)
{
	struct self *self = arg;
	probe_rest(self->probe);
}

const struct collector collector_scheduler = {
	.name = "scheduler",
	.reads = "sched_switch through eBPF",
	.needs = "CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), BTF",
	.capabilities = CAPABILITY_BPF | CAPABILITY_PERFMON,
	.create = create,
	.collect = collect,
	.rest = rest,
	.destroy = destroy,
};
