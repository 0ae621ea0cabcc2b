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

/* How likely a decision is to be 0, twice, in 1/65536. */
struct range_bit {
	uint16_t quick, slow;
};

static inline void range_bits_init(struct range_bit *bits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bits[i] = (struct range_bit){.quick = 32768, .slow = 32768};
}

/* Of 2^RANGE_BITS, never 0 nor all. */
static inline uint32_t range_probability(const struct range_bit *bit)
{
	uint32_t p = ((uint32_t)bit->quick + bit->slow) >> (17 - RANGE_BITS);
	return p == 0 ? 1 : p;
}

static inline void range_learn(struct range_bit *bit, unsigned value)
{
	if (value) {
		bit->quick = (uint16_t)(bit->quick - (bit->quick >> RANGE_QUICK));
		bit->slow = (uint16_t)(bit->slow - (bit->slow >> RANGE_SLOW));
	} else {
		bit->quick = (uint16_t)(bit->quick + ((65535u - bit->quick) >> RANGE_QUICK));
		bit->slow = (uint16_t)(bit->slow + ((65535u - bit->slow) >> RANGE_SLOW));
	}
}

/* Writes into the caller's bytes; what does not fit is counted and dropped: look at `len > cap` at the end. */
struct range_encoder {
	uint64_t low;
	uint32_t range;
	uint8_t cache;
	uint64_t pending; /* bytes that a carry may still change: cache, and 0xff behind it */
	uint8_t *out;
	size_t len, cap;
};

static inline void range_encoder_init(struct range_encoder *e, uint8_t *out, size_t cap)
{
	*e = (struct range_encoder){.range = UINT32_MAX, .out = out, .cap = cap};
}

static inline void range_put_byte(struct range_encoder *e, uint8_t byte)
{
	if (e->len < e->cap)
		e->out[e->len] = byte;
	e->len++;
}

static inline void range_shift(struct range_encoder *e)
{
	/* Into the very first byte nothing carries: it is kept whatever it is. */
	if ((uint32_t)e->low < 0xff000000u || e->low >> 32 || e->pending == 0) {
		uint8_t carry = (uint8_t)(e->low >> 32);
		if (e->pending > 0)
			range_put_byte(e, (uint8_t)(e->cache + carry));
		for (; e->pending > 1; e->pending--)
			range_put_byte(e, (uint8_t)(0xff + carry));
		e->pending = 0;
		e->cache = (uint8_t)(e->low >> 24);
	}
	e->pending++;
	e->low = (e->low & 0x00ffffff) << 8;
}

static inline void range_encode(struct range_encoder *e, struct range_bit *bit, unsigned value)
{
	uint32_t bound = (e->range >> RANGE_BITS) * range_probability(bit);
	if (value) {
		e->low += bound;
		e->range -= bound;
	} else {
		e->range = bound;
	}
	range_learn(bit, value);
	while (e->range < RANGE_TOP) {
		e->range <<= 8;
		range_shift(e);
	}
}

/* The lowest n <= 64 bits of value, as they are. */
static inline void range_encode_raw(struct range_encoder *e, uint64_t value, unsigned n)
{
	while (n > 0) {
		unsigned take = n > 16 ? 16 : n;
		n -= take;
		e->range >>= take;
		e->low += (uint64_t)e->range * ((value >> n) & ((1u << take) - 1));
		while (e->range < RANGE_TOP) {
			e->range <<= 8;
			range_shift(e);
		}
	}
}

/* Makes the bytes complete; up to 4 trailing zeros are dropped, for the decoder reads zeros beyond the end. */
static inline void range_encoder_finish(struct range_encoder *e)
{
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
	for (int i = 0; i < 5; i++)
		range_shift(e);
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

static inline unsigned range_decode(struct range_decoder *d, struct range_bit *bit)
{
	uint32_t bound = (d->range >> RANGE_BITS) * range_probability(bit);
	unsigned value = d->code >= bound;
	if (value) {
		d->code -= bound;
		d->range -= bound;
	} else {
		d->range = bound;
	}
	range_learn(bit, value);
	while (d->range < RANGE_TOP) {
		d->range <<= 8;
		d->code = d->code << 8 | range_take_byte(d);
	}
	return value;
}

static inline uint64_t range_decode_raw(struct range_decoder *d, unsigned n)
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
		while (d->range < RANGE_TOP) {
			d->range <<= 8;
			d->code = d->code << 8 | range_take_byte(d);
		}
	}
	return value;
}
