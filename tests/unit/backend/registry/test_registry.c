#include "backend/registry/host_message.h"
#include "backend/registry/registry.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <sonde/v1/query.pb-c.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND 1000000ll

struct fixture {
	char directory[64];
	struct store *store;
	struct hub *hub;
	struct registry *registry;
	struct store_key key;
	int64_t now_us;
	/* What HUB_HOST said last, and how often. */
	unsigned n_news;
	Sonde__V1__Host__Status status;
	char warning[400];
};

static void on_frame(void *arg, struct hub_frame *frame)
{
	struct fixture *f = arg;
	if (frame->kind != HUB_HOST)
		return;
	Sonde__V1__Host *host = sonde__v1__host__unpack(NULL, frame->len, frame->bytes);
	assert_non_null(host);
	f->n_news++;
	f->status = host->status;
	snprintf(f->warning, sizeof(f->warning), "%s", host->warning ? host->warning : "");
	sonde__v1__host__free_unpacked(host, NULL);
}

static void open_all(struct fixture *f)
{
	char url[128], *error = NULL;
	snprintf(url, sizeof(url), "sqlite:%s/sonde.db", f->directory);
	assert_int_equal(store_open(url, &f->store, &error), 0);
	f->hub = hub_new();
	assert_non_null(f->hub);
	assert_int_equal(hub_subscribe(f->hub, on_frame, f), 0);
	assert_int_equal(registry_open(f->store, f->hub, &f->registry), 0);
}

static void close_all(struct fixture *f)
{
	registry_close(f->registry);
	hub_free(f->hub);
	store_close(f->store);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	snprintf(f->directory, sizeof(f->directory), "/tmp/sonde-registry-XXXXXX");
	if (sodium_init() < 0 || !mkdtemp(f->directory))
		return -1;
	open_all(f);
	f->key = (struct store_key){.tenant_id = STORE_TENANT_DEFAULT, .name = "first"};
	assert_int_equal(store_key_put(f->store, &f->key), 0);
	f->now_us = 1800000000 * SECOND;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	close_all(f);
	snprintf(command, sizeof(command), "rm -r %s", f->directory);
	int r = system(command);
	free(f);
	return r;
}

static int hello(struct fixture *f, uint8_t id, const char *name, char shown[STORE_HOSTNAME_MAX + 1])
{
	uint8_t host_id[16] = {id};
	return registry_hello(f->registry, &f->key, host_id, name, (const uint8_t *)"\x0a\x01x", 3, shown);
}

struct sent {
	uint8_t host, boot, instance;
	uint64_t sequence, boottime_us;
	int64_t agent_us;
	double busy;
	uint64_t memory_bytes; /* 0: the section says that it is not due */
};

static size_t pack(const struct sent *s, uint8_t bytes[512])
{
	uint8_t boot[16] = {s->boot}, instance[16] = {s->instance};
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Sonde__V1__Summary summary = SONDE__V1__SUMMARY__INIT;
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	time.seconds = s->agent_us / SECOND;
	summary.has_cpu_busy_ratio = true;
	summary.cpu_busy_ratio = s->busy;
	snapshot.has_boot_id = snapshot.has_instance = snapshot.has_sequence = true;
	snapshot.has_boottime_us = snapshot.has_interval_ms = true;
	snapshot.boot_id = (ProtobufCBinaryData){.len = 16, .data = boot};
	snapshot.instance = (ProtobufCBinaryData){.len = 16, .data = instance};
	snapshot.sequence = s->sequence;
	snapshot.boottime_us = s->boottime_us;
	snapshot.interval_ms = 1000;
	snapshot.timestamp = &time;
	snapshot.summary = &summary;
	Sonde__V1__State state = SONDE__V1__STATE__INIT;
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	memory.state = &state;
	snapshot.memory = &memory;
	state.has_code = true;
	state.code = s->memory_bytes > 0 ? SONDE__V1__STATE__CODE__CODE_OK : SONDE__V1__STATE__CODE__CODE_NOT_DUE;
	memory.has_total_bytes = s->memory_bytes > 0;
	memory.total_bytes = s->memory_bytes;
	return sonde__v1__snapshot__pack(&snapshot, bytes);
}

static void update(struct fixture *f, struct sent s)
{
	uint8_t bytes[512], host_id[16] = {s.host};
	char text[UUID_TEXT_SIZE];
	size_t len = pack(&s, bytes);
	encoding_uuid_format(host_id, text);
	struct hub_frame *frame =
		hub_frame_new(HUB_SNAPSHOT, 1, text, "a", schemas_own(registry_schemas(f->registry)), bytes, len);
	assert_non_null(frame);
	registry_update(f->registry, frame, f->now_us);
	hub_frame_unref(frame);
}

static Sonde__V1__Host *get(struct fixture *f, const char *name, struct hub_frame **frame)
{
	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	struct hub_frame *newest = NULL;
	assert_int_equal(registry_get(f->registry, 1, name, &out, &newest), 0);
	Sonde__V1__Host *host = sonde__v1__host__unpack(NULL, out.len, out.data);
	assert_non_null(host);
	if (frame)
		*frame = newest;
	else
		hub_frame_unref(newest);
	return host;
}

static uint64_t newest(struct fixture *f, const char *name)
{
	struct hub_frame *frame = NULL;
	sonde__v1__host__free_unpacked(get(f, name, &frame), NULL);
	uint64_t sequence = frame ? frame->index.sequence : 0;
	hub_frame_unref(frame);
	return sequence;
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1];
	assert_int_equal(hello(f, 1, "a", shown), 0);
	assert_string_equal(shown, "a");
	assert_int_equal(hello(f, 2, "a", shown), 1);
	assert_string_equal(shown, "a-2");
	assert_non_null(strstr(f->warning, "another host is called \"a\""));
	assert_int_equal(hello(f, 2, "a", shown), 1);
	assert_string_equal(shown, "a-2");
	assert_int_equal(hello(f, 2, "b", shown), 0);
	assert_string_equal(shown, "b");
	assert_string_equal(f->warning, "");
	assert_int_equal(registry_count(f->registry), 2);
	struct store_key other = {.tenant_id = STORE_TENANT_DEFAULT, .name = "other", .hash = {1}};
	assert_int_equal(store_key_put(f->store, &other), 0);
	assert_int_equal(registry_hello(f->registry, &other, (uint8_t[16]){1}, "a", NULL, 0, shown), -EACCES);
}

/* What the newest snapshot of the host says of its memory; 0 for nothing. */
static uint64_t memory_of(struct fixture *f, const char *name)
{
	struct hub_frame *frame = NULL;
	sonde__v1__host__free_unpacked(get(f, name, &frame), NULL);
	assert_non_null(frame);
	Sonde__V1__Snapshot *snapshot = sonde__v1__snapshot__unpack(NULL, frame->len, frame->bytes);
	assert_non_null(snapshot);
	assert_int_equal(snapshot->sequence, frame->index.sequence);
	assert_non_null(snapshot->summary);
	assert_non_null(snapshot->memory);
	uint64_t bytes = snapshot->memory->has_total_bytes ? snapshot->memory->total_bytes : 0;
	sonde__v1__snapshot__free_unpacked(snapshot, NULL);
	hub_frame_unref(frame);
	return bytes;
}

static void test_sections_that_are_not_due_are_held(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1];
	struct sent s = {.host = 1, .instance = 1, .sequence = 1, .boottime_us = 1, .memory_bytes = 70};
	assert_int_equal(hello(f, 1, "a", shown), 0);
	update(f, s);
	assert_int_equal(memory_of(f, "a"), 70);
	s.memory_bytes = 0;
	for (s.sequence = 2; s.sequence < 5; s.sequence++) {
		update(f, s);
		assert_int_equal(memory_of(f, "a"), 70);
		assert_int_equal(newest(f, "a"), s.sequence);
	}
	s.memory_bytes = 80;
	update(f, s);
	assert_int_equal(memory_of(f, "a"), 80);
	s.sequence++;
	s.memory_bytes = 0;
	update(f, s);
	assert_int_equal(memory_of(f, "a"), 80);

	/* Another start of the agent knows nothing of what the one before had read. */
	s.instance = 2;
	s.sequence = 1;
	s.boottime_us = 2;
	update(f, s);
	assert_int_equal(memory_of(f, "a"), 0);
	s.sequence = 2;
	update(f, s);
	assert_int_equal(memory_of(f, "a"), 0);
}

static void test_transitions(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1];
	assert_int_equal(hello(f, 1, "a", shown), 0);
	/* It has just said Hello; nothing is old enough yet to be missed. */
	assert_int_equal(f->status, SONDE__V1__HOST__STATUS__STATUS_LIVE);
	registry_tick(f->registry, f->now_us);
	assert_int_equal(f->status, SONDE__V1__HOST__STATUS__STATUS_OFFLINE);
	f->n_news = 0;
	update(f, (struct sent){.host = 1, .sequence = 1, .agent_us = f->now_us});
	assert_int_equal(f->n_news, 1);
	assert_int_equal(f->status, SONDE__V1__HOST__STATUS__STATUS_LIVE);
	update(f, (struct sent){.host = 1, .sequence = 2, .agent_us = f->now_us});
	registry_tick(f->registry, f->now_us + 5 * SECOND);
	assert_int_equal(f->n_news, 1);
	registry_tick(f->registry, f->now_us + 5 * SECOND + 1);
	assert_int_equal(f->n_news, 2);
	assert_int_equal(f->status, SONDE__V1__HOST__STATUS__STATUS_STALE);
	registry_tick(f->registry, f->now_us + 60 * SECOND);
	registry_tick(f->registry, f->now_us + 61 * SECOND);
	assert_int_equal(f->n_news, 3);
	assert_int_equal(f->status, SONDE__V1__HOST__STATUS__STATUS_OFFLINE);
	f->now_us += 100 * SECOND;
	update(f, (struct sent){.host = 1, .sequence = 3, .agent_us = f->now_us});
	assert_int_equal(f->n_news, 4);
	assert_int_equal(f->status, SONDE__V1__HOST__STATUS__STATUS_LIVE);
	update(f, (struct sent){.host = 99, .sequence = 1});
	assert_int_equal(f->n_news, 4);
}

static void test_newest_wins(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1];
	assert_int_equal(hello(f, 1, "a", shown), 0);
	assert_int_equal(newest(f, "a"), 0);
	update(f, (struct sent){.host = 1, .boot = 1, .instance = 1, .sequence = 10, .boottime_us = 100});
	update(f, (struct sent){.host = 1, .boot = 1, .instance = 1, .sequence = 9, .boottime_us = 200});
	assert_int_equal(newest(f, "a"), 10);
	/* The agent restarted: sequences begin anew, the boot clock does not. */
	update(f, (struct sent){.host = 1, .boot = 1, .instance = 2, .sequence = 1, .boottime_us = 300});
	assert_int_equal(newest(f, "a"), 1);
	update(f, (struct sent){.host = 1, .boot = 1, .instance = 1, .sequence = 11, .boottime_us = 299});
	assert_int_equal(newest(f, "a"), 1);
	/* The host restarted. */
	update(f,
	       (struct sent){.host = 1, .boot = 2, .instance = 3, .sequence = 2, .boottime_us = 1, .agent_us = SECOND});
	assert_int_equal(newest(f, "a"), 2);
	update(f, (struct sent){.host = 1, .boot = 1, .instance = 1, .sequence = 50, .boottime_us = 900});
	assert_int_equal(newest(f, "a"), 2);
	assert_int_equal(registry_newest_sequence(f->registry, (uint8_t[16]){1}, (uint8_t[16]){3}), 2);
	assert_int_equal(registry_newest_sequence(f->registry, (uint8_t[16]){1}, (uint8_t[16]){1}), 0);
	/* A host that was silent is believed whatever its clocks say. */
	registry_tick(f->registry, f->now_us + 90 * SECOND);
	update(f, (struct sent){.host = 1, .boot = 4, .instance = 5, .sequence = 3, .boottime_us = 1, .agent_us = 0});
	assert_int_equal(newest(f, "a"), 3);
}

static void test_host_message(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1], id[UUID_TEXT_SIZE];
	encoding_uuid_format((uint8_t[16]){1}, id);
	assert_int_equal(hello(f, 1, "a", shown), 0);
	update(f, (struct sent){.host = 1, .sequence = 1, .agent_us = f->now_us - 7 * SECOND, .busy = 0.25});
	Sonde__V1__Host *host = get(f, id, NULL);
	assert_string_equal(host->host_id, id);
	assert_string_equal(host->hostname, "a");
	assert_string_equal(host->facts->agent_version, "x");
	assert_int_equal(host->last_seen->seconds, f->now_us / SECOND);
	assert_int_equal(host->interval_ms, 1000);
	assert_int_equal(host->clock_skew_ms, -7000);
	assert_true(host->summary->cpu_busy_ratio == 0.25);
	assert_null(host->warning);
	sonde__v1__host__free_unpacked(host, NULL);

	registry_warn(f->registry, (uint8_t[16]){1}, "mind the gap");
	assert_string_equal(f->warning, "mind the gap");
	unsigned before = f->n_news;
	registry_warn(f->registry, (uint8_t[16]){1}, "mind the gap");
	assert_int_equal(f->n_news, before);
	registry_warn(f->registry, (uint8_t[16]){1}, NULL);
	assert_string_equal(f->warning, "");

	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	struct hub_frame *frame = NULL;
	assert_int_equal(registry_get(f->registry, 1, "b", &out, &frame), -ENOENT);
	assert_int_equal(registry_get(f->registry, 2, "a", &out, &frame), -ENOENT);
	assert_int_equal(registry_get(f->registry, 2, id, &out, &frame), -ENOENT);
	assert_int_equal(out.len, 0);
}

static void test_list_is_sorted_and_of_one_tenant(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1];
	assert_int_equal(hello(f, 1, "c", shown), 0);
	assert_int_equal(hello(f, 3, "a", shown), 0);
	assert_int_equal(hello(f, 2, "b", shown), 0);
	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	assert_int_equal(registry_list(f->registry, 1, &out), 0);
	Sonde__V1__ListHostsReply *reply = sonde__v1__list_hosts_reply__unpack(NULL, out.len, out.data);
	assert_non_null(reply);
	assert_int_equal(reply->n_servers, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(reply->servers[i]->hostname, ((const char *[]){"a", "b", "c"})[i]);
	sonde__v1__list_hosts_reply__free_unpacked(reply, NULL);
	size_t len = out.len;
	assert_int_equal(registry_list(f->registry, 2, &out), 0);
	assert_int_equal(out.len, len);
}

/* A summary that cannot be read must not take the list with it. */
static void test_malformed_summary_is_left_out(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1], id[UUID_TEXT_SIZE];
	static const uint8_t bytes[] = {0x52, 0x03, 0x0a, 0x01, 0xff}; /* summary { state: torn } */
	assert_int_equal(hello(f, 1, "a", shown), 0);
	encoding_uuid_format((uint8_t[16]){1}, id);
	struct hub_frame *frame = hub_frame_new(HUB_SNAPSHOT, 1, id, "a", schemas_own(registry_schemas(f->registry)),
						bytes, sizeof(bytes));
	assert_non_null(frame);
	registry_update(f->registry, frame, f->now_us);
	hub_frame_unref(frame);
	Sonde__V1__Host *host = get(f, "a", NULL);
	assert_null(host->summary);
	sonde__v1__host__free_unpacked(host, NULL);
}

static void appended(void *arg, int error, const enum store_fate *fates, size_t n)
{
	int(*pipe_fds)[2] = arg;
	assert_int_equal(error, 0);
	assert_int_equal(write((*pipe_fds)[1], "x", 1), 1);
}

static void test_restart_shows_what_was_known(void **state)
{
	struct fixture *f = *state;
	char shown[STORE_HOSTNAME_MAX + 1], byte;
	uint8_t bytes[512];
	int fds[2];
	assert_int_equal(hello(f, 1, "a", shown), 0);
	struct sent sent = {.host = 1, .sequence = 5, .agent_us = f->now_us, .busy = 0.75};
	struct store_snapshot row = {
		.sequence = 5, .received_us = f->now_us, .payload = bytes, .len = pack(&sent, bytes)};
	memcpy(row.descriptor_hash, descriptors_snapshot().sha256, 32);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(store_append(f->store, (uint8_t[16]){1}, (uint8_t[16]){0}, &row, 1, appended, &fds), 0);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	close(fds[1]);
	close_all(f);
	open_all(f);
	assert_int_equal(registry_count(f->registry), 1);
	assert_int_equal(newest(f, "a"), 5);
	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	assert_int_equal(registry_list(f->registry, 1, &out), 0);
	Sonde__V1__ListHostsReply *reply = sonde__v1__list_hosts_reply__unpack(NULL, out.len, out.data);
	assert_true(reply->servers[0]->summary->cpu_busy_ratio == 0.75);
	assert_string_equal(reply->servers[0]->facts->agent_version, "x");
	sonde__v1__list_hosts_reply__free_unpacked(reply, NULL);
}

static void test_status_of_an_age(void **state)
{
	assert_int_equal(host_status_at(0, 1000, 5), HOST_OFFLINE);
	assert_int_equal(host_status_at(SECOND, 1000, SECOND), HOST_LIVE);
	assert_int_equal(host_status_at(SECOND, 1000, 6 * SECOND), HOST_LIVE);
	assert_int_equal(host_status_at(SECOND, 1000, 6 * SECOND + 1), HOST_STALE);
	assert_int_equal(host_status_at(SECOND, 10000, 31 * SECOND), HOST_LIVE);
	assert_int_equal(host_status_at(SECOND, 10000, 32 * SECOND), HOST_STALE);
	assert_int_equal(host_status_at(SECOND, 1000, 61 * SECOND), HOST_OFFLINE);
	assert_int_equal(host_status_at(SECOND, UINT32_MAX, 100000 * SECOND), HOST_LIVE);
	assert_int_equal(host_status_at(100 * SECOND, 1000, SECOND), HOST_LIVE);
}

static void test_schemas(void **state)
{
	struct fixture *f = *state;
	struct schemas *schemas = registry_schemas(f->registry);
	struct descriptor_blob own = descriptors_snapshot();
	struct schema *schema = NULL;
	uint8_t hash[32];
	assert_int_equal(schemas_get(schemas, own.sha256, &schema), 1);
	assert_ptr_equal(schema, schemas_own(schemas));
	schema_unref(schema);
	/* The same set with an unknown field behind it is another set. */
	uint8_t *set = malloc(own.len + 2);
	memcpy(set, own.data, own.len);
	memcpy(set + own.len, "\x78\x01", 2);
	crypto_hash_sha256(hash, set, own.len + 2);
	assert_int_equal(schemas_get(schemas, hash, &schema), 0);
	assert_int_equal(schemas_put(schemas, own.sha256, set, own.len + 2, &schema), -EBADMSG);
	assert_int_equal(schemas_put(schemas, hash, set, own.len + 2, &schema), 0);
	BUF_CLEANUP struct buf json = BUF_INIT(100);
	assert_int_equal(schema_json(schema, "sonde.v1.GetHostReply", NULL, 0, &json), 0);
	schema_unref(schema);
	close_all(f);
	open_all(f);
	assert_int_equal(schemas_get(registry_schemas(f->registry), hash, &schema), 1);
	schema_unref(schema);
	crypto_hash_sha256(hash, set, own.len - 1);
	assert_true(schemas_put(registry_schemas(f->registry), hash, set, own.len - 1, &schema) < 0);
	free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_of_an_age),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sections_that_are_not_due_are_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transitions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newest_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_is_sorted_and_of_one_tenant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_summary_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart_shows_what_was_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_schemas, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
