/* A binary adaptive range coder: each decision costs what its probability says, to within a few thousandths of a bit.
 * Probabilities are the mean of a quick and a slow estimate, so that they follow a burst and still settle. Inline, for
 * it is the inner loop of sealing and of reading. Not thread-safe; pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_TOP (1u << 24)
#define RANGE_QUICK 4
#define RANGE_SLOW 7
#define RANGE_BITS 12
#define RANGE_QUICK_MASK (0xffffu >> RANGE_QUICK)
#define RANGE_SLOW_MASK (0xffffu >> RANGE_SLOW << 16)

#define RANGE_INLINE static inline __attribute__((always_inline))

/* How likely a decision is to be 0, twice, in 1/65536: the quick estimate below, the slow one in the upper half, so
 * that both move in one go. Neither ever comes so near to 0 or 65536 that the probability would be 0 or all. */
struct range_bit {
	uint32_t both;
};

/* A decision that is 0 with so many of 256, neither 0 nor 256. */
static inline struct range_bit range_bit_likely(uint8_t of_256)
{
	return (struct range_bit){of_256 * 0x01000100u};
}

/* Of 2^RANGE_BITS, never 0 nor all. */
RANGE_INLINE uint32_t range_probability(uint32_t both)
{
	return ((both & 0xffff) + (both >> 16)) >> (17 - RANGE_BITS);
}

/* Towards 0 what is left of an estimate shrinks; towards 1 what is left of its complement does. */
RANGE_INLINE void range_learn(struct range_bit *bit, uint32_t both, unsigned value)
{
	uint32_t mirror = value - 1u, left = both ^ mirror;
	left -= (left >> RANGE_QUICK & RANGE_QUICK_MASK) | (left >> RANGE_SLOW & RANGE_SLOW_MASK);
	bit->both = left ^ mirror;
}

/* Writes into the caller's bytes; what does not fit is counted and dropped: look at `len > cap` at the end. */
struct range_encoder {
	uint64_t low; /* above its 32 bits those that are not yet written, and above these a carry */
	uint32_t range;
	uint32_t queued; /* how many are not written: 0 to 24 */
	uint8_t *out;
	size_t len, cap;
};

static inline void range_encoder_init(struct range_encoder *e, uint8_t *out, size_t cap)
{
	*e = (struct range_encoder){.range = UINT32_MAX, .out = out, .cap = cap};
}

/* Writes what is queued. A carry runs back through the bytes before; into the very first nothing carries. */
static inline void range_flush(struct range_encoder *e)
{
	uint32_t top = (uint32_t)(e->low >> 32);
	if (top >> e->queued) {
		size_t i = e->len < e->cap ? e->len : e->cap;
		while (i > 0 && ++e->out[i - 1] == 0)
			i--;
	}
	while (e->queued > 0) {
		e->queued -= 8;
		if (e->len < e->cap)
			e->out[e->len] = (uint8_t)(top >> e->queued);
		e->len++;
	}
	e->low = (uint32_t)e->low;
}

/* Two bytes at most leave at once, for no decision takes less than 2^-10 of the range, and no more than two are drawn
 * at once. */
RANGE_INLINE void range_normalise(struct range_encoder *e)
{
	if (e->range < RANGE_TOP) {
		unsigned shift = (unsigned)__builtin_clz(e->range) & ~7u;
		e->range <<= shift;
		e->low <<= shift;
		e->queued += shift;
		if (e->queued >= 16)
			range_flush(e);
	}
}

/* As range_normalise(), without a branch but for the second byte, which is rare. */
RANGE_INLINE void range_normalise_even(struct range_encoder *e)
{
	unsigned shift = e->range < RANGE_TOP ? 8 : 0;
	e->range = __builtin_expect_with_probability(shift > 0, 1, 0.5) ? e->range << 8 : e->range;
	e->low <<= shift;
	e->queued += shift;
	range_normalise(e);
	if (e->queued >= 16)
		range_flush(e);
}

/* The next decision waits for the range that this one leaves. A decision that the branch before it tells is passed as a
 * constant, for then nothing need be chosen; any other is as likely as not, and whether a byte leaves with it is no
 * better guessed. */
RANGE_INLINE void range_encode(struct range_encoder *e, struct range_bit *bit, unsigned value)
{
	uint32_t both = bit->both, bound = (e->range >> RANGE_BITS) * range_probability(both), rest = e->range - bound;
	e->low += bound & (0u - value);
	e->range = __builtin_expect_with_probability(value, 1, 0.5) ? rest : bound;
	range_learn(bit, both, value);
	if (__builtin_constant_p(value))
		range_normalise(e);
	else
		range_normalise_even(e);
}

/* The lowest n <= 64 bits of value, as they are. */
RANGE_INLINE void range_encode_raw(struct range_encoder *e, uint64_t value, unsigned n)
{
	while (n > 0) {
		unsigned take = n > 16 ? 16 : n;
		n -= take;
		e->range >>= take;
		e->low += (uint64_t)e->range * ((value >> n) & ((1u << take) - 1));
		range_normalise(e);
	}
}

/* How many of the bytes no carry can change any more. */
static inline size_t range_encoder_settled(struct range_encoder *e)
{
	range_flush(e);
	size_t n = e->len <= e->cap ? e->len : e->cap;
	while (n > 1 && e->out[n - 1] == 0xff)
		n--;
	return n > 0 ? n - 1 : 0;
}

/* Makes the bytes complete; up to 4 trailing zeros are dropped, for the decoder reads zeros beyond the end. */
static inline void range_encoder_finish(struct range_encoder *e)
{
	range_flush(e);
	/* Any value in [low, low + range) will do: the one with the most zeros at its end. */
	uint64_t high = e->low + e->range - 1;
	for (unsigned zeros = 32; zeros > 0; zeros--) {
		uint64_t mask = (1ull << zeros) - 1;
		uint64_t value = (e->low + mask) & ~mask;
		if (value <= high) {
			e->low = value;
			break;
		}
	}
	for (int half = 0; half < 2; half++) {
		e->low <<= 16;
		e->queued = 16;
		range_flush(e);
	}
	for (int i = 0; i < 4 && e->len > 0 && e->len <= e->cap && e->out[e->len - 1] == 0; i++)
		e->len--;
}

/* Reads within its bytes; what lies beyond them reads as zeros. `beyond` counts those: more than 4 were never written.
 */
struct range_decoder {
	const uint8_t *p, *end;
	uint32_t range, code;
	size_t beyond;
};

static inline uint32_t range_take_byte(struct range_decoder *d)
{
	if (d->p < d->end)
		return *d->p++;
	d->beyond++;
	return 0;
}

static inline void range_decoder_init(struct range_decoder *d, const uint8_t *data, size_t len)
{
	*d = (struct range_decoder){.p = data, .end = data + len, .range = UINT32_MAX};
	for (int i = 0; i < 4; i++)
		d->code = d->code << 8 | range_take_byte(d);
}

/* `range` is below RANGE_TOP. */
RANGE_INLINE void range_refill(struct range_decoder *d)
{
	do {
		d->range <<= 8;
		d->code = d->code << 8 | range_take_byte(d);
	} while (d->range < RANGE_TOP);
}

RANGE_INLINE unsigned range_decode(struct range_decoder *d, struct range_bit *bit)
{
	uint32_t both = bit->both, bound = (d->range >> RANGE_BITS) * range_probability(both);
	unsigned value = d->code >= bound;
	if (value) {
		d->code -= bound;
		d->range -= bound;
	} else {
		d->range = bound;
	}
	range_learn(bit, both, value);
	if (d->range < RANGE_TOP)
		range_refill(d);
	return value;
}

/* The same without a branch, of which the state and the probability are at hand: of decisions as likely as not that is
 * quicker than to guess. */
RANGE_INLINE unsigned range_decode_as(struct range_decoder *d, struct range_bit *bit, uint32_t both,
				      uint32_t probability)
{
	uint32_t bound = (d->range >> RANGE_BITS) * probability;
	unsigned value = d->code >= bound;
	uint32_t mask = 0u - value;
	d->code -= bound & mask;
	d->range = bound + ((d->range - 2 * bound) & mask);
	range_learn(bit, both, value);
	if (d->range < RANGE_TOP)
		range_refill(d);
	return value;
}

RANGE_INLINE unsigned range_decode_even(struct range_decoder *d, struct range_bit *bit)
{
	return range_decode_as(d, bit, bit->both, range_probability(bit->both));
}

/* So many decisions down a tree, from this node on; the children of a node are at twice its number. Both of them are
 * looked up while it is not known yet which it will be: the one after the other would take twice as long. Returns the
 * node that it ends at. */
RANGE_INLINE unsigned range_decode_tree(struct range_decoder *d, struct range_bit *tree, unsigned node, unsigned levels)
{
	uint32_t both = tree[node].both, probability = range_probability(both);
	for (unsigned i = 1; i < levels; i++) {
		const uint32_t low = tree[2 * node].both, high = tree[2 * node + 1].both;
		const uint32_t of_low = range_probability(low), of_high = range_probability(high);
		unsigned value = range_decode_as(d, &tree[node], both, probability);
		uint32_t mask = 0u - value;
		both = low ^ ((low ^ high) & mask);
		probability = of_low ^ ((of_low ^ of_high) & mask);
		node = node << 1 | value;
	}
	return node << 1 | range_decode_as(d, &tree[node], both, probability);
}

RANGE_INLINE uint64_t range_decode_raw(struct range_decoder *d, unsigned n)
{
	uint64_t value = 0;
	while (n > 0) {
		unsigned take = n > 16 ? 16 : n;
		n -= take;
		d->range >>= take;
		uint32_t part = d->code / d->range;
		/* Only what no encoder wrote gets here with more. */
		if (part >= 1u << take)
			part = (1u << take) - 1;
		d->code -= part * d->range;
		value = value << take | part;
		if (d->range < RANGE_TOP)
			range_refill(d);
	}
	return value;
}
