#include "backend/columns/chunk_merge.h"

#include "backend/columns/chunk.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/section_writer.h"
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
	/* Of the section at hand. */
	struct section_reader *section;
	uint32_t next; /* series */
	struct columns_series series;
	struct buf key;
	struct columns_values values;
	bool takes_part; /* has the series at hand */
};

struct place {
	uint32_t tick;
	uint32_t input, index;
};

/* Places that follow each other in one input. */
struct run {
	uint32_t input, index, n;
};

struct merge {
	struct input *inputs;
	uint32_t n;
	struct columns_tick *ticks;
	uint32_t n_ticks;
	struct place *places;
	uint32_t n_places, cap_places;
	struct run *runs; /* of these places */
	uint32_t n_runs, cap_runs;
	/* What the places were found from: the series of a section mostly share their ticks. */
	const struct presence *from[CHUNK_MERGE_MAX];
	bool known;
	struct presence presence; /* of the places */
	struct columns_values values;
	struct chunk_merge_result result;
	struct buf sections;
	const struct columns_patience *patience; /* NULL: without end */
};

static void merge_free(struct merge *m)
{
	for (uint32_t i = 0; m->inputs && i < m->n; i++) {
		struct input *in = &m->inputs[i];
		free(in->ticks);
		free(in->to);
		section_reader_free(in->section);
		buf_free(&in->key);
		columns_values_free(&in->values);
	}
	free(m->inputs);
	free(m->ticks);
	free(m->places);
	free(m->runs);
	presence_free(&m->presence);
	columns_values_free(&m->values);
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
		in->key = BUF_INIT(COLUMNS_MAX_DIRECTORY);
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

static int reserve_places(struct merge *m, size_t n)
{
	if (n <= m->cap_places)
		return 0;
	if (n > UINT32_MAX / 2)
		return -EMSGSIZE;
	struct place *places = realloc(m->places, n * sizeof(*places));
	if (!places)
		return -ENOMEM;
	m->places = places;
	m->cap_places = (uint32_t)n;
	return 0;
}

static int merge_ticks(struct merge *m, int64_t from_us, int64_t to_us)
{
	size_t all = 1;
	for (uint32_t i = 0; i < m->n; i++)
		all += m->inputs[i].chunk.n_ticks;
	int r = reserve_places(m, all);
	if (r < 0)
		return r;
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		for (uint32_t k = 0; k < m->inputs[i].chunk.n_ticks; k++) {
			m->inputs[i].to[k] = NONE;
			if (m->inputs[i].ticks[k].time_us >= from_us && m->inputs[i].ticks[k].time_us < to_us)
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

/* --- series --- */

static int by_tick(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->tick < y->tick ? -1 : x->tick > y->tick;
}

static bool same_as_before(struct merge *m)
{
	bool same = m->known;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct presence *p = m->inputs[i].takes_part ? m->inputs[i].values.presence : NULL;
		same &= m->from[i] == p;
		m->from[i] = p;
	}
	m->known = false;
	return same;
}

static int find_runs(struct merge *m)
{
	m->n_runs = 0;
	for (uint32_t i = 0; i < m->n_places; i++) {
		const struct place *p = &m->places[i];
		struct run *last = m->n_runs > 0 ? &m->runs[m->n_runs - 1] : NULL;
		if (last && last->input == p->input && last->index + last->n == p->index) {
			last->n++;
			continue;
		}
		if (m->n_runs == m->cap_runs) {
			uint32_t cap = m->cap_runs ? m->cap_runs * 2 : 64;
			struct run *runs = realloc(m->runs, cap * sizeof(*runs));
			if (!runs)
				return -ENOMEM;
			m->runs = runs;
			m->cap_runs = cap;
		}
		m->runs[m->n_runs++] = (struct run){.input = p->input, .index = p->index, .n = 1};
	}
	return 0;
}

/* Which values go where: chunks that follow each other need no sorting. */
static int find_places(struct merge *m)
{
	bool ascending = true;
	uint32_t tick, last = 0;
	int r = 0;
	if (same_as_before(m)) {
		m->known = true;
		return 0;
	}
	m->n_places = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->inputs[i];
		if (!in->takes_part)
			continue;
		struct presence_cursor cursor = {.presence = in->values.presence};
		r = reserve_places(m, (size_t)m->n_places + in->values.n);
		if (r < 0)
			return r;
		for (uint32_t k = 0; presence_next(&cursor, &tick); k++) {
			if (in->to[tick] == NONE)
				continue;
			ascending &= m->n_places == 0 || in->to[tick] > last;
			last = in->to[tick];
			m->places[m->n_places++] = (struct place){.tick = last, .input = i, .index = k};
		}
	}
	if (!ascending)
		qsort(m->places, m->n_places, sizeof(*m->places), by_tick);
	m->presence.n_runs = m->presence.count = 0;
	for (uint32_t i = 0; r == 0 && i < m->n_places; i++)
		r = presence_add(&m->presence, m->places[i].tick);
	if (r == 0)
		r = find_runs(m);
	m->known = r == 0;
	return r;
}

/* Which of a histogram's buckets any chunk has. */
static uint32_t find_parts(struct merge *m, uint32_t *parts)
{
	bool has[COLUMNS_MAX_PARTS] = {false};
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		for (uint32_t k = 0; m->inputs[i].takes_part && k < m->inputs[i].values.n_parts; k++) {
			uint32_t part = m->inputs[i].values.parts[k].part;
			has[part > 0 ? part - 1 : 0] = true;
		}
	}
	for (uint32_t k = 0; k < COLUMNS_MAX_PARTS; k++) {
		if (has[k])
			parts[n++] = k;
	}
	return n;
}

static const uint64_t *part_of(const struct columns_values *v, uint32_t part)
{
	for (uint32_t k = 0; k < v->n_parts; k++) {
		if (v->parts[k].part == part)
			return v->parts[k].values;
	}
	return NULL;
}

static int write_series(struct merge *m, struct section_writer *w, const struct columns_series *series)
{
	uint32_t parts[COLUMNS_MAX_PARTS], n_parts = find_parts(m, parts);
	const uint64_t *from[CHUNK_MERGE_MAX];
	bool histogram = series->type == SCHEMA_VALUE_HISTOGRAM;
	int r = find_places(m);
	if (r < 0 || m->n_places == 0)
		return r;
	r = columns_values_reserve(&m->values, n_parts, m->n_places);
	for (uint32_t k = 0; r == 0 && k < n_parts; k++) {
		struct columns_part *to = &m->values.parts[k];
		to->part = histogram ? parts[k] + 1 : COLUMNS_PART_VALUE;
		for (uint32_t i = 0; i < m->n; i++)
			from[i] = m->inputs[i].takes_part ? part_of(&m->inputs[i].values, to->part) : NULL;
		uint64_t *values = to->values;
		for (uint32_t i = 0; i < m->n_runs; values += m->runs[i++].n) {
			const struct run *run = &m->runs[i];
			if (from[run->input])
				memcpy(values, from[run->input] + run->index, run->n * sizeof(*values));
			else
				memset(values, 0, run->n * sizeof(*values));
		}
	}
	m->values.n = m->n_places;
	m->values.n_parts = n_parts;
	m->values.presence = &m->presence;
	if (r == 0)
		r = section_writer_add(w, series, &m->values);
	m->result.samples += r == 0 ? m->n_places : 0;
	return r;
}

static int advance(struct input *in)
{
	size_t path_len;
	buf_reset(&in->key);
	if (!in->section || in->next == section_reader_series(in->section))
		return 0;
	section_reader_get(in->section, in->next, &in->series);
	return columns_series_key(&in->series, &in->key, &path_len);
}

static int by_key(const struct buf *a, const struct buf *b)
{
	int c = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
	return c ? c : a->len < b->len ? -1 : a->len > b->len;
}

/* The series that comes next, of all inputs that have it. 1, 0 at the end, or negative errno. */
static int next_series(struct merge *m, struct columns_series *ret)
{
	struct input *least = NULL;
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->inputs[i];
		if (in->key.len > 0 && (!least || by_key(&in->key, &least->key) < 0))
			least = in;
	}
	if (!least)
		return 0;
	*ret = least->series;
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->inputs[i];
		in->takes_part = in->key.len > 0 && (in == least || by_key(&in->key, &least->key) == 0);
		if (!in->takes_part)
			continue;
		int r = section_reader_values(in->section, in->next, &in->values);
		if (r == -EBADMSG || r == -EPROTO) {
			in->takes_part = false;
			m->result.damaged_series++;
			/* least's key is still compared with. */
			in->next++;
			continue;
		}
		if (r < 0)
			return r;
		in->next++;
	}
	return 1;
}

static int advance_past(struct merge *m, const struct buf *key)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct input *in = &m->inputs[i];
		int r = in->key.len > 0 && by_key(&in->key, key) == 0 ? advance(in) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int merge_section(struct merge *m, uint32_t number, struct section_writer *w)
{
	struct buf key BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	struct columns_series series;
	size_t path_len;
	int r = 0;
	m->known = false; /* the sets of ticks go with their section */
	for (uint32_t i = 0; r == 0 && i < m->n; i++) {
		struct input *in = &m->inputs[i];
		const struct chunk_section *s = chunk_find(&in->chunk, number);
		section_reader_free(in->section);
		in->section = NULL;
		in->next = 0;
		r = s ? section_reader_open(s->data, s->len, in->chunk.n_ticks, &in->section) : 0;
		if (r == 0 && in->section && section_reader_number(in->section) != number)
			r = -EPROTO;
		if (r == -EBADMSG || r == -EPROTO) {
			section_reader_free(in->section);
			in->section = NULL;
			m->result.damaged_sections++;
			r = 0;
		}
		if (r == 0)
			r = advance(in);
	}
	while (r == 0 && (r = next_series(m, &series)) == 1) {
		buf_reset(&key);
		r = columns_series_key(&series, &key, &path_len);
		if (m->patience && !m->patience->go_on(m->patience->arg))
			r = -ECANCELED;
		if (r == 0)
			r = write_series(m, w, &series);
		if (r == 0)
			r = advance_past(m, &key);
	}
	return r;
}

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

static int merge_values(struct merge *m, uint32_t number, uint32_t *ret_series)
{
	struct section_writer *w = NULL;
	int r = section_writer_new(number, m->n_ticks, COLUMNS_DENSE, &w);
	if (r == 0)
		r = merge_section(m, number, w);
	*ret_series = r == 0 ? section_writer_series(w) : 0;
	if (*ret_series > 0)
		r = section_writer_finish(w, &m->sections);
	section_writer_free(w);
	return r;
}

static int merge_texts(struct merge *m, uint32_t number, uint32_t *ret_rows)
{
	struct texts_merge_input inputs[CHUNK_MERGE_MAX];
	for (uint32_t i = 0; i < m->n; i++) {
		const struct chunk_section *s = chunk_find(&m->inputs[i].chunk, number);
		inputs[i] = (struct texts_merge_input){.data = s ? s->data : NULL,
						       .len = s ? s->len : 0,
						       .n_ticks = m->inputs[i].chunk.n_ticks,
						       .to = m->inputs[i].to};
	}
	return texts_merge(chunk_section_of(number), inputs, m->n, m->n_ticks, &m->sections, ret_rows,
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
		r = chunk_section_has_texts(number) ? merge_texts(m, number, &n_series)
						    : merge_values(m, number, &n_series);
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

static int merge(const struct chunk_bytes *chunks, uint32_t n, int64_t from_us, int64_t to_us,
		 const struct columns_patience *patience, struct buf *out, struct chunk_merge_result *ret,
		 uint32_t *ret_bad)
{
	struct merge m __attribute__((cleanup(merge_free))) = {.sections = BUF_INIT(COLUMNS_MAX_SECTION),
							       .patience = patience};
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	size_t offsets[COLUMNS_MAX_SECTIONS];
	uint32_t n_sections = 0;
	if (n > CHUNK_MERGE_MAX)
		return -EMSGSIZE;
	int r = open_inputs(&m, chunks, n, ret_bad);
	if (r == 0)
		r = merge_ticks(&m, from_us, to_us);
	if (r == 0)
		r = merge_sections(&m, sections, offsets, &n_sections);
	if (r == 0)
		r = chunk_put(m.ticks, m.n_ticks, sections, n_sections, out);
	if (r == 0)
		*ret = m.result;
	return r;
}

int chunk_merge(const struct chunk_bytes *chunks, uint32_t n, int64_t from_us, int64_t to_us, struct buf *out,
		struct chunk_merge_result *ret, uint32_t *ret_bad)
{
	return merge(chunks, n, from_us, to_us, NULL, out, ret, ret_bad);
}

int chunk_merge_while(const struct chunk_bytes *chunks, uint32_t n, int64_t from_us, int64_t to_us,
		      const struct columns_patience *patience, struct buf *out, struct chunk_merge_result *ret,
		      uint32_t *ret_bad)
{
	return merge(chunks, n, from_us, to_us, patience, out, ret, ret_bad);
}
