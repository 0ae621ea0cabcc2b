/* Texts of a section: whatever opens can be asked for everything, and merges with itself into the same. Two bytes say
 * how many ticks the chunk has; the rest is unpacked, and is packed here. */
#include "backend/columns/texts.h"
#include "backend/columns/texts_format.h"
#include "backend/columns/texts_merge.h"
#include "backend/columns/words.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static void pack(const uint8_t *data, size_t size, struct buf *out)
{
	if (buf_reserve(out, TEXTS_HEADER + ZSTD_compressBound(size)) < 0)
		abort();
	size_t len = ZSTD_compress(out->data + TEXTS_HEADER, out->cap - TEXTS_HEADER, data, size, 1);
	if (ZSTD_isError(len))
		abort();
	put_word(out->data, (uint32_t)size);
	put_word(out->data + 4, (uint32_t)crc32(0, out->data + TEXTS_HEADER, (unsigned)len));
	out->len = TEXTS_HEADER + len;
}

static void ask(struct texts_reader *reader, uint32_t n_ticks)
{
	struct texts_row row;
	const uint8_t *text;
	size_t len;
	uint32_t n;
	for (uint32_t i = 0; i < texts_reader_rows(reader); i++) {
		texts_reader_get(reader, i, &row);
		if (texts_reader_find(reader, &row.place) != i || row.n == 0)
			abort();
		for (uint32_t k = 0; k < row.n; k++) {
			if (row.entries[k].tick >= n_ticks || (k > 0 && row.entries[k].tick <= row.entries[k - 1].tick))
				abort();
			if (texts_reader_at(reader, i, row.entries[k].tick) != &row.entries[k])
				abort();
			texts_reader_text(reader, row.entries[k].text, &text, &len);
			if (len > 0 && memchr(text, 0, len) == text + len)
				abort();
		}
	}
	const uint32_t *bare = texts_reader_bare(reader, &n);
	for (uint32_t i = 0; i < n; i++) {
		if (bare[i] >= texts_reader_rows(reader))
			abort();
	}
}

/* Merged once it is as a writer writes it; merged again it does not change. */
static void merge(uint32_t section, const struct buf *bytes, uint32_t n_ticks)
{
	struct buf once BUF_CLEANUP = BUF_INIT(1 << 26), again BUF_CLEANUP = BUF_INIT(1 << 26);
	uint32_t *to = calloc(n_ticks + 1u, sizeof(*to)), rows = 0, damaged = 0;
	if (!to)
		abort();
	for (uint32_t i = 0; i < n_ticks; i++)
		to[i] = i;
	struct section_merge_input input = {.data = bytes->data, .len = bytes->len, .n_ticks = n_ticks, .to = to};
	int r = texts_merge(section, &input, 1, n_ticks, &once, &rows, &damaged);
	if (r == 0 && damaged > 0)
		abort();
	if (r == 0 && rows > 0) {
		input.data = once.data;
		input.len = once.len;
		if (texts_merge(section, &input, 1, n_ticks, &again, &rows, &damaged) < 0 || damaged > 0 ||
		    again.len != once.len || memcmp(again.data, once.data, once.len) != 0)
			abort();
	}
	free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 26);
	struct texts_reader *reader;
	if (size < 2 || size > 1 << 20)
		return 0;
	uint32_t n_ticks = (uint32_t)data[0] | (uint32_t)data[1] << 8;
	pack(data + 2, size - 2, &bytes);
	if (texts_reader_open(bytes.data, bytes.len, n_ticks, &reader) < 0)
		return 0;
	ask(reader, n_ticks);
	uint32_t section = texts_reader_section(reader);
	texts_reader_free(reader);
	merge(section, &bytes, n_ticks);
	return 0;
}
