/* Requests of live clients, the queue that forgets, the newest of each host, and the messages themselves. */
#include "backend/web/live_frame.h"
#include "backend/web/live_hosts.h"
#include "backend/web/live_queue.h"
#include "backend/web/live_request.h"
#include "common/wire.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST_A "00000000-0000-0000-0000-00000000000a"

static int json(const char *text, struct live_request *request)
{
	char error[160] = "";
	int r = live_request_parse_json(text, strlen(text), request, error, sizeof(error));
	assert_true(r == 0 || (r == -EINVAL && error[0]));
	return r;
}

static void json_requests(void **state)
{
	struct live_request request;
	assert_int_equal(json("{\"type\":\"authenticate\",\"token\":\"a.b.c\"}", &request), 0);
	assert_int_equal(request.kind, LIVE_AUTHENTICATE);
	assert_string_equal(request.token, "a.b.c");
	assert_int_equal(json("{\"type\":\"subscribe\",\"hosts\":[\"web\",\"db\"],\"sections\":[\"cpu\",\"block_io\"]}",
			      &request),
			 0);
	assert_int_equal(request.kind, LIVE_SUBSCRIBE);
	assert_true(live_subscription_wants(&request.subscription, HOST_A, "web"));
	assert_true(live_subscription_wants(&request.subscription, HOST_A, "db"));
	assert_false(live_subscription_wants(&request.subscription, HOST_A, "web2"));
	assert_int_equal(request.subscription.n_sections, 2);
	assert_string_equal(request.subscription.sections[1], "block_io");
	live_subscription_free(&request.subscription);
	assert_int_equal(
		json("{\"type\":\"subscribe\",\"hosts\":[\"00000000-0000-0000-0000-00000000000A\"]}", &request), 0);
	assert_true(live_subscription_wants(&request.subscription, HOST_A, "web"));
	live_subscription_free(&request.subscription);
	assert_int_equal(json("{\"type\":\"subscribe\"}", &request), 0);
	assert_false(live_subscription_wants(&request.subscription, HOST_A, "web"));
	assert_int_equal(json("{\"type\":\"subscribe\",\"hosts\":[\"x\",\"*\"]}", &request), 0);
	assert_true(live_subscription_wants(&request.subscription, HOST_A, "web"));
	live_subscription_free(&request.subscription);
}

static void bad_json_requests(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"\"subscribe\"",
		"{}",
		"{\"type\":1}",
		"{\"type\":\"other\"}",
		"{\"type\":\"authenticate\"}",
		"{\"type\":\"authenticate\",\"token\":1}",
		"{\"type\":\"authenticate\",\"token\":\"\"}",
		"{\"type\":\"authenticate\",\"token\":\"a\",\"hosts\":[]}",
		"{\"type\":\"subscribe\",\"hosts\":\"*\"}",
		"{\"type\":\"subscribe\",\"hosts\":[1]}",
		"{\"type\":\"subscribe\",\"hosts\":[\"\"]}",
		"{\"type\":\"subscribe\",\"hosts\":[\"a\\u0000b\"]}",
		"{\"type\":\"subscribe\",\"sections\":[\"CPU\"]}",
		"{\"type\":\"subscribe\",\"sections\":[\"\"]}",
		"{\"type\":\"subscribe\",\"section\":[\"cpu\"]}",
		"{\"type\":\"subscribe\",\"type\":\"subscribe\"}",
		"{\"type\":\"subscribe\",\"hosts\":[\"a\"]} x",
		("{\"type\":\"subscribe\",\"hosts\":[\"a\"],\"sections\":["
		 "\"0123456789012345678901234567890123456789012345678901234567890123\"]}"),
	};
	struct live_request request;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(json(bad[i], &request), -EINVAL);
	struct buf BUF_CLEANUP many = BUF_INIT(1u << 20);
	assert_int_equal(buf_append_str(&many, "{\"type\":\"subscribe\",\"hosts\":[\"a\""), 0);
	for (int i = 0; i < LIVE_MAX_HOSTS; i++)
		assert_int_equal(buf_append_str(&many, ",\"a\""), 0);
	assert_int_equal(buf_append(&many, "]}", 3), 0);
	assert_int_equal(json((const char *)many.data, &request), -EINVAL);
	char deep[20001];
	memset(deep, '[', 20000);
	deep[20000] = '\0';
	assert_int_equal(json(deep, &request), -EINVAL);
}

static void wire_requests(void **state)
{
	struct live_request request;
	char error[160];
	assert_int_equal(live_request_parse_wire((const uint8_t *)"\x0a\x05\x0a\x03"
								  "abc",
						 7, &request, error, 160),
			 0);
	assert_int_equal(request.kind, LIVE_AUTHENTICATE);
	assert_string_equal(request.token, "abc");
	const uint8_t subscribe[] = "\x12\x0c\x0a\x03web\x12\x03"
				    "cpu\x18\x01"; /* with an unknown field */
	assert_int_equal(live_request_parse_wire(subscribe, 14, &request, error, 160), 0);
	assert_true(live_subscription_wants(&request.subscription, HOST_A, "web"));
	assert_string_equal(request.subscription.sections[0], "cpu");
	live_subscription_free(&request.subscription);
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"", 0},
		{"\x0a", 1},
		{"\x0a\x05\x0a\x03"
		 "ab",
		 6},			 /* truncated */
		{"\x08\x01", 2},	 /* wrong type */
		{"\x0a\x00", 2},	 /* no token */
		{"\x0a\x02\x08\x01", 4}, /* token is a number */
		{"\x1a\x00", 2},	 /* unknown kind only */
		{"\x12\x00\x12\x00", 4}, /* twice */
		{"\x0a\x03\x0a\x01"
		 "a\x12\x00",
		 7},			     /* both */
		{"\x12\x02\x0a\x00", 4},     /* empty host */
		{"\x12\x03\x0a\x01\xff", 5}, /* not UTF-8 */
		{"\x12\x03\x12\x01"
		 "A",
		 5}, /* not a section's name */
		{"\x12\x02\x08\x01", 4},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11},
		{"\x0b\x0c", 2}, /* a group */
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error[0] = '\0';
		assert_int_equal(
			live_request_parse_wire((const uint8_t *)bad[i].bytes, bad[i].len, &request, error, 160),
			-EINVAL);
		assert_true(error[0]);
	}
}

/* --- queue ------------------------------------------------------------------------------------------------------ */

static void push(struct live_queue *queue, bool snapshot, size_t len, uint64_t now)
{
	char *data = calloc(1, len + 1);
	assert_non_null(data);
	struct live_message *message = live_message_new(true, snapshot, data, len);
	assert_non_null(message);
	assert_int_equal(live_queue_push(queue, message, now), 0);
	live_message_unref(message);
	free(data);
}

static void queue_drops_the_oldest_snapshots_first(void **state)
{
	struct live_queue queue = {0};
	push(&queue, false, 10, 1);
	for (int i = 0; i < 8; i++)
		push(&queue, true, 1u << 20, 1);
	/* 8 MiB are full with seven of them and the ten bytes: one has gone. */
	assert_int_equal(queue.n, 8);
	assert_int_equal(queue.dropped, 1);
	assert_true(queue.bytes <= LIVE_QUEUE_BYTES);
	push(&queue, false, 20, 2);
	push(&queue, true, 3u << 20, 3);
	assert_int_equal(queue.dropped, 4);
	size_t others = 0;
	struct live_message *message;
	while ((message = live_queue_pop(&queue))) {
		others += !message->snapshot;
		live_message_unref(message);
	}
	assert_int_equal(others, 2); /* what is not a snapshot was kept */
	assert_int_equal(queue.bytes, 0);
	assert_int_equal(queue.n, 0);
}

static void queue_without_snapshots_is_bounded_too(void **state)
{
	struct live_queue queue = {0};
	for (int i = 0; i < LIVE_QUEUE_MESSAGES + 100; i++)
		push(&queue, false, 1, 1);
	assert_int_equal(queue.n, LIVE_QUEUE_MESSAGES);
	assert_int_equal(queue.dropped, 100);
	live_queue_clear(&queue);
	assert_null(live_queue_pop(&queue));
	push(&queue, true, LIVE_QUEUE_BYTES + 1, 1); /* alone, anything goes: it was made by us */
	assert_int_equal(queue.n, 1);
	live_queue_clear(&queue);
}

static void queue_is_stuck_after_30_s_of_drops(void **state)
{
	struct live_queue queue = {0};
	const uint64_t second = 1000000000;
	for (int i = 0; i < 9; i++)
		push(&queue, true, 1u << 20, 100 * second);
	assert_false(live_queue_is_stuck(&queue, 129 * second));
	assert_true(live_queue_is_stuck(&queue, 130 * second));
	live_queue_clear(&queue); /* it was empty once: it keeps up */
	assert_false(live_queue_is_stuck(&queue, 1000 * second));
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

static struct schema *schema;

static int compile(void **state)
{
	struct descriptor_blob set = descriptors_snapshot();
	return schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema);
}

static int release(void **state)
{
	schema_unref(schema);
	return 0;
}

static struct hub_frame *snapshot(int64_t tenant, const char *host_id, uint64_t sequence, uint64_t boottime_us)
{
	struct buf BUF_CLEANUP bytes = BUF_INIT(1000);
	assert_int_equal(wire_put_uint(&bytes, 3, sequence), 0);
	assert_int_equal(wire_put_uint(&bytes, 5, boottime_us), 0);
	assert_int_equal(wire_put_bytes(&bytes, 10, "\x0a\x00", 2), 0); /* summary */
	assert_int_equal(wire_put_bytes(&bytes, 11, "\x0a\x00", 2), 0); /* cpu */
	struct hub_frame *frame = hub_frame_new(HUB_SNAPSHOT, tenant, host_id, "we\"b", schema, bytes.data, bytes.len);
	assert_non_null(frame);
	assert_int_equal(snapshot_index_parse(bytes.data, bytes.len, &frame->index), 0);
	return frame;
}

static int update(struct live_hosts *hosts, int64_t tenant, const char *host_id, uint64_t sequence,
		  uint64_t boottime_us, size_t *place)
{
	struct hub_frame *frame = snapshot(tenant, host_id, sequence, boottime_us);
	int r = live_hosts_update(hosts, frame, place);
	hub_frame_unref(frame);
	return r;
}

static void newest_of_each_host(void **state)
{
	struct live_hosts *hosts = live_hosts_new();
	size_t place = 99;
	assert_non_null(hosts);
	assert_int_equal(update(hosts, 1, "a", 1, 10, &place), 1);
	assert_int_equal(place, 0);
	assert_int_equal(update(hosts, 1, "b", 1, 10, &place), 1);
	assert_int_equal(place, 1);
	assert_int_equal(update(hosts, 2, "a", 1, 10, &place), 1); /* another tenant's */
	assert_int_equal(place, 2);
	assert_int_equal(update(hosts, 1, "a", 3, 30, &place), 1);
	assert_int_equal(place, 0);
	assert_int_equal(update(hosts, 1, "a", 2, 20, &place), 0); /* backfill */
	assert_int_equal(update(hosts, 1, "a", 3, 30, &place), 0); /* again */
	assert_int_equal(live_hosts_newest(hosts, 0)->index.sequence, 3);
	assert_int_equal(live_hosts_count(hosts), 3);
	for (int i = 0; i < 1000; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "host-%d", i);
		assert_int_equal(update(hosts, 1, name, 1, 10, &place), 1);
		assert_int_equal(place, 3 + i);
	}
	live_hosts_free(hosts);
	live_hosts_free(NULL);
}

static void frames_become_messages(void **state)
{
	struct hub_frame *frame = snapshot(1, HOST_A, 7, 10);
	struct live_subscription cpu = {.all_hosts = true, .n_sections = 2, .sections = {"cpu", "no_such"}};
	int error = 0;
	assert_true(live_frame_mask(frame, &cpu) == UINT64_C(1) << 11);
	cpu.n_sections = 0;
	assert_true(live_frame_mask(frame, &cpu) == UINT64_MAX);
	struct live_message *whole = live_frame_message(frame, true, UINT64_MAX, &error);
	assert_non_null(whole);
	/* The agent's bytes stand in it as they came. */
	assert_memory_equal(whole->text + whole->len - frame->len, frame->bytes, frame->len);
	struct live_message *part = live_frame_message(frame, true, UINT64_C(1) << 11, &error);
	assert_non_null(part);
	assert_int_equal(part->len, whole->len - 4);
	struct live_message *text = live_frame_message(frame, false, UINT64_C(1) << 11, &error);
	static const char want[] =
		"{\"type\":\"snapshot\",\"host_id\":\"" HOST_A
		"\",\"hostname\":\"we\\\"b\",\"durable\":false,\"sequence\":7,\"boottime_us\":10,\"cpu\":{";
	assert_non_null(text);
	assert_memory_equal(text->text, want, sizeof(want) - 1);
	assert_int_equal(text->text[text->len - 1], '}');
	assert_null(memmem(text->text, text->len, "summary", 7));
	struct live_message *all = live_frame_message(frame, false, UINT64_MAX, &error);
	assert_non_null(all);
	assert_non_null(memmem(all->text, all->len, "\"summary\"", 9));
	live_message_unref(whole);
	live_message_unref(part);
	live_message_unref(text);
	live_message_unref(all);
	hub_frame_unref(frame);
}

static void broken_snapshots_are_no_messages(void **state)
{
	struct hub_frame *frame = snapshot(1, HOST_A, 7, 10);
	int error = 0;
	frame->bytes[0] = 0xff; /* what ingest would have refused */
	assert_null(live_frame_message(frame, false, UINT64_C(1) << 11, &error));
	assert_true(error < 0);
	hub_frame_unref(frame);
	struct live_message *message = live_frame_error(false, "bad_request", "a \"quoted\" word");
	static const char want[] =
		"{\"type\":\"error\",\"code\":\"bad_request\",\"message\":\"a \\\"quoted\\\" word\"}";
	assert_non_null(message);
	assert_int_equal(message->len, sizeof(want) - 1);
	assert_memory_equal(message->text, want, sizeof(want) - 1);
	live_message_unref(message);
	live_message_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_requests),
		cmocka_unit_test(bad_json_requests),
		cmocka_unit_test(wire_requests),
		cmocka_unit_test(queue_drops_the_oldest_snapshots_first),
		cmocka_unit_test(queue_without_snapshots_is_bounded_too),
		cmocka_unit_test(queue_is_stuck_after_30_s_of_drops),
		cmocka_unit_test(newest_of_each_host),
		cmocka_unit_test(frames_become_messages),
		cmocka_unit_test(broken_snapshots_are_no_messages),
	};
	return cmocka_run_group_tests(tests, compile, release);
}
