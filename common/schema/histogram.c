#include "common/histogram.h"
#include "common/schema/schema.h"
#include "common/wire.h"

#include <errno.h>
#include <string.h>

enum { HISTOGRAM_SCHEME = 1, HISTOGRAM_SUM = 2, HISTOGRAM_INDEXES = 3, HISTOGRAM_COUNTS = 4, SCHEME_LOG_LINEAR_4 = 1 };

static int put(struct schema_histogram *h, uint64_t v, size_t *n, bool index)
{
	if (*n == HISTOGRAM_BUCKETS || (index && v >= HISTOGRAM_BUCKETS))
		return -EPROTO;
	if (index)
		h->buckets[*n].index = (uint32_t)v;
	else
		h->buckets[*n].count = v;
	++*n;
	return 0;
}

/* A repeated integer, packed or not: sets .index or .count of the next pairs. */
static int take(struct schema_histogram *h, const struct wire_field *f, size_t *n, bool index)
{
	struct wire_reader reader = wire_reader(f->data, f->len);
	uint64_t v;
	int r = 1;
	if (f->type == WIRE_VARINT)
		return put(h, f->value, n, index);
	if (f->type != WIRE_BYTES)
		return -EPROTO;
	while (r >= 0 && (r = wire_varint(&reader, &v)) == 1)
		r = put(h, v, n, index);
	return r;
}

int schema_histogram_parse(const uint8_t *data, size_t len, struct schema_histogram *ret)
{
	struct wire_reader reader = wire_reader(data, len);
	/* Its pairs, of which most stay unused, are not worth clearing. */
	struct schema_histogram h;
	struct wire_field f;
	size_t indexes = 0, counts = 0;
	uint64_t scheme = 0;
	int r;
	h.sum = h.count = 0;
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number == HISTOGRAM_INDEXES || f.number == HISTOGRAM_COUNTS)
			r = take(&h, &f, f.number == HISTOGRAM_INDEXES ? &indexes : &counts,
				 f.number == HISTOGRAM_INDEXES);
		else if ((f.number == HISTOGRAM_SCHEME || f.number == HISTOGRAM_SUM) && f.type != WIRE_VARINT)
			r = -EPROTO;
		else if (f.number == HISTOGRAM_SCHEME)
			scheme = f.value;
		else if (f.number == HISTOGRAM_SUM)
			h.sum = f.value;
		if (r < 0)
			return r;
	}
	if (r < 0 || indexes != counts || (scheme != SCHEME_LOG_LINEAR_4 && indexes > 0))
		return -EPROTO;
	for (size_t i = 0; i < indexes; i++) {
		if (i > 0 && h.buckets[i].index <= h.buckets[i - 1].index)
			return -EPROTO;
		h.count += h.buckets[i].count;
	}
	ret->sum = h.sum;
	ret->count = h.count;
	ret->n = indexes;
	memcpy(ret->buckets, h.buckets, indexes * sizeof(h.buckets[0]));
	return 0;
}
