/* The merged ticks fall into stretches, each of one chunk's ticks in a row: mostly there is one a chunk. In a stretch a
 * row says what that chunk says of it. */
#include "backend/columns/texts_merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct input {
	struct texts_reader *reader;
	uint32_t next; /* row */
	struct texts_row row;
	bool has; /* the row at hand */
};

struct stretch {
	uint32_t input, first, last; /* ticks of the input */
};

struct merge {
	const struct section_merge_input *from;
	struct input *inputs;
	uint32_t n;
	struct stretch *stretches;
	uint32_t n_stretches;
	struct texts_writer *writer;
};

static void merge_free(struct merge *m)
{
	for (uint32_t i = 0; m->inputs && i < m->n; i++)
		texts_reader_free(m->inputs[i].reader);
	free(m->inputs);
	free(m->stretches);
	texts_writer_free(m->writer);
}

static int open_inputs(struct merge *m, uint32_t section, uint32_t *ret_damaged)
{
	m->inputs = calloc(m->n + 1u, sizeof(*m->inputs));
	if (!m->inputs)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct section_merge_input *from = &m->from[i];
		struct texts_reader **reader = &m->inputs[i].reader;
		int r = from->data ? texts_reader_open(from->data, from->len, from->n_ticks, reader) : 0;
		if (r == 0 && *reader && texts_reader_section(*reader) != section) {
			texts_reader_free(*reader);
			*reader = NULL;
			r = -EPROTO;
		}
		if (r == -ENOMEM)
			return r;
		*ret_damaged += r < 0;
	}
	return 0;
}

static int find_stretches(struct merge *m, uint32_t n_ticks)
{
	struct stretch *owners = calloc(n_ticks + 1u, sizeof(*owners));
	if (!owners)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++) {
		for (uint32_t k = 0; k < m->from[i].n_ticks; k++) {
			if (m->from[i].to[k] < n_ticks)
				owners[m->from[i].to[k]] = (struct stretch){.input = i, .first = k, .last = k};
		}
	}
	m->stretches = owners;
	for (uint32_t t = 0; t < n_ticks; t++) {
		struct stretch *last = m->n_stretches > 0 ? &owners[m->n_stretches - 1] : NULL;
		if (last && last->input == owners[t].input)
			last->last = owners[t].last;
		else
			owners[m->n_stretches++] = owners[t];
	}
	return 0;
}

/* The row that comes next, of all inputs that have it. */
static bool next_row(struct merge *m, struct schema_place *ret)
{
	const struct input *least = NULL;
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->inputs[i];
		in->next += in->has;
		in->has = in->reader && in->next < texts_reader_rows(in->reader);
		if (!in->has)
			continue;
		texts_reader_get(in->reader, in->next, &in->row);
		uint32_t len = least && least->row.key_len < in->row.key_len ? least->row.key_len : in->row.key_len;
		int c = least ? memcmp(in->row.key, least->row.key, len) : -1;
		if (c < 0 || (c == 0 && in->row.key_len < least->row.key_len))
			least = in;
	}
	if (!least)
		return false;
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->inputs[i];
		in->has = in->has && in->row.key_len == least->row.key_len &&
			  memcmp(in->row.key, least->row.key, least->row.key_len) == 0;
	}
	*ret = least->row.place;
	return true;
}

static int put_entry(struct merge *m, const struct input *in, uint32_t tick, const struct texts_entry *e)
{
	const uint8_t *text;
	size_t len;
	texts_reader_text(in->reader, e->text, &text, &len);
	return texts_writer_entry(m->writer, tick, text, len, e->bare);
}

static int put_stretch(struct merge *m, const struct stretch *s)
{
	const struct input *in = &m->inputs[s->input];
	const uint32_t *to = m->from[s->input].to;
	if (!in->has)
		return texts_writer_entry(m->writer, to[s->first], NULL, 0, false);
	const struct texts_entry *e = texts_reader_at(in->reader, in->next, s->first);
	const struct texts_entry *end = in->row.entries + in->row.n;
	/* Before its first entry the row was not there: what was said of it until now goes on. */
	int r = e ? put_entry(m, in, to[s->first], e) : texts_writer_not_bare(m->writer, to[s->first]);
	for (e = e ? e + 1 : in->row.entries; r == 0 && e < end && e->tick <= s->last; e++) {
		uint32_t tick = e->tick;
		while (to[tick] == NONE) /* the last of the stretch is in the merged chunk */
			tick++;
		r = put_entry(m, in, to[tick], e);
	}
	return r;
}

int texts_merge(uint32_t section, const struct section_merge_input *inputs, uint32_t n, uint32_t n_ticks,
		struct buf *out, uint32_t *ret_rows, uint32_t *ret_damaged)
{
	struct merge m __attribute__((cleanup(merge_free))) = {.from = inputs, .n = n};
	struct schema_place place;
	int r = open_inputs(&m, section, ret_damaged);
	if (r == 0)
		r = find_stretches(&m, n_ticks);
	if (r == 0)
		r = texts_writer_new(section, n_ticks, &m.writer);
	while (r == 0 && next_row(&m, &place)) {
		r = texts_writer_row(m.writer, &place);
		for (uint32_t i = 0; r == 0 && i < m.n_stretches; i++)
			r = put_stretch(&m, &m.stretches[i]);
	}
	if (r < 0)
		return r;
	*ret_rows = texts_writer_rows(m.writer);
	return *ret_rows > 0 ? texts_writer_finish(m.writer, out) : 0;
}
