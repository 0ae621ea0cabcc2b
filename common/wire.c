#include "common/wire_next.h"

int wire_varint_long(struct wire_reader *r, uint64_t *ret)
{
	if (r->p == r->end)
		return 0;
	if (r->end - r->p >= 8) {
		uint64_t bytes = wire_load(r->p), last = ~bytes & 0x8080808080808080ull;
		if (last) {
			unsigned n = ((unsigned)__builtin_ctzll(last) + 1) / 8;
			r->p += n;
			*ret = wire_gather_sevens(bytes, n);
			return 1;
		}
	}
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (r->p == r->end)
			return -EPROTO;
		uint8_t byte = *r->p++;
		if (shift == 63 && byte > 1)
			return -EPROTO;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return 1;
		}
	}
	return -EPROTO;
}

static int fixed(struct wire_reader *r, size_t n, uint64_t *ret)
{
	if ((size_t)(r->end - r->p) < n)
		return -EPROTO;
	uint64_t v = 0;
	memcpy(&v, r->p, n);
	*ret = le64toh(v);
	r->p += n;
	return 1;
}

static int bytes(struct wire_reader *r, struct wire_field *f)
{
	uint64_t len;
	if (wire_varint(r, &len) != 1 || len > (uint64_t)(r->end - r->p))
		return -EPROTO;
	f->data = r->p;
	f->len = (size_t)len;
	r->p += len;
	return 1;
}

int wire_next(struct wire_reader *reader, struct wire_field *ret)
{
	uint64_t tag;
	struct wire_reader r = *reader;
	struct wire_field f = {.begin = r.p};
	int n = wire_varint(&r, &tag);
	if (n <= 0)
		return n;
	if (tag >> 3 == 0 || tag >> 3 > 536870911)
		return -EPROTO;
	f.number = (uint32_t)(tag >> 3);
	f.type = (enum wire_type)(tag & 7);
	if (f.type == WIRE_VARINT)
		n = wire_varint(&r, &f.value);
	else if (f.type == WIRE_BYTES)
		n = bytes(&r, &f);
	else if (f.type == WIRE_FIXED64)
		n = fixed(&r, 8, &f.value);
	else if (f.type == WIRE_FIXED32)
		n = fixed(&r, 4, &f.value);
	else
		return -EPROTO;
	if (n != 1)
		return -EPROTO;
	*ret = f;
	*reader = r;
	return 1;
}

/* How many continuation bytes follow a lead byte, and what the first of them may be (RFC 3629, table of section 4). */
static int utf8_lead(uint8_t c, uint8_t *low, uint8_t *high)
{
	*low = 0x80;
	*high = 0xbf;
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef) {
		*low = c == 0xe0 ? 0xa0 : 0x80;
		*high = c == 0xed ? 0x9f : 0xbf;
		return 2;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*low = c == 0xf0 ? 0x90 : 0x80;
		*high = c == 0xf4 ? 0x8f : 0xbf;
		return 3;
	}
	return -1;
}

bool wire_utf8(const uint8_t *data, size_t len)
{
	size_t i = 0;
	uint64_t eight;
	/* Nearly all text is ASCII. */
	for (; len - i >= 8; i += 8) {
		memcpy(&eight, data + i, 8);
		if (eight & 0x8080808080808080ull)
			break;
	}
	while (i < len) {
		uint8_t low, high;
		int more = utf8_lead(data[i++], &low, &high);
		if (more < 0 || (size_t)more > len - i)
			return false;
		for (; more > 0; more--, i++) {
			if (data[i] < low || data[i] > high)
				return false;
			low = 0x80;
			high = 0xbf;
		}
	}
	return true;
}

int wire_put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[WIRE_VARINT_MAX];
	return buf_append(b, bytes, (size_t)(wire_store_varint(bytes, v) - bytes));
}

int wire_put_tag(struct buf *b, uint32_t number, enum wire_type type)
{
	return wire_put_varint(b, (uint64_t)number << 3 | type);
}

int wire_put_uint(struct buf *b, uint32_t number, uint64_t v)
{
	size_t before = b->len;
	int r = wire_put_tag(b, number, WIRE_VARINT);
	if (r == 0)
		r = wire_put_varint(b, v);
	if (r < 0)
		b->len = before;
	return r;
}

int wire_put_fixed(struct buf *b, uint32_t number, enum wire_type type, uint64_t bits)
{
	size_t before = b->len, n = type == WIRE_FIXED64 ? 8 : 4;
	uint8_t bytes[8];
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(bits >> (8 * i));
	int r = wire_put_tag(b, number, type);
	if (r == 0)
		r = buf_append(b, bytes, n);
	if (r < 0)
		b->len = before;
	return r;
}

int wire_put_double(struct buf *b, uint32_t number, double value)
{
	return wire_put_fixed(b, number, WIRE_FIXED64, wire_double_bits(value));
}

int wire_put_bytes(struct buf *b, uint32_t number, const void *data, size_t len)
{
	size_t before = b->len;
	int r = wire_put_tag(b, number, WIRE_BYTES);
	if (r == 0)
		r = wire_put_varint(b, len);
	if (r == 0)
		r = buf_append(b, data, len);
	if (r < 0)
		b->len = before;
	return r;
}
