/* Software events count on every machine, hardware events on few virtual ones: each source carries a state of its own,
 * and the section fails only when neither can be had. */
#include "agent/perf/perf.h"

#include "agent/host/capabilities.h"
#include "agent/host/descriptors.h"
#include "agent/perf/calibrate.h"
#include "agent/perf/cgroup_events.h"
#include "agent/perf/kinds.h"
#include "agent/perf/permission.h"
#include "agent/perf/ratios.h"
#include "agent/perf/reason.h"
#include "agent/perf/source_fill.h"
#include "agent/perf/uncore.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CPU_LIST_MAX ((size_t)16384)

struct self {
	const struct root *root;
	const struct collector_settings *settings; /* may change between two ticks */
	struct collector_settings used;
	struct root_file online;
	struct perf_busy busy;
	unsigned limit;
	struct perf_source hardware;
	struct perf_source software;
	struct perf_uncore_set uncore;
	struct perf_cgroup_rows cgroups;
};

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	perf_source_close(&self->hardware);
	perf_source_close(&self->software);
	perf_uncore_close(&self->uncore);
	perf_cgroups_close(&self->cgroups);
	perf_busy_close(&self->busy);
	root_file_close(&self->online);
	free(self);
}

static int read_online(struct self *self, struct cpu_set *ret)
{
	int r = root_file_read(&self->online);
	return r < 0 ? r : cpu_set_parse(self->online.text, self->online.len, ret);
}

/* What perf may take of the files the agent may open: the rest needs some hundred, more with many cgroups. */
static size_t descriptors_for_perf(void)
{
	size_t limit = descriptors_raise();
	return limit > 4096 ? limit - 1024 : limit / 4 * 3;
}

/* Nothing to open at all: every event of the configuration is another host's. */
static bool none_is_known(const struct perf_event_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->events[i].error == 0)
			return false;
	}
	return true;
}

static void fail_source(struct self *self, struct perf_source *source)
{
	if (none_is_known(&source->set)) {
		source->error_state = SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED;
		(void)collector_fail(&source->state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, 0, "unknown_event",
				     "perf_events: %s", source->set.why);
		return;
	}
	struct perf_permission permission = perf_permission_read(self->root);
	source->error_state = perf_event_state(source->error, false);
	(void)perf_source_fail(&source->state, source->error, &permission, source->hardware);
}

static void open_source(struct self *self, struct perf_source *source, const struct cpu_set *online)
{
	perf_source_follow(source, online);
	source->error = source->open_error;
	if (source->error < 0) {
		fail_source(self, source);
	} else if (source->hardware && !perf_calibrate()) {
		source->error_state = SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_IMPLAUSIBLE;
		source->error = collector_fail(
			&source->state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOTSUP, "implausible",
			"the hardware counters do not count what they are called: a loop of known "
			"length read numbers that cannot be right (a virtual PMU's defect)");
		const struct cpu_set none = {{0}};
		perf_source_follow(source, &none);
	}
}

/* The software events first: they are few, and always work. */
static int open_hardware(struct self *self, const struct cpu_set *online)
{
	size_t most = descriptors_for_perf(), taken = self->software.descriptors;
	int r = perf_source_init(&self->hardware, true, self->limit);
	if (r < 0)
		return r;
	perf_events_hardware(self->root, self->settings, &self->hardware.set);
	perf_kinds_read(self->root, &self->hardware);
	self->hardware.max_descriptors = most > taken ? most - taken : 0;
	self->used = *self->settings;
	open_source(self, &self->hardware, online);
	taken += self->hardware.descriptors;
	r = perf_uncore_open(&self->uncore, self->root, self->settings, self->limit, most > taken ? most - taken : 0,
			     online);
	taken += perf_uncore_descriptors(&self->uncore);
	if (r == 0)
		r = perf_cgroups_open(&self->cgroups, self->root, self->settings, &self->hardware,
				      most > taken ? most - taken : 0, online);
	return r;
}

static int open_software(struct self *self, const struct cpu_set *online)
{
	int r = perf_source_init(&self->software, false, self->limit);
	if (r < 0)
		return r;
	perf_events_software(&self->software.set);
	self->software.max_descriptors = descriptors_for_perf();
	open_source(self, &self->software, online);
	return 0;
}

static int start(struct self *self, struct collector_state *state)
{
	struct cpu_set possible, online;
	char text[4096];
	int r = root_file_open(self->root, "sys/devices/system/cpu/online", CPU_LIST_MAX, &self->online);
	self->online.has_short_records = true;
	if (r == 0)
		r = read_online(self, &online);
	if (r < 0)
		return r;
	int len = root_read_text(self->root, "sys/devices/system/cpu/possible", text, sizeof(text));
	if (len < 0 || cpu_set_parse(text, (size_t)len, &possible) < 0)
		possible = online;
	self->limit = cpu_set_limit(&possible);
	r = perf_busy_init(&self->busy, self->root, self->limit);
	if (r == 0)
		r = open_software(self, &online);
	if (r == 0)
		r = open_hardware(self, &online);
	if (r < 0)
		return r;
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
	self->settings = context->settings;
	self->online.fd = -1;
	int r = start(self, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static int collect_source(struct self *self, struct perf_source *source, const struct cpu_set *online,
			  struct arena *arena, Sonde__V1__PerfSource **ret)
{
	const struct perf_busy *busy = self->busy.valid ? &self->busy : NULL;
	if (source->error == 0) {
		perf_source_follow(source, online);
		perf_source_read(source, busy);
		if (source->hardware && busy)
			perf_check_plausible(source, busy);
	}
	Sonde__V1__PerfSource *message = arena_message(arena, &sonde__v1__perf_source__descriptor);
	if (!message)
		return -ENOMEM;
	int r = perf_source_fill(source, busy, arena, message);
	if (r < 0)
		return r;
	*ret = message;
	return 0;
}

static int collect_uncore(struct self *self, const struct cpu_set *online, struct arena *arena,
			  Sonde__V1__PerfUncore **ret)
{
	Sonde__V1__PerfUncore *message = arena_message(arena, &sonde__v1__perf_uncore__descriptor);
	if (!message)
		return -ENOMEM;
	perf_uncore_read(&self->uncore, online);
	int r = perf_uncore_fill(&self->uncore, self->root, arena, message);
	if (r == 0)
		*ret = message;
	return r;
}

/* Only where somebody asked. */
static int collect_cgroups(struct self *self, const struct cpu_set *online, struct arena *arena,
			   Sonde__V1__PerfCgroups **ret)
{
	if (self->cgroups.n == 0)
		return 0;
	Sonde__V1__PerfCgroups *message = arena_message(arena, &sonde__v1__perf_cgroups__descriptor);
	if (!message)
		return -ENOMEM;
	perf_cgroups_read(&self->cgroups, online, self->busy.valid ? &self->busy : NULL);
	int r = perf_cgroups_fill(&self->cgroups, arena, message);
	if (r == 0)
		*ret = message;
	return r;
}

static bool settings_changed(const struct self *self)
{
	const struct collector_settings *now = self->settings, *used = &self->used;
	if (now->n_perf_events != used->n_perf_events || now->perf_uncore != used->perf_uncore)
		return true;
	for (size_t i = 0; i < now->n_perf_events; i++) {
		if (strcmp(now->perf_events[i], used->perf_events[i]) != 0)
			return true;
	}
	if (now->n_perf_cgroups != used->n_perf_cgroups)
		return true;
	for (size_t i = 0; i < now->n_perf_cgroups; i++) {
		if (strcmp(now->perf_cgroups[i], used->perf_cgroups[i]) != 0)
			return true;
	}
	return false;
}

static int collect(void *arg, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = arg;
	Sonde__V1__Perf *message = (Sonde__V1__Perf *)section;
	struct cpu_set online;
	int r = read_online(self, &online);
	if (r == 0 && settings_changed(self)) {
		perf_source_close(&self->hardware);
		perf_uncore_close(&self->uncore);
		perf_cgroups_close(&self->cgroups);
		r = open_hardware(self, &online);
	}
	if (r < 0)
		return r;
	perf_busy_read(&self->busy, clock_monotonic_ns());
	r = collect_source(self, &self->hardware, &online, tick->arena, &message->hardware);
	if (r == 0)
		r = collect_source(self, &self->software, &online, tick->arena, &message->software);
	if (r == 0)
		r = collect_uncore(self, &online, tick->arena, &message->uncore);
	if (r == 0)
		r = collect_cgroups(self, &online, tick->arena, &message->cgroups);
	return r;
}

const struct collector collector_perf = {
	.name = "perf",
	.reads = "perf_event_open(2) on every CPU; /sys/devices/system/cpu/online, /sys/bus/event_source/devices, "
		 "/proc/stat",
	.needs = "CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or kernel.perf_event_paranoid=0; a PMU for hardware "
		 "events",
	.capabilities = CAPABILITY_PERFMON,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
