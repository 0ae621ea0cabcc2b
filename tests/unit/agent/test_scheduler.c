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
	return sampler_new(&options, &f.sampler) < 0 || scheduler_new(f.sampler, f.queue, settings, &f.scheduler) < 0;
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
	assert_int_equal(scheduler_configure(f->scheduler, (struct scheduler_settings){99, 0}), -EINVAL);
	assert_int_equal(scheduler_configure(f->scheduler, (struct scheduler_settings){3600001, 0}), -EINVAL);
	assert_int_equal(scheduler_settings(f->scheduler).interval_ms, 100);
	assert_int_equal(scheduler_configure(f->scheduler, (struct scheduler_settings){150, 2}), 0);
	assert_int_equal(scheduler_settings(f->scheduler).interval_ms, 150);
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
	assert_int_equal(scheduler_new(f->sampler, f->queue, (struct scheduler_settings){0, 0}, &scheduler), -EINVAL);
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
	struct remote_config remote = {.scheduler = f->scheduler, .collectors = table};
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
	assert_int_equal(scheduler_settings(f->scheduler).disabled, 2);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ticks_at_whole_intervals), TEST(test_missed_ticks_are_counted),
		TEST(test_settings_apply_live),	     TEST(test_bounds),
		TEST(test_pushed_configuration),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
