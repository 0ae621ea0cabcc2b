/* A collector that fails loses what it had begun: its section then holds a state and nothing else. A slow one is handed
 * to the lane when it is due and taken back when it is done, so that the tick never waits; between two readings a
 * section says that it is not due, and whoever shows it keeps what was there. */
#include "agent/section.h"

#include "agent/label.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_ARENA_MAX ((size_t)8 << 20)
#define STALLED_MS 10000 /* a slow reading that takes longer is news */

int section_init(struct section *section, const struct collector *collector, int64_t boottime_shift_us)
{
	*section = (struct section){.collector = collector, .boottime_shift_us = boottime_shift_us};
	section->period_ms = collector->period_ms;
	section->field =
		protobuf_c_message_descriptor_get_field_by_name(&sonde__v1__snapshot__descriptor, collector->name);
	if (!section->field || section->field->type != PROTOBUF_C_TYPE_MESSAGE)
		return -EINVAL;
	section->type = section->field->descriptor;
	section->state_field = protobuf_c_message_descriptor_get_field_by_name(section->type, "state");
	if (!section->state_field || section->state_field->descriptor != &sonde__v1__state__descriptor)
		return -EINVAL;
	return 0;
}

void section_set_disabled(struct collector_state *state)
{
	(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DISABLED, 0, "configuration",
			     "switched off in the agent's configuration");
}

/* What the collector did not word itself. */
static void word_failure(const struct collector *collector, int error, struct collector_state *state)
{
	if (state->code != SONDE__V1__STATE__CODE__CODE_UNSPECIFIED && state->code != SONDE__V1__STATE__CODE__CODE_OK)
		return;
	const char *reason = error == -EPROTO	  ? "malformed"
			     : error == -EMSGSIZE ? "too_large"
			     : error == -ENOMEM	  ? "out_of_memory"
						  : "error";
	char text[128];
	(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, 0, reason, "%s: %s", collector->reads,
			     strerror_r(-error, text, sizeof(text)));
}

static uint64_t now_us(int64_t shift_us)
{
	return clock_boottime_us() + (uint64_t)shift_us;
}

/* 0, or negative errno with the message emptied. */
static int collect(const struct section *section, struct tick *tick, ProtobufCMessage *message)
{
	*tick->state = (struct collector_state){.code = SONDE__V1__STATE__CODE__CODE_UNSPECIFIED};
	int r = section->collector->collect(section->self, tick, message);
	if (r >= 0)
		return 0;
	word_failure(section->collector, r, tick->state);
	protobuf_c_message_init(section->type, message);
	return r;
}

static void run_slow(struct lane_job *job)
{
	struct slow_part *slow = (struct slow_part *)job;
	arena_reset(slow->arena);
	slow->message = arena_message(slow->arena, slow->section->type);
	slow->begun_us = now_us(slow->boottime_shift_us);
	slow->result = -ENOMEM;
	struct tick tick = {
		.arena = slow->arena,
		.boottime_us = slow->begun_us,
		.watched = slow->watched,
		.state = &slow->state,
	};
	if (slow->message)
		slow->result = collect(slow->section, &tick, slow->message);
	slow->duration_us = now_us(slow->boottime_shift_us) - slow->begun_us;
}

static struct slow_part *make_slow(struct section *section)
{
	struct slow_part *slow = calloc(1, sizeof(*slow));
	struct arena *arena = arena_new(SLOW_ARENA_MAX);
	if (!slow || !arena) {
		free(slow);
		arena_free(arena);
		return NULL;
	}
	slow->job.run = run_slow;
	slow->job.capabilities = section->collector->capabilities;
	slow->section = section;
	slow->arena = arena;
	slow->boottime_shift_us = section->boottime_shift_us;
	return slow;
}

void section_create(struct section *section, const struct collector_context *context)
{
	int r = 0;
	if (section->collector->slow) {
		section->lane = context->lane;
		section->slow = make_slow(section);
		r = section->slow ? 0 : -ENOMEM;
	}
	struct capabilities_thread rights;
	capabilities_of_thread(&rights);
	capabilities_switch(&rights, section->collector->capabilities);
	if (r == 0)
		r = section->collector->create(context, &section->self, &section->state);
	capabilities_switch(&rights, 0);
	section->exists = r == 0;
	if (r < 0)
		word_failure(section->collector, r, &section->state);
}

void section_destroy(struct section *section, bool lane_ended)
{
	struct slow_part *slow = section->slow;
	/* A lane that has not ended may be in any collector's job, not only a slow one's. */
	if (!lane_ended)
		return;
	if (section->exists)
		section->collector->destroy(section->self);
	section->exists = false;
	if (slow)
		arena_free(slow->arena);
	free(slow);
	section->slow = NULL;
}

bool section_is_pending(const struct section *section)
{
	if (!section->slow)
		return false;
	enum lane_state state = lane_job_state(&section->slow->job);
	return state == LANE_WAITING || state == LANE_RUNNING;
}

static bool is_due(const struct section *section, const struct section_order *order)
{
	return section->period_ms == 0 || order->every_tick || (order->watched && !section->slow) ||
	       order->now_us + order->slack_us >= section->next_us;
}

/* The next moment on its own grid, so that a late tick does not shift those after it. */
static void set_next(struct section *section, uint64_t now)
{
	uint64_t period_us = (uint64_t)section->period_ms * 1000;
	if (period_us == 0)
		return;
	section->next_us = section->next_us + period_us > now ? section->next_us + period_us : now + period_us;
}

static void set_not_due(struct section *section)
{
	section->state = (struct collector_state){.code = SONDE__V1__STATE__CODE__CODE_NOT_DUE};
}

/* Hands a due reading to the lane and takes back what is done. True with contents in *ret. */
static bool take_slow(struct section *section, const struct section_order *order, struct agent_status_collector *status,
		      ProtobufCMessage **ret, uint64_t *ret_duration_us)
{
	struct slow_part *slow = section->slow;
	enum lane_state state = lane_job_state(&slow->job);
	if (state == LANE_DONE) {
		lane_job_take(&slow->job);
		section->state = slow->state;
		section->collected_us = slow->begun_us;
		*ret_duration_us = slow->duration_us;
		status->runs++;
		status->failures += slow->result < 0;
		status->duration_us += slow->duration_us;
		*ret = slow->message;
		return slow->message != NULL;
	}
	if (state == LANE_IDLE && is_due(section, order)) {
		slow->watched = order->watched;
		if (lane_submit(section->lane, &slow->job) == 0)
			set_next(section, order->now_us);
	}
	if (section->collected_us == 0)
		(void)collector_fail(&section->state, SONDE__V1__STATE__CODE__CODE_STARTING, 0, "first_reading",
				     "the first reading is under way");
	else
		set_not_due(section);
	if (state == LANE_RUNNING && lane_job_age_ms(&slow->job) > STALLED_MS)
		(void)collector_fail(&section->state, SONDE__V1__STATE__CODE__CODE_FAILED, 0, "stalled",
				     "%s has not answered for %llu s", section->collector->reads,
				     (unsigned long long)(lane_job_age_ms(&slow->job) / 1000));
	return false;
}

static bool take_fast(struct section *section, const struct section_order *order, struct arena *arena,
		      struct agent_status_collector *status, ProtobufCMessage *message, uint64_t *ret_duration_us)
{
	if (!is_due(section, order)) {
		set_not_due(section);
		return false;
	}
	set_next(section, order->now_us);
	uint64_t begun_us = now_us(section->boottime_shift_us);
	struct tick tick = {
		.arena = arena,
		.boottime_us = begun_us,
		.watched = order->watched,
		.state = &section->state,
	};
	/* What the collector before it had goes with it. */
	capabilities_switch(order->rights, section->collector->capabilities);
	int r = collect(section, &tick, message);
	section->collected_us = begun_us;
	*ret_duration_us = now_us(section->boottime_shift_us) - begun_us;
	status->runs++;
	status->failures += r < 0;
	status->duration_us += *ret_duration_us;
	return r == 0;
}

/* The section's own state stays as it is until the bytes are packed, so its text need not be copied. */
static void fill_state(struct section *section, Sonde__V1__State *to, uint64_t collected_us, uint64_t duration_us)
{
	struct collector_state *from = &section->state;
	bool ok = from->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED;
	SET(to, code, ok ? SONDE__V1__STATE__CODE__CODE_OK : from->code);
	if (from->reason[0] != '\0')
		to->reason = from->reason;
	if (from->detail[0] != '\0') {
		label_clean(from->detail, strlen(from->detail));
		to->detail = from->detail;
	}
	if (collected_us > 0)
		SET(to, collected_at_us, collected_us);
	if (from->code != SONDE__V1__STATE__CODE__CODE_NOT_DUE)
		SET(to, duration_us, duration_us < UINT32_MAX ? (uint32_t)duration_us : UINT32_MAX);
}

ProtobufCMessage *section_take(struct section *section, const struct section_order *order, struct arena *arena,
			       struct agent_status_collector *status, bool *ret_fresh)
{
	ProtobufCMessage *message = arena_message(arena, section->type), *slow = NULL;
	Sonde__V1__State *state = arena_message(arena, &sonde__v1__state__descriptor);
	uint64_t duration_us = 0;
	bool fresh = false;
	if (!message || !state) {
		status->failures++;
		return NULL;
	}
	if (!order->disabled)
		section->resting = false;
	if (section->exists && order->disabled) {
		section_set_disabled(&section->state);
		if (!section->resting && section->collector->rest)
			section->collector->rest(section->self);
		section->resting = true;
	} else if (section->exists && section->slow) {
		fresh = take_slow(section, order, status, &slow, &duration_us);
	} else if (section->exists) {
		fresh = take_fast(section, order, arena, status, message, &duration_us);
	}
	if (slow)
		message = slow;
	/* Without a collector at work it is known now that there is nothing. */
	bool at_work = section->exists && !order->disabled;
	fill_state(section, state, at_work ? section->collected_us : order->now_us, duration_us);
	memcpy((char *)message + section->state_field->offset, &state, sizeof(void *));
	*ret_fresh = fresh;
	return message;
}
