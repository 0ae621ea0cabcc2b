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
	uint32_t path, labels;
	struct presence presence;
};

/* The fields that lead to rows; the first is the section's. */
struct path {
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	uint32_t n;
};

struct text {
	const uint8_t *data;
	size_t len;
};

struct texts_gather {
	struct table_names *names;
	struct row *rows;
	uint32_t n, cap;
	struct path *paths;
	uint32_t n_paths, cap_paths, last_path;
	struct intern map, path_map, text_map; /* map: of rows, by path and labels */
	bool trusts;			       /* a row without a number has never had one: not in the map */
	struct text *texts;
	uint32_t n_texts, cap_texts;
	struct pages pages;
	uint32_t *sorted; /* by section and key */
	uint32_t n_sorted, cap_sorted;
};

int texts_gather_new(size_t max_bytes, struct table_names *names, struct texts_gather **ret)
{
	struct texts_gather *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->names = names;
	g->pages = PAGES_INIT(max_bytes);
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
	free(g->paths);
	free(g->texts);
	free(g->sorted);
	intern_free(&g->map);
	intern_free(&g->path_map);
	intern_free(&g->text_map);
	free(g);
}

void texts_gather_clear(struct texts_gather *g)
{
	for (uint32_t i = 0; i < g->n; i++)
		presence_free(&g->rows[i].presence);
	g->n = g->n_texts = g->n_paths = g->n_sorted = 0;
	intern_clear(&g->map);
	intern_clear(&g->path_map);
	intern_clear(&g->text_map);
	pages_clear(&g->pages);
}

size_t texts_gather_bytes(const struct texts_gather *g)
{
	return g->pages.bytes;
}

/* --- rows --- */

static bool is_path(const struct path *path, const uint32_t *numbers, size_t n)
{
	return path->n == n && memcmp(path->numbers, numbers, n * sizeof(*numbers)) == 0;
}

static bool same_path(const void *arg, uint32_t number, const void *key)
{
	const struct texts_gather *g = arg;
	const struct path *path = key;
	return number < g->n_paths && is_path(&g->paths[number], path->numbers, path->n);
}

static int path_of(struct texts_gather *g, const uint32_t *numbers, size_t n, uint32_t *ret)
{
	struct path path = {.n = (uint32_t)n};
	uint32_t number = g->n_paths;
	if (g->last_path < g->n_paths && is_path(&g->paths[g->last_path], numbers, n)) {
		*ret = g->last_path;
		return 0;
	}
	memcpy(path.numbers, numbers, n * sizeof(*numbers));
	int r = pages_grow_array((void **)&g->paths, &g->cap_paths, g->n_paths, sizeof(*g->paths));
	if (r == 0)
		r = pages_charge(&g->pages, sizeof(path));
	if (r == 0)
		r = intern_get(&g->path_map, intern_hash(numbers, n * sizeof(*numbers)), same_path, g, &path, &number);
	if (r == 0)
		g->paths[g->n_paths++] = path;
	*ret = g->last_path = number;
	return r < 0 ? r : 0;
}

static bool same_row(const void *arg, uint32_t number, const void *key)
{
	const struct texts_gather *g = arg;
	const uint32_t *wanted = key;
	return number < g->n && g->rows[number].path == wanted[0] && g->rows[number].labels == wanted[1];
}

/* Those that the caller's numbers do not tell. */
static bool is_mapped(const struct texts_gather *g, uint32_t labels)
{
	return !g->trusts || g->names->labels[labels].ordinal > 0;
}

static int find_mapped(struct texts_gather *g, const uint32_t key[2], uint32_t *number)
{
	return intern_get(&g->map, intern_hash_pair(key), same_row, g, key, number);
}

void texts_gather_trust(struct texts_gather *g)
{
	g->trusts = true;
}

int texts_gather_doubt(struct texts_gather *g)
{
	int r = 0;
	for (uint32_t i = 0; g->trusts && r >= 0 && i < g->n; i++) {
		const uint32_t key[2] = {g->rows[i].path, g->rows[i].labels};
		uint32_t number = i;
		if (!is_mapped(g, key[1]))
			r = find_mapped(g, key, &number);
	}
	if (r >= 0)
		g->trusts = false;
	return r < 0 ? r : 0;
}

static int look_up(struct texts_gather *g, uint32_t path, uint32_t labels, uint32_t *ret)
{
	const uint32_t key[2] = {path, labels};
	uint32_t number = g->n;
	int r = g->n == TEXTS_MAX_ROWS ? -EMSGSIZE
				       : pages_grow_array((void **)&g->rows, &g->cap, g->n, sizeof(*g->rows));
	/* A slot of a row that then finds no room stays unused: the builder takes no more after that. */
	if (r == 0 && is_mapped(g, labels))
		r = find_mapped(g, key, &number);
	if (r == 0) {
		r = pages_charge(&g->pages, sizeof(*g->rows));
		g->rows[number] = (struct row){.path = path, .labels = labels, .twin = NONE};
		g->n += r == 0;
	}
	*ret = number;
	return r < 0 ? r : 0;
}

static bool at_tick(const struct row *row, uint32_t tick)
{
	return row->open.n > 0 && row->open.first + row->open.n == tick + 1;
}

static int find(struct texts_gather *g, uint32_t tick, const struct schema_trail_row *source, uint32_t *ret)
{
	int r = 0;
	if (*source->number == NONE) {
		uint32_t path;
		r = path_of(g, source->numbers, source->n_numbers, &path);
		if (r == 0)
			r = look_up(g, path, source->labels, source->number);
	}
	uint32_t number = *source->number;
	/* The same row again in one snapshot: the next of its kind. */
	while (r == 0 && at_tick(&g->rows[number], tick)) {
		uint32_t twin = g->rows[number].twin, labels;
		if (twin == NONE) {
			r = table_names_twin(g->names, g->rows[number].labels, &labels);
			if (r == 0)
				r = look_up(g, g->rows[number].path, labels, &twin);
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

int texts_gather_row(struct texts_gather *g, uint32_t tick, const struct schema_trail_row *source)
{
	struct text text = {.data = source->text, .len = source->len};
	uint32_t number;
	int r = find(g, tick, source, &number);
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

static uint32_t section_of(const struct texts_gather *g, uint32_t row)
{
	return g->paths[g->rows[row].path].numbers[0];
}

/* In the order of sections, then of keys (columns_series_key()). */
static int by_path(const void *a, const void *b, void *arg)
{
	const struct texts_gather *g = arg;
	const struct path *x = &g->paths[*(const uint32_t *)a], *y = &g->paths[*(const uint32_t *)b];
	if (x->numbers[0] != y->numbers[0])
		return x->numbers[0] < y->numbers[0] ? -1 : 1;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	for (uint32_t i = 1; i < x->n; i++) {
		if (x->numbers[i] != y->numbers[i])
			return x->numbers[i] < y->numbers[i] ? -1 : 1;
	}
	return 0;
}

/* Those of `from`, or all, in the order of what is said of each; starts[] is room for one more than there are ranks. */
static void spread(const struct texts_gather *g, const uint32_t *from, const uint32_t *ranks, bool by_path,
		   uint32_t *starts, uint32_t n_ranks, uint32_t *to)
{
	memset(starts, 0, (n_ranks + 1u) * sizeof(*starts));
	for (uint32_t i = 0; i < g->n; i++)
		starts[ranks[by_path ? g->rows[i].path : g->rows[i].labels] + 1]++;
	for (uint32_t i = 1; i <= n_ranks; i++)
		starts[i] += starts[i - 1];
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t row = from ? from[i] : i;
		to[starts[ranks[by_path ? g->rows[row].path : g->rows[row].labels]]++] = row;
	}
}

static int make_sorted(struct texts_gather *g)
{
	if (g->n <= g->cap_sorted)
		return 0;
	uint32_t *more = reallocarray(g->sorted, g->cap, sizeof(*more));
	if (!more)
		return -ENOMEM;
	g->sorted = more;
	g->cap_sorted = g->cap;
	return 0;
}

int texts_gather_sort(struct texts_gather *g, const uint32_t *label_ranks)
{
	uint32_t paths = g->n_paths, labels = g->names->n_labels, most = paths > labels ? paths : labels;
	int r = make_sorted(g);
	uint32_t *room = r == 0 ? calloc(g->n + 2ull * paths + most + 1, sizeof(*room)) : NULL;
	if (!room)
		return -ENOMEM;
	uint32_t *order = room + g->n, *path_ranks = order + paths, *starts = path_ranks + paths;
	for (uint32_t i = 0; i < paths; i++)
		order[i] = i;
	qsort_r(order, paths, sizeof(*order), by_path, g);
	for (uint32_t i = 0; i < paths; i++)
		path_ranks[order[i]] = i;
	spread(g, NULL, label_ranks, false, starts, labels, room);
	spread(g, room, path_ranks, true, starts, paths, g->sorted);
	g->n_sorted = g->n;
	free(room);
	return 0;
}

/* The first of those sorted whose section is above this one. */
static uint32_t first_above(const struct texts_gather *g, uint32_t section)
{
	uint32_t low = 0, high = g->n_sorted;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (section_of(g, g->sorted[middle]) > section)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

uint32_t texts_gather_next(const struct texts_gather *g, uint32_t after)
{
	uint32_t i = first_above(g, after);
	return i < g->n_sorted ? section_of(g, g->sorted[i]) : 0;
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
static int show(const struct row *row, const uint32_t *rank, struct buf *out)
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

static int put_shown(const struct texts_gather *g, const struct row *row, const uint32_t *rank, uint32_t n_ticks,
		     struct texts_writer *w, struct buf *room)
{
	int r = show(row, rank, room);
	const struct showing *all = (const struct showing *)(const void *)room->data;
	size_t n = room->len / sizeof(*all);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct text *text = &g->texts[all[i].text];
		if (i == 0 || all[i].text != all[i - 1].text || all[i].bare != all[i - 1].bare ||
		    (all[i].bare && all[i].tick != all[i - 1].tick + 1))
			r = texts_writer_entry_numbered(w, all[i].tick, all[i].text, text->data, text->len,
							all[i].bare);
		uint32_t behind = all[i].tick + 1;
		if (r == 0 && behind < n_ticks && (i + 1 == n || all[i + 1].tick != behind))
			r = texts_writer_not_bare(w, behind);
	}
	return r;
}

/* One that was never bare says what it says, wherever it was. */
static int put_changes(const struct texts_gather *g, const struct row *row, struct texts_writer *w)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < row->n; i++) {
		const struct change *change = &row->changes[i];
		const struct text *text = &g->texts[change->text];
		r = texts_writer_entry_numbered(w, change->tick, change->text, text->data, text->len, false);
	}
	return r;
}

static int put_row(const struct texts_gather *g, const struct row *row, const uint32_t *rank, uint32_t n_ticks,
		   struct texts_writer *w, struct buf *room)
{
	const struct table_labels *labels = &g->names->labels[row->labels];
	const struct path *path = &g->paths[row->path];
	struct schema_place place = {
		.n_numbers = path->n, .labels = labels->labels, .n_labels = labels->n, .ordinal = labels->ordinal};
	bool shown = rank != NULL;
	for (uint32_t i = 0; i < row->n; i++)
		shown |= row->changes[i].bare;
	if (row->n == 0)
		return 0;
	memcpy(place.numbers, path->numbers, sizeof(place.numbers));
	int r = texts_writer_row_sorted(w, &place);
	if (r < 0)
		return r;
	return shown ? put_shown(g, row, rank, n_ticks, w, room) : put_changes(g, row, w);
}

int texts_gather_put(struct texts_gather *g, uint32_t section, const uint32_t *rank, uint32_t n_ticks,
		     struct packer *packer, enum columns_form form, struct buf *out, uint32_t *ret_rows)
{
	BUF_CLEANUP struct buf room = BUF_INIT(COLUMNS_MAX_SECTION);
	struct texts_writer *w = NULL;
	int r = texts_writer_new(section, n_ticks, &w);
	if (r == 0)
		texts_writer_use(w, packer, form);
	for (uint32_t i = first_above(g, section - 1), end = first_above(g, section); r == 0 && i < end; i++)
		r = put_row(g, &g->rows[g->sorted[i]], rank, n_ticks, w, &room);
	if (r == 0) {
		*ret_rows = texts_writer_rows(w);
		r = *ret_rows > 0 ? texts_writer_finish(w, out) : 0;
	}
	texts_writer_free(w);
	return r;
}
