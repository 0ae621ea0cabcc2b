/* Sections are found through the Snapshot's descriptor by the collector's name, so that a new collector needs a field
 * in the schema and a line in the table, and nothing here. A collector that fails loses what it had begun: its section
 * then holds a state and nothing else, and the others are not touched. */
#include "agent/sampler.h"

#include "agent/host/identity.h"
#include "agent/label.h"
#include "agent/summary.h"
#include "common/buf.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)16 << 20)

struct slot {
	const struct collector *collector;
	const ProtobufCFieldDescriptor *field; /* of Snapshot */
	const ProtobufCMessageDescriptor *type;
	const ProtobufCFieldDescriptor *state_field; /* of the section */
	void *self;
	bool exists;
	struct collector_state state;
};

struct sampler {
	struct collector_context context;
	struct agent_status status;
	struct slot slots[AGENT_MAX_COLLECTORS];
	size_t n;
	sampler_set disabled;
	struct arena *arena;
	struct summary *summary;
	struct buf packed;
	uint8_t boot_id[16], instance[16];
	uint64_t sequence;
	int64_t boottime_shift_us; /* recorded hosts: their uptime less this kernel's, at the start */
};

int sampler_find(const struct collector *const *table, const char *name)
{
	for (int i = 0; table[i]; i++) {
		if (strcmp(table[i]->name, name) == 0)
			return i;
	}
	return -ENOENT;
}

static int find_section(struct slot *slot)
{
	slot->field = protobuf_c_message_descriptor_get_field_by_name(&sonde__v1__snapshot__descriptor,
								      slot->collector->name);
	if (!slot->field || slot->field->type != PROTOBUF_C_TYPE_MESSAGE)
		return -EINVAL;
	slot->type = slot->field->descriptor;
	slot->state_field = protobuf_c_message_descriptor_get_field_by_name(slot->type, "state");
	if (!slot->state_field || slot->state_field->descriptor != &sonde__v1__state__descriptor)
		return -EINVAL;
	return 0;
}

static void set_disabled(struct collector_state *state)
{
	(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DISABLED, 0, "configuration",
			     "switched off in the agent's configuration");
}

/* What create() did not word itself. */
static void word_failure(struct slot *slot, int error)
{
	struct collector_state *state = &slot->state;
	if (state->code != SONDE__V1__STATE__CODE__CODE_UNSPECIFIED && state->code != SONDE__V1__STATE__CODE__CODE_OK)
		return;
	const char *reason = error == -EPROTO	  ? "malformed"
			     : error == -EMSGSIZE ? "too_large"
			     : error == -ENOMEM	  ? "out_of_memory"
						  : "error";
	char text[128];
	(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, 0, reason, "%s: %s", slot->collector->reads,
			     strerror_r(-error, text, sizeof(text)));
}

static int add_slot(struct sampler *sampler, const struct collector *collector, bool disabled)
{
	if (sampler->n == AGENT_MAX_COLLECTORS)
		return -EINVAL;
	struct slot *slot = &sampler->slots[sampler->n];
	slot->collector = collector;
	int r = find_section(slot);
	if (r < 0)
		return r;
	sampler->status.collectors[sampler->n].name = collector->name;
	sampler->status.n_collectors = ++sampler->n;
	if (disabled) {
		set_disabled(&slot->state);
		return 0;
	}
	r = collector->create(&sampler->context, &slot->self, &slot->state);
	slot->exists = r == 0;
	if (r < 0)
		word_failure(slot, r);
	return 0;
}

/* A recorded host goes on from where it was recorded. */
static int64_t recorded_shift_us(const struct root *root)
{
	char text[64];
	int len = root_read_text(root, "proc/uptime", text, sizeof(text));
	uint64_t seconds = 0;
	for (int i = 0; i < len && text[i] >= '0' && text[i] <= '9' && seconds < UINT32_MAX; i++)
		seconds = seconds * 10 + (uint64_t)(text[i] - '0');
	return len > 0 ? (int64_t)(seconds * 1000000) - (int64_t)clock_boottime_us() : 0;
}

static int init(struct sampler *sampler, const struct sampler_options *options)
{
	uint8_t running[16];
	struct root live;
	int r = root_open(&live, NULL);
	if (r < 0)
		return r;
	bool known = identity_boot_id(&live, running) == 0;
	root_close(&live);

	sampler->context = (struct collector_context){
		.root = options->root,
		.live = !options->root->recorded || (known && memcmp(running, options->boot_id, sizeof(running)) == 0),
		.btf_path = options->btf_path,
		.status = &sampler->status,
	};
	memcpy(sampler->boot_id, options->boot_id, sizeof(sampler->boot_id));
	memcpy(sampler->instance, options->instance, sizeof(sampler->instance));
	sampler->packed = BUF_INIT(SAMPLER_SNAPSHOT_MAX);
	if (!sampler->context.live)
		sampler->boottime_shift_us = recorded_shift_us(options->root);
	sampler->arena = arena_new(ARENA_MAX);
	sampler->summary = summary_new();
	if (!sampler->arena || !sampler->summary)
		return -ENOMEM;
	for (size_t i = 0; options->collectors[i]; i++) {
		r = add_slot(sampler, options->collectors[i], i < 64 && (options->disabled >> i & 1));
		if (r < 0)
			return r;
	}
	return 0;
}

int sampler_new(const struct sampler_options *options, struct sampler **ret)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));
	if (!sampler)
		return -ENOMEM;
	int r = init(sampler, options);
	if (r < 0) {
		sampler_free(sampler);
		return r;
	}
	*ret = sampler;
	return 0;
}

void sampler_free(struct sampler *sampler)
{
	if (!sampler)
		return;
	for (size_t i = 0; i < sampler->n; i++) {
		struct slot *slot = &sampler->slots[i];
		if (slot->exists)
			slot->collector->destroy(slot->self);
	}
	summary_free(sampler->summary);
	arena_free(sampler->arena);
	buf_free(&sampler->packed);
	free(sampler);
}

bool sampler_is_live(const struct sampler *sampler)
{
	return sampler->context.live;
}

void sampler_disable(struct sampler *sampler, sampler_set disabled)
{
	sampler->disabled = disabled;
}

size_t sampler_count(const struct sampler *sampler)
{
	return sampler->n;
}

struct sampler_collector sampler_at(const struct sampler *sampler, size_t i)
{
	const struct slot *slot = &sampler->slots[i];
	return (struct sampler_collector){.collector = slot->collector, .state = slot->state, .exists = slot->exists};
}

struct agent_status *sampler_status(struct sampler *sampler)
{
	return &sampler->status;
}

static uint64_t now_us(const struct sampler *sampler)
{
	return clock_boottime_us() + (uint64_t)sampler->boottime_shift_us;
}

/* The slot's own state stays as it is until the bytes are packed, so its text need not be copied. */
static void fill_state(struct collector_state *from, Sonde__V1__State *to, uint64_t begun_us, uint64_t duration_us)
{
	SET(to, code,
	    from->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED ? SONDE__V1__STATE__CODE__CODE_OK : from->code);
	if (from->reason[0] != '\0')
		to->reason = from->reason;
	if (from->detail[0] != '\0') {
		label_clean(from->detail, strlen(from->detail));
		to->detail = from->detail;
	}
	SET(to, collected_at_us, begun_us);
	SET(to, duration_us, duration_us < UINT32_MAX ? (uint32_t)duration_us : UINT32_MAX);
}

/* 0, or negative errno with the section emptied. */
static int run(struct sampler *sampler, size_t i, ProtobufCMessage *section, uint64_t begun_us)
{
	struct slot *slot = &sampler->slots[i];
	struct tick tick = {.arena = sampler->arena, .boottime_us = begun_us, .state = &slot->state};
	slot->state = (struct collector_state){.code = SONDE__V1__STATE__CODE__CODE_UNSPECIFIED};
	int r = slot->collector->collect(slot->self, &tick, section);
	sampler->status.collectors[i].runs++;
	if (r >= 0)
		return 0;
	sampler->status.collectors[i].failures++;
	word_failure(slot, r);
	protobuf_c_message_init(slot->type, section);
	return r;
}

static void set_submessage(void *message, const ProtobufCFieldDescriptor *field, void *submessage)
{
	memcpy((char *)message + field->offset, &submessage, sizeof(void *));
}

static void collect(struct sampler *sampler, size_t i, Sonde__V1__Snapshot *snapshot)
{
	struct slot *slot = &sampler->slots[i];
	ProtobufCMessage *section = arena_message(sampler->arena, slot->type);
	Sonde__V1__State *state = arena_message(sampler->arena, &sonde__v1__state__descriptor);
	if (!section || !state) {
		sampler->status.collectors[i].failures++;
		return;
	}
	uint64_t begun_us = now_us(sampler), duration_us = 0;
	if (slot->exists && (sampler->disabled >> i & 1)) {
		set_disabled(&slot->state);
	} else if (slot->exists) {
		(void)run(sampler, i, section, begun_us);
		duration_us = now_us(sampler) - begun_us;
		sampler->status.collectors[i].duration_us += duration_us;
	}
	fill_state(&slot->state, state, begun_us, duration_us);
	set_submessage(section, slot->state_field, state);
	set_submessage(snapshot, slot->field, section);
}

static int pack(struct sampler *sampler, const Sonde__V1__Snapshot *snapshot)
{
	size_t size = sonde__v1__snapshot__get_packed_size(snapshot);
	buf_reset(&sampler->packed);
	int r = buf_reserve(&sampler->packed, size);
	if (r < 0)
		return r;
	sampler->packed.len = sonde__v1__snapshot__pack(snapshot, sampler->packed.data);
	return 0;
}

int sampler_take(struct sampler *sampler, uint32_t interval_ms, uint64_t *ret_sequence, const uint8_t **ret_data,
		 size_t *ret_len)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Google__Protobuf__Timestamp timestamp = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	int64_t wall_us = clock_wall_us();

	arena_reset(sampler->arena);
	sampler->status.ticks++;
	snapshot.has_boot_id = 1;
	snapshot.boot_id = (ProtobufCBinaryData){.len = 16, .data = sampler->boot_id};
	snapshot.has_instance = 1;
	snapshot.instance = (ProtobufCBinaryData){.len = 16, .data = sampler->instance};
	SET(&snapshot, sequence, sampler->sequence + 1);
	timestamp.seconds = wall_us / 1000000;
	timestamp.nanos = (int32_t)(wall_us % 1000000 * 1000);
	snapshot.timestamp = &timestamp;
	SET(&snapshot, boottime_us, now_us(sampler));
	SET(&snapshot, interval_ms, interval_ms);

	for (size_t i = 0; i < sampler->n; i++)
		collect(sampler, i, &snapshot);
	snapshot.summary = summary_take(sampler->summary, &snapshot, sampler->arena);

	int r = pack(sampler, &snapshot);
	if (r < 0)
		return r;
	*ret_sequence = ++sampler->sequence;
	*ret_data = sampler->packed.data;
	*ret_len = sampler->packed.len;
	return 0;
}
