/* A section's directory and texts are read when it is first asked for, its blocks when something in them is. Values of
 * a stretch of ticks are decoded at once, series by series as they lie, and sorted by tick: a table of processes is
 * made of many ticks. */
#include "backend/query/rebuild.h"

#include "backend/columns/section_reader.h"
#include "backend/columns/texts.h"
#include "backend/columns/ticks.h"
#include "common/schema/rows.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CELLS (8u << 20)
#define HEAD_BYTES (32 + 12 * COLUMNS_MAX_SECTIONS + 4)

/* Of sonde.v1. */
enum {
	SNAPSHOT_BOOT_ID = 1,
	SNAPSHOT_INSTANCE,
	SNAPSHOT_SEQUENCE,
	SNAPSHOT_TIMESTAMP,
	SNAPSHOT_BOOTTIME,
	SNAPSHOT_INTERVAL
};
enum { SECTION_STATE = 1, STATE_CODE = 1, STATE_COLLECTED_AT = 4, CODE_NOT_DUE = 2 };

/* One value. A histogram's is where its parts are in parts: how many, then number and value of each. */
struct cell {
	uint32_t tick, series;
	uint64_t value;
};

struct part {
	uint64_t number, value;
};

struct section {
	uint32_t number;
	bool opened;
	const struct rebuild *of;
	uint64_t offset; /* where its values begin in the chunk */
	struct section_reader *values;
	struct texts_reader *texts;
	int64_t root;	    /* row of the section itself in texts, or -1 */
	uint8_t *there;	    /* a bit a tick: it has values */
	struct cell *cells; /* by tick */
	uint32_t n_cells, cap_cells;
	struct part *parts;
	uint32_t n_parts, cap_parts;
};

struct rebuild {
	struct rebuild_source source;
	struct schema *schema;
	struct chunk_reader chunk;
	uint64_t offsets[COLUMNS_MAX_SECTIONS];
	struct columns_tick *ticks;
	struct section sections[COLUMNS_MAX_SECTIONS];
	uint32_t n_sections;
	struct schema_assembly *assembly;
	bool damaged;
	/* Of the section that is put. */
	struct section *putting;
	uint32_t tick;
	struct buf state;
};

void rebuild_free(struct rebuild *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->n_sections; i++) {
		struct section *s = &r->sections[i];
		section_reader_free(s->values);
		texts_reader_free(s->texts);
		free(s->there);
		free(s->cells);
		free(s->parts);
	}
	schema_assembly_free(r->assembly);
	schema_unref(r->schema);
	free(r->ticks);
	buf_free(&r->state);
	free(r);
}

static bool is_damage(int error)
{
	return error == -EBADMSG || error == -EPROTO || error == -EUCLEAN || error == -ERANGE;
}

/* --- opening --- */

static int read_into(const struct rebuild *r, uint64_t offset, size_t len, struct buf *out)
{
	buf_reset(out);
	int e = buf_reserve(out, len > 0 ? len : 1);
	if (e == 0 && len > 0)
		e = r->source.read(r->source.arg, offset, len, out->data);
	out->len = e == 0 ? len : 0;
	return e;
}

static int read_head(struct rebuild *r)
{
	BUF_CLEANUP struct buf head = BUF_INIT(COLUMNS_MAX_SECTION);
	size_t len = r->source.len < HEAD_BYTES ? (size_t)r->source.len : HEAD_BYTES, need;
	uint64_t ticks;
	int e = read_into(r, 0, len, &head);
	if (e == 0)
		e = chunk_open_head(head.data, head.len, r->source.len, &r->chunk, &ticks, r->offsets, &need);
	if (e < 0)
		return e == -EAGAIN ? -EPROTO : e;
	r->ticks = calloc(r->chunk.n_ticks + 1u, sizeof(*r->ticks));
	if (!r->ticks)
		return -ENOMEM;
	e = read_into(r, ticks, r->chunk.ticks_len, &head);
	return e < 0 ? e : ticks_take(head.data, head.len, r->chunk.n_ticks, r->ticks);
}

static void list_sections(struct rebuild *r)
{
	for (uint32_t i = 0; i < r->chunk.n_sections; i++) {
		uint32_t number = chunk_section_of(r->chunk.sections[i].number), k = 0;
		while (k < r->n_sections && r->sections[k].number < number)
			k++;
		if (k < r->n_sections && r->sections[k].number == number)
			continue;
		memmove(&r->sections[k + 1], &r->sections[k], (r->n_sections - k) * sizeof(r->sections[0]));
		r->sections[k] = (struct section){.number = number, .of = r, .root = -1};
		r->n_sections++;
	}
}

int rebuild_open(const struct rebuild_source *source, struct schema *schema, struct rebuild **ret)
{
	struct rebuild *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->source = *source;
	r->schema = schema_ref(schema);
	r->state = BUF_INIT(TEXTS_MAX_BYTES);
	int e = schema_assembly_new(schema, &r->assembly);
	if (e == 0)
		e = read_head(r);
	if (e < 0) {
		rebuild_free(r);
		return e;
	}
	list_sections(r);
	*ret = r;
	return 0;
}

const struct columns_tick *rebuild_ticks(const struct rebuild *r, uint32_t *ret_n)
{
	*ret_n = r->chunk.n_ticks;
	return r->ticks;
}

uint32_t rebuild_next_section(const struct rebuild *r, uint32_t after)
{
	for (uint32_t i = 0; i < r->n_sections; i++) {
		if (r->sections[i].number > after)
			return r->sections[i].number;
	}
	return 0;
}

bool rebuild_damaged(const struct rebuild *r)
{
	return r->damaged;
}

/* --- a section --- */

static int read_section(struct rebuild *r, uint32_t number, struct buf *out)
{
	const struct chunk_section *s = chunk_find(&r->chunk, number);
	return s ? read_into(r, r->offsets[s - r->chunk.sections], s->len, out) : -ENOENT;
}

static int read_values(void *arg, uint64_t offset, size_t len, uint8_t *data)
{
	const struct section *s = arg;
	return s->of->source.read(s->of->source.arg, s->offset + offset, len, data);
}

/* Its directory; blocks are read when values in them are asked for. */
static int open_values(struct rebuild *r, struct section *s)
{
	const struct section_source source = {.read = read_values, .arg = s};
	const struct chunk_section *section = chunk_find(&r->chunk, s->number);
	if (!section)
		return 0;
	s->offset = r->offsets[section - r->chunk.sections];
	int e = section_reader_open_source(&source, section->len, r->chunk.n_ticks, &s->values);
	if (e == 0 && section_reader_number(s->values) != s->number) {
		section_reader_free(s->values);
		s->values = NULL;
		e = -EPROTO;
	}
	r->damaged |= is_damage(e);
	return is_damage(e) ? 0 : e;
}

static int open_texts(struct rebuild *r, struct section *s)
{
	BUF_CLEANUP struct buf bytes = BUF_INIT(COLUMNS_MAX_SECTION);
	const struct schema_place root = {.numbers = {s->number}, .n_numbers = 1};
	int e = read_section(r, CHUNK_SECTION_TEXTS | s->number, &bytes);
	if (e == 0)
		e = texts_reader_open(bytes.data, bytes.len, r->chunk.n_ticks, &s->texts);
	if (e == 0 && texts_reader_section(s->texts) != s->number) {
		texts_reader_free(s->texts);
		s->texts = NULL;
		e = -EPROTO;
	}
	r->damaged |= is_damage(e);
	if (e == 0)
		s->root = texts_reader_find(s->texts, &root);
	if (s->root < -1)
		return (int)s->root;
	return e == -ENOENT || is_damage(e) ? 0 : e;
}

static void mark_there(struct section *s)
{
	const struct presence *before = NULL;
	for (uint32_t i = 0; s->values && i < section_reader_series(s->values); i++) {
		const struct presence *p = section_reader_presence(s->values, i);
		struct presence_cursor cursor = {.presence = p};
		uint32_t tick;
		/* Neighbours mostly share theirs. */
		while (p != before && presence_next(&cursor, &tick))
			s->there[tick / 8] |= (uint8_t)(1u << tick % 8);
		before = p;
	}
}

/* *ret is NULL when the chunk has no such section. */
static int find_section(struct rebuild *r, uint32_t number, struct section **ret)
{
	*ret = NULL;
	for (uint32_t i = 0; i < r->n_sections; i++) {
		if (r->sections[i].number == number)
			*ret = &r->sections[i];
	}
	struct section *s = *ret;
	if (!s || s->opened)
		return 0;
	s->there = s->there ? s->there : calloc(r->chunk.n_ticks / 8 + 1u, 1);
	if (!s->there)
		return -ENOMEM;
	int e = s->values ? 0 : open_values(r, s);
	if (e == 0)
		e = open_texts(r, s);
	if (e < 0)
		return e;
	mark_there(s);
	s->opened = true;
	return 0;
}

static const struct texts_entry *root_entry(const struct section *s, uint32_t tick)
{
	return s->root >= 0 ? texts_reader_at(s->texts, (uint32_t)s->root, tick) : NULL;
}

static bool says_not_due(const struct section *s, const struct texts_entry *entry)
{
	const uint8_t *text;
	size_t len;
	struct wire_field f;
	texts_reader_text(s->texts, entry->text, &text, &len);
	struct wire_reader reader = wire_reader(text, len);
	while (wire_next(&reader, &f) == 1) {
		if (f.number != SECTION_STATE || f.type != WIRE_BYTES)
			continue;
		struct wire_reader state = wire_reader(f.data, f.len);
		while (wire_next(&state, &f) == 1) {
			if (f.number == STATE_CODE)
				return f.type == WIRE_VARINT && f.value == CODE_NOT_DUE;
		}
		return false;
	}
	return false;
}

static enum rebuild_presence presence_at(const struct section *s, uint32_t tick)
{
	const struct texts_entry *entry = root_entry(s, tick);
	bool there = (s->there[tick / 8] >> tick % 8 & 1) || (entry && entry->bare);
	if (!there)
		return REBUILD_ABSENT;
	return entry && says_not_due(s, entry) ? REBUILD_NOT_DUE : REBUILD_READ;
}

int rebuild_presence(struct rebuild *r, uint32_t number, uint32_t tick, enum rebuild_presence *ret)
{
	struct section *s;
	int e = find_section(r, number, &s);
	if (e == 0)
		*ret = s && tick < r->chunk.n_ticks ? presence_at(s, tick) : REBUILD_ABSENT;
	return e;
}

int rebuild_text(struct rebuild *r, uint32_t number, uint32_t tick, const uint8_t **ret, size_t *ret_len)
{
	struct section *s;
	int e = find_section(r, number, &s);
	if (e < 0)
		return e;
	const struct texts_entry *entry = s ? root_entry(s, tick) : NULL;
	*ret_len = 0;
	if (entry)
		texts_reader_text(s->texts, entry->text, ret, ret_len);
	return 0;
}

/* --- values --- */

static int add_cell(struct section *s, const struct cell *cell)
{
	if (s->n_cells == s->cap_cells) {
		uint32_t cap = s->cap_cells ? s->cap_cells * 2 : 4096;
		struct cell *cells = cap <= MAX_CELLS ? reallocarray(s->cells, cap, sizeof(*cells)) : NULL;
		if (!cells)
			return cap <= MAX_CELLS ? -ENOMEM : -EMSGSIZE;
		s->cells = cells;
		s->cap_cells = cap;
	}
	s->cells[s->n_cells++] = *cell;
	return 0;
}

static int add_part(struct section *s, uint64_t number, uint64_t value)
{
	if (s->n_parts == s->cap_parts) {
		uint32_t cap = s->cap_parts ? s->cap_parts * 2 : 1024;
		struct part *parts = cap <= MAX_CELLS ? reallocarray(s->parts, cap, sizeof(*parts)) : NULL;
		if (!parts)
			return cap <= MAX_CELLS ? -ENOMEM : -EMSGSIZE;
		s->parts = parts;
		s->cap_parts = cap;
	}
	s->parts[s->n_parts++] = (struct part){.number = number, .value = value};
	return 0;
}

static int add_histogram(struct section *s, struct cell *cell, const struct columns_values *values, uint32_t index)
{
	uint32_t first = s->n_parts;
	int e = add_part(s, 0, 0);
	cell->value = first;
	for (uint32_t p = 0; e == 0 && p < values->n_parts; p++) {
		uint64_t value = values->parts[p].values[index];
		if (value != 0)
			e = add_part(s, values->parts[p].part, value);
	}
	if (e == 0)
		s->parts[first].number = s->n_parts - first - 1;
	return e < 0 ? e : add_cell(s, cell);
}

/* Where the run with the first tick at or above `from` is, and how many values lie before it. */
static bool seek(const struct presence *p, uint32_t from, uint32_t to, struct presence_cursor *cursor, uint32_t *index)
{
	*cursor = (struct presence_cursor){.presence = p};
	*index = 0;
	for (; cursor->run < p->n_runs; cursor->run++) {
		const struct presence_run *run = &p->runs[cursor->run];
		if (run->first + run->n > from) {
			cursor->offset = from > run->first ? from - run->first : 0;
			*index += cursor->offset;
			return run->first + cursor->offset <= to;
		}
		*index += run->n;
	}
	return false;
}

static int load_series(struct section *s, uint32_t i, uint32_t from, uint32_t to, struct columns_values *values)
{
	struct presence_cursor cursor;
	struct columns_series id;
	uint32_t index, tick;
	if (!seek(section_reader_presence(s->values, i), from, to, &cursor, &index))
		return 0;
	int e = section_reader_values(s->values, i, values);
	if (e < 0)
		return e;
	section_reader_get(s->values, i, &id);
	for (; e == 0 && presence_next(&cursor, &tick) && tick <= to; index++) {
		struct cell cell = {.tick = tick, .series = i};
		if (id.type == SCHEMA_VALUE_HISTOGRAM) {
			e = add_histogram(s, &cell, values, index);
		} else {
			cell.value = values->parts[0].values[index];
			e = add_cell(s, &cell);
		}
	}
	return e;
}

static int by_tick(const void *a, const void *b)
{
	const struct cell *x = a, *y = b;
	if (x->tick != y->tick)
		return x->tick < y->tick ? -1 : 1;
	return x->series < y->series ? -1 : x->series > y->series;
}

int rebuild_load(struct rebuild *r, uint32_t number, uint32_t from, uint32_t to)
{
	struct columns_values values = {0};
	struct section *s;
	int e = find_section(r, number, &s);
	if (e < 0 || !s)
		return e;
	s->n_cells = s->n_parts = 0;
	for (uint32_t i = 0; e == 0 && s->values && i < section_reader_series(s->values); i++) {
		e = load_series(s, i, from, to, &values);
		if (is_damage(e)) {
			r->damaged = true;
			e = 0;
		}
	}
	columns_values_free(&values);
	if (e == 0 && s->n_cells > 0)
		qsort(s->cells, s->n_cells, sizeof(*s->cells), by_tick);
	return e;
}

/* --- the way out --- */

static int put_histogram(struct rebuild *r, const struct section *s, const struct cell *cell,
			 const struct schema_place *place)
{
	struct schema_histogram histogram = {.sum = 0};
	const struct part *parts = s->parts + cell->value;
	for (uint64_t i = 1; i <= parts[0].number; i++) {
		if (parts[i].number == COLUMNS_PART_SUM) {
			histogram.sum = parts[i].value;
			continue;
		}
		histogram.buckets[histogram.n].index = (uint32_t)parts[i].number - COLUMNS_PART_BUCKET;
		histogram.buckets[histogram.n++].count = parts[i].value;
	}
	return schema_assembly_histogram(r->assembly, place, &histogram);
}

/* Labels of a series live as long as its reader. */
static int put_cell(struct rebuild *r, const struct section *s, const struct cell *cell)
{
	struct columns_series id;
	section_reader_get(s->values, cell->series, &id);
	struct schema_place place = {
		.n_numbers = id.n_numbers, .labels = id.labels, .n_labels = id.n_labels, .ordinal = id.ordinal};
	memcpy(place.numbers, id.numbers, sizeof(place.numbers));
	int e;
	if (id.n_numbers == 0)
		e = schema_assembly_custom(r->assembly, s->number, id.custom, id.labels, id.n_labels, id.kind, id.unit,
					   id.type, cell->value);
	else if (id.type == SCHEMA_VALUE_HISTOGRAM)
		e = put_histogram(r, s, cell, &place);
	else
		e = schema_assembly_value(r->assembly, &place, id.type, cell->value);
	/* A metric of another schema: this one does not know where it stood. */
	return e == -ENOENT ? 0 : e;
}

static int put_bare_rows(struct rebuild *r, const struct section *s)
{
	uint32_t n;
	const uint32_t *bare = texts_reader_bare(s->texts, &n);
	struct texts_row row;
	int e = 0;
	for (uint32_t i = 0; e == 0 && i < n; i++) {
		const struct texts_entry *entry = texts_reader_at(s->texts, bare[i], r->tick);
		if (!entry || !entry->bare)
			continue;
		texts_reader_get(s->texts, bare[i], &row);
		e = schema_assembly_row(r->assembly, &row.place);
		e = e == -ENOENT ? 0 : e;
	}
	return e;
}

/* The section's own text, its State told when it began to be read. */
static int date_state(struct rebuild *r, const uint8_t *text, size_t len)
{
	struct wire_reader reader = wire_reader(text, len);
	struct wire_field f;
	int e = 0;
	buf_reset(&r->state);
	while (e == 0 && wire_next(&reader, &f) == 1) {
		if (f.number != SECTION_STATE || f.type != WIRE_BYTES) {
			e = buf_append(&r->state, f.begin, (size_t)(reader.p - f.begin));
			continue;
		}
		BUF_CLEANUP struct buf state = BUF_INIT(TEXTS_MAX_BYTES);
		e = f.len > 0 ? buf_append(&state, f.data, f.len) : 0;
		if (e == 0)
			e = wire_put_uint(&state, STATE_COLLECTED_AT, r->ticks[r->tick].boottime_us);
		if (e == 0)
			e = wire_put_bytes(&r->state, f.number, state.data, state.len);
	}
	return e;
}

static int text_of(void *arg, const struct schema_place *row, const uint8_t **ret, size_t *ret_len)
{
	struct rebuild *r = arg;
	const struct section *s = r->putting;
	int64_t i = row->n_numbers == 1 ? s->root : texts_reader_find(s->texts, row);
	const struct texts_entry *entry = i >= 0 ? texts_reader_at(s->texts, (uint32_t)i, r->tick) : NULL;
	if (i < -1)
		return (int)i;
	if (!entry)
		return 0;
	texts_reader_text(s->texts, entry->text, ret, ret_len);
	if (row->n_numbers == 1 && !says_not_due(s, entry)) {
		int e = date_state(r, *ret, *ret_len);
		if (e < 0)
			return e;
		*ret = r->state.data;
		*ret_len = r->state.len;
	}
	return 1;
}

int rebuild_put(struct rebuild *r, uint32_t number, uint32_t tick, struct buf *out)
{
	struct section *s;
	int e = find_section(r, number, &s);
	if (e < 0 || !s || tick >= r->chunk.n_ticks)
		return e;
	uint32_t low = 0, high = s->n_cells;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (s->cells[mid].tick < tick)
			low = mid + 1;
		else
			high = mid;
	}
	r->putting = s;
	r->tick = tick;
	schema_assembly_clear(r->assembly);
	for (; e == 0 && low < s->n_cells && s->cells[low].tick == tick; low++)
		e = put_cell(r, s, &s->cells[low]);
	if (e == 0 && s->texts)
		e = put_bare_rows(r, s);
	return e < 0 ? e : schema_assembly_put(r->assembly, number, s->texts ? text_of : NULL, r, out);
}

static int put_timestamp(int64_t time_us, struct buf *out)
{
	BUF_CLEANUP struct buf t = BUF_INIT(64);
	int64_t seconds = time_us / 1000000, micros = time_us % 1000000;
	if (micros < 0) {
		micros += 1000000;
		seconds--;
	}
	int e = seconds != 0 ? wire_put_uint(&t, 1, (uint64_t)seconds) : 0;
	if (e == 0 && micros > 0)
		e = wire_put_uint(&t, 2, (uint64_t)micros * 1000);
	return e < 0 ? e : wire_put_bytes(out, SNAPSHOT_TIMESTAMP, t.data, t.len);
}

int rebuild_put_header(const struct rebuild *r, uint32_t tick, struct buf *out)
{
	static const uint8_t none[16];
	const struct columns_tick *t = &r->ticks[tick];
	int e = 0;
	if (memcmp(t->boot_id, none, 16) != 0)
		e = wire_put_bytes(out, SNAPSHOT_BOOT_ID, t->boot_id, 16);
	if (e == 0 && memcmp(t->instance, none, 16) != 0)
		e = wire_put_bytes(out, SNAPSHOT_INSTANCE, t->instance, 16);
	if (e == 0)
		e = wire_put_uint(out, SNAPSHOT_SEQUENCE, t->sequence);
	if (e == 0)
		e = put_timestamp(t->time_us, out);
	if (e == 0)
		e = wire_put_uint(out, SNAPSHOT_BOOTTIME, t->boottime_us);
	return e < 0 ? e : wire_put_uint(out, SNAPSHOT_INTERVAL, t->interval_ms);
}
