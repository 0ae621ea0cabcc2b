/* The thread, with real time: intervals, live settings, missed ticks, and what a pushed configuration is answered. */
#include "agent/remote_config.h"
#include "agent/scheduler.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <sonde/v1/ingest.pb-c.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Atomic int block_ms; /* how long the next collection takes */

static void sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	nanosleep(&t, NULL);
}

static int make(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	*ret_self = NULL;
	return 0;
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	int ms = atomic_exchange(&block_ms, 0);
	if (ms > 0)
		sleep_ms(ms);
	return 0;
}

static void destroy(void *self)
{
}

static const struct collector memory = {
	.name = "memory", .reads = "", .needs = "", .create = make, .collect = collect, .destroy = destroy};
static const struct collector vmstat = {
	.name = "vmstat", .reads = "", .needs = "", .create = make, .collect = collect, .destroy = destroy};
static const struct collector *const table[] = {&memory, &vmstat, NULL};

struct fixture {
	struct tree tree;
	struct sampler *sampler;
	struct queue *queue;
	struct scheduler *scheduler;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.queue = queue_new(100)};
	tree_make(&f.tree);
	struct sampler_options options = {.collectors = table, .root = &f.tree.root};
	struct scheduler_settings settings = {.interval_ms = 100};
	*state = &f;
	return sampler_new(&options, &f.sampler) < 0 || scheduler_new(f.sampler, f.queue, &settings, &f.scheduler) < 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	scheduler_free(f->scheduler);
	sampler_free(f->sampler);
	queue_free(f->queue);
	tree_destroy(&f->tree);
	return 0;
}

static struct scheduler_settings settings_of(struct fixture *f)
{
	struct scheduler_settings settings;
	scheduler_settings(f->scheduler, &settings);
	return settings;
}

static Sonde__V1__Snapshot *snapshot_after(struct fixture *f, uint64_t after)
{
	uint64_t sequence;
	void *data;
	size_t len;
	for (int i = 0; i < 500; i++) {
		if (queue_next(f->queue, after, &sequence, &data, &len) == 1) {
			Sonde__V1__Snapshot *s = sonde__v1__snapshot__unpack(NULL, len, data);
			free(data);
			assert_non_null(s);
			assert_int_equal(s->sequence, after + 1);
			return s;
		}
		sleep_ms(10);
	}
	fail_msg("no snapshot after %d", (int)after);
	return NULL;
}

static void free_snapshot(Sonde__V1__Snapshot *s)
{
	sonde__v1__snapshot__free_unpacked(s, NULL);
}

static void test_ticks_at_whole_intervals(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(scheduler_start(f->scheduler), 0);
	Sonde__V1__Snapshot *first = snapshot_after(f, 0), *fourth = snapshot_after(f, 3);
	uint64_t elapsed_us = fourth->boottime_us - first->boottime_us;
	/* Ticks may be late on a loaded machine; they cannot be early. */
	assert_true(elapsed_us > 200000);
	assert_int_equal(first->interval_ms, 100);
	free_snapshot(first);
	free_snapshot(fourth);
	scheduler_stop(f->scheduler);
	uint64_t length = queue_stats(f->queue).length;
	sleep_ms(250);
	assert_int_equal(queue_stats(f->queue).length, length);
}

static void test_missed_ticks_are_counted(void **state)
{
	struct fixture *f = *state;
	atomic_store(&block_ms, 350);
	assert_int_equal(scheduler_start(f->scheduler), 0);
	free_snapshot(snapshot_after(f, 1));
	scheduler_stop(f->scheduler);
	assert_true(sampler_status(f->sampler)->missed_ticks >= 2);
	assert_true(sampler_status(f->sampler)->ticks >= 2);
}

static void test_settings_apply_live(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(scheduler_start(f->scheduler), 0);
	free_snapshot(snapshot_after(f, 0));
	assert_int_equal(scheduler_configure(f->scheduler, &(struct scheduler_settings){.interval_ms = 99}), -EINVAL);
	assert_int_equal(scheduler_configure(f->scheduler, &(struct scheduler_settings){.interval_ms = 3600001}),
			 -EINVAL);
	assert_int_equal(settings_of(f).interval_ms, 100);
	assert_int_equal(scheduler_configure(f->scheduler,
					     &(struct scheduler_settings){.interval_ms = 150, .sampler.disabled = 2}),
			 0);
	assert_int_equal(settings_of(f).interval_ms, 150);
	bool applied = false;
	for (uint64_t after = 1; after < 20 && !applied; after++) {
		Sonde__V1__Snapshot *s = snapshot_after(f, after);
		applied = s->interval_ms == 150;
		if (applied)
			assert_int_equal(s->vmstat->state->code, SONDE__V1__STATE__CODE__CODE_DISABLED);
		assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
		free_snapshot(s);
	}
	assert_true(applied);
}

static void test_bounds(void **state)
{
	struct fixture *f = *state;
	struct scheduler *scheduler = NULL;
	assert_int_equal(
		scheduler_new(f->sampler, f->queue, &(struct scheduler_settings){.interval_ms = 0}, &scheduler),
		-EINVAL);
	assert_null(scheduler);
	assert_int_equal(scheduler_next_ns(0, 100), 100);
	assert_int_equal(scheduler_next_ns(99, 100), 100);
	assert_int_equal(scheduler_next_ns(100, 100), 200);
	assert_true(scheduler_interval_valid(100) && scheduler_interval_valid(3600000));
	assert_false(scheduler_interval_valid(99) || scheduler_interval_valid(3600001) ||
		     scheduler_interval_valid(UINT64_MAX));
}

static Sonde__V1__ConfigStatus *push_bytes(struct fixture *f, const uint8_t *data, size_t len)
{
	static const struct scheduler_settings local = {
		.interval_ms = 100,
		.sampler = {.period_ms = {[1] = 700},
			    .exclude = {.n = 1, .names = {"memory.free_bytes"}},
			    .collector = {.command_line = COMMAND_LINE_SCRUBBED}},
	};
	struct remote_config remote = {.scheduler = f->scheduler, .collectors = table, .local = &local};
	size_t answer_len = 0;
	uint8_t *answer = remote_config_apply(&remote, data, len, &answer_len);
	assert_non_null(answer);
	Sonde__V1__ConfigStatus *status = sonde__v1__config_status__unpack(NULL, answer_len, answer);
	free(answer);
	assert_non_null(status);
	return status;
}

/* names end with NULL; a NULL list is an absent one */
static Sonde__V1__ConfigStatus *push(struct fixture *f, uint64_t revision, uint32_t interval_ms, char *const *names)
{
	uint8_t data[512];
	Sonde__V1__AgentConfig config = SONDE__V1__AGENT_CONFIG__INIT;
	SET(&config, revision, revision);
	if (interval_ms > 0)
		SET(&config, interval_ms, interval_ms);
	Sonde__V1__CollectorNames disabled = SONDE__V1__COLLECTOR_NAMES__INIT;
	disabled.names = (char **)names;
	while (names && names[disabled.n_names])
		disabled.n_names++;
	config.disabled_collectors = names ? &disabled : NULL;
	assert_true(sonde__v1__agent_config__get_packed_size(&config) < sizeof(data));
	return push_bytes(f, data, sonde__v1__agent_config__pack(&config, data));
}

static void test_pushed_configuration(void **state)
{
	struct fixture *f = *state;
	char *const none[] = {NULL};
	char *const one[] = {(char *)"vmstat", NULL};
	char *const wrong[] = {(char *)"memory", (char *)"g\xffpu", NULL};

	Sonde__V1__ConfigStatus *s = push(f, 5, 200, one);
	assert_true(s->applied && s->revision == 5 && !s->reason);
	assert_int_equal(s->in_force->interval_ms, 200);
	assert_int_equal(s->in_force->disabled_collectors->n_names, 1);
	assert_string_equal(s->in_force->disabled_collectors->names[0], "vmstat");
	sonde__v1__config_status__free_unpacked(s, NULL);

	/* What is absent stays. */
	s = push(f, 6, 0, NULL);
	assert_true(s->applied);
	assert_int_equal(s->in_force->interval_ms, 200);
	assert_int_equal(s->in_force->disabled_collectors->n_names, 1);
	sonde__v1__config_status__free_unpacked(s, NULL);

	/* Refused whole: the good half is not applied either. */
	s = push(f, 7, 300, wrong);
	assert_false(s->applied);
	assert_string_equal(s->reason, "there is no collector \"g?pu\"");
	assert_int_equal(s->in_force->interval_ms, 200);
	assert_int_equal(settings_of(f).sampler.disabled, 2);
	sonde__v1__config_status__free_unpacked(s, NULL);
	s = push(f, 8, 50, none);
	assert_false(s->applied);
	assert_non_null(strstr(s->reason, "interval_ms"));
	assert_int_equal(s->in_force->disabled_collectors->n_names, 1);
	sonde__v1__config_status__free_unpacked(s, NULL);

	s = push(f, 9, 0, none);
	assert_true(s->applied);
	assert_int_equal(s->in_force->disabled_collectors->n_names, 0);
	sonde__v1__config_status__free_unpacked(s, NULL);

	s = push_bytes(f, (const uint8_t *)"\xff\xff\xff", 3);
	assert_false(s->applied || s->has_revision);
	assert_non_null(s->reason);
	sonde__v1__config_status__free_unpacked(s, NULL);
}

static Sonde__V1__ConfigStatus *push_config(struct fixture *f, const Sonde__V1__AgentConfig *config)
{
	uint8_t data[2048];
	assert_true(sonde__v1__agent_config__get_packed_size(config) < sizeof(data));
	return push_bytes(f, data, sonde__v1__agent_config__pack(config, data));
}

/* What is in force afterwards is counted in the answer. */
static void push_perf(struct fixture *f, const char *event, const char *cgroup, const char *refused, size_t n_events,
		      size_t n_cgroups)
{
	Sonde__V1__AgentConfig config = SONDE__V1__AGENT_CONFIG__INIT;
	Sonde__V1__PerfEventNames events = SONDE__V1__PERF_EVENT_NAMES__INIT;
	Sonde__V1__CgroupPaths cgroups = SONDE__V1__CGROUP_PATHS__INIT;
	char *names[] = {(char *)"cycles", (char *)event}, *paths[] = {(char *)cgroup};
	events.names = names;
	events.n_names = event ? 2 : 0;
	cgroups.paths = paths;
	cgroups.n_paths = cgroup ? 1 : 0;
	config.perf_events = &events;
	config.perf_cgroups = &cgroups;
	SET(&config, perf_uncore, SONDE__V1__PERF_UNCORE_COUNTERS__PERF_UNCORE_COUNTERS_OFF);
	Sonde__V1__ConfigStatus *s = push_config(f, &config);
	assert_int_equal(s->applied, !refused);
	if (refused && !strstr(s->reason, refused))
		fail_msg("%s", s->reason);
	assert_int_equal(s->in_force->perf_events->n_names, n_events);
	assert_int_equal(s->in_force->perf_cgroups->n_paths, n_cgroups);
	sonde__v1__config_status__free_unpacked(s, NULL);
}

static void test_pushed_perf(void **state)
{
	struct fixture *f = *state;
	push_perf(f, "{r1,r2}", "/system.slice", NULL, 2, 1);
	assert_int_equal(settings_of(f).sampler.collector.perf_uncore, PERF_UNCORE_OFF);
	assert_string_equal(settings_of(f).sampler.collector.perf_events[1], "{r1,r2}");
	push_perf(f, "cylces", "/a", "perf_events: \"cylces\" is no event", 2, 1);
	push_perf(f, "cycles", "/a", "occurs twice", 2, 1);
	push_perf(f, "r1", "/a/..", "is no cgroup's path", 2, 1);
	assert_string_equal(settings_of(f).sampler.collector.perf_cgroups[0], "/system.slice");
	push_perf(f, NULL, NULL, NULL, 0, 0);
}

static void refused(struct fixture *f, const Sonde__V1__AgentConfig *config, const char *why)
{
	struct scheduler_settings before = settings_of(f);
	Sonde__V1__ConfigStatus *s = push_config(f, config);
	assert_false(s->applied);
	assert_non_null(strstr(s->reason, why));
	struct scheduler_settings after = settings_of(f);
	assert_memory_equal(&before, &after, sizeof(before));
	sonde__v1__config_status__free_unpacked(s, NULL);
}

static void test_pushed_periods_and_fields(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__AgentConfig config = SONDE__V1__AGENT_CONFIG__INIT;
	Sonde__V1__CollectorInterval memory_interval = SONDE__V1__COLLECTOR_INTERVAL__INIT,
				     *rows[] = {&memory_interval};
	Sonde__V1__CollectorIntervals intervals = {
		.base = PROTOBUF_C_MESSAGE_INIT(&sonde__v1__collector_intervals__descriptor),
		.n_intervals = 1,
		.intervals = rows,
	};
	char *fields[] = {(char *)"vmstat.*"};
	Sonde__V1__FieldNames excluded = SONDE__V1__FIELD_NAMES__INIT;
	excluded.n_names = 1;
	excluded.names = fields;
	memory_interval.collector = (char *)"memory";
	SET(&memory_interval, interval_ms, 5000);
	config.collector_intervals = &intervals;
	config.excluded_fields = &excluded;
	SET(&config, top, 7);
	SET(&config, command_lines, SONDE__V1__COMMAND_LINES__COMMAND_LINES_OFF);

	Sonde__V1__ConfigStatus *s = push_config(f, &config);
	assert_true(s->applied);
	/* What is pushed stands beside what the host itself says. */
	struct scheduler_settings now = settings_of(f);
	assert_int_equal(now.sampler.period_ms[0], 5000);
	assert_int_equal(now.sampler.period_ms[1], 700);
	assert_int_equal(now.sampler.exclude.n, 2);
	assert_string_equal(now.sampler.exclude.names[0], "memory.free_bytes");
	assert_int_equal(now.sampler.collector.top, 7);
	assert_int_equal(now.sampler.collector.command_line, COMMAND_LINE_OFF);
	assert_int_equal(s->in_force->collector_intervals->n_intervals, 2);
	assert_string_equal(s->in_force->excluded_fields->names[1], "vmstat.*");
	assert_int_equal(s->in_force->command_lines, SONDE__V1__COMMAND_LINES__COMMAND_LINES_OFF);
	sonde__v1__config_status__free_unpacked(s, NULL);

	SET(&config, command_lines, SONDE__V1__COMMAND_LINES__COMMAND_LINES_FULL);
	refused(f, &config, "own configuration");
	config.command_lines = 77;
	refused(f, &config, "does not know");
	config.has_command_lines = 0;
	config.top = 0;
	refused(f, &config, "top is 0");
	config.has_top = 0;
	fields[0] = (char *)"vmstat.nonsense";
	refused(f, &config, "vmstat.nonsense");
	config.excluded_fields = NULL;
	memory_interval.interval_ms = 99;
	refused(f, &config, "memory is 99");
	memory_interval.collector = NULL;
	refused(f, &config, "no collector \"\"");
}

static void test_a_short_period_makes_short_ticks(void **state)
{
	struct fixture *f = *state;
	struct scheduler_settings settings = {.interval_ms = 60000, .sampler.period_ms = {[1] = 100}};
	assert_int_equal(scheduler_tick_ms(&settings), 100);
	assert_int_equal(scheduler_configure(f->scheduler, &settings), 0);
	assert_int_equal(scheduler_start(f->scheduler), 0);
	Sonde__V1__Snapshot *first = snapshot_after(f, 0), *second = snapshot_after(f, 1),
			    *third = snapshot_after(f, 2);
	assert_int_equal(third->interval_ms, 100);
	assert_int_equal(first->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_int_equal(third->memory->state->code, SONDE__V1__STATE__CODE__CODE_NOT_DUE);
	assert_int_equal(second->vmstat->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_int_equal(third->vmstat->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	free_snapshot(first);
	free_snapshot(second);
	free_snapshot(third);
	settings.sampler.period_ms[1] = 99;
	assert_int_equal(scheduler_configure(f->scheduler, &settings), -EINVAL);
}

static void test_the_heart_beats_between_ticks(void **state)
{
	struct fixture *f = *state;
	struct scheduler_settings settings = {.interval_ms = 3600000};
	assert_int_equal(scheduler_configure(f->scheduler, &settings), 0);
	assert_int_equal(scheduler_start(f->scheduler), 0);
	uint64_t before_ns = scheduler_heartbeat_ns(f->scheduler);
	sleep_ms(2 * SCHEDULER_HEARTBEAT_MS + 200);
	assert_true(scheduler_heartbeat_ns(f->scheduler) > before_ns + 1000000000);
}

static void test_watch(void **state)
{
	struct fixture *f = *state;
	struct remote_config remote = {.scheduler = f->scheduler, .collectors = table};
	struct scheduler_settings settings = {.interval_ms = 100, .sampler.period_ms = {[0] = 3600000}};
	char *sections[] = {(char *)"gpu", (char *)"memory"};
	Sonde__V1__Watch watch = SONDE__V1__WATCH__INIT;
	assert_int_equal(scheduler_configure(f->scheduler, &settings), 0);
	watch.sections = sections;
	watch.n_sections = 2;
	SET(&watch, seconds, UINT32_MAX);
	remote_config_watch(&remote, &watch);
	assert_int_equal(scheduler_start(f->scheduler), 0);
	Sonde__V1__Snapshot *second = snapshot_after(f, 2);
	assert_int_equal(second->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	free_snapshot(second);
	watch.has_seconds = 0;
	remote_config_watch(&remote, &watch);
	Sonde__V1__Snapshot *later = snapshot_after(f, queue_newest(f->queue) + 1);
	assert_int_equal(later->memory->state->code, SONDE__V1__STATE__CODE__CODE_NOT_DUE);
	free_snapshot(later);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ticks_at_whole_intervals),	  TEST(test_missed_ticks_are_counted),
		TEST(test_settings_apply_live),		  TEST(test_bounds),
		TEST(test_pushed_configuration),	  TEST(test_pushed_perf),
		TEST(test_pushed_periods_and_fields),	  TEST(test_a_short_period_makes_short_ticks),
		TEST(test_the_heart_beats_between_ticks), TEST(test_watch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
