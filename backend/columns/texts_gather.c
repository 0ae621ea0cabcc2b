/* Nearly every row is known by its number and has the text it had: nothing but the tick is added then. */
#include "backend/columns/texts_gather.h"

#include "backend/columns/intern.h"
#include "common/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct change {
	uint32_t tick;
	uint32_t text; /* of texts */
	bool bare;
};

/* What every snapshot touches comes first. */
struct row {
	struct presence_run open; /* the ticks it was last at, not yet in presence; n 0: none */
	struct change *changes;
	uint32_t n, cap;
	uint32_t twin; /* the one that differs by the next ordinal */
	uint32_t key_len;
	const uint8_t *key;
	struct presence presence;
	struct schema_place place;
};

struct text {
	const uint8_t *data;
	size_t len;
};

struct texts_gather {
	struct row *rows;
	uint32_t n, cap;
	struct intern map, text_map;
	struct text *texts;
	uint32_t n_texts, cap_texts;
	struct pages pages;
	struct buf key;
};

int texts_gather_new(size_t max_bytes, struct texts_gather **ret)
{
	struct texts_gather *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->pages = PAGES_INIT(max_bytes);
	g->key = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	*ret = g;
	return 0;
}

void texts_gather_free(struct texts_gather *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; i < g->n; i++)
		presence_free(&g->rows[i].presence);
	pages_free(&g->pages);
	free(g->rows);
	free(g->texts);
	intern_free(&g->map);
	intern_free(&g->text_map);
	buf_free(&g->key);
	free(g);
}

void texts_gather_clear(struct texts_gather *g)
{
	for (uint32_t i = 0; i < g->n; i++)
		presence_free(&g->rows[i].presence);
	g->n = g->n_texts = 0;
	intern_clear(&g->map);
	intern_clear(&g->text_map);
	pages_clear(&g->pages);
}

size_t texts_gather_bytes(const struct texts_gather *g)
{
	return g->pages.bytes;
}

/* --- rows --- */

static bool same_key(const void *arg, uint32_t number, const void *key)
{
	const struct texts_gather *g = arg;
	return number < g->n && g->rows[number].key_len == g->key.len &&
	       memcmp(g->rows[number].key, g->key.data, g->key.len) == 0;
}

static int look_up(struct texts_gather *g, const struct schema_place *place, uint32_t *ret)
{
	uint32_t number = g->n;
	const void *key = NULL;
	buf_reset(&g->key);
	int r = place->ordinal > COLUMNS_MAX_ORDINAL || g->n == TEXTS_MAX_ROWS ? -EMSGSIZE : texts_key(place, &g->key);
	if (r == 0)
		r = pages_grow_array((void **)&g->rows, &g->cap, g->n, sizeof(*g->rows));
	/* A slot of a row that then finds no room stays unused: the builder takes no more after that. */
	if (r == 0)
		r = intern_get(&g->map, intern_hash(g->key.data, g->key.len), same_key, g, NULL, &number);
	if (r == 0) {
		r = pages_charge(&g->pages, sizeof(*g->rows));
		if (r == 0)
			r = pages_keep(&g->pages, g->key.data, g->key.len, &key);
		g->rows[number] =
			(struct row){.place = *place, .key = key, .key_len = (uint32_t)g->key.len, .twin = NONE};
		g->n += r == 0;
	}
	*ret = number;
	return r < 0 ? r : 0;
}

static bool at_tick(const struct row *row, uint32_t tick)
{
	return row->open.n > 0 && row->open.first + row->open.n == tick + 1;
}

static int find(struct texts_gather *g, uint32_t tick, const struct schema_trail_row *source,
		const struct schema_label_value *labels, size_t n_labels, uint32_t *ret)
{
	int r = 0;
	if (*source->number == NONE) {
		struct schema_place place = {.n_numbers = source->n_numbers, .labels = labels, .n_labels = n_labels};
		memcpy(place.numbers, source->numbers, source->n_numbers * sizeof(place.numbers[0]));
		r = look_up(g, &place, source->number);
	}
	uint32_t number = *source->number;
	/* The same row again in one snapshot: the next of its kind. */
	while (r == 0 && at_tick(&g->rows[number], tick)) {
		uint32_t twin = g->rows[number].twin;
		if (twin == NONE) {
			struct schema_place place = g->rows[number].place;
			place.ordinal++;
			r = look_up(g, &place, &twin);
		}
		if (r == 0)
			g->rows[number].twin = twin;
		number = twin;
	}
	*ret = number;
	return r;
}

/* Most have one, few have many: what they had before they grew is lost. */
static int add_change(struct texts_gather *g, struct row *row, const struct change *change)
{
	if (row->n == row->cap) {
		uint32_t cap = row->cap ? row->cap * 2 : 2;
		void *room;
		int r = pages_take(&g->pages, cap * sizeof(*change), &room);
		if (r < 0)
			return r;
		if (row->n > 0)
			memcpy(room, row->changes, row->n * sizeof(*change));
		row->changes = room;
		row->cap = cap;
	}
	row->changes[row->n++] = *change;
	return 0;
}

static int add_tick(struct row *row, uint32_t tick)
{
	int r = 0;
	if (row->open.n == 0 || row->open.first + row->open.n != tick) {
		if (row->open.n > 0)
			r = presence_add_run(&row->presence, row->open.first, row->open.n);
		row->open = (struct presence_run){.first = tick};
	}
	row->open.n++;
	return r;
}

/* --- texts --- */

static bool same_text(const void *arg, uint32_t number, const void *key)
{
	const struct texts_gather *g = arg;
	const struct text *wanted = key;
	return number < g->n_texts && g->texts[number].len == wanted->len &&
	       memcmp(g->texts[number].data, wanted->data, wanted->len) == 0;
}

static int number_of(struct texts_gather *g, const struct text *text, uint32_t *ret)
{
	uint32_t number = g->n_texts;
	const void *copy;
	int r = pages_grow_array((void **)&g->texts, &g->cap_texts, g->n_texts, sizeof(*g->texts));
	if (r == 0)
		r = intern_get(&g->text_map, intern_hash(text->data, text->len), same_text, g, text, &number);
	if (r == 0) {
		r = pages_charge(&g->pages, sizeof(*g->texts));
		if (r == 0)
			r = pages_keep(&g->pages, text->data, text->len, &copy);
		if (r == 0)
			g->texts[g->n_texts++] = (struct text){.data = copy, .len = text->len};
	}
	*ret = number;
	return r < 0 ? r : 0;
}

int texts_gather_row(struct texts_gather *g, uint32_t tick, const struct schema_trail_row *source,
		     const struct schema_label_value *labels, size_t n_labels)
{
	struct text text = {.data = source->text, .len = source->len};
	uint32_t number;
	int r = find(g, tick, source, labels, n_labels, &number);
	if (r < 0)
		return r;
	struct row *row = &g->rows[number];
	r = add_tick(row, tick);
	const struct change *before = row->n > 0 ? &row->changes[row->n - 1] : NULL;
	if (r < 0 || (before && before->bare == source->bare && (source->same || same_text(g, before->text, &text))))
		return r;
	struct change change = {.tick = tick, .bare = source->bare};
	if (source->same && before)
		change.text = before->text;
	else
		r = number_of(g, &text, &change.text);
	return r < 0 ? r : add_change(g, row, &change);
}

void texts_gather_drop(struct texts_gather *g, uint32_t tick)
{
	for (uint32_t i = 0; i < g->n; i++) {
		struct row *row = &g->rows[i];
		if (at_tick(row, tick))
			row->open.n--;
		if (row->n > 0 && row->changes[row->n - 1].tick == tick)
			row->n--;
	}
}

/* --- the way out --- */

uint32_t texts_gather_next(const struct texts_gather *g, uint32_t after)
{
	uint32_t least = NONE;
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t section = g->rows[i].place.numbers[0];
		if (section > after && section < least)
			least = section;
	}
	return least == NONE ? 0 : least;
}

/* One tick of a row. */
struct showing {
	uint32_t tick, text;
	bool bare;
};

static int by_tick(const void *a, const void *b)
{
	const struct showing *x = a, *y = b;
	return x->tick < y->tick ? -1 : x->tick > y->tick;
}

/* All ticks of a row in the chunk's order. */
static int spread(const struct row *row, const uint32_t *rank, struct buf *out)
{
	struct presence_cursor cursor = {.presence = &row->presence};
	uint32_t tick, change = 0;
	size_t n = row->presence.count + row->open.n;
	buf_reset(out);
	int r = buf_reserve(out, (n + 1) * sizeof(struct showing));
	if (r < 0)
		return r;
	struct showing *all = (struct showing *)(void *)out->data;
	for (size_t i = 0; i < n; i++) {
		if (!presence_next(&cursor, &tick))
			tick = row->open.first + (uint32_t)(i - row->presence.count);
		while (change + 1 < row->n && row->changes[change + 1].tick <= tick)
			change++;
		all[i] = (struct showing){.tick = rank ? rank[tick] : tick,
					  .text = row->changes[change].text,
					  .bare = row->changes[change].bare};
	}
	out->len = n * sizeof(*all);
	if (rank && n > 0)
		qsort(all, n, sizeof(*all), by_tick);
	return 0;
}

static int put_row(const struct texts_gather *g, const struct row *row, const uint32_t *rank, uint32_t n_ticks,
		   struct texts_writer *w, struct buf *room)
{
	if (row->n == 0)
		return 0;
	int r = spread(row, rank, room);
	const struct showing *all = (const struct showing *)(const void *)room->data;
	size_t n = room->len / sizeof(*all);
	if (r == 0)
		r = texts_writer_row(w, &row->place);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct text *text = &g->texts[all[i].text];
		if (i == 0 || all[i].text != all[i - 1].text || all[i].bare != all[i - 1].bare ||
		    (all[i].bare && all[i].tick != all[i - 1].tick + 1))
			r = texts_writer_entry(w, all[i].tick, text->data, text->len, all[i].bare);
		uint32_t behind = all[i].tick + 1;
		if (r == 0 && behind < n_ticks && (i + 1 == n || all[i + 1].tick != behind))
			r = texts_writer_not_bare(w, behind);
	}
	return r;
}

static int by_key(const void *a, const void *b, void *arg)
{
	const struct texts_gather *g = arg;
	const struct row *x = &g->rows[*(const uint32_t *)a], *y = &g->rows[*(const uint32_t *)b];
	int c = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
	return c ? c : x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

int texts_gather_put(struct texts_gather *g, uint32_t section, const uint32_t *rank, uint32_t n_ticks,
		     struct packer *packer, enum columns_form form, struct buf *out, uint32_t *ret_rows)
{
	BUF_CLEANUP struct buf room = BUF_INIT(COLUMNS_MAX_SECTION);
	struct texts_writer *w = NULL;
	uint32_t *sorted = calloc(g->n + 1u, sizeof(*sorted)), n = 0;
	int r = sorted ? texts_writer_new(section, n_ticks, &w) : -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < g->n; i++) {
		if (g->rows[i].place.numbers[0] == section)
			sorted[n++] = i;
	}
	if (r == 0) {
		texts_writer_use(w, packer, form);
		qsort_r(sorted, n, sizeof(*sorted), by_key, g);
	}
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = put_row(g, &g->rows[sorted[i]], rank, n_ticks, w, &room);
	if (r == 0) {
		*ret_rows = texts_writer_rows(w);
		r = *ret_rows > 0 ? texts_writer_finish(w, out) : 0;
	}
	texts_writer_free(w);
	free(sorted);
	return r;
}
