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

static void join(uint64_t **columns, const uint8_t (*origins)[32], size_t known, uint32_t first, uint32_t end,
		 struct columns_tick *ret)
{
	uint64_t grid = 0;
	for (uint32_t i = 0; i < end; i++) {
		uint32_t interval_ms = (uint32_t)columns[INTERVAL][i];
		grid = i == 0 ? columns[STEPS][0] : on_grid(grid, columns[STEPS][i], interval_ms);
		if (i < first)
			continue;
		struct columns_tick *t = &ret[i];
		t->interval_ms = interval_ms;
		t->time_us = (int64_t)(grid + columns[JITTER][i]);
		t->boottime_us = known > BOOTTIME ? columns[BOOTTIME][i] + (uint64_t)t->time_us : 0;
		t->received_us = known > RECEIVED ? (int64_t)(columns[RECEIVED][i] + (uint64_t)t->time_us) : 0;
		t->sequence = columns[SEQUENCE][i];
		memcpy(t->instance, origins[columns[ORIGIN][i]], 16);
		memcpy(t->boot_id, origins[columns[ORIGIN][i]] + 16, 16);
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

/* What is asked for: columns below `wanted`, and of ticks those that lie in [from_us, to_us]; what was decoded. */
struct asked {
	size_t wanted;
	int64_t from_us, to_us;
	uint32_t first, end;
};

/* Stripes whose ticks cannot be in what is asked for are passed over: they begin behind it, or the next one before it.
 */
static void choose(const struct work *w, const struct stripes *s, uint32_t n, struct asked *asked, unsigned *ret_from,
		   unsigned *ret_to)
{
	unsigned from = 0, to = 1;
	uint64_t grid = w->columns[STEPS][0];
	for (uint32_t i = 1, k = 1; k < STRIPES && i < n; i++) {
		grid = on_grid(grid, w->columns[STEPS][i], (uint32_t)w->columns[INTERVAL][i]);
		if (i < stripes_begin(n, k))
			continue;
		int64_t time_us = (int64_t)(grid + s->first[k]);
		if (time_us < asked->from_us)
			from = k;
		if (time_us <= asked->to_us)
			to = k + 1;
		k++;
	}
	*ret_from = from;
	*ret_to = to > from ? to : from + 1;
	asked->first = stripes_begin(n, *ret_from);
	asked->end = stripes_begin(n, *ret_to);
}

static int take_column(struct work *w, size_t i, const struct integers_plan *plan, uint32_t n,
		       enum residuals_prior prior, struct range_decoder *decoder)
{
	size_t skip = i == STEPS;
	if (n == skip)
		return 0;
	residuals_model_init(w->model, prior);
	residuals_decode(w->model, decoder, w->residuals, integers_residuals(plan->form, n - skip), NULL);
	integers_join(plan, w->residuals, n - skip, w->columns[i] + skip);
	return decoder->beyond > 4 ? -EPROTO : 0;
}

/* Times are beside a grid that the steps and intervals make, so those come first. */
static int take_striped(struct work *w, uint32_t n, const struct integers_plan *plans, struct asked *asked,
			enum residuals_prior prior, struct wire_reader *in)
{
	struct range_decoder decoder, rest;
	struct stripes stripes;
	unsigned from, to;
	uint64_t len;
	if (wire_varint(in, &len) != 1 || len > (size_t)(in->end - in->p) ||
	    stripes_take(&plans[JITTER], n, wire_reader(in->p, len), &stripes) < 0)
		return -EPROTO;
	range_decoder_init(&decoder, stripes.data[0], stripes.len[0]);
	range_decoder_init(&rest, in->p + len, (size_t)(in->end - in->p) - len);
	int r = take_column(w, STEPS, &plans[STEPS], n, prior, &decoder);
	for (size_t i = JITTER + 1; r == 0 && i < asked->wanted; i++)
		r = take_column(w, i, &plans[i], n, prior, &rest);
	if (r < 0)
		return r;
	choose(w, &stripes, n, asked, &from, &to);
	residuals_model_init(w->model, prior);
	return stripes_decode(&stripes, &plans[JITTER], from, to, w->model, &decoder, w->columns[JITTER]);
}

static int take_columns(struct work *w, uint32_t n, struct asked *asked, enum residuals_prior prior,
			struct wire_reader *in)
{
	struct integers_plan plans[COLUMNS] = {0};
	struct range_decoder decoder;
	if (wire_varint(in, &w->columns[STEPS][0]) != 1)
		return -EPROTO;
	for (size_t i = 0; i < COLUMNS; i++) {
		if (n > (i == STEPS) && integers_plan_take(in, &plans[i]) < 0)
			return -EPROTO;
		if (plans[i].striped && (i != JITTER || !stripes_can(&plans[i], n)))
			return -EPROTO;
	}
	asked->first = 0;
	asked->end = n;
	if (plans[JITTER].striped)
		return take_striped(w, n, plans, asked, prior, in);
	range_decoder_init(&decoder, in->p, (size_t)(in->end - in->p));
	int r = 0;
	for (size_t i = 0; r == 0 && i < asked->wanted; i++)
		r = take_column(w, i, &plans[i], n, prior, &decoder);
	return r;
}

int ticks_check(const uint8_t *data, size_t len)
{
	if (len < 4)
		return -EPROTO;
	return (uint32_t)crc32(0, data + 4, (unsigned)(len - 4)) == take_word(data) ? 0 : -EBADMSG;
}

static int take(const uint8_t *data, size_t len, uint32_t n, struct asked *asked, struct columns_tick *ret)
{
	struct work work __attribute__((cleanup(work_free))) = {0};
	uint64_t n_origins;
	enum residuals_prior prior = RESIDUALS_UNPRIMED;
	int r = n > COLUMNS_MAX_TICKS ? -EPROTO : ticks_check(data, len);
	if (r < 0)
		return r;
	struct wire_reader in = wire_reader(data + 4, len - 4);
	if (n > 0 && in.p < in.end && *in.p == TICKS_PRIMED) {
		prior = RESIDUALS_TICKS;
		in.p++;
	}
	if (wire_varint(&in, &n_origins) != 1 || n_origins > MAX_ORIGINS || n_origins * 32 > (size_t)(in.end - in.p))
		return -EPROTO;
	const uint8_t(*origins)[32] = (const uint8_t(*)[32])in.p;
	in.p += n_origins * 32;
	r = n > 0 ? work_init(&work, n) : 0;
	if (r == 0 && n > 0)
		r = take_columns(&work, n, asked, prior, &in);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		if (work.columns[ORIGIN][i] >= n_origins || work.columns[INTERVAL][i] > UINT32_MAX)
			r = -EPROTO;
	}
	if (r == 0 && n > 0)
		join(work.columns, origins, asked->wanted, asked->first, asked->end, ret);
	return r;
}

static int take_all(const uint8_t *data, size_t len, uint32_t n, size_t wanted, struct columns_tick *ret)
{
	struct asked asked = {.wanted = wanted, .from_us = INT64_MIN, .to_us = INT64_MAX};
	return take(data, len, n, &asked, ret);
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
		      struct columns_tick *ret, uint32_t *ret_first, uint32_t *ret_end)
{
	struct asked asked = {.wanted = RECEIVED, .from_us = from_us, .to_us = to_us};
	int r = take(data, len, n, &asked, ret);
	if (r == 0) {
		*ret_first = asked.first;
		*ret_end = asked.end;
	}
	return r;
}
