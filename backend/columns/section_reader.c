/* Every number of the directory is checked once, when it is opened, against what it refers to: reading values trusts it
 * then. Only the blocks' bytes stay foreign, and any bytes decode to some values within bounds. */
#include "backend/columns/section_reader.h"

#include "backend/columns/budget.h"
#include "backend/columns/doubles.h"
#include "backend/columns/integers.h"
#include "backend/columns/ratios.h"
#include "backend/columns/residuals.h"
#include "backend/columns/section_format.h"
#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct column {
	uint32_t path, set, presence;
	uint32_t part;
	uint32_t first; /* column of its series: a histogram's sum */
	uint32_t block; /* UINT32_MAX: needs none */
	uint8_t scale;
	uint32_t ratio; /* of those with such a scale: their other two plans */
	struct integers_plan plan;
	struct columns_aggregate aggregate;
};

struct path {
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	uint32_t n_numbers;
	const char *custom;
	uint32_t kind, unit, type;
	uint32_t n_columns, first_series, n_series;
};

struct label_set {
	struct schema_label_value *labels;
	uint32_t n_labels;
	uint32_t ordinal;
};

struct block {
	uint32_t first_column; /* of those in blocks the first in it */
	uint32_t n_columns;
	size_t offset, len;
	uint32_t crc;
};

struct section_reader {
	const uint8_t *data; /* the blocks */
	size_t len;
	uint32_t section, n_ticks;
	char *text; /* all texts, each terminated */
	size_t text_used, text_cap;
	char **names;
	struct label_set *sets;
	struct schema_label_value *labels; /* of all sets */
	struct presence *presences;
	struct path *paths;
	struct column *columns;
	uint32_t *series; /* first column of each; one more at the end */
	struct block *blocks;
	struct ratio_plans {
		struct integers_plan denominators, beside;
	} * ratios;
	uint32_t n_ratios, cap_ratios;
	uint32_t n_names, n_sets, n_presences, n_paths, n_columns, n_series, n_blocks;
	/* Where decoding stands. */
	uint32_t open_block, next_column, model_path;
	struct range_decoder decoder;
	struct residuals_model models[SECTION_MODELS];
	unsigned models_ready; /* one bit for each */
	int64_t *scratch;
	uint32_t cap_scratch;
	struct budget budget; /* of the histogram at hand, whose first column this is */
	uint32_t budget_of;
};

void section_reader_free(struct section_reader *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; r->presences && i < r->n_presences; i++)
		presence_free(&r->presences[i]);
	free(r->text);
	free(r->names);
	free(r->sets);
	free(r->labels);
	free(r->presences);
	free(r->paths);
	free(r->columns);
	free(r->series);
	free(r->blocks);
	free(r->ratios);
	free(r->scratch);
	budget_free(&r->budget);
	free(r);
}

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

static int take_fixed(struct wire_reader *in, double *ret)
{
	uint64_t bits = 0;
	if (in->end - in->p < 8)
		return -EPROTO;
	for (size_t i = 0; i < 8; i++)
		bits |= (uint64_t)*in->p++ << 8 * i;
	*ret = wire_double(bits);
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
	uint64_t set = 0, presence = 0, v;
	for (uint32_t i = 0; i < r->n_columns; i++, in_path++) {
		struct column *c = &r->columns[i], *before = i > 0 ? c - 1 : NULL;
		while (in_path == r->paths[path].n_columns) {
			path++;
			in_path = 0;
		}
		c->path = path;
		if (take(who, UINT64_MAX, &v) < 0 || (set += (uint64_t)wire_zigzag(v)) >= r->n_sets ||
		    take(when, UINT64_MAX, &v) < 0 || (presence += (uint64_t)wire_zigzag(v)) >= r->n_presences ||
		    take32(parts, COLUMNS_PART_BUCKET + 251, &c->part) < 0)
			return -EPROTO;
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

static bool is_ratio(const struct column *c)
{
	return c->scale == RATIOS_ONE || c->scale == RATIOS_MILLION;
}

static uint64_t one_value(const struct column *c, bool is_double, uint64_t integer)
{
	if (is_double)
		doubles_join(c->scale, &integer, 1, &integer);
	return integer;
}

static int take_sum(struct wire_reader *in, struct columns_aggregate *a, enum schema_value_type type)
{
	double first = type == SCHEMA_VALUE_INT ? (double)(int64_t)a->first : (double)a->first;
	uint64_t told;
	if (type == SCHEMA_VALUE_DOUBLE)
		return take_fixed(in, &a->sum);
	if (take(in, UINT64_MAX, &told) < 0)
		return -EPROTO;
	if (told == 0)
		return take_fixed(in, &a->sum);
	a->sum = first * a->count + (double)wire_zigzag(told - 1);
	return 0;
}

static int read_aggregate(struct column *c, const struct path *p, struct wire_reader *in)
{
	struct columns_aggregate *a = &c->aggregate;
	bool is_double = p->type == SCHEMA_VALUE_DOUBLE, is_part = p->type == SCHEMA_VALUE_HISTOGRAM;
	uint64_t v, *const values[] = {&a->last, &a->min, &a->max}, first = c->plan.first;
	/* Of ratios they are told by their bits; one_value() takes those. */
	if (is_ratio(c) && doubles_split_at(DOUBLES_BITS, &a->first, 1, &first) < 0)
		return -EPROTO;
	if (is_double && take32(in, a->count, &a->nans) < 0)
		return -EPROTO;
	for (size_t i = 0; i < (is_part ? 1 : 3); i++) {
		if (take(in, UINT64_MAX, &v) < 0)
			return -EPROTO;
		*values[i] = one_value(c, is_double, first + (uint64_t)wire_zigzag(v));
	}
	if (!is_part && take_sum(in, a, (enum schema_value_type)p->type) < 0)
		return -EPROTO;
	if (p->kind == SCHEMA_KIND_GAUGE)
		return 0;
	if (in->p == in->end)
		return -EPROTO;
	a->increase = (double)(a->last - a->first);
	return *in->p++ ? take_fixed(in, &a->increase) : 0;
}

static void constant_aggregate(struct columns_aggregate *a, enum schema_value_type type)
{
	a->last = a->first;
	if (type == SCHEMA_VALUE_HISTOGRAM)
		return;
	a->min = a->max = a->first;
	if (type == SCHEMA_VALUE_INT)
		a->sum = (double)(int64_t)a->first * a->count;
	else if (type == SCHEMA_VALUE_UINT)
		a->sum = (double)a->first * a->count;
	else if (isnan(wire_double(a->first)))
		a->nans = a->count;
	else
		a->sum = wire_double(a->first) * a->count;
}

static int take_ratio(struct section_reader *r, struct column *c, struct wire_reader *plans)
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
	if (integers_plan_take(plans, &p->denominators) < 0 || integers_plan_take(plans, &p->beside) < 0)
		return -EPROTO;
	const struct ratios one = {
		.numerators = &c->plan.first, .denominators = &p->denominators.first, .beside = &p->beside.first};
	ratios_join(c->scale, &one, 1, &c->aggregate.first);
	c->ratio = r->n_ratios++;
	return 0;
}

static int take_plan(struct section_reader *r, struct column *c, const struct path *p, struct wire_reader *plans)
{
	uint32_t scale = 0;
	bool is_double = p->type == SCHEMA_VALUE_DOUBLE;
	if (is_double && (take32(plans, DOUBLES_BITS, &scale) < 0 || (scale > RATIOS_MILLION && scale != DOUBLES_BITS)))
		return -EPROTO;
	c->scale = (uint8_t)scale;
	if (integers_plan_take(plans, &c->plan) < 0)
		return -EPROTO;
	if (c->part >= COLUMNS_PART_BUCKET && c->plan.form != INTEGERS_CONSTANT && c->plan.form != INTEGERS_DELTA)
		return -EPROTO;
	c->aggregate.count = r->presences[c->presence].count;
	if (is_ratio(c))
		return take_ratio(r, c, plans);
	c->aggregate.first = one_value(c, is_double, c->plan.first);
	return 0;
}

static size_t residuals_of(const struct section_reader *r, const struct column *c)
{
	size_t n = integers_residuals(c->plan.form, c->aggregate.count);
	if (is_ratio(c))
		n += integers_residuals(r->ratios[c->ratio].denominators.form, c->aggregate.count) +
		     integers_residuals(r->ratios[c->ratio].beside.form, c->aggregate.count);
	return n;
}

static int read_plans(struct section_reader *r, struct wire_reader *plans, struct wire_reader *aggregates)
{
	uint32_t in_blocks = 0, block = 0;
	for (uint32_t i = 0; i < r->n_columns; i++) {
		struct column *c = &r->columns[i];
		const struct path *p = &r->paths[c->path];
		int e = take_plan(r, c, p, plans);
		c->block = UINT32_MAX;
		if (e == 0 && c->plan.form == INTEGERS_CONSTANT && !is_ratio(c))
			constant_aggregate(&c->aggregate, (enum schema_value_type)p->type);
		else if (e == 0)
			e = read_aggregate(c, p, aggregates);
		if (e < 0)
			return e;
		if (residuals_of(r, c) == 0)
			continue;
		while (block < r->n_blocks && in_blocks == r->blocks[block].n_columns) {
			block++;
			in_blocks = 0;
		}
		if (block == r->n_blocks)
			return -EPROTO;
		if (in_blocks++ == 0)
			r->blocks[block].first_column = i;
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
	r->columns = calloc(r->n_columns + 1u, sizeof(*r->columns));
	r->series = calloc(r->n_series + 1u, sizeof(*r->series));
	r->blocks = calloc(r->n_blocks + 1u, sizeof(*r->blocks));
	return r->text && r->names && r->sets && r->labels && r->presences && r->paths && r->columns && r->series &&
			       r->blocks
		       ? 0
		       : -ENOMEM;
}

static int read_directory(struct section_reader *r, const uint8_t *directory, size_t len)
{
	struct wire_reader in = wire_reader(directory, len), s[SECTION_STREAMS];
	uint32_t counts[SECTION_STREAMS];
	if (take32(&in, UINT32_MAX, &r->section) < 0 || take32(&in, COLUMNS_MAX_SERIES, &r->n_series) < 0)
		return -EPROTO;
	for (size_t i = 0; i < SECTION_STREAMS; i++) {
		uint64_t n;
		if (take32(&in, UINT32_MAX - 1, &counts[i]) < 0 || take(&in, UINT64_MAX, &n) < 0 ||
		    n > (size_t)(in.end - in.p) || counts[i] > n)
			return -EPROTO;
		s[i] = wire_reader(in.p, (size_t)n);
		in.p += n;
	}
	/* Each column has one byte of this at least; how many there are the paths say. */
	r->n_columns = 0;
	for (const uint8_t *p = s[SECTION_PARTS].p; p < s[SECTION_PARTS].end; p++)
		r->n_columns += !(*p & 0x80);
	if (in.p != in.end || r->n_series > r->n_columns || r->n_columns > COLUMNS_MAX_COLUMNS)
		return -EPROTO;
	int e = make_room(r, s, counts, len);
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

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int section_reader_unpacked(const uint8_t *directory, size_t directory_len, const uint8_t *blocks, size_t len,
			    uint32_t n_ticks, struct section_reader **ret)
{
	struct section_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->data = blocks;
	r->len = len;
	r->n_ticks = n_ticks;
	r->open_block = UINT32_MAX;
	int e = read_directory(r, directory, directory_len);
	if (e < 0)
		section_reader_free(r);
	else
		*ret = r;
	return e;
}

int section_reader_open(const uint8_t *data, size_t len, uint32_t n_ticks, struct section_reader **ret)
{
	if (len < SECTION_HEADER)
		return -EPROTO;
	uint32_t packed = word(data), unpacked = word(data + 4);
	if (packed > len - SECTION_HEADER || unpacked > COLUMNS_MAX_DIRECTORY)
		return -EPROTO;
	data += SECTION_HEADER;
	len -= SECTION_HEADER;
	if ((uint32_t)crc32(0, data, packed) != word(data - 4))
		return -EBADMSG;
	if (ZSTD_getFrameContentSize(data, packed) != unpacked)
		return -EPROTO;
	char *directory = malloc(unpacked + 1u);
	if (!directory)
		return -ENOMEM;
	int e = ZSTD_decompress(directory, unpacked, data, packed) == unpacked ? 0 : -EPROTO;
	if (e == 0)
		e = section_reader_unpacked((const uint8_t *)directory, unpacked, data + packed, len - packed, n_ticks,
					    ret);
	free(directory);
	return e;
}

/* --- what is asked --- */

uint32_t section_reader_number(const struct section_reader *r)
{
	return r->section;
}

uint32_t section_reader_series(const struct section_reader *r)
{
	return r->n_series;
}

void section_reader_get(const struct section_reader *r, uint32_t i, struct columns_series *ret)
{
	const struct column *c = &r->columns[r->series[i]];
	const struct path *p = &r->paths[c->path];
	const struct label_set *set = &r->sets[c->set];
	*ret = (struct columns_series){.section = r->section,
				       .n_numbers = p->n_numbers,
				       .custom = p->custom,
				       .kind = (enum schema_kind)p->kind,
				       .unit = (enum schema_unit)p->unit,
				       .type = (enum schema_value_type)p->type,
				       .n_labels = set->n_labels,
				       .ordinal = set->ordinal};
	memcpy(ret->numbers, p->numbers, sizeof(ret->numbers));
	memcpy(ret->labels, set->labels, set->n_labels * sizeof(*set->labels));
}

int64_t section_reader_find(const struct section_reader *r, const uint32_t *numbers, size_t n_numbers,
			    const char *custom, uint32_t from)
{
	for (uint32_t i = 0; i < r->n_paths; i++) {
		const struct path *p = &r->paths[i];
		if (p->n_numbers != n_numbers || p->first_series + p->n_series <= from || p->n_series == 0)
			continue;
		if (n_numbers > 0 ? memcmp(p->numbers, numbers, n_numbers * sizeof(*numbers)) == 0
				  : strcmp(p->custom, custom ? custom : "") == 0)
			return p->first_series > from ? p->first_series : from;
	}
	return -1;
}

const struct presence *section_reader_presence(const struct section_reader *r, uint32_t i)
{
	return &r->presences[r->columns[r->series[i]].presence];
}

uint32_t section_reader_parts(const struct section_reader *r, uint32_t i)
{
	return r->series[i + 1] - r->series[i];
}

uint32_t section_reader_aggregate(const struct section_reader *r, uint32_t i, uint32_t part_index,
				  struct columns_aggregate *ret)
{
	const struct column *c = &r->columns[r->series[i] + part_index];
	*ret = c->aggregate;
	return c->part;
}

/* --- values --- */

static int open_block(struct section_reader *r, uint32_t block)
{
	const struct block *b = &r->blocks[block];
	r->open_block = UINT32_MAX;
	if ((uint32_t)crc32(0, r->data + b->offset, (unsigned)b->len) != b->crc)
		return -EBADMSG;
	range_decoder_init(&r->decoder, r->data + b->offset, b->len);
	r->open_block = block;
	r->next_column = b->first_column;
	r->model_path = r->budget_of = UINT32_MAX;
	return 0;
}

static int make_scratch(struct section_reader *r, size_t n)
{
	if (n <= r->cap_scratch)
		return 0;
	int64_t *scratch = realloc(r->scratch, n * sizeof(*scratch));
	if (!scratch)
		return -ENOMEM;
	r->scratch = scratch;
	r->cap_scratch = (uint32_t)n;
	return 0;
}

/* A sum without residuals stands in no block and is reckoned when its first bucket comes. One whose residuals are in
 * another block no writer wrote: then nothing is known of its buckets. */
static int begin_budget(struct section_reader *r, uint32_t first, const int64_t *residuals)
{
	const struct column *c = &r->columns[first];
	struct integers_plan plan = c->plan;
	int e = budget_reserve(&r->budget, c->aggregate.count);
	if (e < 0)
		return e;
	if (!residuals && plan.form > INTEGERS_LINEAR)
		plan.form = INTEGERS_CONSTANT;
	integers_join(&plan, residuals, c->aggregate.count, r->budget.left);
	budget_begin(&r->budget, r->budget.left, c->aggregate.count);
	r->budget_of = first;
	return 0;
}

static struct residuals_model *model_of(struct section_reader *r, enum section_model which)
{
	if (!(r->models_ready & 1u << which))
		residuals_model_init(&r->models[which]);
	r->models_ready |= 1u << which;
	return &r->models[which];
}

static void decode_one(struct section_reader *r, const struct integers_plan *plan, enum section_model which, uint32_t n,
		       int64_t *to, const uint8_t *hints)
{
	residuals_decode(model_of(r, which), &r->decoder, to, integers_residuals(plan->form, n), hints);
}

/* One column further, into scratch; of ratios the denominators and what is beside behind the numerators. */
static int decode_next(struct section_reader *r)
{
	const struct column *c = &r->columns[r->next_column];
	uint32_t n = c->aggregate.count;
	if (residuals_of(r, c) == 0)
		return 0;
	int e = make_scratch(r, 3ull * n);
	if (e == 0 && c->part >= COLUMNS_PART_BUCKET && r->budget_of != c->first)
		e = begin_budget(r, c->first, NULL);
	if (e < 0)
		return e;
	if (r->model_path != c->path)
		r->models_ready = 0;
	r->model_path = c->path;
	if (c->part >= COLUMNS_PART_BUCKET) {
		budget_hint(&r->budget, c->part - COLUMNS_PART_BUCKET);
		decode_one(r, &c->plan, SECTION_MODEL_BUCKETS, n, r->scratch, r->budget.hints);
		budget_spend(&r->budget, c->part - COLUMNS_PART_BUCKET, r->scratch);
		return 0;
	}
	decode_one(r, &c->plan, SECTION_MODEL_VALUES, n, r->scratch, NULL);
	if (is_ratio(c)) {
		const struct ratio_plans *p = &r->ratios[c->ratio];
		decode_one(r, &p->denominators, SECTION_MODEL_DENOMINATORS, n, r->scratch + n, NULL);
		decode_one(r, &p->beside, SECTION_MODEL_BESIDE, n, r->scratch + 2ull * n, NULL);
	}
	return c->part == COLUMNS_PART_SUM ? begin_budget(r, r->next_column, r->scratch) : 0;
}

/* The residuals of column i, into scratch: what stands before it in its block is decoded on the way. */
static int decode(struct section_reader *r, uint32_t i)
{
	uint32_t block = r->columns[i].block;
	int e = 0;
	if (block != r->open_block || i < r->next_column)
		e = open_block(r, block);
	for (; e == 0 && r->next_column <= i; r->next_column++)
		e = decode_next(r);
	if (e == 0 && r->decoder.beyond > 4)
		e = -EPROTO;
	if (e < 0)
		r->open_block = UINT32_MAX;
	return e;
}

static int join_ratios(struct section_reader *r, const struct column *c, uint64_t *values)
{
	const struct ratio_plans *p = &r->ratios[c->ratio];
	size_t n = c->aggregate.count;
	int e = make_scratch(r, 3 * n);
	if (e < 0)
		return e;
	uint64_t *room = (uint64_t *)r->scratch;
	const struct ratios ratios = {.numerators = values, .denominators = room + n, .beside = room + 2 * n};
	integers_join(&p->denominators, r->scratch + n, n, ratios.denominators);
	integers_join(&p->beside, r->scratch + 2 * n, n, ratios.beside);
	ratios_join(c->scale, &ratios, n, values);
	return 0;
}

int section_reader_values(struct section_reader *r, uint32_t i, struct columns_values *values)
{
	uint32_t first = r->series[i], n_parts = section_reader_parts(r, i);
	values->presence = section_reader_presence(r, i);
	values->n = values->presence->count;
	values->n_parts = n_parts;
	int e = columns_values_reserve(values, n_parts, values->n);
	for (uint32_t k = 0; e == 0 && k < n_parts; k++) {
		const struct column *c = &r->columns[first + k];
		uint64_t *to = values->parts[k].values;
		values->parts[k].part = c->part;
		if (c->block != UINT32_MAX)
			e = decode(r, first + k);
		if (e < 0)
			break;
		integers_join(&c->plan, r->scratch, values->n, to);
		if (is_ratio(c))
			e = join_ratios(r, c, to);
		else if (r->paths[c->path].type == SCHEMA_VALUE_DOUBLE)
			doubles_join(c->scale, to, values->n, to);
	}
	return e;
}
