#include "backend/columns/chunk_builder.h"

#include "backend/columns/chunk.h"
#include "backend/columns/section_writer.h"
#include "backend/columns/table.h"
#include "backend/columns/texts_gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct chunk_builder {
	struct table table;
	struct texts_gather *texts;
	struct columns_tick *ticks;
	uint32_t n_ticks, cap_ticks;
	struct intern tick_map;
	struct schema *schema; /* of the last snapshot */
	struct schema_trail *trail;
	struct packer *packer;
	size_t max_bytes;
	uint64_t duplicates;
};

int chunk_builder_new(size_t max_bytes, struct chunk_builder **ret)
{
	struct chunk_builder *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	table_init(&b->table, max_bytes);
	table_trust(&b->table);
	b->max_bytes = max_bytes;
	int r = texts_gather_new(max_bytes / 2, &b->table.names, &b->texts);
	if (r == 0)
		r = packer_new(&b->packer);
	if (r < 0) {
		chunk_builder_free(b);
		return r;
	}
	texts_gather_trust(b->texts);
	*ret = b;
	return 0;
}

void chunk_builder_free(struct chunk_builder *b)
{
	if (!b)
		return;
	table_free(&b->table);
	texts_gather_free(b->texts);
	intern_free(&b->tick_map);
	schema_trail_free(b->trail);
	packer_free(b->packer);
	schema_unref(b->schema);
	free(b->ticks);
	free(b);
}

void chunk_builder_clear(struct chunk_builder *b)
{
	table_clear(&b->table);
	table_trust(&b->table);
	texts_gather_clear(b->texts);
	texts_gather_trust(b->texts);
	intern_clear(&b->tick_map);
	if (b->trail)
		schema_trail_clear(b->trail);
	b->n_ticks = 0;
	b->duplicates = 0;
}

size_t chunk_builder_bytes(const struct chunk_builder *b)
{
	return b->table.names.pages.bytes + texts_gather_bytes(b->texts);
}

uint32_t chunk_builder_ticks(const struct chunk_builder *b)
{
	return b->n_ticks;
}

uint32_t chunk_builder_series(const struct chunk_builder *b)
{
	return b->table.n;
}

uint64_t chunk_builder_samples(const struct chunk_builder *b)
{
	return b->table.samples;
}

uint64_t chunk_builder_duplicates(const struct chunk_builder *b)
{
	return b->duplicates;
}

static bool same_tick(const void *arg, uint32_t number, const void *key)
{
	const struct chunk_builder *b = arg;
	const struct columns_tick *a = &b->ticks[number], *c = key;
	return a->sequence == c->sequence && memcmp(a->instance, c->instance, 16) == 0 &&
	       (a->sequence != 0 || a->time_us == c->time_us);
}

static int add_tick(struct chunk_builder *b, const struct columns_tick *tick)
{
	uint64_t words[2];
	memcpy(words, tick->instance, 16);
	uint64_t key[3] = {words[0], words[1], tick->sequence ? tick->sequence : (uint64_t)tick->time_us};
	uint32_t number = b->n_ticks;
	if (b->n_ticks == COLUMNS_MAX_TICKS)
		return -EMSGSIZE;
	if (b->n_ticks == b->cap_ticks) {
		uint32_t cap = b->cap_ticks ? b->cap_ticks * 2 : 256;
		struct columns_tick *ticks = realloc(b->ticks, cap * sizeof(*ticks));
		if (!ticks)
			return -ENOMEM;
		b->ticks = ticks;
		b->cap_ticks = cap;
	}
	b->ticks[b->n_ticks] = *tick;
	return intern_get(&b->tick_map, intern_hash(key, sizeof(key)), same_tick, b, tick, &number);
}

/* --- what a snapshot says --- */

static int on_labels(void *arg, const struct schema_label_value *labels, size_t n, uint32_t *ret)
{
	struct chunk_builder *b = arg;
	return table_names_labels(&b->table.names, labels, n, 0, ret);
}

static int on_values(void *arg, uint32_t labels, const struct schema_trail_value *values, size_t n)
{
	struct chunk_builder *b = arg;
	return table_row(&b->table, b->n_ticks, labels, values, n);
}

static int on_histogram(void *arg, uint32_t labels, const struct schema_metric *metric, uint32_t *column,
			const uint8_t *data, size_t len)
{
	struct chunk_builder *b = arg;
	return table_histogram(&b->table, b->n_ticks, labels, metric, column, data, len);
}

static int on_custom(void *arg, const struct schema_sample *sample)
{
	struct chunk_builder *b = arg;
	return table_add(&b->table, b->n_ticks, sample);
}

static int on_row(void *arg, const struct schema_trail_row *row)
{
	struct chunk_builder *b = arg;
	return texts_gather_row(b->texts, b->n_ticks, row);
}

static int doubt(struct chunk_builder *b)
{
	int r = table_doubt(&b->table);
	return r < 0 ? r : texts_gather_doubt(b->texts);
}

static int on_forget(void *arg)
{
	return doubt(arg);
}

static int forget(struct chunk_builder *b)
{
	schema_trail_free(b->trail);
	b->trail = NULL;
	table_forget_metrics(&b->table);
	return doubt(b);
}

static int read_snapshot(struct chunk_builder *b, struct schema *schema, const uint8_t *payload, size_t len)
{
	const struct schema_trail_taker taker = {.arg = b,
						 .labels = on_labels,
						 .values = on_values,
						 .histogram = on_histogram,
						 .custom = on_custom,
						 .forget = on_forget,
						 .row = on_row};
	int r = b->schema && schema != b->schema ? forget(b) : 0;
	if (schema != b->schema) {
		schema_unref(b->schema);
		b->schema = schema_ref(schema);
	}
	if (r == 0 && !b->trail)
		r = schema_trail_new(schema, b->max_bytes / 4, &b->trail);
	if (r < 0)
		return r;
	table_begin(&b->table);
	return schema_trail_walk(b->trail, payload, len, &taker);
}

/* Forgets what this snapshot brought, and what is remembered of those before it. */
static int drop(struct chunk_builder *b)
{
	table_drop(&b->table, b->n_ticks);
	texts_gather_drop(b->texts, b->n_ticks);
	return forget(b);
}

int chunk_builder_add(struct chunk_builder *b, const struct columns_tick *tick, struct schema *schema,
		      const uint8_t *payload, size_t len)
{
	int r = add_tick(b, tick);
	if (r != 0) {
		b->duplicates += r > 0;
		return r < 0 ? r : 0;
	}
	r = read_snapshot(b, schema, payload, len);
	if (r == -EAGAIN) {
		r = drop(b);
		if (r == 0)
			r = read_snapshot(b, schema, payload, len);
	}
	if (r == 0 || r == -EPROTO) {
		b->n_ticks++;
		return r;
	}
	int dropped = drop(b);
	return dropped < 0 ? dropped : r;
}

/* --- the end --- */

/* Snapshots in the order of time; rank[i] is where snapshot i comes. */
struct order {
	uint32_t *rank, *at;
	bool ascending;
};

static int by_time(const void *a, const void *b, void *arg)
{
	const struct columns_tick *ticks = arg, *x = &ticks[*(const uint32_t *)a], *y = &ticks[*(const uint32_t *)b];
	if (x->time_us != y->time_us)
		return x->time_us < y->time_us ? -1 : 1;
	if (x->boottime_us != y->boottime_us)
		return x->boottime_us < y->boottime_us ? -1 : 1;
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static int make_order(const struct chunk_builder *b, struct order *order)
{
	order->rank = calloc(b->n_ticks + 1u, sizeof(*order->rank));
	order->at = calloc(b->n_ticks + 1u, sizeof(*order->at));
	if (!order->rank || !order->at)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n_ticks; i++)
		order->at[i] = i;
	qsort_r(order->at, b->n_ticks, sizeof(*order->at), by_time, b->ticks);
	order->ascending = true;
	for (uint32_t i = 0; i < b->n_ticks; i++) {
		order->ascending &= order->at[i] == i;
		order->rank[order->at[i]] = i;
	}
	return 0;
}

static void order_free(struct order *order)
{
	free(order->rank);
	free(order->at);
}

struct place {
	uint32_t tick, index;
};

static int by_tick(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->tick < y->tick ? -1 : x->tick > y->tick;
}

/* Where the values of a series come, and when that is. */
static int sort_places(const struct presence *presence, const uint32_t *rank, struct place *places,
		       struct presence *sorted)
{
	struct presence_cursor cursor = {.presence = presence};
	uint32_t n = 0, tick;
	int r = 0;
	for (; presence_next(&cursor, &tick); n++)
		places[n] = (struct place){.tick = rank[tick], .index = n};
	qsort(places, n, sizeof(*places), by_tick);
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = presence_add(sorted, places[i].tick);
	return r;
}

/* Values that lie in the order of their coming, in the order of places. */
static void sort_values(uint64_t *values, const struct place *places, uint32_t n, uint64_t *room)
{
	memcpy(room, values, n * sizeof(*room));
	for (uint32_t i = 0; i < n; i++)
		values[i] = room[places[i].index];
}

static int sort_series(const struct order *order, struct columns_values *values, struct presence *sorted)
{
	struct place *places = calloc(values->n, sizeof(*places));
	uint64_t *room = calloc(values->n, sizeof(*room));
	int r = places && room ? sort_places(values->presence, order->rank, places, sorted) : -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < values->n_parts; i++)
		sort_values(values->parts[i].values, places, values->n, room);
	values->presence = sorted;
	free(places);
	free(room);
	return r;
}

/* What is written of a section: *id is kept from one series to the next, as only what changes in it is looked at. */
struct writing {
	struct section_writer *writer;
	struct table *table;
	const struct order *order;
	struct columns_values *values;
	struct columns_series id;
	struct presence presence; /* of the series that is being written */
};

static int write_values(struct writing *w, uint32_t series, const struct presence *presence,
			const struct section_writer_place *place)
{
	struct presence sorted = {0};
	uint64_t value;
	bool constant = table_constant(w->table, series, &value);
	if (constant && w->order->ascending)
		return section_writer_add_constant(w->writer, &w->id, presence, value, place);
	int r = table_values(w->table, series, w->values);
	w->values->presence = presence;
	if (r == 0 && !w->order->ascending)
		r = sort_series(w->order, w->values, &sorted);
	if (r == 0)
		r = section_writer_add_placed(w->writer, &w->id, w->values, place);
	presence_free(&sorted);
	return r;
}

/* Of a table that is settled. */
static int write_series(struct writing *w, const struct table_rank *rank)
{
	const struct section_writer_place place = {.path = rank->path,
						   .set = rank->labels,
						   .ticks = w->order->ascending ? w->table->series[rank->series].ticks
										: SECTION_WRITER_UNKNOWN};
	bool knows_ticks = section_writer_knows_ticks(w->writer, &place);
	int r = knows_ticks ? 0 : table_presence(w->table, rank->series, &w->presence);
	if (!section_writer_knows(w->writer, &place))
		table_identity(w->table, rank->series, &w->id);
	return r < 0 ? r : write_values(w, rank->series, knows_ticks ? NULL : &w->presence, &place);
}

static uint32_t section_of(const struct table *t, uint32_t series)
{
	return t->names.paths[t->series[series].path].section;
}

struct written {
	enum columns_form form;
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	size_t offsets[COLUMNS_MAX_SECTIONS];
	uint32_t n;
	struct buf bytes;
};

/* Series lie in the order of their coming; how many of them are under way to the cache, and of how many their values.
 */
#define AHEAD 16
#define VALUES_AHEAD 6

static int write_section(struct chunk_builder *b, const struct table_rank *sorted, uint32_t n,
			 const struct order *order, struct columns_values *values, struct written *written)
{
	struct writing w = {.table = &b->table, .order = order, .values = values};
	uint32_t number = section_of(&b->table, sorted[0].series);
	if (written->n == COLUMNS_MAX_SECTIONS)
		return -EMSGSIZE;
	int r = section_writer_new(number, b->n_ticks, written->form, &w.writer);
	if (r == 0)
		section_writer_use(w.writer, b->packer);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		if (i + AHEAD < n)
			table_prefetch(&b->table, sorted[i + AHEAD].series);
		if (i + VALUES_AHEAD < n)
			table_prefetch_values(&b->table, sorted[i + VALUES_AHEAD].series);
		if (b->table.ends[sorted[i].series].n > 0)
			r = write_series(&w, &sorted[i]);
	}
	size_t before = written->bytes.len;
	uint32_t n_series = r == 0 ? section_writer_series(w.writer) : 0;
	if (r == 0 && n_series > 0)
		r = section_writer_finish(w.writer, &written->bytes);
	section_writer_free(w.writer);
	presence_free(&w.presence);
	if (r < 0 || n_series == 0)
		return r;
	written->offsets[written->n] = before;
	written->sections[written->n++] = (struct chunk_section){
		.number = number, .n_series = n_series, .len = (uint32_t)(written->bytes.len - before)};
	return 0;
}

static int write_sections(struct chunk_builder *b, const struct order *order, const struct table_ranks *ranks,
			  struct written *written)
{
	struct table *t = &b->table;
	struct columns_values values = {0};
	struct table_rank *sorted = calloc(t->n + (size_t)1, sizeof(*sorted));
	int r = sorted ? table_sort(t, ranks, sorted) : -ENOMEM;
	if (r == 0)
		r = table_settle(t);
	for (uint32_t i = 0, end; r == 0 && i < t->n; i = end) {
		for (end = i + 1; end < t->n; end++) {
			if (section_of(t, sorted[end].series) != section_of(t, sorted[i].series))
				break;
		}
		r = write_section(b, sorted + i, end - i, order, &values, written);
	}
	columns_values_free(&values);
	free(sorted);
	return r;
}

static int write_texts(struct chunk_builder *b, const struct order *order, const struct table_ranks *ranks,
		       struct written *written)
{
	const uint32_t *rank = order->ascending ? NULL : order->rank;
	int r = texts_gather_sort(b->texts, ranks->labels);
	for (uint32_t number = 0; r == 0 && (number = texts_gather_next(b->texts, number)) != 0;) {
		size_t before = written->bytes.len;
		uint32_t rows = 0;
		r = written->n == COLUMNS_MAX_SECTIONS ? -EMSGSIZE
						       : texts_gather_put(b->texts, number, rank, b->n_ticks, b->packer,
									  written->form, &written->bytes, &rows);
		if (r < 0 || rows == 0)
			continue;
		written->offsets[written->n] = before;
		written->sections[written->n++] =
			(struct chunk_section){.number = CHUNK_SECTION_TEXTS | number,
					       .n_series = rows,
					       .len = (uint32_t)(written->bytes.len - before)};
	}
	return r;
}

int chunk_builder_finish(struct chunk_builder *b, enum columns_form form, struct buf *out)
{
	struct order order __attribute__((cleanup(order_free))) = {0};
	struct table_ranks ranks __attribute__((cleanup(table_ranks_free))) = {0};
	struct written written = {.form = form, .bytes = BUF_INIT(COLUMNS_MAX_SECTION)};
	struct columns_tick *ticks = calloc(b->n_ticks + 1u, sizeof(*ticks));
	int r = ticks ? make_order(b, &order) : -ENOMEM;
	if (r == 0)
		r = table_names_rank(&b->table.names, &ranks);
	if (r == 0)
		r = write_sections(b, &order, &ranks, &written);
	if (r == 0)
		r = write_texts(b, &order, &ranks, &written);
	for (uint32_t i = 0; r == 0 && i < b->n_ticks; i++)
		ticks[i] = b->ticks[order.at[i]];
	for (uint32_t i = 0; i < written.n; i++)
		written.sections[i].data = written.bytes.data + written.offsets[i];
	if (r == 0)
		r = chunk_put(ticks, b->n_ticks, written.sections, written.n, out);
	buf_free(&written.bytes);
	free(ticks);
	return r;
}
