#include "backend/hub/hub.h"
#include "proto/descriptors.h"

#include <pthread.h>
#include <setjmp.h>
#include <sonde/v1/query.pb-c.h>
#include <sonde/v1/snapshot.pb-c.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST_ID "6f1c2a4e-9d3b-4c56-8a7e-0123456789ab"

static int setup(void **state)
{
	struct descriptor_blob set = descriptors_services();
	struct schema *schema = NULL;
	int r = schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema);
	*state = schema;
	return r;
}

static int teardown(void **state)
{
	schema_unref(*state);
	return 0;
}

static struct hub_frame *snapshot_frame(struct schema *schema, uint64_t sequence)
{
	static uint8_t instance[16] = "0123456789abcdef";
	uint8_t bytes[256];
	Sonde__V1__Summary summary = SONDE__V1__SUMMARY__INIT;
	Sonde__V1__Snapshot s = SONDE__V1__SNAPSHOT__INIT;
	summary.has_cpu_busy_ratio = true;
	summary.cpu_busy_ratio = 0.5;
	s.has_instance = s.has_sequence = true;
	s.instance = (ProtobufCBinaryData){.len = 16, .data = instance};
	s.sequence = sequence;
	s.summary = &summary;
	size_t len = sonde__v1__snapshot__pack(&s, bytes);
	return hub_frame_new(HUB_SNAPSHOT, 1, HOST_ID, "web-1", schema, bytes, len);
}

static void test_frame_holds_its_own_copy(void **state)
{
	struct hub_frame *frame = snapshot_frame(*state, 42);
	assert_non_null(frame);
	assert_int_equal(frame->index.sequence, 42);
	assert_int_equal(frame->index.n_sections, 1);
	assert_int_equal(frame->index.sections[0].number, 10);
	assert_string_equal(frame->host_id, HOST_ID);
	assert_string_equal(frame->hostname, "web-1");
	assert_ptr_equal(hub_frame_ref(frame), frame);
	hub_frame_unref(frame);
	assert_int_equal(frame->index.sequence, 42);
	hub_frame_unref(frame);
	hub_frame_unref(NULL);
}

static void test_frame_of_garbage_is_refused(void **state)
{
	char long_name[300];
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_null(hub_frame_new(HUB_SNAPSHOT, 1, HOST_ID, "web-1", *state, (const uint8_t *)"\xff", 1));
	assert_null(hub_frame_new(HUB_SNAPSHOT, 1, HOST_ID, long_name, *state, NULL, 0));
	struct hub_frame *empty = hub_frame_new(HUB_SNAPSHOT, 1, HOST_ID, "", *state, NULL, 0);
	assert_non_null(empty);
	hub_frame_unref(empty);
}

static void check_json(struct hub_frame *frame, const char *expected)
{
	const char *text, *again;
	size_t len, again_len;
	assert_int_equal(hub_frame_json(frame, &text, &len), 0);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
	assert_int_equal(hub_frame_json(frame, &again, &again_len), 0);
	assert_ptr_equal(again, text);
	hub_frame_unref(frame);
}

static void test_json_of_each_kind(void **state)
{
	struct hub_frame *frame = snapshot_frame(*state, 7);
	check_json(frame, "{\"type\":\"snapshot\",\"host_id\":\"" HOST_ID "\",\"hostname\":\"web-1\",\"durable\":false,"
			  "\"instance\":\"30313233343536373839616263646566\",\"sequence\":7,"
			  "\"summary\":{\"cpu_busy_ratio\":0.5}}");
	frame = snapshot_frame(*state, 8);
	frame->durable = true;
	check_json(frame, "{\"type\":\"snapshot\",\"host_id\":\"" HOST_ID "\",\"hostname\":\"web-1\",\"durable\":true,"
			  "\"instance\":\"30313233343536373839616263646566\",\"sequence\":8,"
			  "\"summary\":{\"cpu_busy_ratio\":0.5}}");

	uint8_t bytes[128];
	Sonde__V1__Host host = SONDE__V1__HOST__INIT;
	host.hostname = (char *)"a\"b";
	host.has_status = true;
	host.status = SONDE__V1__HOST__STATUS__STATUS_STALE;
	size_t len = sonde__v1__host__pack(&host, bytes);
	check_json(hub_frame_new(HUB_HOST, 1, HOST_ID, "a\"b", *state, bytes, len),
		   "{\"type\":\"host\",\"hostname\":\"a\\\"b\",\"status\":\"stale\"}");
	check_json(hub_frame_new(HUB_DURABLE, 1, HOST_ID, "web-1", *state, (const uint8_t *)"\x18\x05", 2),
		   "{\"type\":\"durable\",\"hostname\":\"web-1\",\"sequence\":5}");
	check_json(hub_frame_new(HUB_HOST, 1, HOST_ID, "", *state, NULL, 0), "{\"type\":\"host\"}");
}

static void test_json_that_cannot_be_made(void **state)
{
	const char *text;
	size_t len;
	struct hub_frame *frame = hub_frame_new(HUB_HOST, 1, HOST_ID, "", *state, (const uint8_t *)"\xff", 1);
	assert_true(hub_frame_json(frame, &text, &len) < 0);
	assert_true(hub_frame_json(frame, &text, &len) < 0);
	hub_frame_unref(frame);
	frame = hub_frame_new(HUB_HOST, 1, HOST_ID, "", NULL, NULL, 0);
	assert_true(hub_frame_json(frame, &text, &len) < 0);
	hub_frame_unref(frame);
}

static void count(void *arg, struct hub_frame *frame)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void test_subscribers_hear_until_they_leave(void **state)
{
	struct hub *hub = hub_new();
	struct hub_frame *frame = snapshot_frame(*state, 1);
	atomic_uint a = 0, b = 0;
	hub_publish(hub, frame);
	assert_int_equal(hub_subscribe(hub, count, &a), 0);
	assert_int_equal(hub_subscribe(hub, count, &b), 0);
	hub_publish(hub, frame);
	hub_unsubscribe(hub, count, &a);
	hub_unsubscribe(hub, count, &a);
	hub_publish(hub, frame);
	assert_int_equal(a, 1);
	assert_int_equal(b, 2);
	hub_frame_unref(frame);
	hub_free(hub);
	hub_free(NULL);
}

static void test_subscribers_have_a_maximum(void **state)
{
	struct hub *hub = hub_new();
	atomic_uint seen[100] = {0};
	int n = 0;
	while (n < 100 && hub_subscribe(hub, count, &seen[n]) == 0)
		n++;
	assert_int_equal(n, 64);
	hub_unsubscribe(hub, count, &seen[3]);
	assert_int_equal(hub_subscribe(hub, count, &seen[99]), 0);
	hub_free(hub);
}

/* --- races: meaningful under ThreadSanitizer, and counted without it ---------------------------------------------- */

struct keeper {
	pthread_mutex_t lock;
	struct hub_frame *newest;
	bool gone;
};

/* As a subscriber does that only enqueues: takes its own reference. */
static void keep(void *arg, struct hub_frame *frame)
{
	struct keeper *keeper = arg;
	pthread_mutex_lock(&keeper->lock);
	assert_false(keeper->gone);
	hub_frame_unref(keeper->newest);
	keeper->newest = hub_frame_ref(frame);
	pthread_mutex_unlock(&keeper->lock);
}

struct race {
	struct hub *hub;
	struct schema *schema;
	atomic_bool stop;
};

static void *publish(void *arg)
{
	struct race *race = arg;
	for (uint64_t i = 1; !atomic_load(&race->stop); i++) {
		struct hub_frame *frame = snapshot_frame(race->schema, i);
		hub_publish(race->hub, frame);
		hub_frame_unref(frame);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct race *race = arg;
	for (int i = 0; i < 300; i++) {
		struct keeper *keeper = calloc(1, sizeof(*keeper));
		const char *text;
		size_t len;
		pthread_mutex_init(&keeper->lock, NULL);
		assert_int_equal(hub_subscribe(race->hub, keep, keeper), 0);
		struct hub_frame *frame = NULL;
		while (!frame) {
			pthread_mutex_lock(&keeper->lock);
			frame = keeper->newest ? hub_frame_ref(keeper->newest) : NULL;
			pthread_mutex_unlock(&keeper->lock);
		}
		assert_int_equal(hub_frame_json(frame, &text, &len), 0);
		hub_frame_unref(frame);
		hub_unsubscribe(race->hub, keep, keeper);
		keeper->gone = true;
		hub_frame_unref(keeper->newest);
		pthread_mutex_destroy(&keeper->lock);
		free(keeper);
	}
	return NULL;
}

static void test_unsubscribing_while_publishing(void **state)
{
	struct race race = {.hub = hub_new(), .schema = *state};
	pthread_t publishers[2], visitors[2];
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&publishers[i], NULL, publish, &race), 0);
		assert_int_equal(pthread_create(&visitors[i], NULL, come_and_go, &race), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(visitors[i], NULL);
	atomic_store(&race.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(publishers[i], NULL);
	hub_free(race.hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_holds_its_own_copy),
		cmocka_unit_test(test_frame_of_garbage_is_refused),
		cmocka_unit_test(test_json_of_each_kind),
		cmocka_unit_test(test_json_that_cannot_be_made),
		cmocka_unit_test(test_subscribers_hear_until_they_leave),
		cmocka_unit_test(test_subscribers_have_a_maximum),
		cmocka_unit_test(test_unsubscribing_while_publishing),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
