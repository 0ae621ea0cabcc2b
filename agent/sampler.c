/* Sections are found through the Snapshot's descriptor by the collector's name, so that a new collector needs a field
 * in the schema and a line in the table, and nothing here. */
#include "agent/sampler.h"

#include "agent/cgroups/tree.h"
#include "agent/ebpf/block_io_top.h"
#include "agent/ebpf/programs.h"
#include "agent/host/identity.h"
#include "agent/lane.h"
#include "agent/section.h"
#include "agent/summary.h"
#include "common/buf.h"
#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)16 << 20)
#define SETTLE_STEP_MS 5

struct sampler {
	struct collector_context context;
	struct agent_status status;
	struct section sections[AGENT_MAX_COLLECTORS];
	size_t n;
	struct sampler_settings settings;
	struct field_filter *filter;
	sampler_set watched;
	uint64_t watched_until_ns;
	bool every_tick;
	struct lane *lane;
	struct cgroup_tree *cgroups;
	struct programs *programs;
	struct block_io_top block_io_top;
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

void sampler_default_settings(struct sampler_settings *ret)
{
	*ret = (struct sampler_settings){.disabled = 0};
	settings_default(&ret->collector);
}

static int add_section(struct sampler *sampler, const struct collector *collector, bool disabled)
{
	if (sampler->n == AGENT_MAX_COLLECTORS)
		return -EINVAL;
	struct section *section = &sampler->sections[sampler->n];
	int r = section_init(section, collector, sampler->boottime_shift_us);
	if (r < 0)
		return r;
	sampler->status.collectors[sampler->n].name = collector->name;
	sampler->status.n_collectors = ++sampler->n;
	if (disabled)
		section_set_disabled(&section->state);
	else
		section_create(section, &sampler->context);
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
	r = lane_new(&sampler->lane);
	if (r == 0)
		r = cgroup_tree_new(options->root, &sampler->cgroups);
	if (r == 0)
		r = programs_new(&sampler->programs);
	if (r < 0)
		return r;
	sampler->context = (struct collector_context){
		.root = options->root,
		.live = !options->root->recorded || (known && memcmp(running, options->boot_id, sizeof(running)) == 0),
		.btf_path = options->btf_path,
		.status = &sampler->status,
		.settings = &sampler->settings.collector,
		.lane = sampler->lane,
		.cgroups = sampler->cgroups,
		.programs = sampler->programs,
		.block_io_top = &sampler->block_io_top,
	};
	sampler->status.lane = sampler->lane;
	memcpy(sampler->boot_id, options->boot_id, sizeof(sampler->boot_id));
	memcpy(sampler->instance, options->instance, sizeof(sampler->instance));
	sampler->sequence = options->sequence;
	sampler->every_tick = options->every_tick;
	sampler->packed = BUF_INIT(SAMPLER_SNAPSHOT_MAX);
	if (!sampler->context.live)
		sampler->boottime_shift_us = recorded_shift_us(options->root);
	sampler->arena = arena_new(ARENA_MAX);
	sampler->summary = summary_new();
	if (!sampler->arena || !sampler->summary)
		return -ENOMEM;
	/* Collectors read the settings when they are made; periods are set when all of them are there. */
	sampler->settings = options->settings;
	for (size_t i = 0; options->collectors[i]; i++) {
		r = add_section(sampler, options->collectors[i], i < 64 && (options->disabled >> i & 1));
		if (r < 0)
			return r;
	}
	programs_forget_types(sampler->programs);
	return sampler_configure(sampler, &options->settings);
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
	bool ended = lane_free(sampler->lane);
	for (size_t i = 0; i < sampler->n; i++)
		section_destroy(&sampler->sections[i], ended);
	if (ended) {
		cgroup_tree_free(sampler->cgroups);
		programs_free(sampler->programs);
	}
	summary_free(sampler->summary);
	arena_free(sampler->arena);
	field_filter_free(sampler->filter);
	buf_free(&sampler->packed);
	if (ended)
		free(sampler);
}

bool sampler_is_live(const struct sampler *sampler)
{
	return sampler->context.live;
}

int sampler_configure(struct sampler *sampler, const struct sampler_settings *settings)
{
	struct field_filter *filter;
	const char *wrong;
	int r = field_filter_new(&settings->exclude, &filter, &wrong);
	if (r < 0)
		return r;
	field_filter_free(sampler->filter);
	sampler->filter = filter;
	if (settings != &sampler->settings)
		sampler->settings = *settings;
	for (size_t i = 0; i < sampler->n; i++) {
		struct section *section = &sampler->sections[i];
		uint32_t period_ms =
			settings->period_ms[i] > 0 ? settings->period_ms[i] : section->collector->period_ms;
		if (period_ms != section->period_ms)
			section->next_us = 0;
		section->period_ms = period_ms;
	}
	return 0;
}

void sampler_watch(struct sampler *sampler, sampler_set sections, uint64_t until_ns)
{
	sampler->watched = sections;
	sampler->watched_until_ns = until_ns;
}

size_t sampler_count(const struct sampler *sampler)
{
	return sampler->n;
}

struct sampler_collector sampler_at(const struct sampler *sampler, size_t i)
{
	const struct section *section = &sampler->sections[i];
	return (struct sampler_collector){
		.collector = section->collector, .state = section->state, .exists = section->exists};
}

uint64_t sampler_sequence(const struct sampler *sampler)
{
	return sampler->sequence;
}

struct agent_status *sampler_status(struct sampler *sampler)
{
	return &sampler->status;
}

static uint64_t now_us(const struct sampler *sampler)
{
	return clock_boottime_us() + (uint64_t)sampler->boottime_shift_us;
}

static void set_submessage(void *message, const ProtobufCFieldDescriptor *field, void *submessage)
{
	memcpy((char *)message + field->offset, &submessage, sizeof(void *));
}

static void collect(struct sampler *sampler, uint32_t interval_ms, Sonde__V1__Snapshot *snapshot)
{
	struct capabilities_thread rights;
	capabilities_of_thread(&rights);
	sampler_set watched = clock_monotonic_ns() < sampler->watched_until_ns ? sampler->watched : 0;
	for (size_t i = 0; i < sampler->n; i++) {
		struct section *section = &sampler->sections[i];
		const struct section_order order = {
			.now_us = now_us(sampler),
			.slack_us = (uint64_t)interval_ms * 500,
			.disabled = sampler->settings.disabled >> i & 1,
			.watched = watched >> i & 1,
			.every_tick = sampler->every_tick,
			.rights = &rights,
		};
		bool fresh;
		ProtobufCMessage *message =
			section_take(section, &order, sampler->arena, &sampler->status.collectors[i], &fresh);
		if (!message)
			continue;
		if (fresh)
			field_filter_apply(sampler->filter, message);
		set_submessage(snapshot, section->field, message);
	}
	capabilities_switch(&rights, 0);
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

	collect(sampler, interval_ms, &snapshot);
	lane_check(sampler->lane);
	snapshot.summary = summary_take(sampler->summary, &snapshot, sampler->arena);

	int r = pack(sampler, &snapshot);
	if (r < 0)
		return r;
	*ret_sequence = ++sampler->sequence;
	*ret_data = sampler->packed.data;
	*ret_len = sampler->packed.len;
	return 0;
}

bool sampler_settle(struct sampler *sampler, uint32_t max_ms)
{
	for (uint32_t ms = 0;; ms += SETTLE_STEP_MS) {
		size_t i = 0;
		while (i < sampler->n && !section_is_pending(&sampler->sections[i]))
			i++;
		if (i == sampler->n)
			return true;
		if (ms >= max_ms)
			return false;
		lane_check(sampler->lane);
		(void)poll(NULL, 0, SETTLE_STEP_MS);
	}
}
