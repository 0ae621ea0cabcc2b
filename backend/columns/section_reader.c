/* Only the blocks' bytes are foreign here, and any bytes decode to some values within bounds: the directory has been
 * checked. */
#include "backend/columns/section_reader.h"

#include "backend/columns/aggregates.h"
#include "backend/columns/doubles.h"
#include "backend/columns/packed.h"
#include "backend/columns/section_directory.h"
#include "backend/columns/words.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

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
	free(r->aggregates);
	free(r->scratch);
	buf_free(&r->fetched);
	presence_free(&r->slice);
	budget_free(&r->budget);
	free(r);
}

static int open_directory(enum columns_form form, const uint8_t *directory, size_t directory_len, size_t len,
			  uint32_t n_ticks, struct section_reader **ret)
{
	struct section_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->form = form;
	r->len = len;
	r->n_ticks = n_ticks;
	r->open_block = UINT32_MAX;
	r->fetched = BUF_INIT(COLUMNS_MAX_SECTION);
	int e = section_directory_read(r, directory, directory_len);
	if (e < 0)
		section_reader_free(r);
	else
		*ret = r;
	return e;
}

int section_reader_unpacked(enum columns_form form, const uint8_t *directory, size_t directory_len,
			    const uint8_t *blocks, size_t len, uint32_t n_ticks, struct section_reader **ret)
{
	int e = open_directory(form, directory, directory_len, len, n_ticks, ret);
	if (e == 0)
		(*ret)->data = blocks;
	return e;
}

/* The directory behind a section's header, `packed` bytes of it, with what is behind that. */
static int unpack(const uint8_t *header, const uint8_t *data, uint32_t packed, size_t behind, uint32_t n_ticks,
		  struct section_reader **ret)
{
	struct section_unpacked unpacked;
	int e = section_directory_unpack(header, data, packed, &unpacked);
	if (e == 0) {
		e = open_directory(unpacked.form, unpacked.directory, unpacked.len, behind, n_ticks, ret);
		free(unpacked.directory);
	}
	return e;
}

int section_reader_open(const uint8_t *data, size_t len, uint32_t n_ticks, struct section_reader **ret)
{
	if (len < SECTION_HEADER || take_word(data) > len - SECTION_HEADER)
		return -EPROTO;
	uint32_t packed = take_word(data);
	const uint8_t *directory = data + SECTION_HEADER;
	int e = unpack(data, directory, packed, len - SECTION_HEADER - packed, n_ticks, ret);
	if (e == 0)
		(*ret)->data = directory + packed;
	return e;
}

/* Most directories come with the first read, and not much else: on a cold disk each page is a wait. */
#define FIRST_READ 16384
#define FIRST_READ_LEAST 512
#define SERIES_BYTES 48

static size_t first_read(const struct section_source *source, size_t len)
{
	uint64_t first = FIRST_READ_LEAST + (uint64_t)source->n_series * SERIES_BYTES;
	if (source->n_series == 0 || first > FIRST_READ)
		first = FIRST_READ;
	return len < first ? len : (size_t)first;
}

int section_reader_open_source(const struct section_source *source, size_t len, uint32_t n_ticks,
			       struct section_reader **ret)
{
	struct buf head BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	size_t first = first_read(source, len);
	if (len < SECTION_HEADER)
		return -EPROTO;
	int e = buf_reserve(&head, first);
	if (e == 0)
		e = source->read(source->arg, 0, first, head.data);
	if (e < 0)
		return e;
	uint32_t packed = take_word(head.data);
	if (packed > len - SECTION_HEADER)
		return -EPROTO;
	head.len = first;
	if (packed > first - SECTION_HEADER) {
		size_t more = SECTION_HEADER + (size_t)packed - first;
		e = buf_reserve(&head, more);
		if (e == 0)
			e = source->read(source->arg, first, more, head.data + first);
	}
	if (e == 0)
		e = unpack(head.data, head.data + SECTION_HEADER, packed, len - SECTION_HEADER - packed, n_ticks, ret);
	if (e == 0) {
		(*ret)->source = *source;
		(*ret)->blocks_at = SECTION_HEADER + (uint64_t)packed;
	}
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

enum columns_form section_reader_form(const struct section_reader *r)
{
	return r->form;
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

void section_reader_place(const struct section_reader *r, uint32_t i, uint32_t *ret_path, uint32_t *ret_set)
{
	const struct column *c = &r->columns[r->series[i]];
	*ret_path = c->path;
	*ret_set = c->set;
}

uint32_t section_reader_paths(const struct section_reader *r)
{
	return r->n_paths;
}

uint32_t section_reader_sets(const struct section_reader *r)
{
	return r->n_sets;
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
	const struct path *p = &r->paths[c->path];
	if (c->aggregate != UINT32_MAX) {
		*ret = r->aggregates[c->aggregate];
		return c->part;
	}
	*ret = (struct columns_aggregate){
		.count = c->count, .first = aggregates_value(c->plan.first, c->scale, p->type == SCHEMA_VALUE_DOUBLE)};
	aggregates_constant(ret, (enum schema_value_type)p->type);
	return c->part;
}

bool section_reader_constant(const struct section_reader *r, uint32_t i, uint64_t *ret_value)
{
	const struct column *c = &r->columns[r->series[i]];
	if (c->part != COLUMNS_PART_VALUE || c->plan.form != INTEGERS_CONSTANT || section_is_ratio(c))
		return false;
	*ret_value = aggregates_value(c->plan.first, c->scale, r->paths[c->path].type == SCHEMA_VALUE_DOUBLE);
	return true;
}

/* --- values --- */

static int open_block(struct section_reader *r, uint32_t block)
{
	const struct block *b = &r->blocks[block];
	const uint8_t *data;
	r->open_block = UINT32_MAX;
	if (!r->source.read) {
		data = r->data + b->offset;
	} else {
		buf_reset(&r->fetched);
		int e = buf_reserve(&r->fetched, b->len);
		if (e == 0)
			e = r->source.read(r->source.arg, r->blocks_at + b->offset, b->len, r->fetched.data);
		if (e < 0)
			return e;
		data = r->fetched.data;
	}
	if ((uint32_t)crc32(0, data, (unsigned)b->len) != b->crc)
		return -EBADMSG;
	if (r->form == COLUMNS_QUICK) {
		r->packed = wire_reader(data, b->len);
	} else if (b->striped == UINT32_MAX) {
		range_decoder_init(&r->decoder, data, b->len);
	} else {
		const struct column *c = &r->columns[b->striped];
		if (stripes_take(&c->plan, c->count, wire_reader(data, b->len), &r->stripes) < 0)
			return -EPROTO;
		range_decoder_init(&r->decoder, r->stripes.data[0], r->stripes.len[0]);
	}
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
	int e = budget_reserve(&r->budget, c->count);
	if (e < 0)
		return e;
	if (!residuals && plan.form > INTEGERS_LINEAR)
		plan.form = INTEGERS_CONSTANT;
	integers_join(&plan, residuals, c->count, r->budget.left);
	budget_begin(&r->budget, r->budget.left, c->count);
	r->budget_of = first;
	return 0;
}

static struct residuals_model *model_of(struct section_reader *r, enum section_model which)
{
	if (!(r->models_ready & 1u << which))
		residuals_model_init(&r->models[which],
				     r->form == COLUMNS_UNPRIMED ? RESIDUALS_UNPRIMED : section_prior(which));
	r->models_ready |= 1u << which;
	return &r->models[which];
}

/* Models are new where the metric changes. */
static void enter_path(struct section_reader *r, const struct column *c)
{
	if (r->model_path != c->path)
		r->models_ready = 0;
	r->model_path = c->path;
}

static void decode_one(struct section_reader *r, const struct integers_plan *plan, enum section_model which, uint32_t n,
		       int64_t *to, const uint8_t *hints)
{
	residuals_decode(model_of(r, which), &r->decoder, to, integers_residuals(plan->form, n), hints);
}

/* One column further; into scratch if it is wanted. */
static int unpack_next(struct section_reader *r, bool wanted)
{
	const struct column *c = &r->columns[r->next_column];
	uint32_t n = c->count;
	const struct ratio_plans *p = section_is_ratio(c) ? &r->ratios[c->ratio] : NULL;
	if (section_residuals(r, c) == 0)
		return 0;
	int e = make_scratch(r, 3ull * n);
	const struct integers_plan *const plans[] = {&c->plan, p ? &p->denominators : NULL, p ? &p->beside : NULL};
	for (size_t i = 0; e == 0 && i < 3 && plans[i]; i++)
		e = packed_take(&r->packed, integers_residuals(plans[i]->form, n), wanted ? r->scratch + i * n : NULL);
	return e;
}

/* One column further, into scratch; of ratios the denominators and what is beside behind the numerators. */
static int decode_next(struct section_reader *r)
{
	const struct column *c = &r->columns[r->next_column];
	uint32_t n = c->count;
	if (section_residuals(r, c) == 0)
		return 0;
	int e = make_scratch(r, 3ull * n);
	if (e == 0 && c->part >= COLUMNS_PART_BUCKET && r->budget_of != c->first)
		e = begin_budget(r, c->first, NULL);
	if (e < 0)
		return e;
	enter_path(r, c);
	if (c->part >= COLUMNS_PART_BUCKET) {
		budget_hint(&r->budget, c->part - COLUMNS_PART_BUCKET);
		decode_one(r, &c->plan, SECTION_MODEL_BUCKETS, n, r->scratch, r->budget.hints);
		budget_spend(&r->budget, c->part - COLUMNS_PART_BUCKET, r->scratch);
		return 0;
	}
	decode_one(r, &c->plan, SECTION_MODEL_VALUES, n, r->scratch, NULL);
	if (section_is_ratio(c)) {
		const struct ratio_plans *p = &r->ratios[c->ratio];
		decode_one(r, &p->denominators, SECTION_MODEL_DENOMINATORS, n, r->scratch + n, NULL);
		decode_one(r, &p->beside, SECTION_MODEL_BESIDE, n, r->scratch + 2ull * n, NULL);
	}
	return c->part == COLUMNS_PART_SUM ? begin_budget(r, r->next_column, r->scratch) : 0;
}

/* Opens the block of column i and decodes what stands before it there, unless that is done. Afterwards what is decoded
 * ends before `end`. */
static int decode_until(struct section_reader *r, uint32_t i, uint32_t end)
{
	uint32_t block = r->columns[i].block;
	int e = 0;
	if (block != r->open_block || i < r->next_column)
		e = open_block(r, block);
	for (; e == 0 && r->next_column < end; r->next_column++)
		e = r->form == COLUMNS_QUICK ? unpack_next(r, r->next_column == i) : decode_next(r);
	if (e == 0 && r->form != COLUMNS_QUICK && r->decoder.beyond > 4)
		e = -EPROTO;
	if (e < 0)
		r->open_block = UINT32_MAX;
	return e;
}

/* The residuals of column i, into scratch. */
static int decode(struct section_reader *r, uint32_t i)
{
	return decode_until(r, i, i + 1);
}

/* The integers of a striped column at values [*first, *end), which become what was decoded: they begin at *to. */
static int decode_striped(struct section_reader *r, uint32_t i, uint32_t *first, uint32_t *end, uint64_t *to)
{
	const struct column *c = &r->columns[i];
	unsigned from = stripes_of(c->count, *first), until = stripes_of(c->count, *end - 1) + 1;
	int e = decode_until(r, i, i);
	if (e < 0)
		return e;
	enter_path(r, c);
	e = stripes_decode(&r->stripes, &c->plan, from, until, model_of(r, SECTION_MODEL_VALUES), &r->decoder, to);
	r->next_column = i + 1;
	if (e < 0) {
		r->open_block = UINT32_MAX;
		return e;
	}
	*first = stripes_begin(c->count, from);
	*end = stripes_begin(c->count, until);
	if (from > 0)
		memmove(to, to + *first, (*end - *first) * sizeof(*to));
	return 0;
}

static int join_ratios(struct section_reader *r, const struct column *c, uint64_t *values)
{
	const struct ratio_plans *p = &r->ratios[c->ratio];
	size_t n = c->count;
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

static int join_values(struct section_reader *r, const struct column *c, uint64_t *values, uint32_t n)
{
	if (section_is_ratio(c))
		return join_ratios(r, c, values);
	if (r->paths[c->path].type == SCHEMA_VALUE_DOUBLE)
		doubles_join(c->scale, values, n, values);
	return 0;
}

int section_reader_values(struct section_reader *r, uint32_t i, struct columns_values *values)
{
	struct section_span all = {.first = 0, .end = r->n_ticks};
	return section_reader_values_within(r, i, &all, values);
}

/* A striped series. */
static int values_within(struct section_reader *r, uint32_t i, struct section_span *span, struct columns_values *values)
{
	const struct column *c = &r->columns[r->series[i]];
	const struct presence *all = values->presence;
	uint32_t first = presence_rank(all, span->first), end = presence_rank(all, span->end);
	/* Of no values the stripe in which they would be. */
	first = first < c->count ? first : c->count - 1;
	end = end > first ? end : first + 1;
	uint64_t *to = values->parts[0].values;
	int e = decode_striped(r, r->series[i], &first, &end, to);
	if (e == 0)
		e = join_values(r, c, to, end - first);
	if (e < 0 || end - first == c->count) {
		*span = e < 0 ? *span : (struct section_span){.first = 0, .end = r->n_ticks};
		return e;
	}
	e = presence_slice(all, first, end, &r->slice);
	if (e < 0)
		return e;
	const struct presence_run *last = &r->slice.runs[r->slice.n_runs - 1];
	span->first = first > 0 ? r->slice.runs[0].first : 0;
	span->end = end < c->count ? last->first + last->n : r->n_ticks;
	values->presence = &r->slice;
	values->n = end - first;
	return 0;
}

int section_reader_values_within(struct section_reader *r, uint32_t i, struct section_span *span,
				 struct columns_values *values)
{
	uint32_t first = r->series[i], n_parts = section_reader_parts(r, i);
	values->presence = section_reader_presence(r, i);
	values->n = values->presence->count;
	values->n_parts = n_parts;
	int e = columns_values_reserve(values, n_parts, values->n);
	for (uint32_t k = 0; e == 0 && k < n_parts; k++)
		values->parts[k].part = r->columns[first + k].part;
	if (e == 0 && r->columns[first].plan.striped)
		return values_within(r, i, span, values);
	for (uint32_t k = 0; e == 0 && k < n_parts; k++) {
		const struct column *c = &r->columns[first + k];
		if (c->block != UINT32_MAX)
			e = decode(r, first + k);
		if (e < 0)
			break;
		integers_join(&c->plan, r->scratch, values->n, values->parts[k].values);
		e = join_values(r, c, values->parts[k].values, values->n);
	}
	if (e == 0)
		*span = (struct section_span){.first = 0, .end = r->n_ticks};
	return e;
}
