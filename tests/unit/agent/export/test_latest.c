/* What a reader sees of snapshots that come meanwhile, and what stands for sections that were not due. */
#include "agent/collector.h"
#include "agent/export/latest.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct packed {
	uint8_t data[4096];
	size_t len;
};

/* free_bytes below 0: the section is not due. */
static struct packed make(uint64_t sequence, int64_t free_bytes, uint64_t forks)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Sonde__V1__State ok = SONDE__V1__STATE__INIT, not_due = SONDE__V1__STATE__INIT;
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	Sonde__V1__Cpu cpu = SONDE__V1__CPU__INIT;
	SET(&ok, code, SONDE__V1__STATE__CODE__CODE_OK);
	SET(&not_due, code, SONDE__V1__STATE__CODE__CODE_NOT_DUE);
	SET(&snapshot, sequence, sequence);
	SET(&snapshot, interval_ms, 500);
	SET(&cpu, forks, forks);
	cpu.state = &ok;
	memory.state = free_bytes < 0 ? &not_due : &ok;
	if (free_bytes >= 0)
		SET(&memory, free_bytes, (uint64_t)free_bytes);
	snapshot.cpu = &cpu;
	snapshot.memory = &memory;
	struct packed packed;
	packed.len = sonde__v1__snapshot__get_packed_size(&snapshot);
	assert_true(packed.len <= sizeof(packed.data));
	(void)sonde__v1__snapshot__pack(&snapshot, packed.data);
	return packed;
}

static void publish(struct latest *latest, uint64_t sequence, int64_t free_bytes, uint64_t forks)
{
	struct packed packed = make(sequence, free_bytes, forks);
	assert_int_equal(latest_publish(latest, packed.data, packed.len), 0);
}

static void expect(const struct latest_snapshot *seen, uint64_t sequence, uint64_t free_bytes, uint64_t forks)
{
	Sonde__V1__Snapshot *snapshot = sonde__v1__snapshot__unpack(NULL, seen->len, seen->data);
	assert_non_null(snapshot);
	assert_int_equal(snapshot->sequence, sequence);
	assert_int_equal(snapshot->cpu->forks, forks);
	assert_true(snapshot->memory->has_free_bytes);
	assert_int_equal(snapshot->memory->free_bytes, free_bytes);
	assert_int_equal(snapshot->memory->state->code, SONDE__V1__STATE__CODE__CODE_OK);
	sonde__v1__snapshot__free_unpacked(snapshot, NULL);
}

static void sections_that_are_not_due_stay(void **state)
{
	(void)state;
	struct latest *latest = latest_new();
	assert_non_null(latest);
	assert_null(latest_get(latest).data);
	latest_put(latest);
	publish(latest, 1, 10, 100);
	publish(latest, 2, -1, 200);
	publish(latest, 3, -1, 300);
	struct latest_snapshot seen = latest_get(latest);
	assert_int_equal(seen.number, 3);
	assert_int_equal(seen.interval_ms, 500);
	expect(&seen, 3, 10, 300);
	latest_put(latest);
	publish(latest, 4, 40, 400);
	seen = latest_get(latest);
	expect(&seen, 4, 40, 400);
	latest_put(latest);
	latest_free(latest);
	latest_free(NULL);
}

static void what_is_read_does_not_change(void **state)
{
	(void)state;
	struct latest *latest = latest_new();
	publish(latest, 1, 10, 100);
	struct latest_snapshot seen = latest_get(latest);
	for (uint64_t i = 2; i < 10; i++)
		publish(latest, i, (int64_t)i, i);
	expect(&seen, 1, 10, 100);
	latest_put(latest);
	seen = latest_get(latest);
	expect(&seen, 9, 9, 9);
	latest_put(latest);
	latest_free(latest);
}

static void rubbish_changes_nothing(void **state)
{
	(void)state;
	struct latest *latest = latest_new();
	const uint8_t rubbish[] = {0x52, 0xff, 0xff, 0xff, 0x7f, 1};
	publish(latest, 1, 10, 100);
	for (int i = 0; i < 5; i++)
		assert_int_equal(latest_publish(latest, rubbish, sizeof(rubbish)), -EPROTO);
	struct latest_snapshot seen = latest_get(latest);
	expect(&seen, 1, 10, 100);
	latest_put(latest);
	latest_free(latest);
}

struct reader {
	struct latest *latest;
	_Atomic bool stop;
	uint64_t read;
};

/* All of a snapshot is of one moment. */
static void *read_on(void *arg)
{
	struct reader *reader = arg;
	while (!atomic_load(&reader->stop)) {
		struct latest_snapshot seen = latest_get(reader->latest);
		if (seen.data)
			expect(&seen, seen.number, 7 * seen.number, 3 * seen.number);
		reader->read += seen.data != NULL;
		latest_put(reader->latest);
	}
	return NULL;
}

static void one_writes_one_reads(void **state)
{
	(void)state;
	struct reader reader = {.latest = latest_new()};
	pthread_t thread;
	struct timespec before, after;
	assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	for (uint64_t i = 1; i <= 20000; i++)
		publish(reader.latest, i, (int64_t)(7 * i), 3 * i);
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	atomic_store(&reader.stop, true);
	pthread_join(thread, NULL);
	latest_free(reader.latest);
	print_message("%llu readings beside 20000 snapshots, %.2f us to make and leave one\n",
		      (unsigned long long)reader.read,
		      ((double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec)) / 2e7);
	assert_true(reader.read > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_that_are_not_due_stay),
		cmocka_unit_test(what_is_read_does_not_change),
		cmocka_unit_test(rubbish_changes_nothing),
		cmocka_unit_test(one_writes_one_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
