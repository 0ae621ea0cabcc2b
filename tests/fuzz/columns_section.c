/* The directory of a section with its blocks: whatever opens can be read to the end. Two bytes say how long the
 * directory is, one how many ticks the chunk has, and with its upper bit that the section is in the quick form; a
 * fourth, before them, is odd where models begin with a prior. */
#include "backend/columns/gain.h"
#include "backend/columns/section_reader.h"

#include <errno.h>
#include <stdlib.h>

/* Whatever part is asked for: it is in what is told, and that is as in the whole. */
static void read_within(struct section_reader *reader, uint32_t i, uint32_t first, uint32_t end,
			const struct columns_values *whole)
{
	struct section_span span = {.first = first, .end = end};
	struct columns_values part = {0};
	uint32_t tick, other, k = 0, known = 0;
	if (section_reader_values_within(reader, i, &span, &part) < 0 || span.first > first || span.end < end ||
	    part.n_parts != whole->n_parts)
		abort();
	struct presence_cursor all = {.presence = whole->presence}, some = {.presence = part.presence};
	for (; presence_next(&all, &tick); k++) {
		if (tick < span.first || tick >= span.end)
			continue;
		if (!presence_next(&some, &other) || other != tick ||
		    whole->parts[0].values[k] != part.parts[0].values[known++])
			abort();
	}
	if (known != part.n)
		abort();
	columns_values_free(&part);
}

static void read_series(struct section_reader *reader, uint32_t i, uint32_t n_ticks, struct columns_values *values)
{
	struct columns_series series;
	struct columns_aggregate aggregate;
	uint32_t tick, n = 0;
	section_reader_get(reader, i, &series);
	if (series.n_labels > SCHEMA_MAX_LABELS || series.n_numbers > SCHEMA_MAX_DEPTH)
		abort();
	for (uint32_t p = 0; p < section_reader_parts(reader, i); p++)
		(void)section_reader_aggregate(reader, i, p, &aggregate);
	if (section_reader_values(reader, i, values) < 0)
		return;
	struct presence_cursor cursor = {.presence = values->presence};
	while (presence_next(&cursor, &tick))
		n++;
	if (n != values->n)
		abort();
	for (uint32_t first = 0; first < n_ticks; first += 40)
		read_within(reader, i, first, first + 1 + first / 2 < n_ticks ? first + 1 + first / 2 : n_ticks,
			    values);
}

/* What opens is nothing that no writer wrote, nor is it here; blocks are seldom what their checksums say. */
static void look_who(const uint8_t *directory, size_t len, const uint8_t *blocks, size_t blocks_len, bool opens)
{
	struct gain gain = {0};
	size_t different;
	int r = gain_add_section(&gain, directory, len, blocks, blocks_len);
	if (opens && r != 0 && r != -EBADMSG)
		abort();
	if (gain_saved(&gain, &different) > 0 || different > gain.n_sets)
		abort();
	gain_free(&gain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct section_reader *reader;
	struct columns_values values = {0};
	if (size < 4)
		return 0;
	enum columns_form dense = *data++ & 1 ? COLUMNS_DENSE : COLUMNS_UNPRIMED;
	size--;
	size_t len = (size_t)data[0] | (size_t)data[1] << 8;
	if (len > size - 3)
		return 0;
	enum columns_form form = data[2] & 0x80 ? COLUMNS_QUICK : dense;
	int r = section_reader_unpacked(form, data + 3, len, data + 3 + len, size - 3 - len, data[2] & 0x7f, &reader);
	look_who(data + 3, len, data + 3 + len, size - 3 - len, r == 0);
	if (r < 0)
		return 0;
	for (uint32_t i = 0; i < section_reader_series(reader); i++)
		read_series(reader, i, data[2] & 0x7f, &values);
	columns_values_free(&values);
	section_reader_free(reader);
	return 0;
}
