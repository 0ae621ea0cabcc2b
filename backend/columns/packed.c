/* Sixteen to a group: a burst makes its neighbours wide only, and a width of one byte is little beside them. Groups of
 * nothing but zeros, which is what most columns consist of, are counted. */
#include "backend/columns/packed.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define GROUP 16
#define WIDEST 64
#define MOST_ZEROS (UINT8_MAX - WIDEST) /* groups in one byte */
#define MOST_BYTES (1 + GROUP * 8)	/* of a group */
#define WORD 8				/* bytes that are written and read at once */

static void store(uint8_t *to, uint64_t v)
{
	v = htole64(v);
	memcpy(to, &v, sizeof(v));
}

static uint64_t load(const uint8_t *from)
{
	uint64_t v;
	memcpy(&v, from, sizeof(v));
	return le64toh(v);
}

static size_t bytes_of(size_t n, unsigned width)
{
	return (n * width + 7) / 8;
}

/* May write a word further than the end it returns. */
static uint8_t *pack(uint8_t *to, const uint64_t *v, size_t n, unsigned width)
{
	uint64_t word = 0;
	unsigned fill = 0;
	for (size_t i = 0; i < n; i++) {
		word |= v[i] << fill;
		fill += width;
		if (fill < 64)
			continue;
		store(to, word);
		to += WORD;
		fill -= 64;
		word = fill > 0 ? v[i] >> (width - fill) : 0;
	}
	store(to, word);
	return to + (fill + 7) / 8;
}

/* Zigzag: the sign in the lowest bit. Returns all that is set in any. */
static uint64_t fold(const int64_t *numbers, size_t n, unsigned shift, uint64_t *ret)
{
	uint64_t all = 0;
	for (size_t i = 0; i < n; i++) {
		int64_t v = numbers[i] >> shift;
		ret[i] = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
		all |= ret[i];
	}
	return all;
}

static uint8_t *end_zeros(uint8_t *to, size_t *zeros)
{
	for (size_t n; *zeros > 0; *zeros -= n) {
		n = *zeros < MOST_ZEROS ? *zeros : MOST_ZEROS;
		*to++ = (uint8_t)(WIDEST + n);
	}
	return to;
}

int packed_put(const int64_t *numbers, size_t n, unsigned shift, struct buf *out)
{
	uint64_t group[GROUP];
	size_t zeros = 0;
	int r = buf_reserve(out, (n / GROUP + 1) * MOST_BYTES + WORD);
	if (r < 0)
		return r;
	uint8_t *to = out->data + out->len;
	for (size_t i = 0; i < n; i += GROUP) {
		size_t k = n - i < GROUP ? n - i : GROUP;
		uint64_t all = fold(numbers + i, k, shift, group);
		if (all == 0) {
			zeros++;
			continue;
		}
		to = end_zeros(to, &zeros);
		unsigned width = 64 - (unsigned)__builtin_clzll(all);
		*to++ = (uint8_t)width;
		to = pack(to, group, k, width);
	}
	out->len = (size_t)(end_zeros(to, &zeros) - out->data);
	return 0;
}

static int64_t unfold(uint64_t v)
{
	return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

/* Reads a word further than the group goes, of the widest two. */
static void unpack(const uint8_t *from, size_t n, unsigned width, int64_t *ret)
{
	uint64_t mask = width < 64 ? (1ull << width) - 1 : UINT64_MAX;
	for (size_t i = 0, bit = 0; i < n; i++, bit += width) {
		const uint8_t *at = from + bit / 8;
		uint64_t v = load(at) >> bit % 8;
		if (bit % 8 + width > 64)
			v |= load(at + WORD) << (64 - bit % 8);
		ret[i] = unfold(v & mask);
	}
}

static int take_group(struct wire_reader *in, size_t n, unsigned width, int64_t *ret)
{
	uint8_t last[MOST_BYTES + 2 * WORD] = {0};
	size_t len = bytes_of(n, width), left = (size_t)(in->end - in->p);
	const uint8_t *from = in->p;
	if (len > left)
		return -EPROTO;
	in->p += len;
	if (!ret)
		return 0;
	if (left - len < 2 * WORD) {
		memcpy(last, from, len);
		from = last;
	}
	unpack(from, n, width, ret);
	return 0;
}

int packed_take(struct wire_reader *in, size_t n, int64_t *ret)
{
	for (size_t i = 0, k; i < n; i += k) {
		if (in->p == in->end)
			return -EPROTO;
		unsigned head = *in->p++;
		if (head > WIDEST) {
			size_t groups = head - WIDEST, left = (n - i + GROUP - 1) / GROUP;
			if (groups > left)
				return -EPROTO;
			k = groups == left ? n - i : groups * GROUP;
			if (ret)
				memset(ret + i, 0, k * sizeof(*ret));
			continue;
		}
		k = n - i < GROUP ? n - i : GROUP;
		int r = take_group(in, k, head, ret ? ret + i : NULL);
		if (r < 0)
			return r;
	}
	return 0;
}
