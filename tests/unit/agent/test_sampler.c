/* Made-up collectors under real section names: what fails, fails alone. */
#include "agent/sampler.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

/* What the made-up memory collector does next. */
struct script {
	int result;
	struct collector_state state;
	int calls, destroyed;
	bool watched;
	sem_t go; /* of the slow one */
};

static struct script script;

static int make(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	*ret_self = &script;
	return 0;
}

static int refuse(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, -EACCES, "paranoid", "give it %s", "rights");
}

static int refuse_silently(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	return -EIO;
}

static int collect_memory(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct script *s = self;
	Sonde__V1__Memory *memory = (Sonde__V1__Memory *)section;
	s->calls++;
	s->watched = tick->watched;
	SET(memory, total_bytes, 42);
	*tick->state = s->state;
	return s->result;
}

static int collect_slowly(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct script *s = self;
	while (sem_wait(&s->go) != 0)
		;
	SET((Sonde__V1__Memory *)section, total_bytes, 43);
	return s->result;
}

static int collect_vmstat(void *self, struct tick *tick, ProtobufCMessage *section)
{
	SET((Sonde__V1__Vmstat *)section, page_faults, 7);
	return 0;
}

static void destroy(void *self)
{
	((struct script *)self)->destroyed++;
}

#define COLLECTOR(section, create_fn, collect_fn)                                                                      \
	{                                                                                                              \
		.name = section, .reads = "/proc/" section, .needs = "", .create = create_fn, .collect = collect_fn,   \
		.destroy = destroy                                                                                     \
	}

static const struct collector memory = COLLECTOR("memory", make, collect_memory);
static const struct collector vmstat = COLLECTOR("vmstat", make, collect_vmstat);
static const struct collector slow = {
	.name = "memory",
	.reads = "/proc/memory",
	.needs = "",
	.slow = true,
	.create = make,
	.collect = collect_slowly,
	.destroy = destroy,
};
static const struct collector denied = COLLECTOR("perf", refuse, collect_vmstat);
static const struct collector broken = COLLECTOR("cpu", refuse_silently, collect_vmstat);
static const struct collector unknown = COLLECTOR("nonsense", make, collect_vmstat);
static const struct collector not_a_section = COLLECTOR("sequence", make, collect_vmstat);
static const struct collector *const table[] = {&denied, &broken, &memory, &vmstat, NULL};

struct fixture {
	struct tree tree;
	struct sampler *sampler;
	Sonde__V1__Snapshot *snapshot;
};

static struct sampler_options options_for(struct fixture *f)
{
	return (struct sampler_options){
		.collectors = table, .root = &f->tree.root, .boot_id = {1, 2, 3}, .instance = {4, 5, 6}};
}

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.sampler = NULL};
	script = (struct script){.result = 0};
	tree_make(&f.tree);
	struct sampler_options options = options_for(&f);
	*state = &f;
	return sampler_new(&options, &f.sampler);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->snapshot)
		sonde__v1__snapshot__free_unpacked(f->snapshot, NULL);
	sampler_free(f->sampler);
	tree_destroy(&f->tree);
	return 0;
}

static const Sonde__V1__Snapshot *take(struct fixture *f)
{
	const uint8_t *data;
	size_t len;
	uint64_t sequence;
	if (f->snapshot)
		sonde__v1__snapshot__free_unpacked(f->snapshot, NULL);
	assert_int_equal(sampler_take(f->sampler, 250, &sequence, &data, &len), 0);
	f->snapshot = sonde__v1__snapshot__unpack(NULL, len, data);
	assert_non_null(f->snapshot);
	assert_int_equal(f->snapshot->sequence, sequence);
	return f->snapshot;
}

static void test_header(void **state)
{
	struct fixture *f = *state;
	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->sequence, 1);
	assert_int_equal(s->interval_ms, 250);
	assert_int_equal(s->boot_id.len, 16);
	assert_int_equal(s->boot_id.data[2], 3);
	assert_int_equal(s->instance.data[0], 4);
	assert_true(s->timestamp->seconds > 1600000000);
	uint64_t boottime_us = s->boottime_us;
	s = take(f);
	assert_int_equal(s->sequence, 2);
	assert_true(s->boottime_us >= boottime_us);
	assert_non_null(s->summary);
	assert_null(s->block_io); /* not in the table: not asked for */
}

static void test_ok(void **state)
{
	struct fixture *f = *state;
	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_null(s->memory->state->reason);
	assert_null(s->memory->state->detail);
	assert_true(s->memory->state->has_collected_at_us && s->memory->state->has_duration_us);
	assert_int_equal(s->memory->total_bytes, 42);
	assert_int_equal(s->vmstat->page_faults, 7);
}

static void test_failure_drops_the_contents(void **state)
{
	struct fixture *f = *state;
	script.result = -EPROTO;
	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_FAILED);
	assert_string_equal(s->memory->state->reason, "malformed");
	assert_non_null(strstr(s->memory->state->detail, "/proc/memory"));
	assert_true(s->memory->state->has_duration_us);
	assert_false(s->memory->has_total_bytes);
	assert_int_equal(s->vmstat->page_faults, 7); /* the others are not touched */
	assert_int_equal(s->vmstat->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	const struct agent_status *status = sampler_status(f->sampler);
	assert_int_equal(status->collectors[2].runs, 1);
	assert_int_equal(status->collectors[2].failures, 1);
	assert_int_equal(status->collectors[3].failures, 0);

	script.result = 0;
	s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_null(s->memory->state->reason);
	assert_int_equal(s->memory->total_bytes, 42);
}

static void test_failure_in_its_own_words(void **state)
{
	struct fixture *f = *state;
	script.result = -EIO;
	(void)collector_fail(&script.state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, 0, "gone", "plug it in \xff");
	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(s->memory->state->reason, "gone");
	assert_string_equal(s->memory->state->detail, "plug it in ?");
	assert_false(s->memory->has_total_bytes);
}

static void test_degraded_keeps_the_contents(void **state)
{
	struct fixture *f = *state;
	(void)collector_fail(&script.state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "untraced", "1 of 100");
	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_int_equal(s->memory->total_bytes, 42);
}

static void test_cannot_be_made(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		const Sonde__V1__Snapshot *s = take(f);
		assert_int_equal(s->perf->state->code, SONDE__V1__STATE__CODE__CODE_DENIED);
		assert_string_equal(s->perf->state->reason, "paranoid");
		assert_string_equal(s->perf->state->detail, "give it rights");
		assert_int_equal(s->cpu->state->code, SONDE__V1__STATE__CODE__CODE_FAILED);
		assert_string_equal(s->cpu->state->reason, "error");
	}
	assert_int_equal(sampler_status(f->sampler)->collectors[0].runs, 0);
	assert_false(sampler_at(f->sampler, 0).exists);
	assert_true(sampler_at(f->sampler, 2).exists);
}

static void test_disabled_live(void **state)
{
	struct fixture *f = *state;
	struct sampler_settings settings;
	sampler_default_settings(&settings);
	settings.disabled = 1 << sampler_find(table, "memory");
	assert_int_equal(sampler_configure(f->sampler, &settings), 0);
	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_DISABLED);
	assert_false(s->memory->has_total_bytes);
	assert_int_equal(script.calls, 0);
	settings.disabled = 0;
	assert_int_equal(sampler_configure(f->sampler, &settings), 0);
	s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_int_equal(s->memory->total_bytes, 42);
}

static void test_disabled_from_the_start(void **state)
{
	struct fixture *f = *state;
	struct sampler *sampler;
	struct sampler_options options = options_for(f);
	options.disabled = 1 << sampler_find(table, "vmstat");
	assert_int_equal(sampler_new(&options, &sampler), 0);
	assert_false(sampler_at(sampler, 3).exists);
	assert_int_equal(sampler_at(sampler, 3).state.code, SONDE__V1__STATE__CODE__CODE_DISABLED);
	sampler_free(sampler);
	assert_int_equal(script.destroyed, 1); /* memory alone was made */
}

static void test_excluded_fields(void **state)
{
	struct fixture *f = *state;
	struct sampler_settings settings;
	sampler_default_settings(&settings);
	settings.exclude.n = 2;
	(void)snprintf(settings.exclude.names[0], FIELD_NAME_SIZE, "memory.total_bytes");
	(void)snprintf(settings.exclude.names[1], FIELD_NAME_SIZE, "memory.nonsense");
	assert_int_equal(sampler_configure(f->sampler, &settings), -EINVAL);
	assert_true(take(f)->memory->has_total_bytes);
	settings.exclude.n = 1;
	assert_int_equal(sampler_configure(f->sampler, &settings), 0);
	const Sonde__V1__Snapshot *s = take(f);
	assert_false(s->memory->has_total_bytes);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_true(s->vmstat->has_page_faults);
}

static void test_a_period_longer_than_the_tick(void **state)
{
	struct fixture *f = *state;
	struct sampler_settings settings;
	size_t at = (size_t)sampler_find(table, "memory");
	sampler_default_settings(&settings);
	settings.period_ms[at] = 3600000;
	assert_int_equal(sampler_configure(f->sampler, &settings), 0);
	const Sonde__V1__Snapshot *s = take(f);
	assert_true(s->memory->has_total_bytes);
	uint64_t collected_us = s->memory->state->collected_at_us;
	s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_NOT_DUE);
	assert_false(s->memory->has_total_bytes);
	assert_int_equal(s->memory->state->collected_at_us, collected_us);
	assert_true(s->vmstat->has_page_faults);
	assert_int_equal(script.calls, 1);

	/* Whoever looks at it has it at every tick, and whole. */
	sampler_watch(f->sampler, 1ull << at, UINT64_MAX);
	s = take(f);
	assert_true(s->memory->has_total_bytes);
	assert_true(script.watched);
	sampler_watch(f->sampler, 1ull << at, 1);
	assert_int_equal(take(f)->memory->state->code, SONDE__V1__STATE__CODE__CODE_NOT_DUE);
	settings.period_ms[at] = 0;
	assert_int_equal(sampler_configure(f->sampler, &settings), 0);
	assert_true(take(f)->memory->has_total_bytes);
	assert_false(script.watched);
}

static void test_a_slow_collector_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct sampler_options options = options_for(f);
	static const struct collector *const slow_table[] = {&slow, &vmstat, NULL};
	options.collectors = slow_table;
	sampler_free(f->sampler);
	f->sampler = NULL;
	sem_init(&script.go, 0, 0);
	assert_int_equal(sampler_new(&options, &f->sampler), 0);

	const Sonde__V1__Snapshot *s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_STARTING);
	assert_true(s->vmstat->has_page_faults);
	assert_false(sampler_settle(f->sampler, 20));
	sem_post(&script.go);
	assert_true(sampler_settle(f->sampler, 2000));
	s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_int_equal(s->memory->total_bytes, 43);
	assert_int_equal(sampler_status(f->sampler)->collectors[0].runs, 1);
	uint64_t collected_us = s->memory->state->collected_at_us;
	assert_true(collected_us > 0 && collected_us < s->boottime_us);

	/* The next one is under way, then fails: the section says so and holds nothing. */
	script.result = -EPROTO;
	s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_NOT_DUE);
	assert_int_equal(s->memory->state->collected_at_us, collected_us);
	sem_post(&script.go);
	assert_true(sampler_settle(f->sampler, 2000));
	s = take(f);
	assert_int_equal(s->memory->state->code, SONDE__V1__STATE__CODE__CODE_FAILED);
	assert_string_equal(s->memory->state->reason, "malformed");
	assert_false(s->memory->has_total_bytes);
	assert_int_equal(sampler_status(f->sampler)->collectors[0].failures, 1);
	sem_post(&script.go);
}

static void test_wrong_table(void **state)
{
	struct fixture *f = *state;
	struct sampler *sampler = NULL;
	struct sampler_options options = options_for(f);
	const struct collector *const bad[] = {&memory, &unknown, NULL};
	options.collectors = bad;
	assert_int_equal(sampler_new(&options, &sampler), -EINVAL);
	const struct collector *const worse[] = {&not_a_section, NULL};
	options.collectors = worse;
	assert_int_equal(sampler_new(&options, &sampler), -EINVAL);
	assert_null(sampler);
	assert_int_equal(sampler_find(table, "nonsense"), -ENOENT);
	assert_int_equal(script.destroyed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_header),
		TEST(test_ok),
		TEST(test_failure_drops_the_contents),
		TEST(test_failure_in_its_own_words),
		TEST(test_degraded_keeps_the_contents),
		TEST(test_cannot_be_made),
		TEST(test_disabled_live),
		TEST(test_disabled_from_the_start),
		TEST(test_excluded_fields),
		TEST(test_a_period_longer_than_the_tick),
		TEST(test_a_slow_collector_is_not_waited_for),
		TEST(test_wrong_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
