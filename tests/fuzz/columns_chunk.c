/* What a chunk's bytes may do to its reader, with the checksums mended that would keep everything else out: the header,
 * the ticks, residuals in both forms, and the minutes of a whole chunk of which header and ticks are mended. The first
 * byte chooses.
 */
#include "backend/columns/chunk.h"
#include "backend/columns/packed.h"
#include "backend/columns/residuals.h"
#include "backend/columns/rollup.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MANY 512

static void mend(uint8_t *to, const uint8_t *data, size_t len)
{
	uint32_t crc = (uint32_t)crc32(0, data, (unsigned)len);
	for (size_t i = 0; i < 4; i++)
		to[i] = (uint8_t)(crc >> 8 * i);
}

static void read_ticks(uint8_t *data, size_t size)
{
	struct columns_tick ticks[MANY], *part;
	uint32_t first, end;
	if (size < 4)
		return;
	mend(data, data + 4, size - 4);
	if (ticks_take(data, size, MANY, ticks) < 0)
		return;
	int64_t middle_us = ticks[MANY / 2].time_us;
	if (ticks_take_within(data, size, MANY, middle_us, middle_us, &part, &first, &end) < 0 || first >= end ||
	    end > MANY || part[0].time_us != ticks[first].time_us)
		abort();
	free(part);
}

static void mend_header(uint8_t *data, size_t size)
{
	size_t header = size > 5 ? 32 + 12 * (size_t)data[5] : 0;
	if (size >= header + 4 && header > 0)
		mend(data + header, data, header);
}

static void roll_up(uint8_t *data, size_t size)
{
	struct chunk_reader chunk;
	struct buf out[ROLLUP_END];
	struct rollup_result result;
	mend_header(data, size);
	if (chunk_open(data, size, &chunk) < 0 || chunk.ticks_len < 4 || chunk.n_ticks > 1u << 16)
		return;
	mend(data + (chunk.ticks - data), chunk.ticks + 4, chunk.ticks_len - 4);
	for (unsigned i = 0; i < ROLLUP_END; i++)
		out[i] = BUF_INIT(1 << 24);
	int r = rollup_minutes(data, size, out, &result);
	for (unsigned i = 0; i < ROLLUP_END; i++) {
		/* Nothing half-made, and what was made can be read. */
		if (out[i].len > 0 && (r < 0 || chunk_open(out[i].data, out[i].len, &chunk) < 0))
			abort();
		buf_free(&out[i]);
	}
}

static int read_part(void *arg, uint64_t offset, size_t len, uint8_t *to)
{
	const struct chunk_section *section = arg;
	/* Nothing outside of the section is asked for. */
	if (offset > section->len || len > section->len - offset)
		abort();
	memcpy(to, section->data + offset, len);
	return 0;
}

/* By parts or at once a section says the same. */
static void read_both_ways(struct chunk_section *s, uint32_t n_ticks)
{
	const struct section_source source = {.read = read_part, .arg = s};
	struct section_reader *whole = NULL, *parts = NULL;
	struct columns_values a = {0}, b = {0};
	int r = section_reader_open(s->data, s->len, n_ticks, &whole);
	if (section_reader_open_source(&source, s->len, n_ticks, &parts) != r)
		abort();
	for (uint32_t i = 0; r == 0 && n_ticks <= MANY && i < section_reader_series(whole); i++) {
		int x = section_reader_values(whole, i, &a), y = section_reader_values(parts, i, &b);
		if (x != y || (x == 0 && a.n != b.n))
			abort();
		if (x == 0 && a.n > 0 && a.n_parts > 0 &&
		    memcmp(a.parts[0].values, b.parts[0].values, a.n * sizeof(uint64_t)) != 0)
			abort();
	}
	columns_values_free(&a);
	columns_values_free(&b);
	section_reader_free(whole);
	section_reader_free(parts);
}

static void read_chunk(uint8_t *data, size_t size)
{
	struct chunk_reader chunk;
	mend_header(data, size);
	if (chunk_open(data, size, &chunk) < 0)
		return;
	for (uint32_t i = 0; i < chunk.n_sections; i++) {
		if (chunk.sections[i].data + chunk.sections[i].len > data + size)
			abort();
		read_both_ways(&chunk.sections[i], chunk.n_ticks);
	}
}

/* What was taken is written to what is taken as the same, and passed over where it was taken. */
static void read_packed(const uint8_t *data, size_t size)
{
	int64_t numbers[MANY], again[MANY];
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	for (size_t n = 1; n <= MANY; n *= 2) {
		struct wire_reader in = wire_reader(data, size), over = in;
		int r = packed_take(&in, n, numbers);
		if (packed_take(&over, n, NULL) != r || (r == 0 && over.p != in.p))
			abort();
		buf_reset(&out);
		if (r < 0 || packed_put(numbers, n, 0, &out) < 0)
			continue;
		in = wire_reader(out.data, out.len);
		if (packed_take(&in, n, again) < 0 || in.p != in.end ||
		    memcmp(numbers, again, n * sizeof(*numbers)) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t values[MANY];
	struct residuals_model model;
	struct range_decoder decoder;
	if (size == 0)
		return 0;
	uint8_t *copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] == 't') {
		read_ticks(copy, size - 1);
	} else if (data[0] == 'm') {
		roll_up(copy, size - 1);
	} else if (data[0] == 'p') {
		read_packed(copy, size - 1);
	} else if (data[0] == 'r') {
		for (enum residuals_prior prior = 0; prior < RESIDUALS_PRIORS; prior++) {
			residuals_model_init(&model, prior);
			range_decoder_init(&decoder, copy, size - 1);
			residuals_decode(&model, &decoder, values, MANY, NULL);
		}
	} else {
		read_chunk(copy, size - 1);
	}
	free(copy);
	return 0;
}
