/* Records: two bytes of head, then either the indexes of buckets (a layout, for all that follow) or eight bytes of sum
 * and the counts, both as in the message. A head of 0 alone is the same histogram again. Most messages have the
 * buckets of the one before and most of their counts in one byte or two: they are compared, counted and copied. */
#include "backend/columns/histogram_log.h"

#include "common/histogram.h"
#include "common/wire_next.h"

#include <errno.h>
#include <string.h>

#define HEAD 2
#define SUM 8
#define IS_LAYOUT 0x8000u
#define MOST_COUNTS (HISTOGRAM_BUCKETS * WIRE_VARINT_MAX)
#define SPARE 16 /* bytes behind the last record that may be looked at */
#define FIRST_BLOCK 256u
#define LARGEST_BLOCK 4096u

struct histogram_block {
	struct histogram_block *next;
	uint32_t len, cap;
	uint8_t bytes[];
};

static void put_head(uint8_t *to, size_t head)
{
	to[0] = (uint8_t)head;
	to[1] = (uint8_t)(head >> 8);
}

static unsigned take_head(const uint8_t *from)
{
	return from[0] | (unsigned)from[1] << 8;
}

/* Room for a record that nobody sees until it is counted in block->len. */
static int make_room(struct histogram_log *log, struct pages *pages, size_t len, uint8_t **ret)
{
	struct histogram_block *b = log->block;
	if (!b || b->cap - b->len < len) {
		size_t cap = b ? (b->cap < LARGEST_BLOCK ? b->cap * 2 : LARGEST_BLOCK) : FIRST_BLOCK;
		cap = cap < len ? len : cap;
		void *room;
		int r = pages_take(pages, sizeof(*b) + cap + SPARE, &room);
		if (r < 0)
			return r;
		struct histogram_block *made = room;
		*made = (struct histogram_block){.cap = (uint32_t)cap};
		memset(made->bytes + cap, 0, SPARE);
		if (b)
			b->next = made;
		else
			log->first = made;
		log->block = b = made;
	}
	*ret = b->bytes + b->len;
	return 0;
}

static void added(struct histogram_log *log, size_t len)
{
	log->block->len += (uint32_t)len;
	log->drop = (uint32_t)len;
}

static int add_row(struct histogram_log *log, struct pages *pages, uint64_t sum, const uint8_t *counts, size_t len)
{
	const uint8_t *last = log->last;
	uint8_t *to;
	if (last && take_head(last) == SUM + len && wire_load(last + HEAD) == sum &&
	    memcmp(last + HEAD + SUM, counts, len) == 0) {
		int r = make_room(log, pages, HEAD, &to);
		if (r < 0)
			return r;
		put_head(to, 0);
		added(log, HEAD);
		return 0;
	}
	int r = make_room(log, pages, HEAD + SUM + len, &to);
	if (r < 0)
		return r;
	const uint64_t little = htole64(sum);
	put_head(to, SUM + len);
	memcpy(to + HEAD, &little, SUM);
	memcpy(to + HEAD + SUM, counts, len);
	log->last = to;
	added(log, HEAD + SUM + len);
	return 0;
}

/* --- as they come --- */

/* n numbers that are well-formed, none of them as long as nine bytes. */
static bool are_numbers(const uint8_t *p, size_t len, uint32_t n)
{
	const uint64_t tops = 0x8080808080808080ull;
	uint32_t ends = 0;
	unsigned run = 0;
	bool is_long = len > 0 && p[len - 1] >= 0x80;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t more = wire_load(p) & tops;
		ends += 8 - (unsigned)__builtin_popcountll(more);
		/* Of seven in a row that go on four are half a word. */
		is_long |= (more & 0x80808080u) == 0x80808080u || more >> 32 == 0x80808080u;
	}
	for (; len > 0; p++, len--) {
		run = *p >= 0x80 ? run + 1 : 0;
		is_long |= run >= 4;
		ends += *p < 0x80;
	}
	return !is_long && ends == n;
}

/* scheme 1, sum, the indexes of the layout, counts: */
#define TAG_SCHEME 0x08
#define TAG_SUM 0x10
#define TAG_INDEXES 0x1a
#define TAG_COUNTS 0x22

int histogram_log_again(struct histogram_log *log, struct pages *pages, const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	uint64_t sum, counts_len;
	if (!log->layout || len < 3 || data[0] != TAG_SCHEME || data[1] != 1 || data[2] != TAG_SUM)
		return 0;
	reader.p += 3;
	unsigned taken = len >= 3 + WIRE_VARINT_MAX ? wire_varint_ahead(reader.p, &sum) : 0;
	if (taken == 0 && wire_varint(&reader, &sum) != 1)
		return 0;
	reader.p += taken;
	if ((size_t)(reader.end - reader.p) < log->layout_len + 2 ||
	    memcmp(reader.p, log->layout, log->layout_len) != 0 || reader.p[log->layout_len] != TAG_COUNTS)
		return 0;
	reader.p += log->layout_len + 1;
	if (wire_varint(&reader, &counts_len) != 1 || counts_len != (size_t)(reader.end - reader.p) ||
	    counts_len > MOST_COUNTS || !are_numbers(reader.p, counts_len, log->n))
		return 0;
	int r = add_row(log, pages, sum, reader.p, counts_len);
	return r < 0 ? r : 1;
}

/* Tag, length and indexes, so that a message is compared with all of it at once. */
static size_t put_layout(const struct schema_histogram *h, uint8_t *to)
{
	uint8_t indexes[HISTOGRAM_BUCKETS * 2], *end = indexes, *at = to;
	for (size_t i = 0; i < h->n; i++)
		end = wire_store_varint(end, h->buckets[i].index);
	size_t len = (size_t)(end - indexes);
	*at++ = TAG_INDEXES;
	at = wire_store_varint(at, len);
	memcpy(at, indexes, len);
	return (size_t)(at - to) + len;
}

static int begin_layout(struct histogram_log *log, struct pages *pages, const uint8_t *layout, size_t len, size_t n)
{
	uint8_t *to;
	if (log->layout && log->layout_len == len && memcmp(log->layout, layout, len) == 0)
		return 0;
	int r = make_room(log, pages, HEAD + len, &to);
	if (r < 0)
		return r;
	put_head(to, IS_LAYOUT | len);
	memcpy(to + HEAD, layout, len);
	log->layout = to + HEAD;
	log->layout_len = (uint32_t)len;
	log->n = (uint32_t)n;
	log->last = NULL;
	added(log, HEAD + len);
	log->drop = 0;
	return 0;
}

int histogram_log_add(struct histogram_log *log, struct pages *pages, const struct schema_histogram *h)
{
	uint8_t layout[HISTOGRAM_BUCKETS * 2 + 1 + WIRE_VARINT_MAX], counts[MOST_COUNTS], *end = counts;
	for (size_t i = 0; i < h->n; i++)
		end = wire_store_varint(end, h->buckets[i].count);
	int r = begin_layout(log, pages, layout, put_layout(h, layout), h->n);
	return r < 0 ? r : add_row(log, pages, h->sum, counts, (size_t)(end - counts));
}

void histogram_log_drop(struct histogram_log *log)
{
	if (log->drop > 0)
		log->block->len -= log->drop;
	log->drop = 0;
	log->last = NULL;
}

/* --- as columns --- */

/* Which columns the records at hand fill. */
struct unfolding {
	uint64_t *sums, *columns[HISTOGRAM_BUCKETS]; /* of each bucket; NULL: not in any layout */
	unsigned at[HISTOGRAM_BUCKETS], n_at;	     /* the buckets of the layout */
	uint32_t row;
};

static void take_layout(struct unfolding *u, const uint8_t *layout, size_t len)
{
	struct wire_reader reader = wire_reader(layout + 1, len - 1);
	uint64_t v;
	u->n_at = 0;
	(void)!wire_varint(&reader, &v);
	while (wire_varint(&reader, &v) == 1)
		u->at[u->n_at++] = (unsigned)v;
}

/* Of the records; what a message may say has been checked when it came. */
static void take_row(struct unfolding *u, const uint8_t *record, size_t len)
{
	struct wire_reader reader = wire_reader(record + SUM, len - SUM);
	u->sums[u->row] = wire_load(record);
	for (unsigned i = 0; i < u->n_at; i++) {
		uint64_t count;
		unsigned taken = wire_varint_ahead(reader.p, &count);
		if (taken > 0)
			reader.p += taken;
		else
			(void)!wire_varint(&reader, &count);
		u->columns[u->at[i]][u->row] = count;
	}
	u->row++;
}

static void take_again(struct unfolding *u)
{
	uint32_t row = u->row++;
	u->sums[row] = u->sums[row - 1];
	for (unsigned i = 0; i < u->n_at; i++) {
		uint64_t *column = u->columns[u->at[i]];
		column[row] = column[row - 1];
	}
}

/* Without `rows` only to see which buckets there are. */
static void walk(const struct histogram_log *log, struct unfolding *u, bool rows, bool *has)
{
	for (const struct histogram_block *b = log->first; b; b = b->next) {
		for (uint32_t at = 0, len; at < b->len; at += HEAD + len) {
			unsigned head = take_head(b->bytes + at);
			const uint8_t *record = b->bytes + at + HEAD;
			len = head & ~IS_LAYOUT;
			if (head & IS_LAYOUT) {
				take_layout(u, record, len);
				for (unsigned i = 0; !rows && i < u->n_at; i++)
					has[u->at[i]] = true;
			} else if (rows && len > 0) {
				take_row(u, record, len);
			} else if (rows) {
				take_again(u);
			}
		}
	}
}

static bool has_count(const uint64_t *values, uint32_t n)
{
	uint64_t any = 0;
	for (uint32_t i = 0; i < n; i++)
		any |= values[i];
	return any != 0;
}

int histogram_log_values(const struct histogram_log *log, uint32_t n, struct columns_values *ret)
{
	bool has[HISTOGRAM_BUCKETS] = {false};
	struct unfolding u = {.n_at = 0};
	uint32_t n_parts = 1;
	walk(log, &u, false, has);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		n_parts += has[i];
	int r = columns_values_reserve(ret, n_parts, n);
	if (r < 0)
		return r;
	ret->parts[0].part = COLUMNS_PART_SUM;
	u.sums = ret->parts[0].values;
	n_parts = 1;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!has[i])
			continue;
		ret->parts[n_parts].part = COLUMNS_PART_BUCKET + i;
		u.columns[i] = ret->parts[n_parts++].values;
		memset(u.columns[i], 0, n * sizeof(*u.columns[i]));
	}
	walk(log, &u, true, NULL);
	ret->n = n;
	ret->n_parts = 1;
	for (uint32_t i = 1; i < n_parts; i++) {
		if (!has_count(ret->parts[i].values, n))
			continue;
		const struct columns_part swap = ret->parts[ret->n_parts];
		ret->parts[ret->n_parts++] = ret->parts[i];
		ret->parts[i] = swap;
	}
	return 0;
}
