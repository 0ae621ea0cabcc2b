#include "agent/events/events.h"

#include "agent/events/kmsg.h"
#include "agent/events/oom_watch.h"
#include "agent/host/capabilities.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>

#define VMSTAT_MAX ((size_t)64 << 10)
/* /proc/vmstat costs some 25 us, and beside the kernel's messages it has hardly anything to add. */
#define OOM_PERIOD_US 10000000

#define KIND(name) SONDE__V1__EVENT_KIND__EVENT_KIND_##name

struct events {
	struct kmsg kmsg;
	int kmsg_error; /* why it is not read */
	struct root_file vmstat;
	bool has_vmstat;
	uint64_t oom_next_us;
	struct oom_watch oom;
	struct clock_watch clocks;
	struct event_log log;
};

static void destroy(void *self)
{
	struct events *events = self;
	if (!events)
		return;
	kmsg_close(&events->kmsg);
	if (events->has_vmstat)
		root_file_close(&events->vmstat);
	free(events);
}

static void set_seen(struct events *events)
{
	for (size_t kind = 1; kind < EVENT_KINDS; kind++)
		events->log.seen[kind] = kind <= KIND(SUSPEND) || events->kmsg_error == 0 ||
					 (kind == KIND(OOM_KILL) && events->has_vmstat);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	if (!context->live)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -EOPNOTSUPP, "recorded_host",
				      "events are of the kernel that runs, and this host is a recorded one");
	struct events *events = calloc(1, sizeof(*events));
	if (!events)
		return -ENOMEM;
	events->kmsg.fd = -1;
	events->kmsg_error = kmsg_open(context->root, &events->kmsg);
	events->has_vmstat = root_file_open(context->root, "proc/vmstat", VMSTAT_MAX, &events->vmstat) == 0;
	set_seen(events);
	*ret_self = events;
	return 0;
}

static void take_oom_kills(struct events *events, const struct clock_reading *now)
{
	bool messages = events->kmsg_error == 0;
	uint64_t kills;
	if (!events->has_vmstat || (messages && now->boottime_us < events->oom_next_us))
		return;
	events->oom_next_us = now->boottime_us + OOM_PERIOD_US;
	if (root_file_read(&events->vmstat) < 0 ||
	    oom_kills_parse(events->vmstat.text, events->vmstat.len, &kills) < 0) {
		root_file_close(&events->vmstat);
		events->has_vmstat = false;
		set_seen(events);
		return;
	}
	oom_watch_take(&events->oom, kills, messages, now, &events->log);
}

static void take_all(struct events *events)
{
	struct clock_reading now;
	if (!clock_reading_take(&now))
		return;
	uint64_t since_us = events->clocks.begun ? events->clocks.last.boottime_us : now.boottime_us;
	clock_watch_take(&events->clocks, &now, &events->log);
	if (events->kmsg_error == 0) {
		events->kmsg_error = kmsg_take(&events->kmsg, since_us, &now, &events->log);
		if (events->kmsg_error < 0) {
			kmsg_close(&events->kmsg);
			set_seen(events);
		}
	}
	take_oom_kills(events, &now);
}

/* Strings are the log's: it stands until the next tick begins. */
static int fill_event(struct arena *arena, struct event *from, Sonde__V1__Event *to)
{
	to->timestamp = arena_message(arena, &google__protobuf__timestamp__descriptor);
	if (!to->timestamp)
		return -ENOMEM;
	int64_t seconds = from->wall_us / 1000000, rest = from->wall_us % 1000000;
	if (rest < 0) {
		seconds--;
		rest += 1000000;
	}
	to->timestamp->seconds = seconds;
	to->timestamp->nanos = (int32_t)(rest * 1000);
	SET(to, kind, from->kind);
	SET(to, severity, from->severity);
	SET(to, boottime_us, from->boottime_us);
	SET(to, occurrences, from->occurrences);
	if (from->amount_us != 0)
		SET(to, amount_us, from->amount_us);
	if (from->subject[0] != '\0')
		to->subject = from->subject;
	to->message = from->message;
	return 0;
}

static int fill(struct events *events, struct arena *arena, Sonde__V1__Events *out)
{
	struct event_log *log = &events->log;
	out->events = arena_messages(arena, &sonde__v1__event__descriptor, log->n);
	out->counts = arena_messages(arena, &sonde__v1__event_count__descriptor, EVENT_KINDS);
	if ((!out->events && log->n > 0) || !out->counts)
		return -ENOMEM;
	for (; out->n_events < log->n; out->n_events++) {
		if (fill_event(arena, &log->events[out->n_events], out->events[out->n_events]) < 0)
			return -ENOMEM;
	}
	for (size_t kind = 0; kind < EVENT_KINDS; kind++) {
		if (!log->seen[kind])
			continue;
		Sonde__V1__EventCount *count = out->counts[out->n_counts++];
		SET(count, kind, (Sonde__V1__EventKind)kind);
		SET(count, occurrences, log->counts[kind]);
	}
	SET(out, left_out, log->left_out);
	if (events->kmsg_error == 0) {
		SET(out, kernel_messages, events->kmsg.records);
		SET(out, kernel_messages_lost, events->kmsg.lost);
	}
	return 0;
}

static void word_kmsg(int error, struct collector_state *state)
{
	const char *unseen = "I/O errors, lockups and the names of OOM victims are not seen";
	if (error == -EPERM || error == -EACCES)
		(void)collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "no_capability",
			"/dev/kmsg may not be read: give the agent CAP_SYSLOG, in a container the device too; %s",
			unseen);
	else if (error == -ENOENT)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "no_kmsg",
				     "/dev/kmsg does not exist: in a container, give it the host's; %s", unseen);
	else if (error < 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "cannot_read_kmsg",
				     "/dev/kmsg cannot be read (%s); %s", log_strerror(error), unseen);
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct events *events = self;
	event_log_begin(&events->log);
	take_all(events);
	int r = fill(events, tick->arena, (Sonde__V1__Events *)section);
	if (r == 0)
		word_kmsg(events->kmsg_error, tick->state);
	return r;
}

const struct collector collector_events = {
	.name = "events",
	.reads = "/dev/kmsg, /proc/vmstat, the clocks",
	.needs = "CAP_SYSLOG where kernel.dmesg_restrict is set",
	.capabilities = CAPABILITY_SYSLOG,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
