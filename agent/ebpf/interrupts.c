/* The programs come in pairs, and one of a pair says nothing: where a kernel lacks one, the other is not attached
 * either, and the rest of the section goes on. */
#include "agent/ebpf/interrupts.h"

#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"
#include "agent/host/capabilities.h"
#include "agent/label.h"

#include <errno.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/interrupts.h"

#include <interrupts.skel.h>

#define NAME_SIZE 64
/* Devices come and go and take each other's numbers. */
#define NAMES_EVERY_US 60000000ull

static const char *const vector_names[INTERRUPTS_VECTORS] = {"hi",	 "timer",   "net_tx", "net_rx",	 "block",
							     "irq_poll", "tasklet", "sched",  "hrtimer", "rcu"};

enum pair { SOFTIRQS, HANDLERS, TIMER, PAIRS };

static const struct {
	const char *entry, *exit;
	bool optional; /* not every architecture has it */
} pairs[PAIRS] = {
	[SOFTIRQS] = {"softirq_entry", "softirq_exit", false},
	[HANDLERS] = {"handler_entry", "handler_exit", false},
	[TIMER] = {"timer_entry", "timer_exit", true},
};

struct self {
	const struct collector_context *context;
	struct probe *probe;
	struct interrupts *skeleton;
	struct interrupts_cpu *cpus;
	uint32_t n_cpus;
	bool works[PAIRS];
	uint64_t names_us; /* when names were last read */
	char names[INTERRUPTS_LINES][NAME_SIZE];
	bool named[INTERRUPTS_LINES];
};

PROBE_SKELETON(interrupts)

static const char *const meters[] = {
	[INTERRUPTS_METER_SOFTIRQ_ENTRY] = "softirq_entry",
	[INTERRUPTS_METER_SOFTIRQ_EXIT] = "softirq_exit",
	[INTERRUPTS_METER_HANDLER_ENTRY] = "handler_entry",
	[INTERRUPTS_METER_HANDLER_EXIT] = "handler_exit",
	[INTERRUPTS_METER_TIMER_ENTRY] = "timer_entry",
	[INTERRUPTS_METER_TIMER_EXIT] = "timer_exit",
	[INTERRUPTS_METERS] = NULL,
};

int interrupts_size_maps(struct interrupts *skeleton, uint32_t cpus)
{
	return bpf_map__set_max_entries(skeleton->maps.cpus, cpus);
}

static int prepare(void *skeleton, const struct btf *btf, void *arg)
{
	const struct self *self = arg;
	return interrupts_size_maps(skeleton, self->n_cpus);
}

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	probe_free(self->probe);
	free(self);
}

/* Stamps of before would be begins without an end. The exit first, so that no begin is lost meanwhile. */
static int attach_pair(struct self *self, enum pair pair)
{
	if (probe_is_attached(self->probe, pairs[pair].entry))
		return 0;
	if (!probe_has(self->probe, pairs[pair].entry) || !probe_has(self->probe, pairs[pair].exit))
		return -ENOENT;
	for (uint32_t i = 0; i < self->n_cpus; i++) {
		struct interrupts_cpu *cpu = &self->cpus[i];
		*(pair == SOFTIRQS   ? &cpu->softirq_begin_ns
		  : pair == HANDLERS ? &cpu->handler_begin_ns
				     : &cpu->timer_begin_ns) = 0;
	}
	int r = probe_attach(self->probe, pairs[pair].exit);
	if (r == 0)
		r = probe_attach(self->probe, pairs[pair].entry);
	if (r < 0)
		probe_detach(self->probe, pairs[pair].exit, "its other half cannot be attached");
	return r;
}

/* 0 when something works. */
static int attach(struct self *self, struct collector_state *state)
{
	int last = -ENOENT;
	bool any = false;
	for (enum pair pair = 0; pair < PAIRS; pair++) {
		int r = attach_pair(self, pair);
		self->works[pair] = r == 0;
		any = any || r == 0;
		if (r < 0)
			last = r;
	}
	return any ? 0 : refusal_state(self->context, state, last, "the probe of interrupts", "attach_failed");
}

static int start(struct self *self, struct collector_state *state)
{
	static const struct probe_kind kind = {
		.name = "interrupts",
		.what = "the probe of interrupts",
		.open = open_skeleton,
		.destroy = destroy_skeleton,
		.prepare = prepare,
		.meters = meters,
	};
	int r = probe_load(&kind, self->context, self, &self->probe, state);
	if (r < 0)
		return r;
	self->skeleton = probe_skeleton(self->probe);
	void *p;
	r = probe_map_array(self->probe, self->skeleton->maps.cpus, &p);
	if (r < 0)
		return r;
	self->cpus = p;
	return attach(self, state);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	int r = refusal_if_recorded(context, "its interrupts can no longer be traced", state);
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

static int fill_softirqs(const struct self *self, struct arena *arena, Sonde__V1__Interrupts *message)
{
	Sonde__V1__SoftirqTime **messages =
		(void *)arena_messages(arena, &sonde__v1__softirq_time__descriptor, INTERRUPTS_VECTORS);
	if (!messages)
		return -ENOMEM;
	for (unsigned vector = 0; vector < INTERRUPTS_VECTORS; vector++) {
		uint64_t runs = 0, ns = 0;
		for (uint32_t i = 0; i < self->n_cpus; i++) {
			runs += load(&self->cpus[i].softirqs[vector].runs);
			ns += load(&self->cpus[i].softirqs[vector].ns);
		}
		messages[vector]->softirq = (char *)vector_names[vector]; /* packed, never written to */
		SET(messages[vector], runs, runs);
		SET(messages[vector], time_ns, ns);
	}
	message->softirqs = messages;
	message->n_softirqs = INTERRUPTS_VECTORS;
	return 0;
}

/* "virtio0-input.0\n"; several with commas. */
static const char *name_of(struct self *self, uint32_t line)
{
	if (self->named[line])
		return self->names[line];
	char path[64], text[NAME_SIZE] = "";
	(void)snprintf(path, sizeof(path), "sys/kernel/irq/%u/actions", line);
	int len = root_read_text(self->context->root, path, text, sizeof(text));
	self->names[line][0] = '\0';
	if (len > 0) {
		text[strcspn(text, "\n")] = '\0';
		label_clean(text, strlen(text));
		memcpy(self->names[line], text, sizeof(text));
	}
	self->named[line] = true;
	return self->names[line];
}

static int fill_handlers(struct self *self, struct tick *tick, Sonde__V1__Interrupts *message)
{
	const struct interrupts_time *lines = self->skeleton->bss->lines;
	size_t n = 0;
	if (tick->boottime_us - self->names_us >= NAMES_EVERY_US) {
		memset(self->named, 0, sizeof(self->named));
		self->names_us = tick->boottime_us;
	}
	for (uint32_t i = 0; i < INTERRUPTS_LINES - 1; i++)
		n += load(&lines[i].runs) > 0;
	Sonde__V1__HandlerTime **messages =
		(void *)arena_messages(tick->arena, &sonde__v1__handler_time__descriptor, n);
	if (!messages && n > 0)
		return -ENOMEM;
	message->handlers = messages;
	for (uint32_t i = 0; i < INTERRUPTS_LINES - 1 && message->n_handlers < n; i++) {
		uint64_t runs = load(&lines[i].runs);
		if (runs == 0)
			continue;
		Sonde__V1__HandlerTime *row = messages[message->n_handlers++];
		const char *name = name_of(self, i);
		SET(row, irq, i);
		SET(row, runs, runs);
		SET(row, time_ns, load(&lines[i].ns));
		row->handlers = name[0] != '\0' ? (char *)name : NULL;
	}
	const struct interrupts_time *other = &lines[INTERRUPTS_LINES - 1];
	if (load(&other->runs) > 0) {
		SET(message, other_runs, load(&other->runs));
		SET(message, other_ns, load(&other->ns));
	}
	return 0;
}

static void fill_timer(const struct self *self, Sonde__V1__Interrupts *message)
{
	uint64_t runs = 0, ns = 0;
	for (uint32_t i = 0; i < self->n_cpus; i++) {
		runs += load(&self->cpus[i].timer.runs);
		ns += load(&self->cpus[i].timer.ns);
	}
	SET(message, local_timer_runs, runs);
	SET(message, local_timer_ns, ns);
}

static void say_what_is_missing(const struct self *self, struct collector_state *state)
{
	for (enum pair pair = 0; pair < PAIRS; pair++) {
		if (self->works[pair] || pairs[pair].optional)
			continue;
		const char *why = probe_refusal(self->probe, pairs[pair].entry);
		if (why[0] == '\0')
			why = probe_refusal(self->probe, pairs[pair].exit);
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "program_refused",
				     "no time in %s: %.180s",
				     pair == SOFTIRQS ? "softirqs" : "interrupt handlers, and softirqs contain theirs",
				     why[0] != '\0' ? why : "its programs cannot be attached");
		return;
	}
}

static int collect(void *arg, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = arg;
	Sonde__V1__Interrupts *message = (Sonde__V1__Interrupts *)section;
	if (!probe_may_run(self->probe, tick))
		return 0;
	int r = attach(self, tick->state);
	if (r < 0)
		return r;
	message->attach = (char *)probe_rung(self->probe); /* packed, never written to */
	if (self->works[SOFTIRQS])
		r = fill_softirqs(self, tick->arena, message);
	if (r == 0 && self->works[HANDLERS])
		r = fill_handlers(self, tick, message);
	if (r == 0 && self->works[TIMER])
		fill_timer(self, message);
	if (r == 0)
		say_what_is_missing(self, tick->state);
	return r;
}

static void rest(void *arg)
{
	struct self *self = arg;
	probe_rest(self->probe);
}

const struct collector collector_interrupts = {
	.name = "interrupts",
	.reads = "softirq_entry and _exit, irq_handler_entry and _exit, local_timer_entry and _exit through eBPF",
	.needs = "CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), BTF",
	.capabilities = CAPABILITY_BPF | CAPABILITY_PERFMON,
	.create = create,
	.collect = collect,
	.rest = rest,
	.destroy = destroy,
};
