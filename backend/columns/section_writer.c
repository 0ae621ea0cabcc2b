/* Everything that repeats is said once (names, label sets, sets of ticks) and what is alike stands together, a stream
 * for each kind of thing, so that zstd finds the rest: the columns of a thousand processes cost little more than their
 * values. */
#include "backend/columns/section_writer.h"

#include "backend/columns/aggregates.h"
#include "backend/columns/doubles.h"
#include "backend/columns/integers.h"
#include "backend/columns/intern.h"
#include "backend/columns/put_varint.h"
#include "backend/columns/section_blocks.h"
#include "backend/columns/section_format.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_NAMES 4096
#define DENSE_LEVEL 6
#define QUICK_LEVEL 1

struct label_set {
	size_t offset, len; /* in `keys` */
};

struct section_writer {
	uint32_t section, n_ticks, n_series, n_columns;
	struct buf streams[SECTION_STREAMS];
	struct section_blocks blocks;
	struct buf keys;
	struct buf last_key, key;
	size_t path_len;
	uint32_t n_names, n_sets, n_presences, n_paths;
	char *name_text[MAX_NAMES];
	struct intern set_map, presence_map;
	struct label_set *sets;
	uint32_t cap_sets;
	uint64_t last_numbers[SCHEMA_MAX_LABELS]; /* of the set written last; 0 for what is none */
	struct presence *presences;
	uint32_t cap_presences;
	struct columns_series path; /* of the columns being added */
	uint32_t path_columns;
	uint32_t last_set, last_presence;
	struct section_writer_place last_place;
	struct intern_known known_sets, known_presences;
	struct packer *packer;
};

int section_writer_new(uint32_t section, uint32_t n_ticks, enum columns_form form, struct section_writer **ret)
{
	struct section_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->section = section;
	w->n_ticks = n_ticks;
	for (size_t i = 0; i < SECTION_STREAMS; i++)
		w->streams[i] = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	section_blocks_init(&w->blocks, form, &w->streams[SECTION_BLOCKS]);
	w->keys = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	w->key = w->last_key = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	*ret = w;
	return 0;
}

void section_writer_free(struct section_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < SECTION_STREAMS; i++)
		buf_free(&w->streams[i]);
	section_blocks_free(&w->blocks);
	buf_free(&w->keys);
	buf_free(&w->key);
	buf_free(&w->last_key);
	for (uint32_t i = 0; i < w->n_names; i++)
		free(w->name_text[i]);
	free((char *)w->path.custom);
	for (uint32_t i = 0; i < w->n_presences; i++)
		presence_free(&w->presences[i]);
	free(w->presences);
	intern_known_free(&w->known_sets);
	intern_known_free(&w->known_presences);
	free(w->sets);
	intern_free(&w->set_map);
	intern_free(&w->presence_map);
	free(w);
}

void section_writer_use(struct section_writer *w, struct packer *packer)
{
	w->packer = packer;
}

uint32_t section_writer_number(const struct section_writer *w)
{
	return w->section;
}

uint32_t section_writer_series(const struct section_writer *w)
{
	return w->n_series;
}

static int put_text(struct buf *out, const char *text, size_t len)
{
	int r = put_varint(out, len);
	return r < 0 ? r : buf_append(out, text, len);
}

/* --- label sets --- */

static int name_number(struct section_writer *w, const char *name, uint32_t *ret)
{
	for (uint32_t i = 0; i < w->n_names; i++) {
		if (strcmp(w->name_text[i], name) == 0) {
			*ret = i;
			return 0;
		}
	}
	if (w->n_names == MAX_NAMES)
		return -EMSGSIZE;
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	*ret = w->n_names;
	w->name_text[w->n_names++] = copy;
	return put_text(&w->streams[SECTION_NAMES], name, strlen(name));
}

/* Numbers are told as the difference to the same place of the set before: process ids ascend. */
static int put_set(struct section_writer *w, const struct columns_series *s)
{
	struct buf *out = &w->streams[SECTION_LABELS];
	uint64_t numbers[SCHEMA_MAX_LABELS] = {0};
	int r = put_varint(out, s->n_labels);
	for (size_t i = 0; r == 0 && i < s->n_labels; i++) {
		const struct schema_label_value *label = &s->labels[i];
		uint32_t name;
		r = name_number(w, label->name, &name);
		if (r == 0)
			r = put_varint(out, (uint64_t)name << 3 | (uint64_t)label->role << 1 | label->is_text);
		if (r < 0)
			break;
		if (label->is_text) {
			r = put_text(out, label->text, label->len);
		} else {
			numbers[i] = label->number;
			r = put_varint(out, wire_to_zigzag(label->number - w->last_numbers[i]));
		}
	}
	memcpy(w->last_numbers, numbers, sizeof(numbers));
	w->n_sets++;
	return r < 0 ? r : put_varint(out, s->ordinal);
}

static bool same_set(const void *arg, uint32_t number, const void *key)
{
	const struct section_writer *w = arg;
	const struct label_set *set = &w->sets[number];
	return set->len == w->key.len - w->path_len &&
	       memcmp(w->keys.data + set->offset, w->key.data + w->path_len, set->len) == 0;
}

static int set_number(struct section_writer *w, const struct columns_series *s, uint32_t *ret)
{
	size_t len = w->key.len - w->path_len;
	uint32_t number = w->n_sets;
	int r = intern_get(&w->set_map, intern_hash(w->key.data + w->path_len, len), same_set, w, NULL, &number);
	if (r != 0) {
		*ret = number;
		return r < 0 ? r : 0;
	}
	if (w->n_sets == w->cap_sets) {
		uint32_t cap = w->cap_sets ? w->cap_sets * 2 : 64;
		struct label_set *sets = realloc(w->sets, cap * sizeof(*sets));
		if (!sets)
			return -ENOMEM;
		w->sets = sets;
		w->cap_sets = cap;
	}
	w->sets[w->n_sets] = (struct label_set){.offset = w->keys.len, .len = len};
	r = buf_append(&w->keys, w->key.data + w->path_len, len);
	*ret = w->n_sets;
	return r < 0 ? r : put_set(w, s);
}

/* --- sets of ticks --- */

static bool same_presence(const void *arg, uint32_t number, const void *key)
{
	const struct section_writer *w = arg;
	return presence_equal(&w->presences[number], key);
}

static int keep_presence(struct section_writer *w, const struct presence *p)
{
	if (w->n_presences == w->cap_presences) {
		uint32_t cap = w->cap_presences ? w->cap_presences * 2 : 64;
		struct presence *presences = realloc(w->presences, cap * sizeof(*presences));
		if (!presences)
			return -ENOMEM;
		w->presences = presences;
		w->cap_presences = cap;
	}
	struct presence copy = {.n_runs = p->n_runs, .cap_runs = p->n_runs, .count = p->count};
	copy.runs = malloc(p->n_runs * sizeof(*p->runs));
	if (!copy.runs)
		return -ENOMEM;
	memcpy(copy.runs, p->runs, p->n_runs * sizeof(*p->runs));
	w->presences[w->n_presences++] = copy;
	return presence_put(p, &w->streams[SECTION_PRESENCES]);
}

static int presence_number(struct section_writer *w, const struct presence *p, uint32_t *ret)
{
	/* The one before is the likeliest, and for most sections the only one. */
	if (w->n_presences > 0 && presence_equal(&w->presences[w->last_presence], p)) {
		*ret = w->last_presence;
		return 0;
	}
	uint32_t number = w->n_presences;
	int r = intern_get(&w->presence_map, presence_hash(p), same_presence, w, p, &number);
	*ret = number;
	return r != 0 ? (r < 0 ? r : 0) : keep_presence(w, p);
}

/* --- paths --- */

static int end_path(struct section_writer *w)
{
	struct buf *out = &w->streams[SECTION_PATHS];
	const struct columns_series *s = &w->path;
	if (w->path_columns == 0)
		return 0;
	int r = put_varint(out, s->n_numbers);
	for (size_t i = 0; r == 0 && i < s->n_numbers; i++)
		r = put_varint(out, s->numbers[i]);
	if (r == 0 && s->n_numbers == 0)
		r = put_text(out, s->custom, strlen(s->custom));
	if (r == 0)
		r = put_varint(out, s->kind);
	if (r == 0)
		r = put_varint(out, s->unit);
	if (r == 0)
		r = put_varint(out, s->type);
	if (r == 0)
		r = put_varint(out, w->path_columns);
	free((char *)w->path.custom);
	w->path.custom = NULL;
	w->path_columns = 0;
	w->n_paths++;
	return r;
}

static int begin_path(struct section_writer *w, const struct columns_series *s)
{
	int r = end_path(w);
	if (r < 0)
		return r;
	w->path = *s;
	w->path.custom = strdup(s->custom);
	return w->path.custom ? 0 : -ENOMEM;
}

/* --- columns --- */

static int add_column(struct section_writer *w, const struct columns_part *part, uint32_t n)
{
	bool is_counter = w->path.kind != SCHEMA_KIND_GAUGE;
	struct buf *plans = &w->streams[SECTION_PLANS];
	struct section_code code;
	int r = section_blocks_add(&w->blocks, w->n_paths, w->path.type, part, n, &code);
	if (r == 0 && w->path.type == SCHEMA_VALUE_DOUBLE)
		r = put_varint(plans, code.scale);
	for (size_t i = 0; r == 0 && i < code.n_plans; i++)
		r = integers_plan_put(&code.plans[i], plans);
	if (r == 0 && (code.plans[0].form != INTEGERS_CONSTANT || code.n_plans > 1)) {
		struct columns_aggregate a = columns_aggregate(part->values, n, w->path.type, is_counter);
		r = aggregates_put(&a, w->path.type, w->path.kind, code.scale, &w->streams[SECTION_AGGREGATES]);
	}
	if (r == 0)
		r = put_varint(&w->streams[SECTION_PARTS], part->part);
	w->path_columns++;
	w->n_columns++;
	return r;
}

/* Without a presence: it was looked at before. */
static int check_place(const struct section_writer *w, const struct columns_series *s, const struct presence *p,
		       uint32_t n_parts)
{
	if (w->n_series == COLUMNS_MAX_SERIES || n_parts > COLUMNS_MAX_COLUMNS - w->n_columns)
		return -EMSGSIZE;
	if (s->section != w->section || n_parts == 0 ||
	    (p && (p->n_runs == 0 || p->runs[p->n_runs - 1].first + p->runs[p->n_runs - 1].n > w->n_ticks)))
		return -EINVAL;
	return 0;
}

static int check(const struct section_writer *w, const struct columns_series *s, const struct columns_values *v)
{
	if (v->n == 0 || (v->presence && v->n != v->presence->count))
		return -EINVAL;
	return check_place(w, s, v->presence, v->n_parts);
}

static bool comes_behind(const struct section_writer *w)
{
	size_t least = w->key.len < w->last_key.len ? w->key.len : w->last_key.len;
	int order = least > 0 ? memcmp(w->last_key.data, w->key.data, least) : 0;
	return w->n_series == 0 || order < 0 || (order == 0 && w->last_key.len < w->key.len);
}

static int put_place(struct section_writer *w, uint32_t set, uint32_t presence)
{
	int r = put_varint(&w->streams[SECTION_WHO], wire_to_zigzag((uint64_t)set - w->last_set));
	if (r == 0)
		r = put_varint(&w->streams[SECTION_WHEN], wire_to_zigzag((uint64_t)presence - w->last_presence));
	w->last_set = set;
	w->last_presence = presence;
	return r;
}

static int add_parts(struct section_writer *w, uint32_t set, uint32_t presence, const struct columns_values *v)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < v->n_parts; i++) {
		r = put_place(w, set, presence);
		if (r == 0)
			r = add_column(w, &v->parts[i], v->n);
	}
	/* A histogram stays in one block: its buckets cannot be read without its sum. */
	if (r == 0)
		r = section_blocks_end_series(&w->blocks);
	w->n_series++;
	return r;
}

int section_writer_add(struct section_writer *w, const struct columns_series *s, const struct columns_values *v)
{
	uint32_t set, presence;
	size_t last_path_len = w->path_len;
	buf_reset(&w->key);
	int r = columns_series_key(s, &w->key, &w->path_len);
	if (r == 0)
		r = check(w, s, v);
	if (r == 0 && !comes_behind(w))
		r = -EINVAL;
	if (r == 0 && (w->n_series == 0 || last_path_len != w->path_len ||
		       memcmp(w->key.data, w->last_key.data, w->path_len) != 0))
		r = begin_path(w, s);
	if (r == 0)
		r = set_number(w, s, &set);
	if (r == 0)
		r = presence_number(w, v->presence, &presence);
	if (r == 0)
		r = add_parts(w, set, presence, v);
	struct buf swap = w->key;
	w->key = w->last_key;
	w->last_key = swap;
	return r;
}

/* --- series whose numbers the caller knows --- */

static int placed_set(struct section_writer *w, const struct columns_series *s, uint32_t number, uint32_t *ret)
{
	uint32_t *slot;
	int r = intern_known_slot(&w->known_sets, number, &slot);
	if (r == 0 && *slot == 0) {
		*slot = w->n_sets + 1;
		r = put_set(w, s);
	}
	*ret = r == 0 ? *slot - 1 : 0;
	return r;
}

static int placed_presence(struct section_writer *w, const struct presence *p, uint32_t number, uint32_t *ret)
{
	uint32_t *slot;
	if (number == SECTION_WRITER_UNKNOWN)
		return p ? presence_number(w, p, ret) : -EINVAL;
	int r = intern_known_slot(&w->known_presences, number, &slot);
	if (r == 0 && *slot == 0) {
		r = p ? presence_number(w, p, ret) : -EINVAL;
		*slot = r == 0 ? *ret + 1 : 0;
	}
	*ret = r == 0 ? *slot - 1 : 0;
	return r;
}

static int take_place(struct section_writer *w, const struct columns_series *s, const struct presence *p,
		      const struct section_writer_place *place, uint32_t *ret_set, uint32_t *ret_presence)
{
	const struct section_writer_place *last = &w->last_place;
	int r = 0;
	if (w->n_series > 0 && (place->path < last->path || (place->path == last->path && place->set <= last->set)))
		return -EINVAL;
	if (w->n_series == 0 || place->path != last->path)
		r = begin_path(w, s);
	if (r == 0)
		r = placed_set(w, s, place->set, ret_set);
	if (r == 0)
		r = placed_presence(w, p, place->ticks, ret_presence);
	w->last_place = *place;
	return r;
}

bool section_writer_knows(const struct section_writer *w, const struct section_writer_place *place)
{
	return w->n_series > 0 && w->last_place.path == place->path && place->set < w->known_sets.cap &&
	       w->known_sets.numbers[place->set] != 0;
}

bool section_writer_knows_ticks(const struct section_writer *w, const struct section_writer_place *place)
{
	return place->ticks < w->known_presences.cap && w->known_presences.numbers[place->ticks] != 0;
}

int section_writer_add_placed(struct section_writer *w, const struct columns_series *s, const struct columns_values *v,
			      const struct section_writer_place *place)
{
	uint32_t set, presence;
	int r = check(w, s, v);
	if (r == 0)
		r = take_place(w, s, v->presence, place, &set, &presence);
	return r == 0 ? add_parts(w, set, presence, v) : r;
}

int section_writer_add_constant(struct section_writer *w, const struct columns_series *s, const struct presence *p,
				uint64_t value, const struct section_writer_place *place)
{
	struct buf *plans = &w->streams[SECTION_PLANS];
	struct integers_plan plan = {.form = INTEGERS_CONSTANT, .first = value, .factor = 1};
	uint32_t set, presence, scale;
	int r = check_place(w, s, p, 1);
	if (r == 0)
		r = take_place(w, s, p, place, &set, &presence);
	if (r == 0)
		r = put_place(w, set, presence);
	if (r == 0 && w->path.type == SCHEMA_VALUE_DOUBLE) {
		scale = doubles_split(&value, 1, &plan.first);
		r = put_varint(plans, scale > DOUBLES_DIGITS_MAX ? DOUBLES_BITS : scale);
	}
	if (r == 0)
		r = integers_plan_put(&plan, plans);
	if (r == 0)
		r = put_varint(&w->streams[SECTION_PARTS], COLUMNS_PART_VALUE);
	w->path_columns++;
	w->n_columns++;
	w->n_series++;
	return r;
}

/* --- the end --- */

static int put_header(struct buf *out, const struct buf *packed, size_t unpacked, enum columns_form form)
{
	uint8_t bytes[SECTION_HEADER];
	const uint32_t words[3] = {(uint32_t)packed->len, (uint32_t)unpacked | (uint32_t)form << SECTION_FORM_SHIFT,
				   (uint32_t)crc32(form, packed->data, (unsigned)packed->len)};
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(words[i / 4] >> 8 * (i % 4));
	return buf_append(out, bytes, sizeof(bytes));
}

static int gather(struct section_writer *w, struct buf *out)
{
	const uint32_t counts[SECTION_STREAMS] = {[SECTION_NAMES] = w->n_names,
						  [SECTION_LABELS] = w->n_sets,
						  [SECTION_PRESENCES] = w->n_presences,
						  [SECTION_PATHS] = w->n_paths,
						  [SECTION_BLOCKS] = w->blocks.n};
	int r = put_varint(out, w->section);
	if (r == 0)
		r = put_varint(out, w->n_series);
	for (size_t i = 0; r == 0 && i < SECTION_STREAMS; i++) {
		r = put_varint(out, counts[i]);
		if (r == 0)
			r = put_varint(out, w->streams[i].len);
		if (r == 0 && w->streams[i].len > 0)
			r = buf_append(out, w->streams[i].data, w->streams[i].len);
	}
	return r;
}

int section_writer_finish(struct section_writer *w, struct buf *out)
{
	struct buf directory BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	struct buf packed BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	int r = section_blocks_finish(&w->blocks);
	if (r == 0)
		r = end_path(w);
	enum columns_form form = w->blocks.form;
	if (r == 0)
		r = gather(w, &directory);
	if (r == 0)
		r = packer_put(w->packer, form == COLUMNS_QUICK ? QUICK_LEVEL : DENSE_LEVEL, &directory, &packed);
	if (r < 0)
		return r;
	r = put_header(out, &packed, directory.len, form);
	if (r == 0)
		r = buf_append(out, packed.data, packed.len);
	const struct buf *blocks = &w->blocks.bytes;
	return r == 0 && blocks->len > 0 ? buf_append(out, blocks->data, blocks->len) : r;
}
