/* Sets of labels are compared by hashes of 64 bits: two that are taken for one among a hundred thousand change nothing
 * of what follows from it. */
#include "backend/columns/gain.h"

#include "backend/columns/chunk.h"
#include "backend/columns/intern.h"
#include "backend/columns/section_directory.h"
#include "backend/columns/texts.h"
#include "backend/columns/ticks.h"
#include "backend/columns/words.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define VALUES_SAVE 3 /* of so many bytes of the quick form one */

struct names {
	uint64_t *hashes;
	uint32_t n;
};

void gain_free(struct gain *gain)
{
	if (!gain)
		return;
	free(gain->sets);
	*gain = (struct gain){0};
}

static int take(struct wire_reader *in, uint64_t max, uint64_t *ret)
{
	return wire_varint(in, ret) == 1 && *ret <= max ? 0 : -EPROTO;
}

static int take_text(struct wire_reader *in, uint64_t *ret_hash)
{
	uint64_t len;
	if (take(in, COLUMNS_MAX_TEXT, &len) < 0 || len > (size_t)(in->end - in->p))
		return -EPROTO;
	*ret_hash = intern_hash(in->p, len);
	in->p += len;
	return 0;
}

static uint64_t with(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 32;
}

/* Numbers are told as what they are above those of the set before, at the same place. */
static int take_set(struct wire_reader *in, const struct names *names, uint64_t numbers[SCHEMA_MAX_LABELS],
		    uint64_t hash, uint64_t *ret_hash)
{
	uint64_t n, what, value;
	if (take(in, SCHEMA_MAX_LABELS, &n) < 0)
		return -EPROTO;
	for (uint64_t i = 0; i < SCHEMA_MAX_LABELS; i++) {
		if (i >= n) {
			numbers[i] = 0;
			continue;
		}
		if (take(in, UINT32_MAX, &what) < 0 || what >> 3 >= names->n)
			return -EPROTO;
		if (what & 1 ? take_text(in, &value) < 0 : take(in, UINT64_MAX, &value) < 0)
			return -EPROTO;
		if (!(what & 1))
			value = (uint64_t)wire_zigzag(value) + numbers[i];
		numbers[i] = what & 1 ? 0 : value;
		hash = with(with(with(hash, names->hashes[what >> 3]), what & 7), value);
	}
	if (take(in, COLUMNS_MAX_ORDINAL, &value) < 0)
		return -EPROTO;
	*ret_hash = with(hash, value);
	return 0;
}

static int take_sets(struct gain *g, struct section_streams *s, struct names *names)
{
	uint64_t numbers[SCHEMA_MAX_LABELS] = {0};
	size_t n = s->counts[SECTION_LABELS];
	for (uint32_t i = 0; i < names->n; i++) {
		if (take_text(&s->streams[SECTION_NAMES], &names->hashes[i]) < 0)
			return -EPROTO;
	}
	if (n > g->cap_sets - g->n_sets) {
		uint64_t *hashes = reallocarray(g->sets, 2 * g->cap_sets + n, sizeof(*hashes));
		if (!hashes)
			return -ENOMEM;
		g->sets = hashes;
		g->cap_sets = 2 * g->cap_sets + n;
	}
	for (size_t i = 0; i < n; i++) {
		if (take_set(&s->streams[SECTION_LABELS], names, numbers, s->section, &g->sets[g->n_sets]) < 0)
			return -EPROTO;
		g->n_sets++;
	}
	return 0;
}

static int check_blocks(struct section_streams *s, const uint8_t *blocks, size_t len)
{
	struct wire_reader *in = &s->streams[SECTION_BLOCKS];
	for (uint32_t i = 0; i < s->counts[SECTION_BLOCKS]; i++) {
		uint64_t columns, n, crc;
		if (take(in, UINT32_MAX, &columns) < 0 || take(in, len, &n) < 0 || take(in, UINT32_MAX, &crc) < 0)
			return -EPROTO;
		if ((uint32_t)crc32(0, blocks, (unsigned)n) != crc)
			return -EBADMSG;
		blocks += n;
		len -= n;
	}
	return len == 0 ? 0 : -EPROTO;
}

int gain_add_section(struct gain *g, const uint8_t *directory, size_t directory_len, const uint8_t *blocks, size_t len)
{
	struct section_streams s;
	int e = section_directory_streams(directory, directory_len, &s);
	if (e < 0)
		return e;
	struct names names = {.n = s.counts[SECTION_NAMES]};
	names.hashes = calloc(names.n + (size_t)1, sizeof(*names.hashes));
	e = names.hashes ? take_sets(g, &s, &names) : -ENOMEM;
	free(names.hashes);
	return e < 0 ? e : check_blocks(&s, blocks, len);
}

static int add_packed(struct gain *g, const struct chunk_section *section)
{
	struct section_unpacked unpacked;
	if (section->len < SECTION_HEADER || take_word(section->data) > section->len - SECTION_HEADER)
		return -EPROTO;
	uint32_t packed = take_word(section->data), blocks = section->len - SECTION_HEADER - packed;
	const uint8_t *data = section->data + SECTION_HEADER;
	int e = section_directory_unpack(section->data, data, packed, &unpacked);
	if (e < 0)
		return e;
	e = gain_add_section(g, unpacked.directory, unpacked.len, data + packed, blocks);
	free(unpacked.directory);
	g->who += packed;
	g->values += unpacked.form == COLUMNS_QUICK ? blocks : 0;
	return e;
}

static int add_texts(struct gain *g, const struct chunk_section *section)
{
	g->who += section->len;
	return texts_check(section->data, section->len);
}

int gain_add(struct gain *g, const struct chunk_bytes *bytes)
{
	struct chunk_reader chunk;
	int e = chunk_open(bytes->data, bytes->len, &chunk);
	if (e == 0)
		e = ticks_check(chunk.ticks, chunk.ticks_len);
	for (uint32_t i = 0; e == 0 && i < chunk.n_sections; i++) {
		const struct chunk_section *s = &chunk.sections[i];
		e = chunk_section_has_texts(s->number) ? add_texts(g, s) : add_packed(g, s);
	}
	g->bytes += bytes->len;
	return e;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

uint64_t gain_saved(struct gain *g, size_t *ret_different)
{
	size_t different = 0;
	if (g->n_sets > 0)
		qsort(g->sets, g->n_sets, sizeof(*g->sets), by_value);
	for (size_t i = 0; i < g->n_sets; i++)
		different += i == 0 || g->sets[i] != g->sets[i - 1];
	*ret_different = different;
	double again = g->n_sets > 0 ? 1 - (double)different / (double)g->n_sets : 0;
	return (uint64_t)((double)g->who * again) + g->values / VALUES_SAVE;
}
