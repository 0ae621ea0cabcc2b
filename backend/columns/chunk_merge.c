#include "backend/columns/chunk_merge.h"

#include "backend/columns/chunk.h"
#include "backend/columns/section_merge.h"
#include "backend/columns/texts_merge.h"
#include "backend/columns/ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct input {
	struct chunk_reader chunk;
	struct columns_tick *ticks;
	uint32_t *to; /* tick to the merged tick, or NONE */
};

struct place {
	uint32_t input, index;
};

struct merge {
	const struct chunk_merge_how *how;
	struct input *inputs;
	uint32_t n;
	struct columns_tick *ticks;
	uint32_t n_ticks;
	struct place *places;
	struct rollup *minutes; /* NULL: nobody asked for them */
	struct packer *packer;
	struct buf sections;
	struct chunk_merge_result result;
};

static void merge_free(struct merge *m)
{
	for (uint32_t i = 0; m->inputs && i < m->n; i++) {
		free(m->inputs[i].ticks);
		free(m->inputs[i].to);
	}
	free(m->inputs);
	free(m->ticks);
	free(m->places);
	rollup_free(m->minutes);
	packer_free(m->packer);
	buf_free(&m->sections);
}

static int open_inputs(struct merge *m, const struct chunk_bytes *chunks, uint32_t n, uint32_t *ret_bad)
{
	m->inputs = calloc(n + 1u, sizeof(*m->inputs));
	if (!m->inputs)
		return -ENOMEM;
	for (m->n = 0; m->n < n;) {
		struct input *in = &m->inputs[m->n];
		*ret_bad = m->n;
		int r = chunk_open(chunks[m->n].data, chunks[m->n].len, &in->chunk);
		if (r < 0)
			return r;
		m->n++;
		in->ticks = calloc(in->chunk.n_ticks + 1u, sizeof(*in->ticks));
		in->to = calloc(in->chunk.n_ticks + 1u, sizeof(*in->to));
		if (!in->ticks || !in->to)
			return -ENOMEM;
		r = ticks_take(in->chunk.ticks, in->chunk.ticks_len, in->chunk.n_ticks, in->ticks);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- ticks --- */

static int by_time(const void *a, const void *b, void *arg)
{
	const struct merge *m = arg;
	const struct place *x = a, *y = b;
	int64_t t = m->inputs[x->input].ticks[x->index].time_us, u = m->inputs[y->input].ticks[y->index].time_us;
	if (t != u)
		return t < u ? -1 : 1;
	if (x->input != y->input)
		return x->input < y->input ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int merge_ticks(struct merge *m)
{
	size_t all = 1;
	for (uint32_t i = 0; i < m->n; i++)
		all += m->inputs[i].chunk.n_ticks;
	uint32_t n = 0;
	if (all > UINT32_MAX / 2)
		return -EMSGSIZE;
	m->places = malloc(all * sizeof(*m->places));
	if (!m->places)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++) {
		for (uint32_t k = 0; k < m->inputs[i].chunk.n_ticks; k++) {
			m->inputs[i].to[k] = NONE;
			if (m->inputs[i].ticks[k].time_us >= m->how->from_us &&
			    m->inputs[i].ticks[k].time_us < m->how->to_us)
				m->places[n++] = (struct place){.input = i, .index = k};
		}
	}
	qsort_r(m->places, n, sizeof(*m->places), by_time, m);
	m->ticks = calloc(n + 1u, sizeof(*m->ticks));
	if (!m->ticks)
		return -ENOMEM;
	for (uint32_t i = 0, end; i < n; i = end) {
		const struct columns_tick *t = &m->inputs[m->places[i].input].ticks[m->places[i].index];
		uint32_t winner = m->places[i].input;
		for (end = i;
		     end < n && m->inputs[m->places[end].input].ticks[m->places[end].index].time_us == t->time_us;
		     end++)
			winner = m->places[end].input;
		for (uint32_t k = i; k < end; k++) {
			const struct place *p = &m->places[k];
			m->result.replaced += p->input != winner;
			if (p->input != winner)
				continue;
			m->inputs[p->input].to[p->index] = m->n_ticks;
			m->ticks[m->n_ticks++] = m->inputs[p->input].ticks[p->index];
		}
	}
	m->result.ticks = m->n_ticks;
	return m->n_ticks > COLUMNS_MAX_TICKS ? -EMSGSIZE : 0;
}

/* --- sections --- */

static uint32_t next_section(const struct merge *m, uint32_t after)
{
	uint32_t least = NONE;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct chunk_reader *c = &m->inputs[i].chunk;
		for (uint32_t k = 0; k < c->n_sections; k++) {
			if (c->sections[k].number > after && c->sections[k].number < least)
				least = c->sections[k].number;
		}
	}
	return least;
}

static int merge_values(struct merge *m, const struct section_merge_job *job, uint32_t *ret_series)
{
	struct section_merge_result result = {0};
	int r = m->minutes ? rollup_begin(m->minutes, job->section) : 0;
	if (r == 0)
		r = section_merge(job, &m->sections, &result);
	if (r == 0 && m->minutes)
		r = rollup_end(m->minutes);
	m->result.samples += result.samples;
	m->result.damaged_sections += result.damaged_sections;
	m->result.damaged_series += result.damaged_series;
	*ret_series = result.series;
	return r;
}

static int merge_section(struct merge *m, uint32_t number, uint32_t *ret_series)
{
	struct section_merge_input inputs[CHUNK_MERGE_MAX];
	for (uint32_t i = 0; i < m->n; i++) {
		const struct chunk_section *s = chunk_find(&m->inputs[i].chunk, number);
		inputs[i] = (struct section_merge_input){.data = s ? s->data : NULL,
							 .len = s ? s->len : 0,
							 .n_ticks = m->inputs[i].chunk.n_ticks,
							 .to = m->inputs[i].to};
	}
	const struct section_merge_job job = {.section = number,
					      .n_ticks = m->n_ticks,
					      .inputs = inputs,
					      .n = m->n,
					      .minutes = m->minutes,
					      .packer = m->packer,
					      .patience = m->how->patience};
	if (!chunk_section_has_texts(number))
		return merge_values(m, &job, ret_series);
	return texts_merge(chunk_section_of(number), inputs, m->n, m->n_ticks, &m->sections, ret_series,
			   &m->result.damaged_sections);
}

static int merge_sections(struct merge *m, struct chunk_section *sections, size_t *offsets, uint32_t *n)
{
	int r = 0;
	for (uint32_t number = 0; r == 0 && (number = next_section(m, number)) != NONE;) {
		size_t before = m->sections.len;
		uint32_t n_series = 0;
		if (*n == COLUMNS_MAX_SECTIONS)
			return -EMSGSIZE;
		r = merge_section(m, number, &n_series);
		if (r < 0 || n_series == 0)
			continue;
		offsets[*n] = before;
		sections[(*n)++] = (struct chunk_section){
			.number = number, .n_series = n_series, .len = (uint32_t)(m->sections.len - before)};
	}
	for (uint32_t i = 0; i < *n; i++)
		sections[i].data = m->sections.data + offsets[i];
	return r;
}

int chunk_merge_so(const struct chunk_bytes *chunks, uint32_t n, const struct chunk_merge_how *how, struct buf *out,
		   struct chunk_merge_result *ret, uint32_t *ret_bad)
{
	struct merge m __attribute__((cleanup(merge_free))) = {.sections = BUF_INIT(COLUMNS_MAX_SECTION), .how = how};
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	size_t offsets[COLUMNS_MAX_SECTIONS], before = out->len;
	uint32_t n_sections = 0;
	if (n > CHUNK_MERGE_MAX)
		return -EMSGSIZE;
	int r = open_inputs(&m, chunks, n, ret_bad);
	if (r == 0)
		r = merge_ticks(&m);
	if (r == 0)
		r = packer_new(&m.packer);
	if (r == 0 && how->minutes)
		r = rollup_new(m.ticks, m.n_ticks, &m.minutes);
	if (r == 0)
		r = merge_sections(&m, sections, offsets, &n_sections);
	if (r == 0)
		r = chunk_put(m.ticks, m.n_ticks, sections, n_sections, out);
	if (r == 0 && how->minutes)
		r = rollup_finish(m.minutes, how->minutes, &m.result.minutes);
	if (r == 0)
		*ret = m.result;
	else
		out->len = before;
	return r;
}

int chunk_merge(const struct chunk_bytes *chunks, uint32_t n, int64_t from_us, int64_t to_us, struct buf *out,
		struct chunk_merge_result *ret, uint32_t *ret_bad)
{
	const struct chunk_merge_how how = {.from_us = from_us, .to_us = to_us};
	return chunk_merge_so(chunks, n, &how, out, ret, ret_bad);
}
