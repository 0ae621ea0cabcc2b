/* A model that began anew in each stripe would have to learn each time what the column is like, which costs more than
 * all else here together. What it knew after the first stripe is nearly all that it would have known. */
#include "backend/columns/stripes.h"

#include "backend/columns/put_varint.h"

#include <errno.h>
#include <string.h>

#define WORST_RESIDUAL 32 /* bytes */
#define WORST_END 16

unsigned stripes_of(uint32_t n, uint32_t i)
{
	unsigned k = STRIPES - 1;
	while (stripes_begin(n, k) > i)
		k--;
	return k;
}

static uint32_t count_of(uint32_t n, unsigned k)
{
	return stripes_begin(n, k + 1) - stripes_begin(n, k);
}

/* Of so many growths, which is what the next stripe is expected to grow by; any sum will do. */
static uint64_t mean(uint64_t sum, uint32_t n)
{
	return (uint64_t)((int64_t)sum / (int64_t)n);
}

/* What stripe k > 0 begins with, as told[k]: of values the residual of the first, else what the stripe before grew by,
 * less what was expected. Of growths of growths what is expected is the growth before the stripe: its first residual is
 * made to go with that. All of it less the base and divided by the factor, as residuals are. */
static void tell(const struct integers_plan *plan, int64_t *residuals, uint32_t n, uint64_t told[STRIPES])
{
	uint64_t growth = 0, expected = 0;
	for (unsigned k = 1; k < STRIPES; k++) {
		uint32_t before = stripes_begin(n, k - 1), at = stripes_begin(n, k);
		uint64_t sum = 0;
		if (plan->form == INTEGERS_PLAIN) {
			told[k] = (uint64_t)residuals[at];
			continue;
		}
		for (uint32_t i = before; i < at; i++) {
			growth = (plan->form == INTEGERS_DELTA2 ? growth : 0) + (uint64_t)residuals[i];
			sum += growth;
		}
		told[k] = sum - expected * (at - before);
		expected = mean(sum, at - before);
		if (plan->form == INTEGERS_DELTA2 && at < n - 1)
			residuals[at] = (int64_t)(growth + (uint64_t)residuals[at] - expected);
		growth = expected;
	}
}

static void take_told(const struct integers_plan *plan, const uint64_t told[STRIPES], struct stripes *s)
{
	uint64_t expected = 0;
	s->first[0] = plan->first;
	s->base[0] = plan->base;
	for (unsigned k = 1; k < STRIPES; k++) {
		uint32_t count = count_of(s->n, k - 1);
		s->base[k] = plan->base;
		if (plan->form == INTEGERS_PLAIN) {
			s->first[k] = plan->base + plan->factor * told[k];
			continue;
		}
		uint64_t sum = told[k] + expected * count;
		expected = mean(sum, count);
		s->first[k] = s->first[k - 1] + plan->base * count + plan->factor * sum;
		if (plan->form == INTEGERS_DELTA2)
			s->base[k] += plan->factor * expected;
	}
}

static int put_signed(struct buf *out, uint64_t v)
{
	return put_varint(out, wire_to_zigzag(v));
}

static int take_signed(struct wire_reader *in, uint64_t *ret)
{
	uint64_t v;
	if (wire_varint(in, &v) != 1)
		return -EPROTO;
	*ret = (uint64_t)wire_zigzag(v);
	return 0;
}

static int put_table(const uint64_t told[STRIPES], const size_t len[STRIPES], struct buf *out)
{
	int r = 0;
	for (unsigned k = 1; r == 0 && k < STRIPES; k++) {
		r = put_signed(out, len[k - 1] - (k > 1 ? len[k - 2] : 0));
		if (r == 0)
			r = put_signed(out, told[k]);
	}
	return r;
}

static int encode(const int64_t *residuals, size_t n, struct residuals_model *model, struct range_encoder *encoder,
		  size_t *ret_len)
{
	residuals_encode(model, encoder, residuals, n, NULL);
	range_encoder_finish(encoder);
	*ret_len = encoder->len;
	return encoder->len > encoder->cap ? -EMSGSIZE : 0;
}

int stripes_put(const struct integers_plan *plan, int64_t *residuals, uint32_t n, struct residuals_model *model,
		struct range_encoder *encoder, size_t begin, struct buf *out)
{
	struct buf table BUF_CLEANUP = BUF_INIT(STRIPES * 40);
	struct residuals_model learnt;
	uint64_t told[STRIPES];
	size_t len[STRIPES], skip = plan->form == INTEGERS_PLAIN;
	out->len = begin + encoder->len;
	int r = buf_reserve(out, (size_t)n * WORST_RESIDUAL + STRIPES * (WORST_END + 40));
	if (r < 0)
		return r;
	encoder->out = out->data + begin;
	encoder->cap = out->cap - begin;
	tell(plan, residuals, n, told);
	r = encode(residuals, integers_residuals(plan->form, count_of(n, 0)), model, encoder, &len[0]);
	learnt = *model;
	learnt.begin = model->end;
	for (unsigned k = 1; r == 0 && k < STRIPES; k++) {
		out->len = k == 1 ? begin + len[0] : out->len + len[k - 1];
		*model = learnt;
		range_encoder_init(encoder, out->data + out->len, out->cap - out->len);
		r = encode(residuals + stripes_begin(n, k) + skip, count_of(n, k) - 1, model, encoder, &len[k]);
	}
	if (r < 0)
		return r;
	out->len += len[STRIPES - 1];
	r = put_table(told, len, &table);
	if (r == 0)
		r = buf_reserve(out, table.len);
	if (r < 0)
		return r;
	memmove(out->data + begin + table.len, out->data + begin, out->len - begin);
	memcpy(out->data + begin, table.data, table.len);
	out->len += table.len;
	return 0;
}

int stripes_take(const struct integers_plan *plan, uint32_t n, struct wire_reader in, struct stripes *ret)
{
	struct stripes s = {.n = n};
	uint64_t told[STRIPES], len = 0, more;
	for (unsigned k = 1; k < STRIPES; k++) {
		if (take_signed(&in, &more) < 0 || take_signed(&in, &told[k]) < 0)
			return -EPROTO;
		len += more;
		if (len > (size_t)(in.end - in.p))
			return -EPROTO;
		s.len[k - 1] = len;
	}
	for (unsigned k = 0; k + 1 < STRIPES; k++) {
		if (s.len[k] > (size_t)(in.end - in.p))
			return -EPROTO;
		s.data[k] = in.p;
		in.p += s.len[k];
	}
	s.data[STRIPES - 1] = in.p;
	s.len[STRIPES - 1] = (size_t)(in.end - in.p);
	take_told(plan, told, &s);
	*ret = s;
	return 0;
}

/* One stripe: residuals are decoded to where the values will be. */
static int decode(const struct stripes *s, const struct integers_plan *plan, unsigned k, struct residuals_model *model,
		  struct range_decoder *decoder, uint64_t *ret)
{
	struct integers_plan own = *plan;
	uint32_t count = count_of(s->n, k), skip = plan->form == INTEGERS_PLAIN && k > 0;
	uint64_t *to = ret + stripes_begin(s->n, k) + skip;
	own.first = s->first[k];
	own.base = s->base[k];
	if (skip)
		to[-1] = own.first;
	residuals_decode(model, decoder, (int64_t *)to, integers_residuals(own.form, count - skip), NULL);
	integers_join(&own, (int64_t *)to, count - skip, to);
	return decoder->beyond > 4 ? -EPROTO : 0;
}

int stripes_decode(const struct stripes *s, const struct integers_plan *plan, unsigned from, unsigned to,
		   struct residuals_model *model, struct range_decoder *decoder, uint64_t *ret)
{
	int r = decode(s, plan, 0, model, decoder, ret);
	struct residuals_model learnt = *model;
	learnt.begin = model->end;
	for (unsigned k = from > 1 ? from : 1; r == 0 && k < to; k++) {
		*model = learnt;
		range_decoder_init(decoder, s->data[k], s->len[k]);
		r = decode(s, plan, k, model, decoder, ret);
	}
	return r;
}
