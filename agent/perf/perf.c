/* Software events count on every machine, hardware events on few virtual ones: each source carries a state of its own,
 * and the section fails only when neither can be had. */
#include "agent/perf/perf.h"

#include "agent/host/capabilities.h"
#include "agent/host/descriptors.h"
#include "agent/perf/calibrate.h"
#include "agent/perf/reason.h"
#include "agent/perf/source.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>

#define CPU_LIST_MAX ((size_t)16384)
#define STATUS_MAX ((size_t)16384)

static const char *const kind_names[] = {"cpu_core", "cpu_atom"};
#define KINDS (sizeof(kind_names) / sizeof(kind_names[0]))

struct self {
	const struct root *root;
	struct root_file online;
	struct perf_kind kinds[KINDS];
	size_t n_kinds;
	struct perf_source hardware;
	struct perf_source software;
};

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	perf_source_close(&self->hardware);
	perf_source_close(&self->software);
	root_file_close(&self->online);
	free(self);
}

static int read_cpu_list(const struct root *root, const char *path, struct cpu_set *ret)
{
	char text[4096];
	int len = root_read_text(root, path, text, sizeof(text));
	return len < 0 ? len : cpu_set_parse(text, (size_t)len, ret);
}

/* Processors with several kinds of cores have a PMU for each, and nothing else in common. */
static void read_kinds(struct self *self)
{
	for (size_t i = 0; i < KINDS; i++) {
		char path[96];
		unsigned long long type;
		struct perf_kind *kind = &self->kinds[self->n_kinds];
		(void)snprintf(path, sizeof(path), "sys/bus/event_source/devices/%s/type", kind_names[i]);
		if (root_read_u64(self->root, path, &type) < 0 || type > UINT32_MAX)
			continue;
		(void)snprintf(path, sizeof(path), "sys/bus/event_source/devices/%s/cpus", kind_names[i]);
		if (read_cpu_list(self->root, path, &kind->cpus) < 0)
			continue;
		kind->type = (uint32_t)type;
		self->n_kinds++;
	}
}

static struct perf_permission read_permission(const struct root *root)
{
	struct perf_permission permission = {.paranoid = 0};
	char text[16];
	int len = root_read_text(root, "proc/sys/kernel/perf_event_paranoid", text, sizeof(text));
	permission.has_paranoid = len > 0 && perf_paranoid_parse(text, (size_t)len, &permission.paranoid) == 0;
	struct root_file status;
	uint64_t mask = 0;
	if (root_file_open(root, "proc/thread-self/status", STATUS_MAX, &status) == 0) {
		if (root_file_read(&status) < 0 || perf_capabilities_parse(status.text, status.len, &mask) < 0)
			mask = 0;
		root_file_close(&status);
	}
	permission.has_capability = mask & ((uint64_t)1 << CAP_PERFMON | (uint64_t)1 << CAP_SYS_ADMIN);
	return permission;
}

static int read_online(struct self *self, struct cpu_set *ret)
{
	int r = root_file_read(&self->online);
	return r < 0 ? r : cpu_set_parse(self->online.text, self->online.len, ret);
}

static void open_source(struct self *self, struct perf_source *source, const struct cpu_set *online)
{
	bool hardware = source == &self->hardware;
	perf_source_follow(source, online);
	source->error = source->open_error;
	if (source->error < 0) {
		struct perf_permission permission = read_permission(self->root);
		source->error_state = perf_event_state(source->error, false);
		(void)perf_source_fail(&source->state, source->error, &permission, hardware);
	} else if (hardware && !perf_calibrate()) {
		source->error_state = SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_IMPLAUSIBLE;
		source->error = collector_fail(
			&source->state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOTSUP, "implausible",
			"the hardware counters do not count what they are called: a loop of known "
			"length read numbers that cannot be right (a virtual PMU's defect)");
		const struct cpu_set none = {{0}};
		perf_source_follow(source, &none);
	}
}

static int start(struct self *self, struct collector_state *state)
{
	struct cpu_set possible, online;
	int r = root_file_open(self->root, "sys/devices/system/cpu/online", CPU_LIST_MAX, &self->online);
	if (r == 0)
		r = read_online(self, &online);
	if (r < 0)
		return collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_cpu_list",
			"/sys/devices/system/cpu/online cannot be read: mount sysfs where the agent looks "
			"for it");
	if (read_cpu_list(self->root, "sys/devices/system/cpu/possible", &possible) < 0)
		possible = online;
	read_kinds(self);
	unsigned limit = cpu_set_limit(&possible);
	r = perf_source_init(&self->hardware, &perf_hardware_events, limit);
	if (r == 0)
		r = perf_source_init(&self->software, &perf_software_events, limit);
	if (r < 0)
		return r;
	self->hardware.pin_first = true;
	self->hardware.kinds = self->kinds;
	self->hardware.n_kinds = self->n_kinds;
	/* Each CPU takes a descriptor an event. Where the hard limit is low, what cannot be opened says so. */
	(void)descriptors_raise();
	open_source(self, &self->hardware, &online);
	open_source(self, &self->software, &online);
	if (self->hardware.error < 0 && self->software.error < 0) {
		*state = self->software.state;
		return self->software.error;
	}
	return 0;
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	if (!context->live)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOTSUP, "recorded_host",
				      "a recorded host is shown: its CPUs can no longer be counted on");
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->root = context->root;
	self->online.fd = -1;
	int r = start(self, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static int collect_source(struct perf_source *source, const struct cpu_set *online, struct arena *arena,
			  Sonde__V1__PerfSource **ret)
{
	if (source->error == 0) {
		perf_source_follow(source, online);
		perf_source_read(source);
	}
	Sonde__V1__PerfSource *message = arena_message(arena, &sonde__v1__perf_source__descriptor);
	if (!message)
		return -ENOMEM;
	int r = perf_source_fill(source, arena, message);
	if (r < 0)
		return r;
	*ret = message;
	return 0;
}

static int collect(void *arg, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = arg;
	Sonde__V1__Perf *message = (Sonde__V1__Perf *)section;
	struct cpu_set online;
	int r = read_online(self, &online);
	if (r == 0)
		r = collect_source(&self->hardware, &online, tick->arena, &message->hardware);
	if (r == 0)
		r = collect_source(&self->software, &online, tick->arena, &message->software);
	return r;
}

const struct collector collector_perf = {
	.name = "perf",
	.reads = "perf_event_open(2) on every CPU; /sys/devices/system/cpu/online",
	.needs = "CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or kernel.perf_event_paranoid=0; a PMU for hardware "
		 "events",
	.capabilities = CAPABILITY_PERFMON,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
