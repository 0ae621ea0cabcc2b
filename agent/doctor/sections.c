/* States are found through the descriptors: a section or a part that is added later is listed without a line here. */
#include "agent/doctor/sections.h"

#include <stdio.h>
#include <string.h>

#define GROUP "sections"
#define PATH_SIZE 96

static const Sonde__V1__State *state_of(const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "state");
	if (!field || field->descriptor != &sonde__v1__state__descriptor)
		return NULL;
	return *(const Sonde__V1__State *const *)((const char *)message + field->offset);
}

/* A part that is not there (no PMU in a virtual machine) is no fault; a whole section always has something to say. */
static enum verdict verdict_of(Sonde__V1__State__Code code, bool is_part)
{
	switch (code) {
	case SONDE__V1__STATE__CODE__CODE_OK:
	case SONDE__V1__STATE__CODE__CODE_NOT_DUE:
	case SONDE__V1__STATE__CODE__CODE_STARTING:
		return VERDICT_OK;
	case SONDE__V1__STATE__CODE__CODE_DISABLED:
		return VERDICT_NOTE;
	case SONDE__V1__STATE__CODE__CODE_UNAVAILABLE:
		return is_part ? VERDICT_NOTE : VERDICT_FAILED;
	case SONDE__V1__STATE__CODE__CODE_DEGRADED:
		return VERDICT_LIMITED;
	default:
		return VERDICT_FAILED;
	}
}

static const char *const code_words[] = {
	[SONDE__V1__STATE__CODE__CODE_OK] = "works",
	[SONDE__V1__STATE__CODE__CODE_NOT_DUE] = "works; not due yet",
	[SONDE__V1__STATE__CODE__CODE_UNAVAILABLE] = "not available here",
	[SONDE__V1__STATE__CODE__CODE_DENIED] = "denied",
	[SONDE__V1__STATE__CODE__CODE_DISABLED] = "switched off",
	[SONDE__V1__STATE__CODE__CODE_FAILED] = "failed",
	[SONDE__V1__STATE__CODE__CODE_DEGRADED] = "degraded",
	[SONDE__V1__STATE__CODE__CODE_STARTING] = "works; wants a second reading",
};
#define N_CODES (sizeof(code_words) / sizeof(code_words[0]))

static void add_state(const char *path, const Sonde__V1__State *state, bool is_part, const char *reads,
		      const char *needs, struct report *report)
{
	Sonde__V1__State__Code code = state && state->has_code ? state->code : SONDE__V1__STATE__CODE__CODE_FAILED;
	struct finding *f = report_add(report, GROUP, verdict_of(code, is_part), path);
	const char *word = (size_t)code < N_CODES && code_words[code] ? code_words[code] : "unknown";
	/* What it reads while all is well, what it wants when something is wrong. */
	if (verdict_of(code, is_part) == VERDICT_OK)
		finding_value(f, "%s%s%s", word, reads[0] ? ": reads " : "", reads);
	else
		finding_value(f, "%s%s%s", word, needs[0] ? "; needs " : "", needs);
	if (state && state->detail && state->detail[0] != '\0')
		finding_remedy(f, state->reason ? state->reason : "", "%s", state->detail);
	else if (!state)
		finding_remedy(f, "no_state", "it gave no section: report this with the kernel's version");
}

/* Parts of a message that have states: not rows, of which there may be many. */
static void add_parts(const char *path, const ProtobufCMessage *message, struct report *report)
{
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		const ProtobufCMessage *part =
			*(const ProtobufCMessage *const *)((const char *)message + field->offset);
		char name[PATH_SIZE];
		if (!part || field->descriptor == &sonde__v1__state__descriptor)
			continue;
		(void)snprintf(name, sizeof(name), "%s.%s", path, field->name);
		const Sonde__V1__State *state = state_of(part);
		if (state)
			add_state(name, state, true, "", "", report);
		add_parts(name, part, report);
	}
}

void sections_report(const struct collector *const *table, const Sonde__V1__Snapshot *snapshot, struct report *report)
{
	for (size_t i = 0; table[i]; i++) {
		const struct collector *collector = table[i];
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(
			&sonde__v1__snapshot__descriptor, collector->name);
		const ProtobufCMessage *section =
			field ? *(const ProtobufCMessage *const *)((const char *)snapshot + field->offset) : NULL;
		add_state(collector->name, section ? state_of(section) : NULL, false, collector->reads,
			  collector->needs, report);
		if (section)
			add_parts(collector->name, section, report);
	}
}

/* Whether the section a program serves has all it wants: then one that this kernel refuses is of a variant it has no
 * use for. */
static bool section_works(const Sonde__V1__Snapshot *snapshot, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		name ? protobuf_c_message_descriptor_get_field_by_name(&sonde__v1__snapshot__descriptor, name) : NULL;
	const ProtobufCMessage *section =
		field && field->type == PROTOBUF_C_TYPE_MESSAGE
			? *(const ProtobufCMessage *const *)((const char *)snapshot + field->offset)
			: NULL;
	const Sonde__V1__State *state = section ? state_of(section) : NULL;
	return state && verdict_of(state->code, false) == VERDICT_OK;
}

void programs_report(const Sonde__V1__Snapshot *snapshot, struct report *report)
{
	static const char group[] = "eBPF programs";
	const Sonde__V1__Agent *agent = snapshot->agent;
	for (size_t i = 0; agent && i < agent->n_programs; i++) {
		const Sonde__V1__BpfProgram *p = agent->programs[i];
		char name[PATH_SIZE];
		bool attached = p->state == SONDE__V1__BPF_PROGRAM__STATE__STATE_ATTACHED;
		bool refused = p->state == SONDE__V1__BPF_PROGRAM__STATE__STATE_REFUSED;
		(void)snprintf(name, sizeof(name), "%s/%s", p->probe ? p->probe : "", p->program ? p->program : "");
		bool harms = refused && !section_works(snapshot, p->probe);
		struct finding *f = report_add(report, group,
					       attached ? VERDICT_OK
					       : harms	? VERDICT_LIMITED
							: VERDICT_NOTE,
					       name);
		if (attached && p->has_run_ns)
			finding_value(f, "attached by %s, %.0f ns a run", p->attach ? p->attach : "", p->run_ns);
		else if (attached || p->attach)
			finding_value(f,
				      attached	? "attached by %s"
				      : refused ? "refused"
						: "loaded by %s, off",
				      p->attach ? p->attach : "");
		else
			finding_value(f, refused ? "refused" : "off");
		if (p->detail && p->detail[0] != '\0')
			finding_remedy(f, refused ? "refused" : "off", "%s", p->detail);
	}
}

/* What a person has to know of an event; the source's own state says what to do. */
static const struct {
	enum verdict verdict;
	const char *words;
} event_states[] = {
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSPECIFIED] = {VERDICT_NOTE, "not read yet"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK] = {VERDICT_OK, "counts"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_MULTIPLEXED] = {VERDICT_NOTE, "counts, multiplexed"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NEVER_SCHEDULED] = {VERDICT_LIMITED, "never scheduled"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NO_PMU] = {VERDICT_NOTE, "no PMU"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_DENIED] = {VERDICT_FAILED, "denied"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_UNSUPPORTED] = {VERDICT_NOTE, "not supported by this CPU"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_IMPLAUSIBLE] = {VERDICT_LIMITED, "counts what cannot be"},
	[SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_LEFT_OUT] = {VERDICT_LIMITED,
								    "left out: too few file descriptors"},
};
#define N_EVENT_STATES (sizeof(event_states) / sizeof(event_states[0]))

static void add_events(Sonde__V1__PerfEvent *const *events, size_t n, struct report *report)
{
	for (size_t i = 0; i < n; i++) {
		size_t state = (size_t)events[i]->event_state < N_EVENT_STATES ? (size_t)events[i]->event_state : 0;
		struct finding *f = report_add(report, "perf events", event_states[state].verdict,
					       events[i]->event ? events[i]->event : "");
		if (events[i]->has_coverage_ratio)
			finding_value(f, "%s %.0f%% of the time", event_states[state].words,
				      100 * events[i]->coverage_ratio);
		else
			finding_value(f, "%s", event_states[state].words);
	}
}

void perf_events_report(const Sonde__V1__Snapshot *snapshot, struct report *report)
{
	const Sonde__V1__Perf *perf = snapshot->perf;
	if (perf && perf->hardware)
		add_events(perf->hardware->total, perf->hardware->n_total, report);
	if (perf && perf->software)
		add_events(perf->software->total, perf->software->n_total, report);
}
