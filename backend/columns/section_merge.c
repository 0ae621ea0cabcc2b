/* Chunks of processes have few values a series and many series, so what is done for each of these counts. Paths and
 * label sets are a hundredth of them: they are compared as bytes once, and get numbers in the order of keys, so that
 * who comes next is a comparison of numbers. In the same way which values go where is found out once for all series
 * that were there at the same ticks. */
#include "backend/columns/section_merge.h"

#include "backend/columns/intern.h"
#include "backend/columns/ranks.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/section_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define END UINT64_MAX

struct input {
	const struct section_merge_input *from;
	struct section_reader *reader;
	uint32_t next, n;		 /* series */
	uint64_t *who;			 /* of each path << 32 | set: numbers of keys, then ranks */
	const struct presence *presence; /* of the series at hand */
	struct columns_values values;
};

struct place {
	uint32_t tick;
	uint32_t input, index;
};

/* Values that follow each other in one input and in what is merged. */
struct run {
	uint32_t input, index, n;
};

/* What becomes of series that were there at these ticks of these inputs. */
struct ticks {
	uint32_t number;
	uint32_t *inputs; /* those that have the series */
	const struct presence **from;
	uint32_t n_inputs;
	struct presence presence;
	struct run *runs;
	uint32_t n_runs;
};

struct merge {
	const struct section_merge_job *job;
	struct input *inputs;
	uint64_t *heads; /* who comes next in each: path << 32 | set, or END */
	struct ranks paths, sets;
	struct section_writer *writer;
	/* The series at hand. */
	struct columns_series series;
	uint32_t *taking; /* the inputs that have it, and are one further already */
	uint32_t n_taking;
	struct columns_values values;
	struct ticks **ticks; /* all so far */
	uint32_t n_ticks, cap_ticks;
	const struct ticks *last;
	struct intern ticks_map;
	struct place *places; /* while ticks are found out */
	uint32_t n_places, cap_places;
	struct run *runs;
	uint32_t n_runs, cap_runs;
	struct section_merge_result result;
};

static void ticks_free(struct ticks *t)
{
	if (!t)
		return;
	free(t->inputs);
	free(t->from);
	free(t->runs);
	presence_free(&t->presence);
	free(t);
}

static void input_close(struct input *in)
{
	section_reader_free(in->reader);
	in->reader = NULL;
	in->n = 0;
}

static void merge_free(struct merge *m)
{
	for (uint32_t i = 0; m->inputs && i < m->job->n; i++) {
		input_close(&m->inputs[i]);
		free(m->inputs[i].who);
		columns_values_free(&m->inputs[i].values);
	}
	for (uint32_t i = 0; i < m->n_ticks; i++)
		ticks_free(m->ticks[i]);
	ranks_free(&m->paths);
	ranks_free(&m->sets);
	section_writer_free(m->writer);
	columns_values_free(&m->values);
	intern_free(&m->ticks_map);
	free(m->inputs);
	free(m->heads);
	free(m->taking);
	free(m->ticks);
	free(m->places);
	free(m->runs);
}

/* --- who they are --- */

static int gather_who(struct merge *m, struct input *in, uint32_t *paths, uint32_t *sets)
{
	struct buf key BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	uint32_t path, set;
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < in->n; i++) {
		struct columns_series series;
		size_t path_len;
		section_reader_place(in->reader, i, &path, &set);
		if (paths[path] == NONE || sets[set] == NONE) {
			section_reader_get(in->reader, i, &series);
			buf_reset(&key);
			r = columns_series_key(&series, &key, &path_len);
			if (r == 0)
				r = ranks_number(&m->paths, key.data, path_len, &paths[path]);
			if (r == 0)
				r = ranks_number(&m->sets, key.data + path_len, key.len - path_len, &sets[set]);
		}
		in->who[i] = (uint64_t)paths[path] << 32 | sets[set];
	}
	return r;
}

static int gather_keys(struct merge *m, struct input *in)
{
	size_t n_paths = section_reader_paths(in->reader), n = n_paths + section_reader_sets(in->reader) + 1;
	uint32_t *numbers = malloc(n * sizeof(*numbers));
	in->who = calloc(in->n + 1u, sizeof(*in->who));
	int r = numbers && in->who ? 0 : -ENOMEM;
	if (r == 0) {
		memset(numbers, 0xff, n * sizeof(*numbers));
		r = gather_who(m, in, numbers, numbers + n_paths);
	}
	free(numbers);
	return r;
}

/* Numbers become ranks. Series that do not ascend no writer wrote. */
static void begin_input(struct merge *m, uint32_t i)
{
	struct input *in = &m->inputs[i];
	bool ascend = true;
	for (uint32_t k = 0; k < in->n; k++) {
		in->who[k] = (uint64_t)m->paths.rank[in->who[k] >> 32] << 32 | m->sets.rank[(uint32_t)in->who[k]];
		ascend &= k == 0 || in->who[k] > in->who[k - 1];
	}
	if (!ascend) {
		m->result.damaged_sections++;
		input_close(in);
	}
	in->next = 0;
	in->who[in->n] = END;
	m->heads[i] = in->who[0];
}

static int open_input(struct merge *m, struct input *in)
{
	const struct section_merge_input *from = in->from;
	int r = from->data ? section_reader_open(from->data, from->len, from->n_ticks, &in->reader) : 0;
	if (r == 0 && in->reader && section_reader_number(in->reader) != m->job->section)
		r = -EPROTO;
	if (r == -EBADMSG || r == -EPROTO) {
		input_close(in);
		m->result.damaged_sections++;
		return 0;
	}
	in->n = r == 0 && in->reader ? section_reader_series(in->reader) : 0;
	return r < 0 || !in->reader ? r : gather_keys(m, in);
}

static int open_inputs(struct merge *m)
{
	uint32_t n = m->job->n;
	int r = 0;
	m->inputs = calloc(n + 1u, sizeof(*m->inputs));
	m->heads = calloc(n + 1u, sizeof(*m->heads));
	m->taking = calloc(n + 1u, sizeof(*m->taking));
	if (!m->inputs || !m->heads || !m->taking)
		return -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		m->inputs[i].from = &m->job->inputs[i];
		r = open_input(m, &m->inputs[i]);
	}
	if (r == 0)
		r = ranks_settle(&m->paths);
	if (r == 0)
		r = ranks_settle(&m->sets);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		m->heads[i] = END;
		if (m->inputs[i].reader)
			begin_input(m, i);
	}
	return r;
}

/* --- which values go where --- */

static int by_tick(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return x->tick < y->tick ? -1 : x->tick > y->tick;
}

static int reserve_places(struct merge *m, size_t n)
{
	if (n <= m->cap_places)
		return 0;
	if (n > UINT32_MAX / 2)
		return -EMSGSIZE;
	struct place *places = realloc(m->places, 2 * n * sizeof(*places));
	if (!places)
		return -ENOMEM;
	m->places = places;
	m->cap_places = (uint32_t)(2 * n);
	return 0;
}

/* Chunks that follow each other need no sorting. */
static int find_places(struct merge *m)
{
	bool ascending = true;
	uint32_t tick, last = 0;
	m->n_places = 0;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		const struct input *in = &m->inputs[m->taking[i]];
		struct presence_cursor cursor = {.presence = in->presence};
		int r = reserve_places(m, (size_t)m->n_places + in->presence->count);
		if (r < 0)
			return r;
		for (uint32_t k = 0; presence_next(&cursor, &tick); k++) {
			uint32_t to = in->from->to[tick];
			if (to == NONE)
				continue;
			ascending &= m->n_places == 0 || to > last;
			last = to;
			m->places[m->n_places++] = (struct place){.tick = to, .input = m->taking[i], .index = k};
		}
	}
	if (!ascending)
		qsort(m->places, m->n_places, sizeof(*m->places), by_tick);
	return 0;
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

static int fill_ticks(struct merge *m, struct ticks *t)
{
	int r = find_places(m);
	if (r == 0)
		r = find_runs(m);
	if (r < 0)
		return r;
	t->inputs = malloc((m->n_taking + 1u) * sizeof(*t->inputs));
	t->from = malloc((m->n_taking + 1u) * sizeof(*t->from));
	t->runs = malloc((m->n_runs + 1u) * sizeof(*t->runs));
	if (!t->inputs || !t->from || !t->runs)
		return -ENOMEM;
	t->n_inputs = m->n_taking;
	t->n_runs = m->n_runs;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		t->inputs[i] = m->taking[i];
		t->from[i] = m->inputs[m->taking[i]].presence;
	}
	if (m->n_runs > 0)
		memcpy(t->runs, m->runs, m->n_runs * sizeof(*t->runs));
	for (uint32_t i = 0; r == 0 && i < m->n_places; i++)
		r = presence_add(&t->presence, m->places[i].tick);
	return r;
}

static bool fits(const struct merge *m, const struct ticks *t)
{
	if (t->n_inputs != m->n_taking || memcmp(t->inputs, m->taking, m->n_taking * sizeof(*t->inputs)) != 0)
		return false;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		if (t->from[i] != m->inputs[m->taking[i]].presence)
			return false;
	}
	return true;
}

static bool same_ticks(const void *arg, uint32_t number, const void *key)
{
	(void)key;
	const struct merge *m = arg;
	return fits(m, m->ticks[number]);
}

static int find_ticks(struct merge *m, const struct ticks **ret)
{
	if (m->last && fits(m, m->last)) {
		*ret = m->last;
		return 0;
	}
	if (m->n_ticks == m->cap_ticks) {
		uint32_t cap = m->cap_ticks ? m->cap_ticks * 2 : 64;
		struct ticks **all = realloc(m->ticks, cap * sizeof(struct ticks *));
		if (!all)
			return -ENOMEM;
		m->ticks = all;
		m->cap_ticks = cap;
	}
	uint64_t hash = 0;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		uint64_t presence = (uint64_t)(uintptr_t)m->inputs[m->taking[i]].presence;
		hash = (hash ^ presence >> 3 ^ (uint64_t)m->taking[i] << 40) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	uint32_t number = m->n_ticks;
	int r = intern_get(&m->ticks_map, hash, same_ticks, m, m, &number);
	if (r == 0) {
		struct ticks *t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->number = number;
		m->ticks[m->n_ticks++] = t;
		r = fill_ticks(m, t);
	}
	if (r < 0)
		return r;
	*ret = m->last = m->ticks[number];
	return 0;
}

/* --- values --- */

/* Which of a histogram's buckets any chunk has. */
static uint32_t find_parts(const struct merge *m, uint32_t *parts)
{
	bool has[COLUMNS_MAX_PARTS] = {false};
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		const struct columns_values *v = &m->inputs[m->taking[i]].values;
		for (uint32_t k = 0; k < v->n_parts; k++)
			has[v->parts[k].part - COLUMNS_PART_SUM] = true;
	}
	for (uint32_t k = 0; k < COLUMNS_MAX_PARTS; k++) {
		if (has[k])
			parts[n++] = k + COLUMNS_PART_SUM;
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

static int gather_values(struct merge *m, const struct ticks *t)
{
	const uint32_t value = COLUMNS_PART_VALUE;
	uint32_t found[COLUMNS_MAX_PARTS], n_parts = 1;
	const uint32_t *parts = &value;
	if (m->series.type == SCHEMA_VALUE_HISTOGRAM) {
		n_parts = find_parts(m, found);
		parts = found;
	}
	int r = columns_values_reserve(&m->values, n_parts, t->presence.count);
	if (r < 0)
		return r;
	for (uint32_t k = 0; k < n_parts; k++) {
		uint64_t *values = m->values.parts[k].values;
		const uint64_t *from = NULL;
		uint32_t of = NONE;
		for (uint32_t i = 0; i < t->n_runs; values += t->runs[i++].n) {
			const struct run *run = &t->runs[i];
			if (run->input != of)
				from = part_of(&m->inputs[run->input].values, parts[k]);
			of = run->input;
			if (from)
				memcpy(values, from + run->index, run->n * sizeof(*values));
			else
				memset(values, 0, run->n * sizeof(*values));
		}
		m->values.parts[k].part = parts[k];
	}
	m->values.n = t->presence.count;
	m->values.n_parts = n_parts;
	m->values.presence = &t->presence;
	return 0;
}

/* Those whose values cannot be read have no part in the series. */
static int read_values(struct merge *m)
{
	uint32_t n = 0;
	int r = 0;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		struct input *in = &m->inputs[m->taking[i]];
		r = section_reader_values(in->reader, in->next - 1, &in->values);
		if (r == -EBADMSG || r == -EPROTO)
			m->result.damaged_series++;
		else if (r < 0)
			return r;
		else
			m->taking[n++] = m->taking[i];
	}
	m->n_taking = n;
	return 0;
}

/* Whether all inputs that have the series have one value, the same, and nothing else. */
static bool is_constant(const struct merge *m, uint64_t *ret)
{
	uint64_t value;
	for (uint32_t i = 0; i < m->n_taking; i++) {
		const struct input *in = &m->inputs[m->taking[i]];
		if (!section_reader_constant(in->reader, in->next - 1, i == 0 ? ret : &value) ||
		    (i > 0 && value != *ret))
			return false;
	}
	return true;
}

/* Labels are copied only for those who want to see them. */
static void get_series(struct merge *m, const struct section_writer_place *place)
{
	const struct input *in = &m->inputs[m->taking[0]];
	if (m->job->minutes || !section_writer_knows(m->writer, place))
		section_reader_get(in->reader, in->next - 1, &m->series);
}

static int write_constant(struct merge *m, const struct ticks *t, uint64_t value,
			  const struct section_writer_place *place)
{
	int r = section_writer_add_constant(m->writer, &m->series, &t->presence, value, place);
	return r < 0 || !m->job->minutes ? r
					 : rollup_add_constant(m->job->minutes, &m->series, &t->presence, value, place);
}

static int write_values(struct merge *m, const struct ticks *t, const struct section_writer_place *place)
{
	int r = gather_values(m, t);
	if (r == 0)
		r = section_writer_add_placed(m->writer, &m->series, &m->values, place);
	return r < 0 || !m->job->minutes ? r : rollup_add(m->job->minutes, &m->series, &m->values, place);
}

static int write_series(struct merge *m, uint64_t who)
{
	const struct ticks *t;
	uint64_t value;
	bool constant = is_constant(m, &value);
	int r = constant ? 0 : read_values(m);
	if (r == 0 && m->n_taking > 0)
		r = find_ticks(m, &t);
	if (r < 0 || m->n_taking == 0 || t->presence.count == 0)
		return r;
	const struct section_writer_place place = {
		.path = (uint32_t)(who >> 32), .set = (uint32_t)who, .ticks = t->number};
	get_series(m, &place);
	r = constant ? write_constant(m, t, value, &place) : write_values(m, t, &place);
	m->result.samples += r == 0 ? t->presence.count : 0;
	return r;
}

/* The series that comes next, of all inputs that have it; END at the end. */
static uint64_t next_series(struct merge *m)
{
	uint64_t least = END;
	for (uint32_t i = 0; i < m->job->n; i++)
		least = m->heads[i] < least ? m->heads[i] : least;
	m->n_taking = 0;
	for (uint32_t i = 0; least != END && i < m->job->n; i++) {
		struct input *in = &m->inputs[i];
		if (m->heads[i] != least)
			continue;
		in->presence = section_reader_presence(in->reader, in->next);
		m->heads[i] = in->who[++in->next];
		m->taking[m->n_taking++] = i;
	}
	return least;
}

int section_merge(const struct section_merge_job *job, struct buf *out, struct section_merge_result *ret)
{
	struct merge m __attribute__((cleanup(merge_free))) = {
		.job = job,
		.paths = {.bytes = BUF_INIT(COLUMNS_MAX_SECTION)},
		.sets = {.bytes = BUF_INIT(COLUMNS_MAX_SECTION)},
	};
	uint64_t who;
	int r = open_inputs(&m);
	if (r == 0)
		r = section_writer_new(job->section, job->n_ticks, COLUMNS_DENSE, &m.writer);
	if (r == 0)
		section_writer_use(m.writer, job->packer);
	while (r == 0 && (who = next_series(&m)) != END)
		r = job->patience && !job->patience->go_on(job->patience->arg) ? -ECANCELED : write_series(&m, who);
	if (r < 0)
		return r;
	m.result.series = section_writer_series(m.writer);
	if (m.result.series > 0)
		r = section_writer_finish(m.writer, out);
	if (r == 0)
		*ret = m.result;
	return r;
}
