/* Agents tick on a grid and wake a little late: the grid is steps of the interval, nearly always 1, and what is left is
 * microseconds. Boot time and receipt are told relative to it, so that each costs its own jitter only. */
#include "backend/columns/ticks.h"

#include "backend/columns/integers.h"
#include "backend/columns/residuals.h"
#include "backend/columns/stripes.h"
#include "backend/columns/words.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_ORIGINS 65536
#define WORST_RESIDUAL 32 /* bytes */
/* In front of the number of origins, which is not 0 where there are ticks: models begin with a prior, as they did not
 * until version 2. */
#define TICKS_PRIMED 0

/* What queries need comes first, so that they need not decode the jitter of the rest. */
enum column { STEPS, JITTER, SEQUENCE, INTERVAL, ORIGIN, RECEIVED, BOOTTIME, COLUMNS };

/* The instant that the step leads to from the grid so far. */
static uint64_t on_grid(uint64_t grid, uint64_t steps, uint64_t interval_ms)
{
	return grid + steps * (interval_ms > 0 ? interval_ms : 1000) * 1000;
}

static void split(const struct columns_tick *ticks, uint32_t n, const uint32_t *origins, uint64_t **columns)
{
	uint64_t grid = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct columns_tick *t = &ticks[i];
		int64_t interval_us = (int64_t)(t->interval_ms > 0 ? t->interval_ms : 1000) * 1000;
		int64_t away = (int64_t)((uint64_t)t->time_us - grid), steps = away / interval_us;
		if (away % interval_us > interval_us / 2)
			steps++;
		else if (away % interval_us < -interval_us / 2)
			steps--;
		grid = i == 0 ? (uint64_t)t->time_us : on_grid(grid, (uint64_t)steps, t->interval_ms);
		columns[STEPS][i] = i == 0 ? grid : (uint64_t)steps;
		columns[JITTER][i] = (uint64_t)t->time_us - grid;
		columns[BOOTTIME][i] = t->boottime_us - (uint64_t)t->time_us;
		columns[RECEIVED][i] = (uint64_t)t->received_us - (uint64_t)t->time_us;
		columns[SEQUENCE][i] = t->sequence;
		columns[INTERVAL][i] = t->interval_ms;
		columns[ORIGIN][i] = origins[i];
	}
}

/* Which start of the agent, on which boot: few, each said once. */
static int find_origins(const struct columns_tick *ticks, uint32_t n, uint32_t *origins, struct buf *out)
{
	struct buf table BUF_CLEANUP = BUF_INIT(32ull * MAX_ORIGINS);
	uint32_t count = 0;
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		uint32_t k = i > 0 ? origins[i - 1] : 0, looked = 0;
		for (; looked < count; looked++, k = (k + 1) % count) {
			if (memcmp(table.data + 32ull * k, ticks[i].instance, 16) == 0 &&
			    memcmp(table.data + 32ull * k + 16, ticks[i].boot_id, 16) == 0)
				break;
		}
		if (looked == count) {
			r = buf_append(&table, ticks[i].instance, 16);
			if (r == 0)
				r = buf_append(&table, ticks[i].boot_id, 16);
			k = count++;
		}
		origins[i] = k;
	}
	if (r == 0)
		r = wire_put_varint(out, count);
	return r == 0 && table.len > 0 ? buf_append(out, table.data, table.len) : r;
}

struct work {
	uint64_t *columns[COLUMNS];
	uint64_t *memory;
	int64_t *residuals;
	struct residuals_model *model;
};

static void work_free(struct work *w)
{
	free(w->memory);
	free(w->residuals);
	free(w->model);
}

static int work_init(struct work *w, uint32_t n)
{
	w->memory = calloc((size_t)n * COLUMNS + 1, sizeof(*w->memory));
	w->residuals = calloc((size_t)n + 1, sizeof(*w->residuals));
	w->model = malloc(sizeof(*w->model));
	for (size_t i = 0; i < COLUMNS; i++)
		w->columns[i] = w->memory ? w->memory + i * n : NULL;
	return w->memory && w->residuals && w->model ? 0 : -ENOMEM;
}

/* Where what is coded goes; what is striped ends a stream and the rest begins another. */
struct coding {
	struct buf bytes;
	struct range_encoder encoder;
	size_t begin; /* of the stream */
};

static void coding_free(struct coding *c)
{
	buf_free(&c->bytes);
}

static int code_column(struct work *w, const struct integers_plan *plan, uint32_t n, const uint64_t *values,
		       struct coding *c)
{
	residuals_model_init(w->model, RESIDUALS_TICKS);
	integers_split(plan, values, n, w->residuals);
	if (!plan->striped) {
		residuals_encode(w->model, &c->encoder, w->residuals, integers_residuals(plan->form, n), NULL);
		return 0;
	}
	int r = stripes_put(plan, w->residuals, n, w->model, &c->encoder, 0, &c->bytes);
	if (r == 0)
		r = buf_reserve(&c->bytes, (size_t)n * COLUMNS * WORST_RESIDUAL + 16);
	c->begin = c->bytes.len;
	range_encoder_init(&c->encoder, c->bytes.data + c->begin, c->bytes.cap - c->begin);
	return r;
}

static int put_columns(struct work *w, uint32_t n, struct buf *out)
{
	struct coding coded __attribute__((cleanup(coding_free))) = {.bytes = BUF_INIT(COLUMNS_MAX_SECTION)};
	int r = buf_reserve(&coded.bytes, (size_t)n * COLUMNS * WORST_RESIDUAL + 16);
	range_encoder_init(&coded.encoder, coded.bytes.data, coded.bytes.cap);
	for (size_t i = 0; r == 0 && n > 0 && i < COLUMNS; i++) {
		/* Of the steps, the first is where the grid begins. */
		size_t skip = i == STEPS;
		if (skip)
			r = wire_put_varint(out, w->columns[STEPS][0]);
		if (r < 0 || n == skip)
			continue;
		double bits;
		struct integers_plan plan = integers_plan(w->columns[i] + skip, n - skip, &bits);
		plan.striped = i == JITTER && stripes_pay(&plan, n, bits);
		r = integers_plan_put(&plan, out);
		if (r == 0)
			r = code_column(w, &plan, (uint32_t)(n - skip), w->columns[i] + skip, &coded);
	}
	if (r < 0)
		return r;
	range_encoder_finish(&coded.encoder);
	if (coded.encoder.len > coded.encoder.cap)
		return -EMSGSIZE;
	coded.bytes.len = coded.begin + coded.encoder.len;
	if (coded.begin > 0)
		r = wire_put_varint(out, coded.begin);
	return r == 0 ? buf_append(out, coded.bytes.data, coded.bytes.len) : r;
}

/* Plans first, then all bits: the plans say how many there are. */
int ticks_put(const struct columns_tick *ticks, uint32_t n, struct buf *out)
{
	struct buf body BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	struct work work __attribute__((cleanup(work_free))) = {0};
	uint32_t *origins = n <= COLUMNS_MAX_TICKS ? calloc((size_t)n + 1, sizeof(*origins)) : NULL;
	int r = n > COLUMNS_MAX_TICKS ? -EMSGSIZE : !origins ? -ENOMEM : work_init(&work, n);
	if (r == 0 && n > 0)
		r = wire_put_varint(&body, TICKS_PRIMED);
	if (r == 0)
		r = find_origins(ticks, n, origins, &body);
	if (r == 0) {
		split(ticks, n, origins, work.columns);
		r = put_columns(&work, n, &body);
	}
	free(origins);
	if (r < 0)
		return r;
	uint32_t crc = (uint32_t)crc32(0, body.data, (unsigned)body.len);
	const uint8_t bytes[4] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)};
	r = buf_append(out, bytes, sizeof(bytes));
	return r == 0 ? buf_append(out, body.data, body.len) : r;
}

int ticks_check(const uint8_t *data, size_t len)
{
	if (len < 4)
		return -EPROTO;
	return (uint32_t)crc32(0, data + 4, (unsigned)(len - 4)) == take_word(data) ? 0 : -EBADMSG;
}

/* What is asked for: columns below `wanted`, and of ticks those that lie in [from_us, to_us]; what was decoded. */
struct asked {
	size_t wanted;
	int64_t from_us, to_us;
	uint32_t first, end;
};

/* Most columns go on evenly and need no memory: `v` is NULL, value i is first + i * base. */
struct known {
	uint64_t *v;
	uint64_t first, base;
};

struct read {
	uint32_t n;
	uint64_t grid; /* where it begins */
	struct known columns[COLUMNS];
	struct integers_plan plans[COLUMNS];
	enum residuals_prior prior;
	struct residuals_model model;
};

static void read_free(struct read *r)
{
	for (size_t i = 0; r && i < COLUMNS; i++)
		free(r->columns[i].v);
	free(r);
}

static void read_cleanup(struct read **r)
{
	read_free(*r);
}

static inline uint64_t value_of(const struct known *column, uint32_t i)
{
	return column->v ? column->v[i] : column->first + i * column->base;
}

static bool is_constant(const struct known *column)
{
	return !column->v && column->base == 0;
}

/* The point of the grid of tick i, from that of tick `of` before it. Mostly ticks are equally far from each other. */
static uint64_t go_on(const struct read *r, uint64_t grid, uint32_t of, uint32_t i)
{
	const struct known *steps = &r->columns[STEPS], *interval = &r->columns[INTERVAL];
	if (is_constant(steps) && is_constant(interval))
		return grid + on_grid(0, steps->first, (uint32_t)interval->first) * (i - of);
	while (of < i) {
		of++;
		grid = on_grid(grid, value_of(steps, of), (uint32_t)value_of(interval, of));
	}
	return grid;
}

/* Steps begin with the second tick. */
static int take_column(struct read *r, size_t i, struct range_decoder *decoder)
{
	const struct integers_plan *plan = &r->plans[i];
	struct known *column = &r->columns[i];
	uint32_t skip = i == STEPS, n = r->n - skip;
	if (plan->form <= INTEGERS_LINEAR) {
		*column = (struct known){.first = plan->first - skip * plan->base, .base = plan->base};
		return 0;
	}
	column->v = malloc((size_t)r->n * sizeof(*column->v));
	if (!column->v)
		return -ENOMEM;
	int64_t *residuals = (int64_t *)column->v + skip;
	residuals_model_init(&r->model, r->prior);
	residuals_decode(&r->model, decoder, residuals, integers_residuals(plan->form, n), NULL);
	integers_join(plan, residuals, n, column->v + skip);
	return decoder->beyond > 4 ? -EPROTO : 0;
}

/* Stripes whose ticks cannot be in what is asked for are passed over: they begin behind it, or the next one before it.
 */
static void choose(const struct read *r, const struct stripes *s, struct asked *asked, unsigned *ret_from,
		   unsigned *ret_to)
{
	unsigned from = 0, to = 1;
	uint64_t grid = r->grid;
	for (uint32_t k = 1; k < STRIPES; k++) {
		grid = go_on(r, grid, stripes_begin(r->n, k - 1), stripes_begin(r->n, k));
		int64_t time_us = (int64_t)(grid + s->first[k]);
		if (time_us < asked->from_us)
			from = k;
		if (time_us <= asked->to_us)
			to = k + 1;
	}
	*ret_from = from;
	*ret_to = to > from ? to : from + 1;
	asked->first = stripes_begin(r->n, *ret_from);
	asked->end = stripes_begin(r->n, *ret_to);
}

/* Times are beside a grid that the steps and intervals make, so those come first. */
static int take_striped(struct read *r, struct asked *asked, struct wire_reader *in)
{
	struct range_decoder decoder, rest;
	struct stripes stripes;
	unsigned from, to;
	uint64_t len;
	if (wire_varint(in, &len) != 1 || len > (size_t)(in->end - in->p) ||
	    stripes_take(&r->plans[JITTER], r->n, wire_reader(in->p, len), &stripes) < 0)
		return -EPROTO;
	range_decoder_init(&decoder, stripes.data[0], stripes.len[0]);
	range_decoder_init(&rest, in->p + len, (size_t)(in->end - in->p) - len);
	int e = take_column(r, STEPS, &decoder);
	for (size_t i = JITTER + 1; e == 0 && i < asked->wanted; i++)
		e = take_column(r, i, &rest);
	if (e < 0)
		return e;
	uint64_t *v = malloc((size_t)r->n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	r->columns[JITTER].v = v;
	choose(r, &stripes, asked, &from, &to);
	residuals_model_init(&r->model, r->prior);
	return stripes_decode(&stripes, &r->plans[JITTER], from, to, &r->model, &decoder, v);
}

static int take_columns(struct read *r, struct asked *asked, struct wire_reader *in)
{
	struct range_decoder decoder;
	if (wire_varint(in, &r->grid) != 1)
		return -EPROTO;
	for (size_t i = 0; i < COLUMNS; i++) {
		r->plans[i].factor = 1;
		if (r->n > (i == STEPS) && integers_plan_take(in, &r->plans[i]) < 0)
			return -EPROTO;
		if (r->plans[i].striped && (i != JITTER || !stripes_can(&r->plans[i], r->n)))
			return -EPROTO;
	}
	asked->first = 0;
	asked->end = r->n;
	if (r->plans[JITTER].striped)
		return take_striped(r, asked, in);
	range_decoder_init(&decoder, in->p, (size_t)(in->end - in->p));
	int e = 0;
	for (size_t i = 0; e == 0 && i < asked->wanted; i++)
		e = take_column(r, i, &decoder);
	return e;
}

/* Ticks [first, end), to where `ret` begins. */
static int join(const struct read *r, const uint8_t (*origins)[32], uint64_t n_origins, const struct asked *asked,
		struct columns_tick *ret)
{
	const struct known *c = r->columns;
	uint64_t grid = go_on(r, r->grid, 0, asked->first);
	for (uint32_t i = asked->first; i < asked->end; i++) {
		if (i > asked->first)
			grid = go_on(r, grid, i - 1, i);
		struct columns_tick *t = ret++;
		uint64_t time_us = grid + value_of(&c[JITTER], i), interval_ms = value_of(&c[INTERVAL], i),
			 origin = value_of(&c[ORIGIN], i);
		if (origin >= n_origins || interval_ms > UINT32_MAX)
			return -EPROTO;
		t->interval_ms = (uint32_t)interval_ms;
		t->time_us = (int64_t)time_us;
		t->boottime_us = asked->wanted > BOOTTIME ? value_of(&c[BOOTTIME], i) + time_us : 0;
		t->received_us = asked->wanted > RECEIVED ? (int64_t)(value_of(&c[RECEIVED], i) + time_us) : 0;
		t->sequence = value_of(&c[SEQUENCE], i);
		memcpy(t->instance, origins[origin], 16);
		memcpy(t->boot_id, origins[origin] + 16, 16);
	}
	return 0;
}

/* What stands before the columns: 0, -EPROTO. */
static int take_head(struct wire_reader *in, struct read *r, const uint8_t (**ret_origins)[32], uint64_t *ret_n)
{
	r->prior = RESIDUALS_UNPRIMED;
	if (r->n > 0 && in->p < in->end && *in->p == TICKS_PRIMED) {
		r->prior = RESIDUALS_TICKS;
		in->p++;
	}
	if (wire_varint(in, ret_n) != 1 || *ret_n > MAX_ORIGINS || *ret_n * 32 > (size_t)(in->end - in->p))
		return -EPROTO;
	*ret_origins = (const uint8_t(*)[32])in->p;
	in->p += *ret_n * 32;
	return 0;
}

/* To `ret`, or, without it, to memory of their own. */
static int take(const uint8_t *data, size_t len, uint32_t n, struct asked *asked, struct columns_tick *ret,
		struct columns_tick **ret_own)
{
	struct read *r __attribute__((cleanup(read_cleanup))) = NULL;
	const uint8_t(*origins)[32];
	uint64_t n_origins;
	int e = n > COLUMNS_MAX_TICKS ? -EPROTO : ticks_check(data, len);
	if (e < 0)
		return e;
	struct wire_reader in = wire_reader(data + 4, len - 4);
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	memset(r, 0, offsetof(struct read, model));
	r->n = n;
	e = take_head(&in, r, &origins, &n_origins);
	if (e == 0 && n > 0)
		e = take_columns(r, asked, &in);
	if (e < 0)
		return e;
	struct columns_tick *own = ret ? ret : malloc((asked->end - asked->first + (size_t)1) * sizeof(*own));
	if (!own)
		return -ENOMEM;
	e = join(r, origins, n_origins, asked, own);
	if (!ret && e < 0)
		free(own);
	if (!ret && e == 0)
		*ret_own = own;
	return e;
}

static int take_all(const uint8_t *data, size_t len, uint32_t n, size_t wanted, struct columns_tick *ret)
{
	struct asked asked = {.wanted = wanted, .from_us = INT64_MIN, .to_us = INT64_MAX};
	return take(data, len, n, &asked, ret, NULL);
}

int ticks_take(const uint8_t *data, size_t len, uint32_t n, struct columns_tick *ret)
{
	return take_all(data, len, n, COLUMNS, ret);
}

int ticks_take_some(const uint8_t *data, size_t len, uint32_t n, enum ticks_some some, struct columns_tick *ret)
{
	return take_all(data, len, n, some == TICKS_RECEIVED ? BOOTTIME : RECEIVED, ret);
}

int ticks_take_within(const uint8_t *data, size_t len, uint32_t n, int64_t from_us, int64_t to_us,
		      struct columns_tick **ret, uint32_t *ret_first, uint32_t *ret_end)
{
	struct asked asked = {.wanted = RECEIVED, .from_us = from_us, .to_us = to_us};
	int r = take(data, len, n, &asked, NULL, ret);
	if (r == 0) {
		*ret_first = asked.first;
		*ret_end = asked.end;
	}
	return r;
}
