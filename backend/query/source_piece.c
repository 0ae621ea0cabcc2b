#include "backend/query/source_piece.h"

#include "backend/columns/ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_READ 512

struct source_piece source_piece_stored(struct store_view *view, const struct store_chunk *chunk)
{
	return (struct source_piece){.view = view, .chunk = chunk, .len = chunk->len};
}

struct source_piece source_piece_memory(const struct buf *chunk)
{
	return (struct source_piece){.data = chunk->data, .len = chunk->len};
}

bool source_is_damage(int error)
{
	return error == -EBADMSG || error == -EPROTO || error == -ENOTSUP || error == -EUCLEAN || error == -ERANGE;
}

static int read_at(const struct source_piece *p, uint64_t offset, size_t len, uint8_t *data)
{
	if (offset > p->len || len > p->len - offset)
		return -ERANGE;
	if (len == 0)
		return 0;
	if (p->chunk)
		return store_view_read(p->view, p->chunk, offset, len, data);
	memcpy(data, p->data + offset, len);
	return 0;
}

static int append_at(const struct source_piece *p, uint64_t offset, size_t len, struct buf *out)
{
	int r = buf_reserve(out, len);
	if (r == 0)
		r = read_at(p, offset, len, out->data + out->len);
	if (r == 0)
		out->len += len;
	return r;
}

int source_piece_open(struct source_piece *p)
{
	struct buf head BUF_CLEANUP = BUF_INIT(4096);
	size_t need = p->len < HEAD_READ ? (size_t)p->len : HEAD_READ;
	int r;
	if (p->is_open)
		return 0;
	do {
		r = append_at(p, head.len, need - head.len, &head);
		if (r == 0)
			r = chunk_open_head(head.data ? head.data : (const uint8_t *)"", head.len, p->len, &p->head,
					    &p->ticks_at, p->sections_at, &need);
	} while (r == -EAGAIN && need > head.len);
	p->is_open = r == 0;
	return r == -EAGAIN ? -EPROTO : r;
}

int source_piece_ticks_sum(const struct source_piece *p, uint8_t ret[4])
{
	return p->head.ticks_len < 4 ? -EPROTO : read_at(p, p->ticks_at, 4, ret);
}

/* Hands the ticks over if they ascend. */
static int hand_over(struct columns_tick *ticks, uint32_t n, int r, struct columns_tick **ret)
{
	for (uint32_t i = 1; r == 0 && i < n; i++) {
		if (ticks[i].time_us < ticks[i - 1].time_us)
			r = -EPROTO;
	}
	if (r < 0)
		free(ticks);
	else
		*ret = ticks;
	return r;
}

static int read_ticks(const struct source_piece *p, struct buf *out)
{
	int r = append_at(p, p->ticks_at, p->head.ticks_len, out);
	return r == 0 && !out->data ? -EPROTO : r;
}

int source_piece_ticks(const struct source_piece *p, enum source_ticks what, struct columns_tick **ret)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	uint32_t n = p->head.n_ticks;
	int r = read_ticks(p, &bytes);
	if (r < 0)
		return r;
	struct columns_tick *ticks = malloc((n + (size_t)1) * sizeof(*ticks));
	if (!ticks)
		return -ENOMEM;
	r = what == SOURCE_TICKS_ALL ? ticks_take(bytes.data, bytes.len, n, ticks)
				     : ticks_take_some(bytes.data, bytes.len, n, TICKS_RECEIVED, ticks);
	return hand_over(ticks, n, r, ret);
}

int source_piece_ticks_within(const struct source_piece *p, int64_t from_us, int64_t to_us, struct columns_tick **ret,
			      uint32_t *ret_first, uint32_t *ret_end)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	struct columns_tick *ticks;
	int r = read_ticks(p, &bytes);
	if (r == 0)
		r = ticks_take_within(bytes.data, bytes.len, p->head.n_ticks, from_us, to_us, &ticks, ret_first,
				      ret_end);
	return r < 0 ? r : hand_over(ticks, *ret_end - *ret_first, 0, ret);
}

static int read_section(void *arg, uint64_t offset, size_t len, uint8_t *data)
{
	const struct source_piece *p = arg;
	return read_at(p, p->section_at + offset, len, data);
}

int source_piece_section(struct source_piece *p, uint32_t number, struct section_reader **ret)
{
	const struct chunk_section *section = chunk_find(&p->head, number);
	if (!section)
		return 0;
	const struct section_source source = {.read = read_section, .arg = p, .n_series = section->n_series};
	p->section_at = p->sections_at[section - p->head.sections];
	int r = section_reader_open_source(&source, section->len, p->head.n_ticks, ret);
	if (r == 0 && section_reader_number(*ret) != number) {
		section_reader_free(*ret);
		*ret = NULL;
		r = -EPROTO;
	}
	return r < 0 ? r : 1;
}

int source_piece_copy(struct source_piece *p, uint32_t number, struct buf *out)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	const struct chunk_section *section = chunk_find(&p->head, number);
	struct chunk_section one = {.number = number};
	struct columns_tick *ticks = NULL;
	int r = source_piece_ticks(p, SOURCE_TICKS_ALL, &ticks);
	if (r == 0 && section) {
		r = append_at(p, p->sections_at[section - p->head.sections], section->len, &bytes);
		one.n_series = section->n_series;
		one.len = section->len;
		one.data = bytes.data;
	}
	if (r == 0)
		r = chunk_put(ticks, p->head.n_ticks, &one, section ? 1 : 0, out);
	free(ticks);
	return r;
}
