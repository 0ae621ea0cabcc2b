#include "backend/columns/chunk.h"

#include "backend/columns/ticks.h"
#include "backend/columns/words.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

/* 3 had no stripes, 2 no models that begin with a prior, 1 no sections in the quick form; nothing else is new. */
#define NEWEST 4
#define FIXED 32 /* bytes before the table of sections */
#define ENTRY 12

static const uint8_t magic[4] = {'S', 'n', 'd', 'C'};

static int64_t long_word(const uint8_t *p)
{
	return (int64_t)((uint64_t)take_word(p + 4) << 32 | take_word(p));
}

int chunk_put_with_ticks_of(const struct chunk_reader *chunk, const struct chunk_section *sections, uint32_t n_sections,
			    struct buf *out)
{
	uint8_t header[FIXED + ENTRY * COLUMNS_MAX_SECTIONS + 4] = {0};
	if (n_sections > COLUMNS_MAX_SECTIONS)
		return -EMSGSIZE;
	memcpy(header, magic, sizeof(magic));
	header[4] = NEWEST;
	header[5] = (uint8_t)n_sections;
	put_word(header + 8, chunk->n_ticks);
	put_word(header + 12, chunk->ticks_len);
	put_word(header + 16, (uint32_t)chunk->first_us);
	put_word(header + 20, (uint32_t)((uint64_t)chunk->first_us >> 32));
	put_word(header + 24, (uint32_t)chunk->last_us);
	put_word(header + 28, (uint32_t)((uint64_t)chunk->last_us >> 32));
	uint8_t *p = header + FIXED;
	for (uint32_t i = 0; i < n_sections; i++, p += ENTRY) {
		put_word(p, sections[i].number);
		put_word(p + 4, sections[i].n_series);
		put_word(p + 8, sections[i].len);
	}
	put_word(p, (uint32_t)crc32(0, header, (unsigned)(p - header)));
	int r = buf_append(out, header, (size_t)(p + 4 - header));
	if (r == 0)
		r = buf_append(out, chunk->ticks, chunk->ticks_len);
	for (uint32_t i = 0; r == 0 && i < n_sections; i++)
		r = buf_append(out, sections[i].data, sections[i].len);
	return r;
}

int chunk_put(const struct columns_tick *ticks, uint32_t n_ticks, const struct chunk_section *sections,
	      uint32_t n_sections, struct buf *out)
{
	struct buf column BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	int r = ticks_put(ticks, n_ticks, &column);
	if (r < 0)
		return r;
	const struct chunk_reader chunk = {
		.n_ticks = n_ticks,
		.first_us = n_ticks > 0 ? ticks[0].time_us : 0,
		.last_us = n_ticks > 0 ? ticks[n_ticks - 1].time_us : 0,
		.ticks = column.data,
		.ticks_len = (uint32_t)column.len,
	};
	return chunk_put_with_ticks_of(&chunk, sections, n_sections, out);
}

/* What lies behind the header follows each other in the order of its table. */
static int take_places(const uint8_t *entry, uint64_t at, uint64_t len, struct chunk_reader *c, uint64_t *offsets)
{
	if (c->ticks_len > len - at)
		return -EBADMSG;
	at += c->ticks_len;
	for (uint32_t i = 0; i < c->n_sections; i++, entry += ENTRY) {
		struct chunk_section *s = &c->sections[i];
		*s = (struct chunk_section){
			.number = take_word(entry), .n_series = take_word(entry + 4), .len = take_word(entry + 8)};
		if (s->len > len - at)
			return -EBADMSG;
		if (i > 0 && s->number <= s[-1].number)
			return -EPROTO;
		offsets[i] = at;
		at += s->len;
	}
	return at < len ? -EPROTO : 0;
}

int chunk_open_head(const uint8_t *data, size_t head_len, uint64_t len, struct chunk_reader *ret, uint64_t *ret_ticks,
		    uint64_t offsets[COLUMNS_MAX_SECTIONS], size_t *ret_need)
{
	struct chunk_reader c = {0};
	if (len < FIXED + 4 || head_len < sizeof(magic) + 2 || memcmp(data, magic, sizeof(magic)) != 0)
		return -EPROTO;
	if (data[4] == 0 || data[4] > NEWEST)
		return data[4] > 0 ? -ENOTSUP : -EPROTO;
	c.n_sections = data[5];
	size_t header = FIXED + (size_t)ENTRY * c.n_sections;
	if (c.n_sections > COLUMNS_MAX_SECTIONS || len < header + 4)
		return -EBADMSG;
	if (head_len < header + 4) {
		*ret_need = header + 4;
		return -EAGAIN;
	}
	if ((uint32_t)crc32(0, data, (unsigned)header) != take_word(data + header))
		return -EBADMSG;
	c.n_ticks = take_word(data + 8);
	c.ticks_len = take_word(data + 12);
	c.first_us = long_word(data + 16);
	c.last_us = long_word(data + 24);
	if (c.n_ticks > COLUMNS_MAX_TICKS)
		return -EPROTO;
	int r = take_places(data + FIXED, header + 4, len, &c, offsets);
	if (r < 0)
		return r;
	*ret_ticks = header + 4;
	*ret = c;
	return 0;
}

int chunk_open(const uint8_t *data, size_t len, struct chunk_reader *ret)
{
	struct chunk_reader c;
	uint64_t offsets[COLUMNS_MAX_SECTIONS], ticks;
	size_t need;
	int r = chunk_open_head(data, len, len, &c, &ticks, offsets, &need);
	if (r < 0)
		return r == -EAGAIN ? -EBADMSG : r;
	c.ticks = data + ticks;
	for (uint32_t i = 0; i < c.n_sections; i++)
		c.sections[i].data = data + offsets[i];
	*ret = c;
	return 0;
}

const struct chunk_section *chunk_find(const struct chunk_reader *chunk, uint32_t number)
{
	for (uint32_t i = 0; i < chunk->n_sections; i++) {
		if (chunk->sections[i].number == number)
			return &chunk->sections[i];
	}
	return NULL;
}
