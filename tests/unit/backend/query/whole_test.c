/* A host at a moment out of rows alone is what it is; out of chunks, or of both, it has to be the same bytes. */
#include "backend/query/whole.h"

#include "common/wire.h"
#include "tests/unit/backend/columns/told.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKS 90
#define RESTART 60

static void ok(int r)
{
	assert_int_equal(r, 0);
}

static void add(struct history *h, const struct told *told, const struct buf *payload)
{
	h->snapshots = realloc(h->snapshots, (h->n + 1) * sizeof(*h->snapshots));
	assert_non_null(h->snapshots);
	struct history_snapshot *s = &h->snapshots[h->n++];
	*s = (struct history_snapshot){.tick = told->tick, .payload = BUF_INIT(1 << 20)};
	ok(buf_append(&s->payload, payload->data, payload->len));
}

static void make(struct history *h, uint64_t seed)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct told told;
	history_open(h);
	told_init(&told, seed);
	/* The hour ends in between, and with it a window of processes. */
	told.tick.time_us = (told.tick.time_us / 3600000000 + 1) * 3600000000 - 25 * 1000000;
	for (uint32_t i = 0; i < TICKS; i++) {
		if (i == RESTART)
			told_restart(&told);
		told_next(&told, &payload);
		add(h, &told, &payload);
	}
}

struct answer {
	bool found, complete, damaged;
	int64_t agent_us, complete_us;
	uint8_t hash[32];
	struct buf bytes;
};

static struct answer ask(struct history *h, int64_t at_us)
{
	struct answer answer = {.bytes = BUF_INIT(1 << 24)};
	struct whole whole;
	ok(whole_read(h->store, h->schemas, history_host, at_us, &whole));
	answer.found = whole.found;
	answer.damaged = whole.damaged;
	answer.agent_us = whole.agent_us;
	answer.complete = whole.processes.complete;
	answer.complete_us = whole.processes.complete_us;
	memcpy(answer.hash, whole.descriptor_hash, sizeof(answer.hash));
	if (whole.found)
		ok(whole_compose(&whole, &answer.bytes));
	whole_free(&whole);
	return answer;
}

static void same_but_for_damage(struct history *rows, struct history *other, int64_t at_us, bool damaged,
				const char *what)
{
	struct answer a = ask(rows, at_us), b = ask(other, at_us);
	if (a.damaged || b.damaged != damaged)
		fail_msg("%s: damage is told %d and %d", what, a.damaged, b.damaged);
	if (a.found != b.found || a.agent_us != b.agent_us)
		fail_msg("%s: found %d %lld and %d %lld", what, a.found, (long long)a.agent_us, b.found,
			 (long long)b.agent_us);
	if (a.complete != b.complete || a.complete_us != b.complete_us)
		fail_msg("%s: processes whole %d %lld and %d %lld", what, a.complete, (long long)a.complete_us,
			 b.complete, (long long)b.complete_us);
	if (a.bytes.len != b.bytes.len || (a.bytes.len > 0 && memcmp(a.bytes.data, b.bytes.data, a.bytes.len) != 0)) {
		struct buf x BUF_CLEANUP = BUF_INIT(1 << 24), y BUF_CLEANUP = BUF_INIT(1 << 24);
		ok(schema_json(fixture_schema(), "sonde.v1.Snapshot", a.bytes.data, a.bytes.len, &x));
		ok(schema_json(fixture_schema(), "sonde.v1.Snapshot", b.bytes.data, b.bytes.len, &y));
		fail_msg("%s:\n%.*s\nis\n%.*s", what, (int)x.len, (char *)x.data, (int)y.len, (char *)y.data);
	}
	buf_free(&a.bytes);
	buf_free(&b.bytes);
}

static void same_at(struct history *rows, struct history *other, int64_t at_us, const char *what)
{
	same_but_for_damage(rows, other, at_us, false, what);
}

/* At every snapshot, between two, before the first and long after the last. */
static void same_everywhere(struct history *rows, struct history *other, const char *what)
{
	char text[96];
	for (size_t i = 0; i < rows->n; i++) {
		snprintf(text, sizeof(text), "%s, tick %zu", what, i);
		same_at(rows, other, rows->snapshots[i].tick.time_us, text);
		if (i % 7 == 0)
			same_at(rows, other, rows->snapshots[i].tick.time_us + 300000, text);
	}
	same_at(rows, other, rows->snapshots[0].tick.time_us - 1, "before the first");
	same_at(rows, other, 0, "at the beginning");
	same_at(rows, other, rows->snapshots[rows->n - 1].tick.time_us + 90 * 86400 * 1000000ll, "months later");
}

static bool below(size_t i, size_t arg)
{
	return i < arg;
}

static bool from(size_t i, size_t arg)
{
	return i >= arg;
}

static bool every(size_t i, size_t arg)
{
	return i % arg == 0;
}

static bool between(size_t i, size_t arg)
{
	return i % arg != 0;
}

static void sealed_snapshots_are_what_rows_were(void **state)
{
	static const size_t sizes[] = {TICKS, 20, 7};
	struct history rows, sealed;
	make(&rows, 1);
	history_put_rows(&rows, NULL, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make(&sealed, 1);
		history_put_chunks(&sealed, NULL, NULL, 0, sizes[i], i == 0);
		same_everywhere(&rows, &sealed, "sealed");
		history_close(&sealed);
	}
	history_close(&rows);
}

static void rows_go_on_in_chunks(void **state)
{
	struct history rows, both;
	make(&rows, 2);
	history_put_rows(&rows, NULL, 0);
	for (size_t seam = 1; seam < TICKS; seam += 13) {
		make(&both, 2);
		history_put_chunks(&both, NULL, below, seam, 30, false);
		history_put_rows(&both, from, seam);
		same_everywhere(&rows, &both, "rows behind chunks");
		history_close(&both);
	}
	history_close(&rows);
}

/* What came late lies in rows while what is newer is sealed, and the other way round. */
static void rows_and_chunks_lie_among_each_other(void **state)
{
	struct history rows, both;
	make(&rows, 3);
	history_put_rows(&rows, NULL, 0);
	make(&both, 3);
	history_put_chunks(&both, NULL, from, 40, 25, false);
	history_put_rows(&both, below, 40);
	same_everywhere(&rows, &both, "rows before chunks");
	history_close(&both);
	make(&both, 3);
	history_put_chunks(&both, NULL, every, 3, TICKS, false);
	history_put_rows(&both, between, 3);
	same_everywhere(&rows, &both, "rows between ticks of chunks");
	history_close(&both);
	make(&both, 3);
	history_put_chunks(&both, NULL, between, 4, TICKS, false);
	history_put_chunks(&both, NULL, every, 4, TICKS, false);
	same_everywhere(&rows, &both, "chunks among each other");
	history_close(&both);
	history_close(&rows);
}

static void the_later_generation_is_right(void **state)
{
	struct history rows, other, both;
	make(&rows, 4);
	make(&other, 5);
	history_put_rows(&rows, NULL, 0);
	make(&both, 4);
	for (size_t i = 0; i < TICKS; i++)
		both.snapshots[i].tick.time_us = other.snapshots[i].tick.time_us = rows.snapshots[i].tick.time_us;
	/* First what another history says of these times, then the right one. */
	history_put_chunks(&both, &other, NULL, 0, 40, true);
	history_put_chunks(&both, NULL, NULL, 0, 30, false);
	same_everywhere(&rows, &both, "second generation");
	history_close(&both);
	history_close(&other);
	history_close(&rows);
}

/* A chunk that is damaged is not there; what is around it is. */
static void damage_is_a_hole(void **state)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24);
	struct chunk_builder *builder;
	struct history rows, both;
	make(&rows, 6);
	make(&both, 6);
	history_put_rows(&rows, below, 30);
	history_put_chunks(&both, NULL, below, 30, 30, false);
	ok(chunk_builder_new(1 << 26, &builder));
	for (size_t i = 30; i < 50; i++)
		fixture_add(builder, &both.snapshots[i].tick, &both.snapshots[i].payload);
	fixture_finish(builder, &chunk);
	struct chunk_reader reader;
	ok(chunk_open(chunk.data, chunk.len, &reader));
	chunk.data[(size_t)(reader.ticks - chunk.data) + 20] ^= 1;
	history_put(&both, STORE_TIER_RAW, 0, true, &chunk);
	for (size_t i = 0; i < 29; i++)
		same_at(&rows, &both, rows.snapshots[i].tick.time_us, "before the hole");
	same_but_for_damage(&rows, &both, both.snapshots[40].tick.time_us, true, "in the hole");
	same_but_for_damage(&rows, &both, both.snapshots[49].tick.time_us + 86400 * 1000000ll, true, "after the hole");
	history_close(&both);
	history_close(&rows);
}

/* Processes are kept for a shorter time than the rest. */
static void processes_may_be_gone(void **state)
{
	struct history h;
	struct whole whole;
	make(&h, 7);
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24), part BUF_CLEANUP = BUF_INIT(1 << 24);
	struct chunk_builder *builder;
	ok(chunk_builder_new(1 << 26, &builder));
	for (size_t i = 0; i < TICKS; i++) {
		buf_reset(&part);
		ok(snapshot_index_copy(h.snapshots[i].payload.data, h.snapshots[i].payload.len, ~(1ull << 23), &part));
		fixture_add(builder, &h.snapshots[i].tick, &part);
	}
	fixture_finish(builder, &chunk);
	history_put(&h, STORE_TIER_RAW, 0, true, &chunk);
	ok(whole_read(h.store, h.schemas, history_host, h.snapshots[50].tick.time_us, &whole));
	assert_true(whole.found);
	assert_int_equal(whole.agent_us, h.snapshots[50].tick.time_us);
	assert_false(whole.processes.begun);
	assert_int_equal(whole.index.n_sections, 6);
	whole_free(&whole);
	history_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_snapshots_are_what_rows_were),
		cmocka_unit_test(rows_go_on_in_chunks),
		cmocka_unit_test(rows_and_chunks_lie_among_each_other),
		cmocka_unit_test(the_later_generation_is_right),
		cmocka_unit_test(damage_is_a_hole),
		cmocka_unit_test(processes_may_be_gone),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
