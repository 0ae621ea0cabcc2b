/* All statistics of a section are written in one pass over it. Which values make a minute is found out once for all
 * series in a row that were there at the same ticks, from the runs of these. */
#include "backend/columns/rollup.h"

#include "backend/columns/chunk.h"
#include "backend/columns/rollup_state.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void rollup_free(struct rollup *u)
{
	if (!u)
		return;
	free(u->minutes);
	free(u->minute_of);
	free(u->minute_end);
	free(u->boot_of);
	free(u->minute_boot);
	free(u->groups);
	free(u->gauges);
	free(u->at);
	presence_free(&u->all);
	presence_free(&u->boot);
	presence_free(&u->some);
	columns_values_free(&u->out);
	packer_free(u->packer);
	buf_free(&u->written_custom);
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		section_writer_free(u->outputs[s].writer);
		buf_free(&u->outputs[s].sections);
	}
	free(u);
}

/* --- ticks --- */

int64_t rollup_minute(int64_t time_us)
{
	int64_t within = time_us % ROLLUP_MINUTE_US;
	if (within < 0)
		within += ROLLUP_MINUTE_US;
	return time_us < INT64_MIN + within ? INT64_MIN : time_us - within;
}

static int read_ticks(struct rollup *u)
{
	size_t n = u->n_ticks + (size_t)1;
	u->minutes = calloc(n, sizeof(*u->minutes));
	u->minute_of = calloc(n, sizeof(*u->minute_of));
	u->minute_end = calloc(n, sizeof(*u->minute_end));
	u->boot_of = calloc(n, sizeof(*u->boot_of));
	u->minute_boot = calloc(n, sizeof(*u->minute_boot));
	u->at = calloc(n, sizeof(*u->at));
	if (!u->minutes || !u->minute_of || !u->minute_end || !u->boot_of || !u->minute_boot || !u->at)
		return -ENOMEM;
	for (uint32_t i = 0; i < u->n_ticks; i++) {
		int64_t minute = rollup_minute(u->ticks[i].time_us);
		if (i > 0 && u->ticks[i].time_us < u->ticks[i - 1].time_us)
			return -EPROTO;
		if (u->n_minutes == 0 || u->minutes[u->n_minutes - 1].time_us != minute)
			u->n_minutes++;
		struct columns_tick *m = &u->minutes[u->n_minutes - 1];
		*m = u->ticks[i];
		m->time_us = minute;
		m->received_us = u->ticks[i].time_us;
		u->minute_of[i] = u->n_minutes - 1;
		u->minute_end[u->n_minutes - 1] = i + 1;
		u->boot_of[i] = i == 0 ? 0 : u->boot_of[i - 1] + !rollup_same_boot(&u->ticks[i], &u->ticks[i - 1]);
	}
	for (uint32_t i = 1; i < u->n_minutes; i++)
		u->minute_boot[i] = u->minute_boot[i - 1] + !rollup_same_boot(&u->minutes[i], &u->minutes[i - 1]);
	u->n_boots = u->n_ticks > 0 ? u->boot_of[u->n_ticks - 1] + 1 : 0;
	u->groups = calloc(u->n_minutes + (size_t)1, sizeof(*u->groups));
	u->gauges = calloc(u->n_minutes + (size_t)1, sizeof(*u->gauges));
	u->result.minutes = u->n_minutes;
	return u->groups && u->gauges ? 0 : -ENOMEM;
}

int rollup_new(const struct columns_tick *ticks, uint32_t n_ticks, struct rollup **ret)
{
	struct rollup *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->ticks = ticks;
	u->n_ticks = n_ticks;
	u->written_custom = BUF_INIT(COLUMNS_MAX_DIRECTORY);
	for (enum rollup_statistic s = ROLLUP_LAST; s < ROLLUP_END; s++)
		u->outputs[s].sections = BUF_INIT(COLUMNS_MAX_SECTION);
	int r = packer_new(&u->packer);
	if (r == 0)
		r = read_ticks(u);
	if (r < 0)
		rollup_free(u);
	else
		*ret = u;
	return r;
}

/* Values from k on, of n ticks in a row that lie in one minute. */
static void add_to_group(struct rollup *u, uint32_t tick, uint32_t k, uint32_t n)
{
	uint32_t minute = u->minute_of[tick], t = tick + n;
	if (u->n_groups == 0 || u->groups[u->n_groups - 1].minute != minute)
		u->groups[u->n_groups++] = (struct rollup_group){.minute = minute, .from = k, .kept = ROLLUP_NONE};
	struct rollup_group *g = &u->groups[u->n_groups - 1];
	g->to = k + n;
	while (t > tick && u->n_boots > 1 && !rollup_same_boot(&u->ticks[t - 1], &u->minutes[minute]))
		t--;
	if (t > tick)
		g->kept = k + (t - 1 - tick);
	for (uint32_t i = 0; u->n_boots > 1 && i < n; i++)
		u->at[k + i] = tick + i;
}

static int find_groups(struct rollup *u, const struct presence *presence)
{
	uint32_t k = 0;
	int r = 0;
	if (u->from == presence)
		return 0;
	u->from = NULL;
	u->n_groups = 0;
	u->all.n_runs = u->all.count = u->boot.n_runs = u->boot.count = 0;
	for (uint32_t i = 0; i < presence->n_runs; i++) {
		uint32_t tick = presence->runs[i].first, end = tick + presence->runs[i].n;
		for (uint32_t n; tick < end; tick += n, k += n) {
			uint32_t minute_end = u->minute_end[u->minute_of[tick]];
			n = (minute_end < end ? minute_end : end) - tick;
			add_to_group(u, tick, k, n);
		}
	}
	for (uint32_t i = 0; r == 0 && i < u->n_groups; i++) {
		r = presence_add(&u->all, u->groups[i].minute);
		if (r == 0 && u->groups[i].kept != ROLLUP_NONE)
			r = presence_add(&u->boot, u->groups[i].minute);
	}
	u->boot_is_all = u->boot.count == u->all.count;
	u->from = r == 0 ? presence : NULL;
	return r;
}

/* --- sections --- */

/* Quick, for they are put together with those of the rest of their day before that day is over. */
int rollup_begin(struct rollup *u, uint32_t section)
{
	int r = 0;
	u->from = NULL;
	u->has_written = false;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		r = section_writer_new(section, u->n_minutes, COLUMNS_QUICK, &u->outputs[s].writer);
		if (r == 0)
			section_writer_use(u->outputs[s].writer, u->packer);
	}
	return r;
}

int rollup_add(struct rollup *u, const struct columns_series *series, const struct columns_values *values,
	       const struct section_writer_place *place)
{
	int r = find_groups(u, values->presence);
	u->in = values;
	u->place = place;
	u->result.samples += values->n;
	return r < 0 ? r : rollup_series(u, series);
}

int rollup_add_constant(struct rollup *u, const struct columns_series *series, const struct presence *presence,
			uint64_t value, const struct section_writer_place *place)
{
	int r = find_groups(u, presence);
	u->place = place;
	u->result.samples += presence->count;
	return r < 0 ? r : rollup_constant(u, series, value);
}

int rollup_end(struct rollup *u)
{
	int r = 0;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		struct rollup_output *o = &u->outputs[s];
		uint32_t n_series = section_writer_series(o->writer), number = section_writer_number(o->writer);
		size_t before = o->sections.len;
		if (n_series > 0) {
			r = section_writer_finish(o->writer, &o->sections);
			o->offsets[o->n] = before;
			o->table[o->n++] = (struct chunk_section){
				.number = number, .n_series = n_series, .len = (uint32_t)(o->sections.len - before)};
		}
		section_writer_free(o->writer);
		o->writer = NULL;
	}
	return r;
}

int rollup_finish(struct rollup *u, struct buf out[ROLLUP_END], struct rollup_result *ret)
{
	size_t before[ROLLUP_END];
	int r = 0;
	for (enum rollup_statistic s = ROLLUP_LAST; s < ROLLUP_END; s++)
		before[s] = out[s].len;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		struct rollup_output *o = &u->outputs[s];
		for (uint32_t i = 0; i < o->n; i++)
			o->table[i].data = o->sections.data + o->offsets[i];
		if (o->n > 0)
			r = chunk_put(u->minutes, u->n_minutes, o->table, o->n, &out[s]);
	}
	for (enum rollup_statistic s = ROLLUP_LAST; r < 0 && s < ROLLUP_END; s++)
		out[s].len = before[s];
	if (r == 0)
		*ret = u->result;
	return r;
}

/* --- of a chunk's bytes --- */

static int read_section(struct rollup *u, struct section_reader *reader)
{
	struct columns_series series;
	struct columns_values values = {0};
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < section_reader_series(reader); i++) {
		section_reader_get(reader, i, &series);
		r = section_reader_values(reader, i, &values);
		if (r == 0) {
			r = rollup_add(u, &series, &values, NULL);
		} else if (r == -EBADMSG || r == -EPROTO) {
			u->result.damaged_series++;
			r = 0;
		}
	}
	columns_values_free(&values);
	return r;
}

static int take_section(struct rollup *u, const struct chunk_section *section)
{
	struct section_reader *reader = NULL;
	int r = section_reader_open(section->data, section->len, u->n_ticks, &reader);
	if (r == 0 && section_reader_number(reader) != section->number)
		r = -EPROTO;
	if (r == -EBADMSG || r == -EPROTO) {
		u->result.damaged_sections++;
		section_reader_free(reader);
		return 0;
	}
	if (r == 0)
		r = rollup_begin(u, section->number);
	if (r == 0)
		r = read_section(u, reader);
	if (r == 0)
		r = rollup_end(u);
	section_reader_free(reader);
	return r;
}

int rollup_minutes(const uint8_t *data, size_t len, struct buf out[ROLLUP_END], struct rollup_result *ret)
{
	struct rollup *u = NULL;
	struct chunk_reader chunk;
	int r = chunk_open(data, len, &chunk);
	if (r < 0)
		return r;
	struct columns_tick *ticks = calloc(chunk.n_ticks + (size_t)1, sizeof(*ticks));
	r = ticks ? ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, ticks) : -ENOMEM;
	if (r == 0)
		r = rollup_new(ticks, chunk.n_ticks, &u);
	for (uint32_t i = 0; r == 0 && i < chunk.n_sections; i++)
		r = chunk_section_has_texts(chunk.sections[i].number) ? 0 : take_section(u, &chunk.sections[i]);
	if (r == 0)
		r = rollup_finish(u, out, ret);
	rollup_free(u);
	free(ticks);
	/* Series out of order: a section no writer wrote. */
	return r == -EINVAL ? -EPROTO : r;
}
