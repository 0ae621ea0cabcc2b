/* What is kept of rows in memory: it is what was told, what is not kept is not claimed, and there is never more of it
 * than it may take. */
#include "backend/registry/recent.h"
#include "backend/registry/recent_fill.h"
#include "common/schema/snapshot_index.h"
#include "common/wire.h"
#include "tests/unit/cmocka_all.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000ll
#define CPU 11
#define MEMORY 12
#define TCP 21
#define PROCESSES 23

static const uint8_t host[16] = "host", other_host[16] = "other", instance[16] = "instance", another[16] = "another";

/* A snapshot whose sections are made of its number: cpu and tcp are always there, memory in each second. */
static void build(uint64_t number, struct buf *out)
{
	uint8_t bytes[4000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 97 == 0 ? number * (i + 1) : i);
	assert_int_equal(wire_put_bytes(out, 1, "boot boot boot b", 16), 0);
	assert_int_equal(wire_put_uint(out, 6, 1000), 0);
	assert_int_equal(wire_put_bytes(out, CPU, bytes, 300 + number % 7), 0);
	if (number % 2 == 0)
		assert_int_equal(wire_put_bytes(out, MEMORY, bytes, 200), 0);
	assert_int_equal(wire_put_bytes(out, TCP, bytes, 400), 0);
	assert_int_equal(wire_put_bytes(out, PROCESSES, bytes, sizeof(bytes)), 0);
}

static struct store_snapshot snapshot_of(uint64_t number, const struct buf *payload)
{
	return (struct store_snapshot){.sequence = number,
				       .agent_us = (int64_t)number * SECOND,
				       .boottime_us = number * 3,
				       .received_us = (int64_t)number * SECOND + 5,
				       .descriptor_hash = {7},
				       .payload = payload->data,
				       .len = payload->len};
}

static void tell(struct recent *recent, const uint8_t host_id[16], const uint8_t by[16], uint64_t number)
{
	BUF_CLEANUP struct buf payload = BUF_INIT(1 << 20);
	build(number, &payload);
	struct store_snapshot snapshot = snapshot_of(number, &payload);
	recent_add(recent, host_id, by, &snapshot);
}

static struct store_row listed(uint64_t number)
{
	return (struct store_row){
		.agent_us = (int64_t)number * SECOND, .received_us = (int64_t)number * SECOND + 5, .id = 9};
}

static struct recent_reader *open_all(struct recent *recent, const uint8_t host_id[16])
{
	struct recent_reader *reader;
	assert_int_equal(recent_open(recent, host_id, INT64_MIN, INT64_MAX, &reader), 0);
	return reader;
}

/* What is kept of a section of a snapshot is what it was; false when nothing is known of it. */
static bool has_it(struct recent_reader *reader, uint64_t number, uint32_t section, const uint8_t by[16])
{
	BUF_CLEANUP struct buf payload = BUF_INIT(1 << 20);
	struct snapshot_index was, is;
	struct store_row wanted = listed(number), row;
	const struct snapshot_slice *a = NULL, *b = NULL;
	if (!reader || recent_get(reader, &wanted, section, &row) == 0) {
		assert_false(reader && recent_has(reader, &wanted, section));
		return false;
	}
	assert_true(recent_has(reader, &wanted, section));
	build(number, &payload);
	assert_int_equal(row.sequence, number);
	assert_int_equal(row.boottime_us, number * 3);
	assert_int_equal(row.agent_us, wanted.agent_us);
	assert_int_equal(row.received_us, wanted.received_us);
	assert_int_equal(row.id, 9);
	assert_memory_equal(row.instance, by, 16);
	assert_int_equal(row.descriptor_hash[0], 7);
	assert_int_equal(snapshot_index_parse(payload.data, payload.len, &was), 0);
	assert_int_equal(snapshot_index_parse(row.payload, row.len, &is), 0);
	assert_memory_equal(is.boot_id, was.boot_id, 16);
	assert_int_equal(is.interval_ms, was.interval_ms);
	for (uint32_t i = 0; i < was.n_sections; i++)
		a = was.sections[i].number == section ? &was.sections[i] : a;
	for (uint32_t i = 0; i < is.n_sections; i++)
		b = is.sections[i].number == section ? &is.sections[i] : b;
	assert_int_equal(a != NULL, b != NULL);
	if (a) {
		assert_int_equal(a->len, b->len);
		assert_memory_equal(payload.data + a->offset, row.payload + b->offset, a->len);
	}
	return true;
}

static void what_was_told_is_there(void **state)
{
	struct recent *recent;
	assert_int_equal(recent_new(1 << 20, &recent), 0);
	assert_null(open_all(recent, host));
	/* Blocks full and not, of two runs of the agent. */
	for (uint64_t i = 1; i <= 50; i++)
		tell(recent, host, i <= 30 ? instance : another, i);
	assert_null(open_all(recent, other_host));
	struct recent_reader *reader = open_all(recent, host);
	/* What comes meanwhile is for the next. */
	tell(recent, host, another, 51);
	for (uint64_t i = 1; i <= 50; i++) {
		assert_true(has_it(reader, i, CPU, i <= 30 ? instance : another));
		assert_true(has_it(reader, i, MEMORY, i <= 30 ? instance : another));
	}
	for (uint64_t i = 50; i > 7; i -= 7)
		assert_true(has_it(reader, i, CPU, i <= 30 ? instance : another));
	assert_false(has_it(reader, 51, CPU, another));
	assert_false(has_it(reader, 1, TCP, instance));
	assert_false(has_it(reader, 1, PROCESSES, instance));
	recent_close(reader);
	/* Another moment is another row. */
	assert_int_equal(recent_open(recent, host, 10 * SECOND, 12 * SECOND, &reader), 0);
	for (uint64_t i = 1; i <= 51; i++)
		assert_int_equal(has_it(reader, i, CPU, instance), i >= 10 && i <= 12);
	struct store_row row = listed(11);
	row.received_us++;
	assert_false(recent_has(reader, &row, CPU));
	recent_close(reader);
	recent_free(recent);
}

static void what_was_asked_for_is_kept_since(void **state)
{
	struct recent *recent;
	assert_int_equal(recent_new(1 << 20, &recent), 0);
	tell(recent, host, instance, 1);
	recent_ask(recent, TCP);
	recent_ask(recent, PROCESSES);
	recent_ask(recent, 64);
	recent_ask(recent, UINT32_MAX);
	tell(recent, host, instance, 2);
	struct recent_reader *reader = open_all(recent, host);
	assert_false(has_it(reader, 1, TCP, instance));
	assert_true(has_it(reader, 2, TCP, instance));
	assert_false(has_it(reader, 2, 64, instance));
	recent_close(reader);
	recent_free(recent);
}

static void two_of_the_same_times_are_nobody(void **state)
{
	struct recent *recent;
	assert_int_equal(recent_new(1 << 20, &recent), 0);
	for (uint64_t i = 1; i <= 3; i++)
		tell(recent, host, instance, i);
	tell(recent, host, another, 2);
	struct recent_reader *reader = open_all(recent, host);
	assert_true(has_it(reader, 1, CPU, instance));
	assert_false(has_it(reader, 2, CPU, instance));
	assert_true(has_it(reader, 3, CPU, instance));
	recent_close(reader);
	recent_free(recent);
}

static void what_is_no_snapshot_and_what_is_late_is_not_kept(void **state)
{
	static const uint8_t garbage[] = {0x5a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1};
	BUF_CLEANUP struct buf payload = BUF_INIT(1 << 20);
	struct recent *recent;
	assert_int_equal(recent_new(1 << 20, &recent), 0);
	struct store_snapshot snapshot = {
		.sequence = 1, .agent_us = SECOND, .received_us = SECOND, .payload = garbage, .len = sizeof(garbage)};
	recent_add(recent, host, instance, &snapshot);
	build(2, &payload);
	snapshot = snapshot_of(2, &payload);
	snapshot.received_us += STORE_LATE_US;
	recent_add(recent, host, instance, &snapshot);
	assert_null(open_all(recent, host));
	/* A snapshot of nothing is one. */
	snapshot = (struct store_snapshot){.sequence = 3, .agent_us = 3 * SECOND, .received_us = 3 * SECOND + 5};
	recent_add(recent, host, instance, &snapshot);
	struct recent_reader *reader = open_all(recent, host);
	struct store_row row = listed(3);
	assert_true(recent_has(reader, &row, CPU));
	recent_close(reader);
	recent_free(recent);
}

/* However many hosts there are; and the newest are what is left. */
static void it_has_a_size(void **state)
{
	const size_t max = 512 << 10;
	static const unsigned hosts[] = {1, 40, 300, 3000};
	for (size_t k = 0; k < sizeof(hosts) / sizeof(hosts[0]); k++) {
		struct recent *recent;
		uint8_t id[16] = {0};
		assert_int_equal(recent_new(max, &recent), 0);
		for (uint64_t i = 1; i <= 6000 / hosts[k] + 60; i++) {
			for (uint32_t h = 0; h < hosts[k]; h++) {
				memcpy(id, &h, sizeof(h));
				tell(recent, id, instance, i);
			}
			/* Beside that, a host that is known takes a kilobyte. */
			assert_true(recent_bytes(recent) <= max + hosts[k] * 2048);
		}
		struct recent_reader *reader = open_all(recent, id);
		if (hosts[k] <= 40)
			assert_true(has_it(reader, 6000 / hosts[k] + 60, CPU, instance));
		assert_false(has_it(reader, 1, CPU, instance));
		recent_close(reader);
		recent_free(recent);
	}
}

/* A reader keeps what it has seen. */
static void what_goes_stays_for_who_reads(void **state)
{
	struct recent *recent;
	assert_int_equal(recent_new(64 << 10, &recent), 0);
	for (uint64_t i = 1; i <= 20; i++)
		tell(recent, host, instance, i);
	struct recent_reader *reader = open_all(recent, host);
	for (uint64_t i = 21; i <= 5000; i++)
		tell(recent, host, instance, i);
	for (uint64_t i = 1; i <= 20; i++)
		assert_true(has_it(reader, i, CPU, instance));
	recent_close(reader);
	reader = open_all(recent, host);
	assert_false(has_it(reader, 20, CPU, instance));
	assert_true(has_it(reader, 5000, CPU, instance));
	recent_close(reader);
	/* A quarter of an hour after the last word of a host nothing is left of it. */
	for (uint64_t i = 7000; i < 7000 + 5000; i++)
		tell(recent, other_host, instance, i);
	assert_null(open_all(recent, host));
	recent_free(recent);
}

static void appended(void *arg, int error, const enum store_fate *fates, size_t n)
{
	assert_int_equal(error, 0);
	sem_post(arg);
}

/* After a start it is read from the rows' beginnings. */
static void it_is_filled_from_a_store(void **state)
{
	char directory[] = "/tmp/sonde-recent-XXXXXX", url[64], command[64], *error = NULL;
	struct store_host known = {.tenant_id = STORE_TENANT_DEFAULT, .key_id = 1, .hostname = "a"};
	struct recent *recent;
	struct store *store;
	sem_t done;
	sem_init(&done, 0, 0);
	assert_non_null(mkdtemp(directory));
	snprintf(url, sizeof(url), "sqlite:%s/s.db", directory);
	assert_int_equal(store_open(url, &store, &error), 0);
	memcpy(known.host_id, host, 16);
	assert_int_equal(store_host_register(store, &known), 0);
	for (uint64_t i = 1; i <= 40; i++) {
		BUF_CLEANUP struct buf payload = BUF_INIT(1 << 20);
		build(i, &payload);
		struct store_snapshot snapshot = snapshot_of(i, &payload);
		assert_int_equal(store_append(store, host, instance, &snapshot, 1, appended, &done), 0);
		sem_wait(&done);
	}
	assert_int_equal(recent_new(1 << 20, &recent), 0);
	recent_ask(recent, TCP);
	recent_ask(recent, PROCESSES);
	assert_int_equal(recent_fill_now(store, recent, 11 * SECOND), 1);
	struct recent_reader *reader = open_all(recent, host);
	for (uint64_t i = 1; i <= 40; i++) {
		assert_int_equal(has_it(reader, i, CPU, instance), i > 10);
		assert_int_equal(has_it(reader, i, TCP, instance), i > 10);
		/* Too long for a beginning, and what is not in one may come later. */
		assert_false(has_it(reader, i, PROCESSES, instance));
		assert_int_equal(has_it(reader, i, MEMORY, instance), i > 10 && i % 2 == 0);
	}
	recent_close(reader);
	struct recent_fill *fill;
	assert_int_equal(recent_fill_start(store, recent, &fill), 0);
	recent_fill_stop(fill);
	recent_fill_stop(NULL);
	recent_free(recent);
	store_close(store);
	sem_destroy(&done);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_told_is_there),
		cmocka_unit_test(what_was_asked_for_is_kept_since),
		cmocka_unit_test(two_of_the_same_times_are_nobody),
		cmocka_unit_test(what_is_no_snapshot_and_what_is_late_is_not_kept),
		cmocka_unit_test(it_has_a_size),
		cmocka_unit_test(what_goes_stays_for_who_reads),
		cmocka_unit_test(it_is_filled_from_a_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
