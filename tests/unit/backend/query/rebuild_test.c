#include "backend/query/rebuild.h"

#include "backend/columns/chunk_merge.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/backend/columns/told.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICKS 120

static void ok(int r)
{
	assert_int_equal(r, 0);
}

static int read_buf(void *arg, uint64_t offset, size_t len, uint8_t *data)
{
	const struct buf *bytes = arg;
	if (offset > bytes->len || len > bytes->len - offset)
		return -ERANGE;
	memcpy(data, bytes->data + offset, len);
	return 0;
}

static struct rebuild *open_chunk(struct buf *chunk)
{
	const struct rebuild_source source = {.read = read_buf, .arg = chunk, .len = chunk->len};
	struct rebuild *rebuild;
	ok(rebuild_open(&source, fixture_schema(), &rebuild));
	return rebuild;
}

static void put_all(struct rebuild *rebuild, uint32_t tick, struct buf *out)
{
	buf_reset(out);
	ok(rebuild_put_header(rebuild, tick, out));
	for (uint32_t number = 0; (number = rebuild_next_section(rebuild, number)) != 0;) {
		ok(rebuild_load(rebuild, number, tick, tick));
		ok(rebuild_put(rebuild, number, tick, out));
	}
}

struct snapshots {
	struct columns_tick ticks[TICKS];
	struct buf payloads[TICKS];
};

static void make(struct snapshots *s, uint64_t seed)
{
	struct told told;
	told_init(&told, seed);
	for (uint32_t i = 0; i < TICKS; i++) {
		s->payloads[i] = BUF_INIT(1 << 20);
		told_next(&told, &s->payloads[i]);
		s->ticks[i] = told.tick;
	}
}

static void forget(struct snapshots *s)
{
	for (uint32_t i = 0; i < TICKS; i++)
		buf_free(&s->payloads[i]);
}

/* Every tick of the chunk is the same bytes as the snapshot of its time. */
static void same_bytes(struct buf *chunk, const struct snapshots *s)
{
	struct buf again BUF_CLEANUP = BUF_INIT(1 << 24);
	struct rebuild *rebuild = open_chunk(chunk);
	uint32_t n;
	rebuild_ticks(rebuild, &n);
	assert_int_equal(n, TICKS);
	for (uint32_t i = 0; i < n; i++) {
		put_all(rebuild, i, &again);
		if (again.len != s->payloads[i].len || memcmp(again.data, s->payloads[i].data, again.len) != 0) {
			struct buf a BUF_CLEANUP = BUF_INIT(1 << 24), b BUF_CLEANUP = BUF_INIT(1 << 24);
			ok(schema_json(fixture_schema(), "sonde.v1.Snapshot", s->payloads[i].data, s->payloads[i].len,
				       &a));
			ok(schema_json(fixture_schema(), "sonde.v1.Snapshot", again.data, again.len, &b));
			fail_msg("tick %u:\n%.*s\nis\n%.*s", i, (int)a.len, (char *)a.data, (int)b.len, (char *)b.data);
		}
	}
	assert_false(rebuild_damaged(rebuild));
	rebuild_free(rebuild);
}

static void build(const struct snapshots *s, const uint32_t *order, uint32_t from, uint32_t to, struct buf *chunk)
{
	struct chunk_builder *builder;
	ok(chunk_builder_new(1 << 28, &builder));
	for (uint32_t i = from; i < to; i++) {
		uint32_t k = order ? order[i] : i;
		fixture_add(builder, &s->ticks[k], &s->payloads[k]);
	}
	fixture_finish(builder, chunk);
}

static void a_chunk_is_its_snapshots(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24);
		struct snapshots s;
		make(&s, seed);
		build(&s, NULL, 0, TICKS, &chunk);
		same_bytes(&chunk, &s);
		forget(&s);
	}
}

static void the_order_in_which_they_came_does_not_matter(void **state)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24), sorted BUF_CLEANUP = BUF_INIT(1 << 24);
	struct snapshots s;
	uint32_t order[TICKS];
	uint64_t seed = 3;
	make(&s, 11);
	for (uint32_t i = 0; i < TICKS; i++)
		order[i] = i;
	for (uint32_t i = TICKS - 1; i > 0; i--) {
		uint32_t k = (uint32_t)(fixture_random(&seed) % (i + 1)), v = order[i];
		order[i] = order[k];
		order[k] = v;
	}
	build(&s, order, 0, TICKS, &chunk);
	same_bytes(&chunk, &s);
	build(&s, NULL, 0, TICKS, &sorted);
	assert_int_equal(chunk.len, sorted.len);
	assert_memory_equal(chunk.data, sorted.data, sorted.len);
	forget(&s);
}

static void merge(const struct buf *parts, uint32_t n, struct buf *out)
{
	struct chunk_bytes bytes[TICKS];
	struct chunk_merge_result result;
	uint32_t bad;
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (struct chunk_bytes){.data = parts[i].data, .len = parts[i].len};
	ok(chunk_merge(bytes, n, INT64_MIN, INT64_MAX, out, &result, &bad));
	assert_int_equal(result.damaged_sections, 0);
}

static void chunks_behind_each_other_merge(void **state)
{
	for (uint32_t each = 1; each <= 40; each = each * 3 + 2) {
		struct buf merged BUF_CLEANUP = BUF_INIT(1 << 24), parts[TICKS];
		struct snapshots s;
		uint32_t n = 0;
		make(&s, 20 + each);
		for (uint32_t i = 0; i < TICKS; i += each) {
			parts[n] = BUF_INIT(1 << 24);
			build(&s, NULL, i, i + each < TICKS ? i + each : TICKS, &parts[n++]);
		}
		merge(parts, n, &merged);
		same_bytes(&merged, &s);
		for (uint32_t i = 0; i < n; i++)
			buf_free(&parts[i]);
		forget(&s);
	}
}

/* Two chunks whose ticks lie among each other, and a later generation that has other snapshots of some of the times. */
static void generations_merge(void **state)
{
	struct buf merged BUF_CLEANUP = BUF_INIT(1 << 24), parts[3];
	struct snapshots s, other;
	uint32_t order[TICKS], n = 0, evens;
	make(&s, 31);
	make(&other, 32);
	for (uint32_t i = 0; i < TICKS; i += 2)
		order[n++] = i;
	evens = n;
	for (uint32_t i = 1; i < TICKS; i += 2)
		order[n++] = i;
	for (uint32_t i = 0; i < 3; i++)
		parts[i] = BUF_INIT(1 << 24);
	/* What the second half of the ticks said at first was something else. */
	for (uint32_t i = 0; i < TICKS; i++)
		other.ticks[i].time_us = s.ticks[i].time_us;
	build(&other, NULL, TICKS / 2, TICKS, &parts[0]);
	build(&s, order, 0, evens, &parts[1]);
	build(&s, order, evens, TICKS, &parts[2]);
	merge(parts, 3, &merged);
	same_bytes(&merged, &s);
	for (uint32_t i = 0; i < 3; i++)
		buf_free(&parts[i]);
	forget(&s);
	forget(&other);
}

/* Any numbers, and rows that are there twice: what the walk says is the same. */
static void numbers_of_any_kind_come_back(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 26), again BUF_CLEANUP = BUF_INIT(1 << 24), payload[TICKS];
		struct facts sent = {0}, kept = {0};
		struct chunk_builder *builder;
		struct maker maker;
		maker_init(&maker, seed, seed % 2);
		ok(chunk_builder_new(1 << 28, &builder));
		for (uint32_t i = 0; i < TICKS; i++) {
			payload[i] = BUF_INIT(1 << 20);
			maker_next(&maker, &payload[i]);
			facts_of_payload(&sent, &maker.tick, fixture_schema(), payload[i].data, payload[i].len);
			fixture_add(builder, &maker.tick, &payload[i]);
			buf_free(&payload[i]);
		}
		fixture_finish(builder, &chunk);
		struct rebuild *rebuild = open_chunk(&chunk);
		uint32_t n;
		const struct columns_tick *ticks = rebuild_ticks(rebuild, &n);
		for (uint32_t i = 0; i < n; i++) {
			put_all(rebuild, i, &again);
			facts_of_payload(&kept, &ticks[i], fixture_schema(), again.data, again.len);
		}
		assert_int_equal(kept.n, sent.n);
		assert_int_equal(facts_common(&kept, &sent), sent.n);
		rebuild_free(rebuild);
		facts_free(&sent);
		facts_free(&kept);
	}
}

static void sections_say_when_they_were_read(void **state)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24);
	struct snapshots s;
	enum rebuild_presence presence;
	make(&s, 41);
	build(&s, NULL, 0, TICKS, &chunk);
	struct rebuild *rebuild = open_chunk(&chunk);
	for (uint32_t i = 0; i < TICKS; i++) {
		ok(rebuild_presence(rebuild, 21, i, &presence));
		assert_int_equal(presence, s.ticks[i].sequence % TOLD_DUE_EVERY == 1 ? REBUILD_READ : REBUILD_NOT_DUE);
		ok(rebuild_presence(rebuild, 18, i, &presence));
		assert_int_equal(presence, REBUILD_READ);
		ok(rebuild_presence(rebuild, 12, i, &presence));
		assert_int_equal(presence, REBUILD_ABSENT);
	}
	rebuild_free(rebuild);
	forget(&s);
}

/* Whatever byte is changed: nothing is made up, and what is not damaged is there. */
static void damage_costs_what_it_hits(void **state)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24), again BUF_CLEANUP = BUF_INIT(1 << 24);
	struct snapshots s;
	uint64_t seed = 9;
	uint32_t opened = 0, damaged = 0;
	make(&s, 51);
	build(&s, NULL, 0, TICKS, &chunk);
	for (uint32_t i = 0; i < 300; i++) {
		uint8_t *byte = &chunk.data[fixture_random(&seed) % chunk.len], was = *byte;
		const struct rebuild_source source = {.read = read_buf, .arg = &chunk, .len = chunk.len};
		struct rebuild *rebuild;
		struct facts sent = {0}, kept = {0};
		*byte ^= (uint8_t)(1 + fixture_random(&seed) % 255);
		int r = rebuild_open(&source, fixture_schema(), &rebuild);
		if (r == 0) {
			uint32_t tick = (uint32_t)(fixture_random(&seed) % TICKS);
			put_all(rebuild, tick, &again);
			facts_of_payload(&sent, &s.ticks[tick], fixture_schema(), s.payloads[tick].data,
					 s.payloads[tick].len);
			facts_of_payload(&kept, &s.ticks[tick], fixture_schema(), again.data, again.len);
			assert_int_equal(facts_common(&kept, &sent), kept.n);
			assert_true(kept.n == sent.n || rebuild_damaged(rebuild));
			opened++;
			damaged += rebuild_damaged(rebuild);
			rebuild_free(rebuild);
		} else {
			assert_true(r == -EBADMSG || r == -EPROTO || r == -ENOTSUP);
		}
		facts_free(&sent);
		facts_free(&kept);
		*byte = was;
	}
	assert_true(opened > 200);
	assert_true(damaged > opened / 2);
	forget(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chunk_is_its_snapshots),
		cmocka_unit_test(the_order_in_which_they_came_does_not_matter),
		cmocka_unit_test(chunks_behind_each_other_merge),
		cmocka_unit_test(generations_merge),
		cmocka_unit_test(numbers_of_any_kind_come_back),
		cmocka_unit_test(sections_say_when_they_were_read),
		cmocka_unit_test(damage_costs_what_it_hits),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
