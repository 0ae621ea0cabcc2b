/* Every number of the directory is checked here, once, against what it refers to: reading values trusts it then. */
#include "backend/columns/section_directory.h"

#include "backend/columns/aggregates.h"
#include "backend/columns/doubles.h"
#include "backend/columns/stripes.h"
#include "backend/columns/unpacker.h"
#include "backend/columns/words.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static int take(struct wire_reader *in, uint64_t max, uint64_t *ret)
{
	return wire_varint(in, ret) == 1 && *ret <= max ? 0 : -EPROTO;
}

static int take32(struct wire_reader *in, uint64_t max, uint32_t *ret)
{
	uint64_t v;
	int r = take(in, max, &v);
	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

/* A terminated copy; there is room for all texts of the directory, as each has a byte for its length there. */
static int take_text(struct section_reader *r, struct wire_reader *in, const char **ret, size_t *ret_len)
{
	uint64_t len;
	if (take(in, COLUMNS_MAX_TEXT, &len) < 0 || len > (size_t)(in->end - in->p) ||
	    len + 1 > r->text_cap - r->text_used)
		return -EPROTO;
	char *text = r->text + r->text_used;
	memcpy(text, in->p, len);
	text[len] = '\0';
	r->text_used += len + 1;
	in->p += len;
	*ret = text;
	*ret_len = len;
	return 0;
}

/* --- the directory's streams --- */

static int read_names(struct section_reader *r, struct wire_reader *in)
{
	size_t len;
	for (uint32_t i = 0; i < r->n_names; i++) {
		const char *name;
		if (take_text(r, in, &name, &len) < 0 || strlen(name) != len)
			return -EPROTO;
		r->names[i] = (char *)name;
	}
	return 0;
}

static int read_label(struct section_reader *r, struct wire_reader *in, const struct label_set *before, uint32_t i,
		      struct schema_label_value *ret)
{
	uint64_t what, v;
	if (take(in, ((uint64_t)r->n_names << 3) - 1, &what) < 0 || (what >> 1 & 3) > SCHEMA_LABEL_GENERATION)
		return -EPROTO;
	*ret = (struct schema_label_value){
		.name = r->names[what >> 3], .role = (enum schema_label_role)(what >> 1 & 3), .is_text = what & 1};
	if (ret->is_text)
		return take_text(r, in, &ret->text, &ret->len);
	if (take(in, UINT64_MAX, &v) < 0)
		return -EPROTO;
	/* A text there counts as 0, as it did when it was written. */
	ret->number = (uint64_t)wire_zigzag(v);
	if (before && i < before->n_labels)
		ret->number += before->labels[i].number;
	return 0;
}

static int read_sets(struct section_reader *r, struct wire_reader *in)
{
	uint32_t used = 0;
	for (uint32_t i = 0; i < r->n_sets; i++) {
		struct label_set *set = &r->sets[i];
		set->labels = r->labels + used;
		if (take32(in, SCHEMA_MAX_LABELS, &set->n_labels) < 0 || (set->n_labels > 0 && r->n_names == 0))
			return -EPROTO;
		for (uint32_t k = 0; k < set->n_labels; k++) {
			if (read_label(r, in, i > 0 ? set - 1 : NULL, k, &set->labels[k]) < 0)
				return -EPROTO;
		}
		used += set->n_labels;
		if (take32(in, COLUMNS_MAX_ORDINAL, &set->ordinal) < 0)
			return -EPROTO;
	}
	return 0;
}

static int read_presences(struct section_reader *r, struct wire_reader *in)
{
	for (uint32_t i = 0; i < r->n_presences; i++) {
		int e = presence_take(in, r->n_ticks, &r->presences[i]);
		if (e < 0 || r->presences[i].count == 0)
			return e < 0 ? e : -EPROTO;
	}
	return 0;
}

static int read_paths(struct section_reader *r, struct wire_reader *in)
{
	uint64_t columns = 0;
	size_t len;
	for (uint32_t i = 0; i < r->n_paths; i++) {
		struct path *p = &r->paths[i];
		p->custom = "";
		if (take32(in, SCHEMA_MAX_DEPTH, &p->n_numbers) < 0)
			return -EPROTO;
		for (uint32_t k = 0; k < p->n_numbers; k++) {
			if (take32(in, UINT32_MAX, &p->numbers[k]) < 0)
				return -EPROTO;
		}
		if (p->n_numbers == 0 && (take_text(r, in, &p->custom, &len) < 0 || strlen(p->custom) != len))
			return -EPROTO;
		if (take32(in, SCHEMA_KIND_HISTOGRAM, &p->kind) < 0 || take32(in, SCHEMA_UNIT_LAST, &p->unit) < 0 ||
		    take32(in, SCHEMA_VALUE_HISTOGRAM, &p->type) < 0 || take32(in, UINT32_MAX, &p->n_columns) < 0)
			return -EPROTO;
		columns += p->n_columns;
	}
	return columns == r->n_columns ? 0 : -EPROTO;
}

/* `who`, `parts` and `when` of each column, and with them where series begin. */
static int read_places(struct section_reader *r, struct wire_reader *who, struct wire_reader *parts,
		       struct wire_reader *when)
{
	uint32_t path = 0, in_path = 0, n_series = 0;
	uint64_t set = 0, presence = 0, v, part;
	for (uint32_t i = 0; i < r->n_columns; i++, in_path++) {
		struct column *c = &r->columns[i], *before = i > 0 ? c - 1 : NULL;
		while (in_path == r->paths[path].n_columns) {
			path++;
			in_path = 0;
		}
		c->path = path;
		if (take(who, UINT64_MAX, &v) < 0 || (set += (uint64_t)wire_zigzag(v)) >= r->n_sets ||
		    take(when, UINT64_MAX, &v) < 0 || (presence += (uint64_t)wire_zigzag(v)) >= r->n_presences ||
		    take(parts, COLUMNS_PART_BUCKET + 251, &part) < 0)
			return -EPROTO;
		c->part = (uint8_t)part;
		c->set = (uint32_t)set;
		c->presence = (uint32_t)presence;
		bool histogram = r->paths[path].type == SCHEMA_VALUE_HISTOGRAM;
		if ((c->part == COLUMNS_PART_VALUE) == histogram)
			return -EPROTO;
		if (before && before->path == c->path && before->set == c->set) {
			if (before->presence != c->presence || before->part >= c->part)
				return -EPROTO;
			c->first = before->first;
			continue;
		}
		if (n_series == r->n_series || (histogram && c->part != COLUMNS_PART_SUM))
			return -EPROTO;
		if (r->paths[path].n_series++ == 0)
			r->paths[path].first_series = n_series;
		c->first = i;
		r->series[n_series++] = i;
	}
	r->series[n_series] = r->n_columns;
	return n_series == r->n_series ? 0 : -EPROTO;
}

static int take_ratio(struct section_reader *r, struct column *c, struct wire_reader *plans, uint64_t *ret_first)
{
	if (r->n_ratios == r->cap_ratios) {
		uint32_t cap = r->cap_ratios ? r->cap_ratios * 2 : 16;
		struct ratio_plans *ratios = realloc(r->ratios, cap * sizeof(*ratios));
		if (!ratios)
			return -ENOMEM;
		r->ratios = ratios;
		r->cap_ratios = cap;
	}
	struct ratio_plans *p = &r->ratios[r->n_ratios];
	if (integers_plan_take(plans, &p->denominators) < 0 || integers_plan_take(plans, &p->beside) < 0 ||
	    p->denominators.striped || p->beside.striped)
		return -EPROTO;
	const struct ratios one = {
		.numerators = &c->plan.first, .denominators = &p->denominators.first, .beside = &p->beside.first};
	ratios_join(c->scale, &one, 1, ret_first);
	c->ratio = r->n_ratios++;
	return 0;
}

static int take_aggregate(struct section_reader *r, struct column *c, const struct path *p, uint64_t first,
			  struct wire_reader *aggregates)
{
	if (r->n_aggregates == r->cap_aggregates) {
		uint32_t cap = r->cap_aggregates ? r->cap_aggregates * 2 : 16;
		struct columns_aggregate *grown = realloc(r->aggregates, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		r->aggregates = grown;
		r->cap_aggregates = cap;
	}
	c->aggregate = r->n_aggregates++;
	r->aggregates[c->aggregate] = (struct columns_aggregate){.count = c->count, .first = first};
	return aggregates_take(aggregates, (enum schema_value_type)p->type, (enum schema_kind)p->kind, c->scale,
			       &r->aggregates[c->aggregate]);
}

static int take_plan(struct section_reader *r, struct column *c, const struct path *p, struct wire_reader *plans,
		     uint64_t *ret_first)
{
	uint32_t scale = 0;
	bool is_double = p->type == SCHEMA_VALUE_DOUBLE;
	if (is_double && (take32(plans, DOUBLES_BITS, &scale) < 0 || (scale > RATIOS_MILLION && scale != DOUBLES_BITS)))
		return -EPROTO;
	c->scale = (uint8_t)scale;
	if (integers_plan_take(plans, &c->plan) < 0)
		return -EPROTO;
	/* What the sum says of buckets it says of their growth. */
	if (r->form != COLUMNS_QUICK && c->part >= COLUMNS_PART_BUCKET && c->plan.form != INTEGERS_CONSTANT &&
	    c->plan.form != INTEGERS_DELTA)
		return -EPROTO;
	c->count = r->presences[c->presence].count;
	if (c->plan.striped && (r->form != COLUMNS_DENSE || c->part != COLUMNS_PART_VALUE || section_is_ratio(c) ||
				!stripes_can(&c->plan, c->count)))
		return -EPROTO;
	if (section_is_ratio(c))
		return take_ratio(r, c, plans, ret_first);
	*ret_first = aggregates_value(c->plan.first, c->scale, is_double);
	return 0;
}

static int read_plans(struct section_reader *r, struct wire_reader *plans, struct wire_reader *aggregates)
{
	uint32_t in_blocks = 0, block = 0;
	for (uint32_t i = 0; i < r->n_columns; i++) {
		struct column *c = &r->columns[i];
		const struct path *p = &r->paths[c->path];
		uint64_t first;
		int e = take_plan(r, c, p, plans, &first);
		c->block = c->aggregate = UINT32_MAX;
		if (e == 0 && (c->plan.form != INTEGERS_CONSTANT || section_is_ratio(c)))
			e = take_aggregate(r, c, p, first, aggregates);
		if (e < 0)
			return e;
		if (section_residuals(r, c) == 0)
			continue;
		while (block < r->n_blocks && in_blocks == r->blocks[block].n_columns) {
			block++;
			in_blocks = 0;
		}
		if (block == r->n_blocks)
			return -EPROTO;
		struct block *b = &r->blocks[block];
		if (in_blocks++ == 0)
			b->first_column = i;
		if (c->plan.striped && in_blocks < b->n_columns)
			return -EPROTO;
		b->striped = c->plan.striped ? i : UINT32_MAX;
		c->block = block;
	}
	return r->n_blocks == 0 || (block == r->n_blocks - 1 && in_blocks == r->blocks[block].n_columns) ? 0 : -EPROTO;
}

static int read_blocks(struct section_reader *r, struct wire_reader *in)
{
	size_t offset = 0;
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		struct block *b = &r->blocks[i];
		uint64_t len;
		if (take32(in, UINT32_MAX, &b->n_columns) < 0 || b->n_columns == 0 ||
		    take(in, r->len - offset, &len) < 0 || take32(in, UINT32_MAX, &b->crc) < 0)
			return -EPROTO;
		b->offset = offset;
		b->len = len;
		offset += len;
	}
	return offset == r->len ? 0 : -EPROTO;
}

int section_directory_unpack(const uint8_t *header, const uint8_t *data, uint32_t packed, struct section_unpacked *ret)
{
	uint32_t unpacked = take_word(header + 4) & SECTION_LENGTH_MASK,
		 form = take_word(header + 4) >> SECTION_FORM_SHIFT;
	if (unpacked > COLUMNS_MAX_DIRECTORY || form > COLUMNS_DENSE)
		return -EPROTO;
	if ((uint32_t)crc32(form, data, packed) != take_word(header + 8))
		return -EBADMSG;
	uint8_t *directory;
	int r = unpacker_take(data, packed, unpacked, &directory);
	if (r < 0)
		return r;
	*ret = (struct section_unpacked){.form = (enum columns_form)form, .directory = directory, .len = unpacked};
	return 0;
}

/* Each of what is counted takes a byte of its stream at least, so counts cannot ask for more than there is. */
static int make_room(struct section_reader *r, const struct wire_reader *streams, const uint32_t *counts,
		     size_t directory_len)
{
	size_t labels = (size_t)(streams[SECTION_LABELS].end - streams[SECTION_LABELS].p);
	r->n_names = counts[SECTION_NAMES];
	r->n_sets = counts[SECTION_LABELS];
	r->n_presences = counts[SECTION_PRESENCES];
	r->n_paths = counts[SECTION_PATHS];
	r->n_blocks = counts[SECTION_BLOCKS];
	r->text_cap = directory_len + 1;
	r->text = malloc(r->text_cap);
	r->names = calloc(r->n_names + 1u, sizeof(*r->names));
	r->sets = calloc(r->n_sets + 1u, sizeof(*r->sets));
	r->labels = calloc(labels / 2 + 1, sizeof(*r->labels));
	r->presences = calloc(r->n_presences + 1u, sizeof(*r->presences));
	r->paths = calloc(r->n_paths + 1u, sizeof(*r->paths));
	/* All of each is said below. */
	r->columns = malloc((r->n_columns + (size_t)1) * sizeof(*r->columns));
	r->series = calloc(r->n_series + 1u, sizeof(*r->series));
	r->blocks = calloc(r->n_blocks + 1u, sizeof(*r->blocks));
	return r->text && r->names && r->sets && r->labels && r->presences && r->paths && r->columns && r->series &&
			       r->blocks
		       ? 0
		       : -ENOMEM;
}

int section_directory_streams(const uint8_t *directory, size_t len, struct section_streams *ret)
{
	struct wire_reader in = wire_reader(directory, len);
	if (take32(&in, UINT32_MAX, &ret->section) < 0 || take32(&in, COLUMNS_MAX_SERIES, &ret->n_series) < 0)
		return -EPROTO;
	for (size_t i = 0; i < SECTION_STREAMS; i++) {
		uint64_t n;
		if (take32(&in, UINT32_MAX - 1, &ret->counts[i]) < 0 || take(&in, UINT64_MAX, &n) < 0 ||
		    n > (size_t)(in.end - in.p) || ret->counts[i] > n)
			return -EPROTO;
		ret->streams[i] = wire_reader(in.p, (size_t)n);
		in.p += n;
	}
	return in.p == in.end ? 0 : -EPROTO;
}

int section_directory_read(struct section_reader *r, const uint8_t *directory, size_t len)
{
	struct section_streams all;
	struct wire_reader *s = all.streams;
	if (section_directory_streams(directory, len, &all) < 0)
		return -EPROTO;
	r->section = all.section;
	r->n_series = all.n_series;
	/* Each column has one byte of this at least; how many there are the paths say. */
	r->n_columns = 0;
	for (const uint8_t *p = s[SECTION_PARTS].p; p < s[SECTION_PARTS].end; p++)
		r->n_columns += !(*p & 0x80);
	if (r->n_series > r->n_columns || r->n_columns > COLUMNS_MAX_COLUMNS)
		return -EPROTO;
	int e = make_room(r, s, all.counts, len);
	if (e == 0)
		e = read_names(r, &s[SECTION_NAMES]);
	if (e == 0)
		e = read_sets(r, &s[SECTION_LABELS]);
	if (e == 0)
		e = read_presences(r, &s[SECTION_PRESENCES]);
	if (e == 0)
		e = read_paths(r, &s[SECTION_PATHS]);
	if (e == 0)
		e = read_blocks(r, &s[SECTION_BLOCKS]);
	if (e == 0)
		e = read_places(r, &s[SECTION_WHO], &s[SECTION_PARTS], &s[SECTION_WHEN]);
	if (e == 0)
		e = read_plans(r, &s[SECTION_PLANS], &s[SECTION_AGGREGATES]);
	for (size_t i = 0; e == 0 && i < SECTION_STREAMS; i++)
		e = s[i].p == s[i].end ? 0 : -EPROTO;
	return e;
}
