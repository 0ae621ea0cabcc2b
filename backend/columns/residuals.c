/* Why learnt decisions and not packed bits with a general compressor behind: a counter's growth per second has an
 * entropy of a few bits that is spread over its low bits, where byte-wise compressors find nothing to match. */
#include "backend/columns/residuals.h"

#include "backend/columns/residuals_prior.h"

#ifdef RESIDUALS_TALLY
#define range_encode(e, bit, value)                                                                                    \
	(residuals_tally(m, (size_t)((bit) - (const struct range_bit *)m), value), range_encode(e, bit, value))
#endif

/* A multiple of four at a time. */
static const uint8_t *prime(struct range_bit *bits, size_t n, const uint8_t *prior)
{
	for (size_t i = 0; !prior && i < n; i++)
		bits[i] = range_bit_likely(128);
	for (size_t i = 0; prior && i < n / 4 * 4; i += 4) {
		bits[i] = range_bit_likely(prior[i]);
		bits[i + 1] = range_bit_likely(prior[i + 1]);
		bits[i + 2] = range_bit_likely(prior[i + 2]);
		bits[i + 3] = range_bit_likely(prior[i + 3]);
	}
	return prior ? prior + n : NULL;
}

void residuals_model_init(struct residuals_model *m, enum residuals_prior prior)
{
	const uint8_t *p = prior == RESIDUALS_UNPRIMED ? NULL : residuals_priors[prior];
	p = prime(m->zero, RESIDUALS_HISTORIES, p);
	p = prime(m->sign, 4, p);
	p = prime(m->length[0], (size_t)RESIDUALS_LENGTH_CONTEXTS * 64, p);
	p = prime(m->head[0], (size_t)64 << RESIDUALS_HEAD, p);
	(void)p;
	m->begin = m->end = (struct residuals_history){0};
#ifdef RESIDUALS_TALLY
	residuals_tally_begins(m, prior);
#endif
}

/* By the mean of lengths, 0 to 64. Those above 15 are rare enough to share. */
static const uint8_t length_contexts[66] = {0,	1,  2,	3,  4,	5,  6,	7,  8,	9,  10, 11, 12, 12, 12, 12, 13,
					    13, 13, 13, 13, 13, 13, 13, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14,
					    14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
					    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15};

static inline unsigned length_context(const struct residuals_history *h)
{
	return length_contexts[(h->length + 2) / 4];
}

static struct range_bit *zero_bit(struct residuals_model *m, const struct residuals_history *h, const uint8_t *hints,
				  size_t i)
{
	return &m->zero[hints ? (unsigned)hints[i] << 4 | (h->zeros & 15) : h->zeros];
}

static void remember(struct residuals_history *h, unsigned length, unsigned sign)
{
	h->zeros = (h->zeros << 1 | (length > 0)) & (RESIDUALS_HISTORIES - 1);
	h->length = (h->length + 4 * length + 1) / 2;
	if (length > 0)
		h->sign = (h->sign << 1 | sign) & 3;
}

/* Magnitudes are 1 to 2^63: less one they have 0 to 63 bits. */
static unsigned bits_of(uint64_t v)
{
	return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

RANGE_INLINE void encode_rest(struct residuals_model *m, struct range_encoder *e, struct range_bit *tree, uint64_t rest,
			      unsigned length)
{
	unsigned below = length > 0 ? length - 1 : 0, node = 1, bit = 6;
	/* Long ones are rare, and that a length is not is guessed well. */
	if (length < 16) {
		range_encode(e, &tree[1], 0);
		range_encode(e, &tree[2], 0);
		node = 4;
		bit = 4;
	}
	while (bit-- > 0) {
		unsigned value = length >> bit & 1;
		range_encode(e, &tree[node], value);
		node = node << 1 | value;
	}
	for (node = 1; below > 0 && node < 1u << RESIDUALS_HEAD;) {
		unsigned value = rest >> --below & 1;
		range_encode(e, &m->head[length][node], value);
		node = node << 1 | value;
	}
	range_encode_raw(e, rest, below);
}

RANGE_INLINE void encode_all(struct residuals_model *m, struct range_encoder *encoder, const int64_t *values, size_t n,
			     const uint8_t *hints)
{
	/* A copy no byte that is written can be part of stays in registers. */
	struct range_encoder here = *encoder, *e = &here;
	struct residuals_history h = m->begin;
	for (size_t i = 0; i < n; i++) {
		struct range_bit *zero = zero_bit(m, &h, hints, i);
		if (values[i] == 0) {
			range_encode(e, zero, 0);
			remember(&h, 0, 0);
			continue;
		}
		unsigned sign = values[i] < 0;
		uint64_t rest = (sign ? 0 - (uint64_t)values[i] : (uint64_t)values[i]) - 1;
		unsigned length = bits_of(rest);
		range_encode(e, zero, 1);
		range_encode(e, &m->sign[h.sign], sign);
		encode_rest(m, e, m->length[hints ? hints[i] : length_context(&h)], rest, length);
		remember(&h, length + 1, sign);
	}
	*encoder = here;
	m->end = h;
}

void residuals_encode(struct residuals_model *m, struct range_encoder *encoder, const int64_t *values, size_t n,
		      const uint8_t *hints)
{
	if (hints)
		encode_all(m, encoder, values, n, hints);
	else
		encode_all(m, encoder, values, n, NULL);
}

void residuals_decode(struct residuals_model *m, struct range_decoder *decoder, int64_t *ret, size_t n,
		      const uint8_t *hints)
{
	struct range_decoder here = *decoder, *d = &here;
	struct residuals_history h = m->begin;
	for (size_t i = 0; i < n; i++) {
		if (!range_decode(d, zero_bit(m, &h, hints, i))) {
			ret[i] = 0;
			remember(&h, 0, 0);
			continue;
		}
		unsigned sign = range_decode_even(d, &m->sign[h.sign]);
		struct range_bit *tree = m->length[hints ? hints[i] : length_context(&h)];
		unsigned length = 1;
		/* Long ones are rare, and that a length is not is guessed well. */
		for (int bit = 0; bit < 2; bit++)
			length = length << 1 | range_decode(d, &tree[length]);
		length = range_decode_tree(d, tree, length, 4) & 63;
		unsigned below = length > 0 ? length - 1 : 0;
		uint64_t rest = length > 0;
		if (below > 0) {
			unsigned levels = below < RESIDUALS_HEAD ? below : RESIDUALS_HEAD;
			rest = range_decode_tree(d, m->head[length], 1, levels);
			below -= levels;
		}
		rest = below > 0 ? rest << below | range_decode_raw(d, below) : rest;
		rest++;
		ret[i] = (int64_t)(sign ? 0 - rest : rest);
		remember(&h, length + 1, sign);
	}
	*decoder = here;
	m->end = h;
}
