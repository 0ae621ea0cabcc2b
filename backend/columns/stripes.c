/* A model that began anew in each eighth would have to learn eight times what the column is like, which costs more than
 * all else here together. What it knew after the first eighth is nearly all that it would have known. */
#include "backend/columns/stripes.h"

#include "backend/columns/put_varint.h"

#include <errno.h>
#include <string.h>

#define WORST_RESIDUAL 32 /* bytes */
#define WORST_END 16

unsigned stripes_of(uint32_t n, uint32_t i)
{
	unsigned k = (unsigned)((uint64_t)i * STRIPES / n);
	while (k + 1 < STRIPES && stripes_begin(n, k + 1) <= i)
		k++;
	return k;
}

static uint32_t count_of(uint32_t n, unsigned k)
{
	return stripes_begin(n, k + 1) - stripes_begin(n, k);
}

static int put_signed(struct buf *out, uint64_t v)
{
	return put_varint(out, v << 1 ^ (0 - (v >> 63)));
}

/* What stripe k > 0 begins with, from what stripe k - 1 did: a residual, or the sum of those before it; of growths of
 * growths, also the sum of these sums. */
static int put_first(const struct integers_plan *plan, const int64_t *residuals, uint32_t n, unsigned k,
		     struct buf *out)
{
	uint32_t before = stripes_begin(n, k - 1), at = stripes_begin(n, k);
	uint64_t sum = 0, sums = 0;
	if (plan->form == INTEGERS_PLAIN)
		return put_signed(out, (uint64_t)residuals[at]);
	for (uint32_t i = before; i < at; i++) {
		sum += (uint64_t)residuals[i];
		sums += sum;
	}
	int r = put_signed(out, sum);
	return r == 0 && plan->form == INTEGERS_DELTA2 ? put_signed(out, sums) : r;
}

static int take_signed(struct wire_reader *in, uint64_t *ret)
{
	uint64_t v;
	if (wire_varint(in, &v) != 1)
		return -EPROTO;
	*ret = (uint64_t)wire_zigzag(v);
	return 0;
}

static int take_first(const struct integers_plan *plan, unsigned k, struct wire_reader *in, struct stripes *s)
{
	uint64_t sum, sums, count = count_of(s->n, k - 1), before = s->base[k - 1];
	if (take_signed(in, &sum) < 0)
		return -EPROTO;
	s->base[k] = plan->base;
	if (plan->form == INTEGERS_PLAIN) {
		s->first[k] = plan->base + plan->factor * sum;
		return 0;
	}
	sums = sum;
	if (plan->form == INTEGERS_DELTA2) {
		if (take_signed(in, &sums) < 0)
			return -EPROTO;
		s->base[k] = before + plan->factor * sum;
	}
	s->first[k] = s->first[k - 1] + before * count + plan->factor * sums;
	return 0;
}

static int put_table(const struct integers_plan *plan, const int64_t *residuals, uint32_t n, const size_t *len,
		     struct buf *out)
{
	int r = 0;
	for (unsigned k = 1; r == 0 && k < STRIPES; k++) {
		r = put_varint(out, len[k - 1]);
		if (r == 0)
			r = put_first(plan, residuals, n, k, out);
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

int stripes_put(const struct integers_plan *plan, const int64_t *residuals, uint32_t n, struct residuals_model *model,
		struct range_encoder *encoder, size_t begin, struct buf *out)
{
	struct buf table BUF_CLEANUP = BUF_INIT(STRIPES * 40);
	struct residuals_model learnt;
	size_t len[STRIPES], skip = plan->form == INTEGERS_PLAIN;
	out->len = begin + encoder->len;
	int r = buf_reserve(out, (size_t)n * WORST_RESIDUAL + STRIPES * (WORST_END + 40));
	if (r < 0)
		return r;
	encoder->out = out->data + begin;
	encoder->cap = out->cap - begin;
	r = encode(residuals, integers_residuals(plan->form, count_of(n, 0)), model, encoder, &len[0]);
	learnt = *model;
	for (unsigned k = 1; r == 0 && k < STRIPES; k++) {
		out->len = k == 1 ? begin + len[0] : out->len + len[k - 1];
		*model = learnt;
		range_encoder_init(encoder, out->data + out->len, out->cap - out->len);
		r = encode(residuals + stripes_begin(n, k) + skip, count_of(n, k) - 1, model, encoder, &len[k]);
	}
	if (r < 0)
		return r;
	out->len += len[STRIPES - 1];
	r = put_table(plan, residuals, n, len, &table);
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
	struct stripes s = {.n = n, .first = {plan->first}, .base = {plan->base}};
	uint64_t len;
	for (unsigned k = 1; k < STRIPES; k++) {
		if (wire_varint(&in, &len) != 1 || len > (size_t)(in.end - in.p) || take_first(plan, k, &in, &s) < 0)
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
	struct residuals_model learnt;
	int r = decode(s, plan, 0, model, decoder, ret);
	if (to > 1)
		learnt = *model;
	for (unsigned k = from > 1 ? from : 1; r == 0 && k < to; k++) {
		*model = learnt;
		range_decoder_init(decoder, s->data[k], s->len[k]);
		r = decode(s, plan, k, model, decoder, ret);
	}
	return r;
}
