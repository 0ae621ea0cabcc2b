/* Rows become chunks: all of them, each once, and in the right windows. */
#include "backend/history/seal.h"
#include "backend/history/tiers.h"
#include "tests/unit/backend/history/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int seal(struct history *h, const struct store_unsealed *host, int64_t upto_us, struct seal_result *result)
{
	const struct seal_job job = {
		.store = h->store, .schemas = h->schemas, .host = host, .upto_us = upto_us, .now_us = upto_us + 5};
	return seal_host(&job, result);
}

/* Over the ends of windows, with gaps, resets, restarts and a clock that is set. */
static void rows_become_chunks(void **state)
{
	struct history *h = *state;
	struct store_unsealed host;
	struct seal_result result;
	struct store_chunk *chunks;
	h->maker.tick.time_us += TIERS_HOUR_US - 100 * 1000000;
	int64_t last = history_append(h, 250);
	assert_int_equal(history_unsealed(h, &host), 1);
	assert_int_equal(seal(h, &host, last + 30000000, &result), 0);
	assert_int_equal(result.rows, 250);
	assert_int_equal(result.bad_rows + result.duplicates, 0);
	assert_false(result.more);
	assert_true(result.chunks >= 4);
	assert_int_equal(history_rows(h), 0);
	history_expect_sent(h);
	for (enum store_tier tier = STORE_TIER_RAW; tier <= STORE_TIER_PROCESSES; tier++) {
		size_t n = history_chunks(h, tier, 0, &chunks);
		assert_true(n >= 2);
		for (size_t i = 0; i < n; i++) {
			assert_true(chunks[i].window_us == tiers_window_of(tier, chunks[i].first_us));
			assert_true(chunks[i].window_us == tiers_window_of(tier, chunks[i].last_us));
			assert_true(chunks[i].made_us == last + 30000005);
			assert_false(chunks[i].compacted);
		}
		free(chunks);
	}
}

static void the_newest_stays_known(void **state)
{
	struct history *h = *state;
	uint8_t *payload, *sealed, hash[32];
	size_t len, sealed_len;
	int64_t received;
	history_append(h, 20);
	assert_int_equal(store_latest(h->store, h->host, &payload, &len, hash, &received), 1);
	history_seal_all(h);
	assert_int_equal(store_latest(h->store, h->host, &sealed, &sealed_len, hash, &received), 1);
	assert_int_equal(sealed_len, len);
	assert_memory_equal(sealed, payload, len);
	free(payload);
	free(sealed);
}

/* What came later stays a row, and is sealed the next time. */
static void only_what_was_received_up_to_then(void **state)
{
	struct history *h = *state;
	struct store_unsealed host;
	struct seal_result result;
	int64_t first = history_append(h, 60);
	h->received_us += 1000000000;
	history_append(h, 40);
	assert_int_equal(history_unsealed(h, &host), 1);
	assert_int_equal(seal(h, &host, first + 20000000, &result), 0);
	assert_int_equal(result.rows + history_rows(h), 100);
	assert_int_equal(history_rows(h), 40);
	history_seal_all(h);
	history_expect_sent(h);
}

static void what_is_stale_changes_nothing(void **state)
{
	struct history *h = *state;
	struct store_unsealed host;
	struct seal_result result;
	int64_t last = history_append(h, 10);
	assert_int_equal(history_unsealed(h, &host), 1);
	struct store_unsealed other = host;
	other.sealed_us = 12345;
	assert_int_equal(seal(h, &other, last + 30000000, &result), -ESTALE);
	assert_int_equal(history_rows(h), 10);
	assert_int_equal(seal(h, &host, last + 30000000, &result), 0);
	assert_int_equal(seal(h, &host, last + 30000000, &result), -ESTALE);
	history_expect_sent(h);
}

static void a_stop_is_heard(void **state)
{
	struct history *h = *state;
	struct store_unsealed host;
	struct seal_result result;
	atomic_bool stop = true;
	int64_t last = history_append(h, 10);
	assert_int_equal(history_unsealed(h, &host), 1);
	const struct seal_job job = {.store = h->store,
				     .schemas = h->schemas,
				     .host = &host,
				     .upto_us = last + 30000000,
				     .now_us = last,
				     .stop = &stop};
	assert_int_equal(seal_host(&job, &result), -ECANCELED);
	assert_int_equal(history_rows(h), 10);
}

/* Bytes that are no snapshot, and one that is cut: the others are kept, and of the second what can be read. */
static void a_bad_row_costs_itself(void **state)
{
	struct history *h = *state;
	struct store_unsealed host;
	struct seal_result result;
	static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 0x80};
	history_append(h, 30);
	int64_t at = h->received_us;
	history_append_payload(h, at + 1, at + 1, garbage, sizeof(garbage));
	history_append_payload(h, at + 2, at + 2, "", 0);
	history_append(h, 30);
	assert_int_equal(history_unsealed(h, &host), 1);
	assert_int_equal(seal(h, &host, at + 100000000000, &result), 0);
	assert_int_equal(result.rows, 62);
	assert_true(result.bad_rows == 1);
	assert_int_equal(history_rows(h), 0);
	/* An empty snapshot is a tick: somebody was there. */
	struct store_chunk *chunks;
	size_t n = history_chunks(h, STORE_TIER_RAW, 0, &chunks), ticks = 0;
	for (size_t i = 0; i < n; i++) {
		struct buf bytes BUF_CLEANUP = {0};
		struct chunk_reader chunk;
		history_read(h, &chunks[i], &bytes);
		assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
		ticks += chunk.n_ticks;
	}
	assert_int_equal(ticks, 61);
	free(chunks);
}

static void too_many_are_sealed_by_and_by(void **state)
{
	struct history *h = *state;
	struct store_unsealed host;
	struct seal_result result;
	struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16), sections BUF_CLEANUP = BUF_INIT(1 << 16),
			   payload BUF_CLEANUP = BUF_INIT(1 << 16);
	int64_t at = h->maker.tick.time_us;
	const struct columns_tick tick = {.interval_ms = 1000};
	fixture_custom_uint(&metrics, "n", 1);
	fixture_custom_section(&metrics, &sections);
	history_payload(h, &tick, &sections, &payload);
	/* As a backlog comes: its moments are old, it is received now. */
	uint64_t rows = 0, times = 0;
	for (int64_t i = 0; i < (SEAL_MAX_ROWS + 300) / 20; i++) {
		for (int64_t k = 0; k < 20; k++)
			history_append_payload(h, at + (i * 20 + k) * 1000000, at + i, payload.data, payload.len);
	}
	do {
		assert_int_equal(history_unsealed(h, &host), 1);
		assert_int_equal(seal(h, &host, at + 1000000, &result), 0);
		assert_true(result.rows <= SEAL_MAX_ROWS + 20);
		rows += result.rows;
		times++;
	} while (result.more);
	assert_int_equal(rows, SEAL_MAX_ROWS + 300);
	assert_int_equal(times, 2);
	assert_int_equal(history_rows(h), 0);
}

static void hosts_take_turns(void **state)
{
	const int64_t period = 600000000, now = 1795258800123456;
	unsigned seen[10] = {0};
	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t host[16] = {(uint8_t)i, (uint8_t)(i >> 8), 7};
		int64_t due = seal_due_us(host, now, period);
		assert_true(due <= now && due > now - period);
		assert_true(seal_due_us(host, due, period) == due);
		assert_true(seal_due_us(host, due - 1, period) == due - period);
		seen[(now - due) * 10 / period]++;
	}
	for (size_t i = 0; i < 10; i++)
		assert_in_range(seen[i], 50, 200);
	assert_true(seal_due_us((const uint8_t[16]){0}, -5, period) <= -5);
}

static void windows_are_whole(void **state)
{
	assert_true(tiers_window_of(STORE_TIER_RAW, 2 * TIERS_HOUR_US) == 2 * TIERS_HOUR_US);
	assert_true(tiers_window_of(STORE_TIER_RAW, 2 * TIERS_HOUR_US - 1) == 0);
	assert_true(tiers_window_of(STORE_TIER_PROCESSES, -1) == -TIERS_HOUR_US);
	assert_true(tiers_window_of(STORE_TIER_MINUTE, TIERS_DAY_US + 5) == TIERS_DAY_US);
	assert_true(tiers_window_of(STORE_TIER_RAW, INT64_MIN) == INT64_MIN);
	assert_int_equal(tiers_of_section(23), STORE_TIER_PROCESSES);
	assert_int_equal(tiers_of_section(CHUNK_SECTION_TEXTS + 23), STORE_TIER_PROCESSES);
	assert_int_equal(tiers_of_section(CHUNK_SECTION_TEXTS + 22), STORE_TIER_RAW);
}

#define HISTORY_TEST(f) cmocka_unit_test_setup_teardown(f, history_setup, history_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTORY_TEST(rows_become_chunks),
		HISTORY_TEST(the_newest_stays_known),
		HISTORY_TEST(only_what_was_received_up_to_then),
		HISTORY_TEST(what_is_stale_changes_nothing),
		HISTORY_TEST(a_stop_is_heard),
		HISTORY_TEST(a_bad_row_costs_itself),
		HISTORY_TEST(too_many_are_sealed_by_and_by),
		cmocka_unit_test(hosts_take_turns),
		cmocka_unit_test(windows_are_whole),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
