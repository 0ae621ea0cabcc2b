/* Two ways for the same columns. Dense: plans by what they would cost, quotients where these cost less than bits, and a
 * range coder that learns from column to column. Quick: growths as they are, after one look at the column; what is
 * constant or goes on evenly costs nothing in either. */
#include "backend/columns/section_blocks.h"

#include "backend/columns/doubles.h"
#include "backend/columns/packed.h"
#include "backend/columns/ratios.h"
#include "backend/columns/stripes.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define WORST_RESIDUAL 32 /* bytes */

void section_blocks_init(struct section_blocks *b, enum columns_form form, struct buf *directory)
{
	b->form = form;
	b->directory = directory;
	b->bytes = BUF_INIT(COLUMNS_MAX_SECTION);
	b->path = UINT32_MAX;
}

void section_blocks_free(struct section_blocks *b)
{
	buf_free(&b->bytes);
	free(b->scratch);
	budget_free(&b->budget);
}

/* --- blocks --- */

int section_blocks_finish(struct section_blocks *b)
{
	if (b->n_columns == 0)
		return 0;
	if (b->form == COLUMNS_DENSE && !b->striped) {
		range_encoder_finish(&b->encoder);
		if (b->encoder.len > b->encoder.cap)
			return -EMSGSIZE;
		b->bytes.len = b->begin + b->encoder.len;
	}
	const uint8_t *data = b->bytes.data + b->begin;
	size_t len = b->bytes.len - b->begin;
	int r = wire_put_varint(b->directory, b->n_columns);
	if (r == 0)
		r = wire_put_varint(b->directory, len);
	if (r == 0)
		r = wire_put_varint(b->directory, crc32(0, data, (unsigned)len));
	b->n++;
	b->n_columns = b->n_values = 0;
	b->striped = false;
	b->path = UINT32_MAX;
	b->begin = b->bytes.len;
	return r;
}

int section_blocks_end_series(struct section_blocks *b)
{
	if (b->n_columns == 0)
		return 0;
	if (b->striped)
		return section_blocks_finish(b);
	size_t settled = b->form == COLUMNS_DENSE ? range_encoder_settled(&b->encoder) : b->bytes.len - b->begin;
	size_t most = b->form == COLUMNS_DENSE ? SECTION_BLOCK_BYTES : SECTION_QUICK_BLOCK_BYTES;
	bool full = settled >= most || b->n_values >= SECTION_BLOCK_VALUES;
	return full ? section_blocks_finish(b) : 0;
}

/* Room for a column's residuals; the open block is told that they come. */
static int begin_column(struct section_blocks *b, uint32_t path, size_t count)
{
	if (b->form == COLUMNS_DENSE) {
		if (b->n_columns == 0)
			range_encoder_init(&b->encoder, NULL, 0);
		b->bytes.len = b->begin + b->encoder.len;
		int r = buf_reserve(&b->bytes, count * WORST_RESIDUAL + 16);
		if (r < 0)
			return r;
		b->encoder.out = b->bytes.data + b->begin;
		b->encoder.cap = b->bytes.cap - b->begin;
		if (b->path != path)
			b->models_ready = 0;
	}
	b->path = path;
	b->n_columns++;
	b->n_values += (uint32_t)count;
	return 0;
}

static int make_scratch(struct section_blocks *b, uint32_t n)
{
	if (n <= b->cap_scratch)
		return 0;
	free(b->scratch);
	/* Of doubles also three columns of integers beside it. */
	b->scratch = malloc(n * 4ull * sizeof(*b->scratch));
	b->cap_scratch = b->scratch ? n : 0;
	return b->scratch ? 0 : -ENOMEM;
}

/* --- the dense form --- */

static struct residuals_model *model_of(struct section_blocks *b, enum section_model which)
{
	if (!(b->models_ready & 1u << which))
		residuals_model_init(&b->models[which], section_prior(which));
	b->models_ready |= 1u << which;
	return &b->models[which];
}

static int encode(struct section_blocks *b, uint32_t path, const uint64_t *integers, uint32_t n, uint32_t part,
		  double bits, struct integers_plan *plan)
{
	size_t count = integers_residuals(plan->form, n);
	bool is_bucket = part >= COLUMNS_PART_BUCKET;
	int r = count > 0 ? begin_column(b, path, count) : 0;
	if (r < 0 || count == 0)
		return r;
	integers_split(plan, integers, n, b->scratch);
	/* A sum or a bucket is of no use without all of what stands before it. */
	plan->striped = b->striped = part == COLUMNS_PART_VALUE && stripes_pay(plan, n, bits);
	if (b->striped)
		return stripes_put(plan, b->scratch, n, model_of(b, SECTION_MODEL_VALUES), &b->encoder, b->begin,
				   &b->bytes);
	if (is_bucket)
		budget_hint(&b->budget, part - COLUMNS_PART_BUCKET);
	residuals_encode(model_of(b, is_bucket ? SECTION_MODEL_BUCKETS : SECTION_MODEL_VALUES), &b->encoder, b->scratch,
			 count, is_bucket ? b->budget.hints : NULL);
	if (is_bucket)
		budget_spend(&b->budget, part - COLUMNS_PART_BUCKET, b->scratch);
	return 0;
}

/* Buckets are told as their growth and nothing else: that is what the sum knows about. */
static struct integers_plan plan_of(const struct columns_part *part, const uint64_t *integers, uint32_t n,
				    double *ret_bits)
{
	*ret_bits = 0;
	if (part->part < COLUMNS_PART_BUCKET)
		return integers_plan(integers, n, ret_bits);
	struct integers_plan plan = {.form = INTEGERS_CONSTANT, .first = integers[0], .factor = 1};
	/* Each as the one before it; most differ soon. */
	if (memcmp(integers, integers + 1, (n - 1) * sizeof(*integers)) != 0)
		plan.form = INTEGERS_DELTA;
	return plan;
}

/* Whether quotients cost less than the bits, whose plan is given; then they are in scratch, and the plans in *ret. */
static bool as_ratios(struct section_blocks *b, const uint64_t *values, uint32_t n, double bits, struct ratios *ratios,
		      struct section_code *ret)
{
	struct section_code code = {.n_plans = 3};
	uint64_t usual;
	if (!ratios_likely(values, n, &code.scale, &usual))
		return false;
	uint64_t *room = (uint64_t *)b->scratch + n;
	*ratios = (struct ratios){.numerators = room, .denominators = room + n, .beside = room + 2 * (size_t)n};
	ratios_split(code.scale, usual, values, n, ratios);
	double cost[3];
	code.plans[0] = integers_plan(ratios->numerators, n, &cost[0]);
	code.plans[1] = integers_plan(ratios->denominators, n, &cost[1]);
	code.plans[2] = integers_plan(ratios->beside, n, &cost[2]);
	if (cost[0] + cost[1] + cost[2] >= bits)
		return false;
	*ret = code;
	return true;
}

static int encode_ratios(struct section_blocks *b, uint32_t path, const struct ratios *ratios,
			 const struct integers_plan *plans, uint32_t n)
{
	uint64_t *const columns[] = {ratios->numerators, ratios->denominators, ratios->beside};
	size_t count = 0;
	for (size_t i = 0; i < 3; i++)
		count += integers_residuals(plans[i].form, n);
	int r = count > 0 ? begin_column(b, path, count) : 0;
	for (size_t i = 0; r == 0 && i < 3; i++) {
		integers_split(&plans[i], columns[i], n, b->scratch);
		residuals_encode(model_of(b, SECTION_MODEL_VALUES + i), &b->encoder, b->scratch,
				 integers_residuals(plans[i].form, n), NULL);
	}
	return r;
}

static int add_doubles(struct section_blocks *b, uint32_t path, const struct columns_part *part, uint32_t n,
		       struct section_code *ret)
{
	struct ratios ratios;
	double bits;
	uint64_t *integers = (uint64_t *)b->scratch;
	ret->scale = doubles_split(part->values, n, integers);
	ret->plans[0] = integers_plan(integers, n, &bits);
	if (ret->scale == DOUBLES_BITS && bits > 0 && as_ratios(b, part->values, n, bits, &ratios, ret))
		return encode_ratios(b, path, &ratios, ret->plans, n);
	return encode(b, path, integers, n, part->part, bits, &ret->plans[0]);
}

static int add_dense(struct section_blocks *b, uint32_t path, enum schema_value_type type,
		     const struct columns_part *part, uint32_t n, struct section_code *ret)
{
	double bits;
	int r = part->part == COLUMNS_PART_SUM ? budget_reserve(&b->budget, n) : 0;
	if (r < 0)
		return r;
	if (type == SCHEMA_VALUE_DOUBLE)
		return add_doubles(b, path, part, n, ret);
	if (part->part == COLUMNS_PART_SUM)
		budget_begin(&b->budget, part->values, n);
	ret->plans[0] = plan_of(part, part->values, n, &bits);
	return encode(b, path, part->values, n, part->part, bits, &ret->plans[0]);
}

/* --- the quick form --- */

static int add_quick(struct section_blocks *b, uint32_t path, enum schema_value_type type,
		     const struct columns_part *part, uint32_t n, struct section_code *ret)
{
	const uint64_t *integers = part->values;
	if (type == SCHEMA_VALUE_DOUBLE) {
		ret->scale = doubles_split(part->values, n, (uint64_t *)b->scratch);
		integers = (const uint64_t *)b->scratch;
	}
	unsigned shift = 0;
	struct integers_plan *plan = &ret->plans[0];
	*plan = integers_growths(integers, n, b->scratch, &shift);
	size_t count = integers_residuals(plan->form, n);
	int r = count > 0 ? begin_column(b, path, count) : 0;
	return r == 0 && count > 0 ? packed_put(b->scratch, count, shift, &b->bytes) : r;
}

int section_blocks_add(struct section_blocks *b, uint32_t path, enum schema_value_type type,
		       const struct columns_part *part, uint32_t n, struct section_code *ret)
{
	struct section_code code = {.n_plans = 1};
	int r = make_scratch(b, n);
	if (r == 0)
		r = b->form == COLUMNS_DENSE ? add_dense(b, path, type, part, n, &code)
					     : add_quick(b, path, type, part, n, &code);
	if (r == 0)
		*ret = code;
	return r;
}
