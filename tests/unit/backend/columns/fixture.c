#include "tests/unit/backend/columns/fixture.h"

#include "backend/columns/intern.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"
#include "common/wire.h"
#include "proto/descriptors.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

void facts_free(struct facts *f)
{
	free(f->hashes);
	*f = (struct facts){0};
}

static void add(struct facts *f, uint64_t hash)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 1024;
		f->hashes = realloc(f->hashes, f->cap * sizeof(*f->hashes));
		assert_non_null(f->hashes);
	}
	f->hashes[f->n++] = hash;
}

static uint64_t hash_tick(const struct columns_tick *t)
{
	uint64_t words[9] = {(uint64_t)t->time_us, (uint64_t)t->received_us, t->boottime_us, t->sequence,
			     t->interval_ms};
	memcpy(words + 5, t->instance, 16);
	memcpy(words + 7, t->boot_id, 16);
	return intern_hash(words, sizeof(words));
}

/* Without the ordinal: a set of facts does not know which of two rows was first. */
static uint64_t hash_series(struct columns_series s)
{
	struct buf key BUF_CLEANUP = BUF_INIT(1 << 20);
	size_t path_len;
	s.ordinal = 0;
	assert_int_equal(columns_series_key(&s, &key, &path_len), 0);
	return intern_hash(key.data, key.len);
}

static void add_fact(struct facts *f, uint64_t tick, uint64_t series, const uint64_t *values, size_t n)
{
	uint64_t words[3] = {tick, series, intern_hash(values, n * sizeof(*values))};
	add(f, intern_hash(words, sizeof(words)));
}

struct walking {
	struct facts *facts;
	uint64_t tick;
};

static int on_sample(void *arg, const struct schema_sample *sample)
{
	struct walking *w = arg;
	const struct schema_metric *m = sample->metric;
	struct columns_series s = {.section = m->n_numbers ? m->numbers[0] : COLUMNS_CUSTOM_SECTION,
				   .n_numbers = m->n_numbers,
				   .custom = m->n_numbers ? "" : m->path + strlen("custom."),
				   .kind = m->kind,
				   .unit = m->unit,
				   .type = sample->type,
				   .n_labels = sample->n_labels};
	uint64_t values[COLUMNS_MAX_PARTS + 1] = {sample->u};
	memcpy(s.numbers, m->numbers, m->n_numbers * sizeof(m->numbers[0]));
	memcpy(s.labels, sample->labels, sample->n_labels * sizeof(sample->labels[0]));
	if (sample->type == SCHEMA_VALUE_HISTOGRAM) {
		struct schema_histogram h;
		assert_int_equal(schema_histogram_parse(sample->histogram.data, sample->histogram.len, &h), 0);
		values[0] = h.sum;
		for (size_t i = 0; i < h.n; i++)
			values[1 + h.buckets[i].index] = h.buckets[i].count;
	}
	add_fact(w->facts, w->tick, hash_series(s), values, COLUMNS_MAX_PARTS + 1);
	return 0;
}

void facts_of_payload(struct facts *f, const struct columns_tick *tick, const struct schema *schema,
		      const uint8_t *payload, size_t len)
{
	struct walking w = {.facts = f, .tick = hash_tick(tick)};
	add(f, w.tick);
	assert_int_equal(schema_walk(schema, payload, len, on_sample, &w), 0);
}

static int of_section(struct facts *f, const struct chunk_section *section, const struct columns_tick *ticks,
		      uint32_t n_ticks)
{
	struct section_reader *reader;
	struct columns_values values = {0};
	struct columns_series series;
	int first = section_reader_open(section->data, section->len, n_ticks, &reader);
	if (first < 0)
		return first;
	for (uint32_t i = 0; i < section_reader_series(reader); i++) {
		int r = section_reader_values(reader, i, &values);
		uint32_t tick, k = 0;
		if (r < 0) {
			first = first == 0 ? r : first;
			continue;
		}
		section_reader_get(reader, i, &series);
		uint64_t hash = hash_series(series);
		struct presence_cursor cursor = {.presence = values.presence};
		while (presence_next(&cursor, &tick)) {
			uint64_t all[COLUMNS_MAX_PARTS + 1] = {0};
			for (uint32_t p = 0; p < values.n_parts; p++) {
				uint32_t part = values.parts[p].part;
				all[part > 0 ? part - 1 : 0] = values.parts[p].values[k];
			}
			add_fact(f, hash_tick(&ticks[tick]), hash, all, COLUMNS_MAX_PARTS + 1);
			k++;
		}
	}
	columns_values_free(&values);
	section_reader_free(reader);
	return first;
}

int facts_of_chunk(struct facts *f, const uint8_t *data, size_t len)
{
	struct chunk_reader chunk;
	int first = chunk_open(data, len, &chunk);
	if (first < 0)
		return first;
	struct columns_tick *ticks = calloc(chunk.n_ticks + 1u, sizeof(*ticks));
	assert_non_null(ticks);
	first = ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, ticks);
	for (uint32_t i = 0; first == 0 && i < chunk.n_ticks; i++) {
		assert_true(i == 0 || ticks[i].time_us >= ticks[i - 1].time_us);
		add(f, hash_tick(&ticks[i]));
	}
	int damage = 0;
	for (uint32_t i = 0; first == 0 && i < chunk.n_sections; i++) {
		if (chunk_section_has_texts(chunk.sections[i].number))
			continue;
		int r = of_section(f, &chunk.sections[i], ticks, chunk.n_ticks);
		damage = damage == 0 ? r : damage;
	}
	free(ticks);
	return first < 0 ? first : damage;
}

static int by_hash(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void sort(struct facts *f)
{
	if (f->n > 0)
		qsort(f->hashes, f->n, sizeof(*f->hashes), by_hash);
}

size_t facts_common(struct facts *a, struct facts *b)
{
	size_t i = 0, k = 0, common = 0;
	sort(a);
	sort(b);
	while (i < a->n && k < b->n) {
		if (a->hashes[i] == b->hashes[k]) {
			common++;
			i++;
			k++;
		} else if (a->hashes[i] < b->hashes[k]) {
			i++;
		} else {
			k++;
		}
	}
	return common;
}

void facts_expect(struct facts *facts, const struct buf *chunk)
{
	struct facts kept = {0};
	assert_int_equal(facts_of_chunk(&kept, chunk->data, chunk->len), 0);
	assert_int_equal(kept.n, facts->n);
	assert_int_equal(facts_common(&kept, facts), facts->n);
	facts_free(&kept);
}

/* cmocka hands its state to tests, not to what they call. */
static struct schema *group_schema;

int fixture_setup(void **state)
{
	group_schema = fixture_schema_new();
	return 0;
}

int fixture_teardown(void **state)
{
	schema_unref(group_schema);
	group_schema = NULL;
	return 0;
}

struct schema *fixture_schema(void)
{
	return group_schema;
}

struct schema *fixture_schema_new(void)
{
	struct descriptor_blob set = descriptors_snapshot();
	struct schema *schema;
	assert_int_equal(schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema), 0);
	return schema;
}

uint64_t fixture_random(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15ull);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t fixture_value(uint64_t *seed)
{
	uint64_t v = fixture_random(seed);
	return v >> (fixture_random(seed) % 64);
}

uint64_t fixture_odd_double(uint64_t *seed)
{
	static const uint64_t odd[] = {0,
				       1ull << 63,
				       0x7ff8000000000000,
				       0x7ff8dead0000beef,
				       0xfff0000000000001,
				       0x7ff0000000000000,
				       0xfff0000000000000,
				       1,
				       0x7fefffffffffffff,
				       0xffefffffffffffff};
	return odd[fixture_random(seed) % (sizeof(odd) / sizeof(odd[0]))];
}

/* --- snapshots --- */

static void ok(int r)
{
	assert_int_equal(r, 0);
}

static uint64_t chance(struct maker *m, uint64_t n)
{
	return fixture_random(&m->seed) % n;
}

static uint64_t counter(struct maker *m, size_t i)
{
	if (m->wild && chance(m, 4) == 0)
		m->counters[i] = fixture_value(&m->seed);
	else if (chance(m, 200) == 0)
		m->counters[i] = chance(m, 100); /* a reset */
	else if (chance(m, 3) == 0)
		m->counters[i] += chance(m, 1000) * 10000;
	return m->counters[i];
}

static uint64_t real(struct maker *m)
{
	if (m->wild && chance(m, 3) == 0)
		return chance(m, 2) ? fixture_odd_double(&m->seed) : fixture_random(&m->seed);
	return wire_double_bits(chance(m, 2) ? (double)chance(m, 1000) / 200 : (double)chance(m, 1000000) / 777);
}

static void put_histogram(struct maker *m, struct buf *out, uint32_t number, size_t c)
{
	struct buf h BUF_CLEANUP = BUF_INIT(1 << 16), indexes BUF_CLEANUP = BUF_INIT(1 << 16),
		     counts BUF_CLEANUP = BUF_INIT(1 << 16);
	for (uint32_t i = 0; i < 252; i += 1 + (uint32_t)chance(m, 80)) {
		ok(wire_put_varint(&indexes, i));
		ok(wire_put_varint(&counts, 1 + (m->wild ? fixture_value(&m->seed) >> 8 : chance(m, 50))));
	}
	ok(wire_put_uint(&h, 1, 1));
	ok(wire_put_uint(&h, 2, counter(m, c)));
	ok(wire_put_bytes(&h, 3, indexes.data, indexes.len));
	ok(wire_put_bytes(&h, 4, counts.data, counts.len));
	ok(wire_put_bytes(out, number, h.data, h.len));
}

static void put_cpu(struct maker *m, struct buf *payload)
{
	struct buf cpu BUF_CLEANUP = BUF_INIT(1 << 16);
	for (uint32_t i = 0; i < 3; i++) {
		struct buf core BUF_CLEANUP = BUF_INIT(1 << 16);
		if (chance(m, 20) == 0)
			continue; /* a CPU goes offline for a tick */
		ok(wire_put_uint(&core, 1, i));
		ok(wire_put_uint(&core, 2, counter(m, i)));
		ok(wire_put_uint(&core, 5, counter(m, 3 + i)));
		ok(wire_put_bytes(&cpu, 3, core.data, core.len));
		if (chance(m, 100) == 0)
			ok(wire_put_bytes(&cpu, 3, core.data, core.len)); /* twice in one snapshot */
	}
	ok(wire_put_fixed(&cpu, 10, WIRE_FIXED64, real(m)));
	/* A share and a rate, as agents compute them. */
	ok(wire_put_double(&cpu, 11, (double)chance(m, 200) / (double)(197 + chance(m, 5))));
	ok(wire_put_double(&cpu, 12, (double)(chance(m, 5000) * 4096) * 1e6 / (double)(1000000 + chance(m, 100))));
	ok(wire_put_bytes(payload, 11, cpu.data, cpu.len));
}

static void put_tcp(struct maker *m, struct buf *payload)
{
	struct buf tcp BUF_CLEANUP = BUF_INIT(1 << 16), family BUF_CLEANUP = BUF_INIT(1 << 16);
	ok(wire_put_bytes(&family, 1, "ipv4", 4));
	ok(wire_put_uint(&family, 2, counter(m, 6)));
	put_histogram(m, &family, 5, 7);
	ok(wire_put_bytes(&tcp, 3, family.data, family.len));
	ok(wire_put_bytes(payload, 21, tcp.data, tcp.len));
}

static void put_processes(struct maker *m, struct buf *payload)
{
	struct buf all BUF_CLEANUP = BUF_INIT(1 << 16);
	for (uint32_t i = 0; i < 20; i++) {
		struct buf row BUF_CLEANUP = BUF_INIT(1 << 16);
		if (chance(m, 3) == 0)
			continue;
		ok(wire_put_uint(&row, 1, 100 + i));
		ok(wire_put_uint(&row, 2, m->tick.sequence / 20 * 10000 + i)); /* numbers are given again */
		ok(wire_put_uint(&row, 11, counter(m, 10 + i)));
		ok(wire_put_uint(&row, 14, counter(m, 30 + i)));
		ok(wire_put_bytes(&all, 2, row.data, row.len));
	}
	ok(wire_put_bytes(payload, 23, all.data, all.len));
}

static void put_custom(struct maker *m, struct buf *payload)
{
	struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16);
	fixture_custom_double(&metrics, "temperature of \xc3\xa9tage", real(m));
	fixture_custom_uint(&metrics, "jobs", counter(m, 50));
	fixture_custom_int(&metrics, "balance", (int64_t)counter(m, 51) - 5000000);
	fixture_custom_section(&metrics, payload);
}

void maker_init(struct maker *m, uint64_t seed, bool wild)
{
	*m = (struct maker){.seed = seed, .wild = wild};
	m->tick.time_us = 1795258800000000;
	m->tick.boottime_us = 1000000000;
	m->tick.interval_ms = 1000;
}

static void advance(struct maker *m)
{
	struct columns_tick *t = &m->tick;
	uint64_t step = 1000000 + chance(m, 200);
	if (chance(m, 100) == 0)
		step += chance(m, 1000) * 1000000; /* a gap */
	t->boottime_us += step;
	t->time_us += (int64_t)step;
	if (chance(m, 150) == 0)
		t->time_us += (int64_t)chance(m, 20000000) - 10000000; /* somebody set the clock */
	t->sequence++;
	if (t->sequence == 1 || chance(m, 200) == 0) {
		uint64_t a = fixture_random(&m->seed);
		memcpy(t->instance, &a, 8);
		t->sequence = 1;
		if (chance(m, 2))
			memcpy(t->boot_id, &a, 8);
	}
	t->received_us = t->time_us + (int64_t)chance(m, 30000);
	if (m->wild && chance(m, 50) == 0)
		t->received_us = (int64_t)fixture_random(&m->seed);
	if (m->wild && chance(m, 100) == 0)
		t->interval_ms = (uint32_t)chance(m, 3) * 1000;
}

void maker_next(struct maker *m, struct buf *payload)
{
	advance(m);
	buf_reset(payload);
	put_cpu(m, payload);
	/* Every fifth tick: another interval than the others. */
	if (m->tick.sequence % 5 == 1)
		put_tcp(m, payload);
	put_processes(m, payload);
	put_custom(m, payload);
}

/* --- chunks --- */

void fixture_add(struct chunk_builder *b, const struct columns_tick *tick, const struct buf *payload)
{
	ok(chunk_builder_add(b, tick, group_schema, payload->data, payload->len));
}

void fixture_finish(struct chunk_builder *b, struct buf *chunk)
{
	ok(chunk_builder_finish(b, COLUMNS_QUICK, chunk));
	chunk_builder_free(b);
}

void fixture_chunk(uint64_t seed, bool wild, uint32_t n, struct buf *chunk)
{
	fixture_chunk_as(COLUMNS_QUICK, seed, wild, n, chunk);
}

void fixture_chunk_as(enum columns_form form, uint64_t seed, bool wild, uint32_t n, struct buf *chunk)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	struct maker maker;
	ok(chunk_builder_new(1 << 28, &b));
	maker_init(&maker, seed, wild);
	for (uint32_t i = 0; i < n; i++) {
		maker_next(&maker, &payload);
		fixture_add(b, &maker.tick, &payload);
	}
	ok(chunk_builder_finish(b, form, chunk));
	chunk_builder_free(b);
}

/* --- custom metrics --- */

static void begin_metric(struct buf *metric, const char *name, uint64_t kind)
{
	struct buf label BUF_CLEANUP = BUF_INIT(1 << 16);
	ok(wire_put_bytes(metric, 1, name, strlen(name)));
	ok(wire_put_bytes(&label, 1, "where", 5));
	ok(wire_put_bytes(&label, 2, "here", 4));
	ok(wire_put_bytes(metric, 2, label.data, label.len));
	ok(wire_put_uint(metric, 3, kind));
}

void fixture_custom_double(struct buf *metrics, const char *name, uint64_t bits)
{
	struct buf metric BUF_CLEANUP = BUF_INIT(1 << 16);
	begin_metric(&metric, name, SCHEMA_KIND_GAUGE);
	ok(wire_put_fixed(&metric, 5, WIRE_FIXED64, bits));
	ok(wire_put_bytes(metrics, 2, metric.data, metric.len));
}

void fixture_custom_uint(struct buf *metrics, const char *name, uint64_t value)
{
	struct buf metric BUF_CLEANUP = BUF_INIT(1 << 16);
	begin_metric(&metric, name, SCHEMA_KIND_COUNTER);
	ok(wire_put_uint(&metric, 6, value));
	ok(wire_put_bytes(metrics, 2, metric.data, metric.len));
}

void fixture_custom_int(struct buf *metrics, const char *name, int64_t value)
{
	struct buf metric BUF_CLEANUP = BUF_INIT(1 << 16);
	begin_metric(&metric, name, SCHEMA_KIND_GAUGE);
	ok(wire_put_uint(&metric, 7, (uint64_t)value << 1 ^ (0 - ((uint64_t)value >> 63))));
	ok(wire_put_bytes(metrics, 2, metric.data, metric.len));
}

void fixture_custom_section(const struct buf *metrics, struct buf *payload)
{
	ok(wire_put_bytes(payload, COLUMNS_CUSTOM_SECTION, metrics->data, metrics->len));
}

void fixture_custom_find(const struct buf *bytes, const char *name, struct columns_values *values,
			 struct columns_series *id)
{
	struct chunk_reader chunk;
	struct section_reader *reader;
	assert_int_equal(chunk_open(bytes->data, bytes->len, &chunk), 0);
	const struct chunk_section *s = chunk_find(&chunk, COLUMNS_CUSTOM_SECTION);
	assert_non_null(s);
	assert_null(chunk_find(&chunk, 12));
	assert_int_equal(section_reader_open(s->data, s->len, chunk.n_ticks, &reader), 0);
	int64_t i = section_reader_find(reader, NULL, 0, name, 0);
	assert_true(i >= 0);
	assert_int_equal(section_reader_find(reader, NULL, 0, name, (uint32_t)i + 1), -1);
	assert_int_equal(section_reader_find(reader, NULL, 0, "no such", 0), -1);
	assert_int_equal(section_reader_values(reader, (uint32_t)i, values), 0);
	section_reader_get(reader, (uint32_t)i, id);
	assert_string_equal(id->custom, name);
	assert_int_equal(id->n_labels, 1);
	assert_string_equal(id->labels[0].name, "where");
	assert_memory_equal(id->labels[0].text, "here", 4);
	section_reader_free(reader);
}
