/* The list is carried out from its end to its beginning, so that the length of a message is known where it has to be
 * written. */
#include "tests/bench/storage/warp_ops.h"

#include <math.h>
#include <string.h>

#define NESTING 32
#define LEAST_FACTOR 0.75
#define FACTORS 0.5
#define GOLDEN 0.6180339887498949 /* its multiples are spread evenly between integers */

struct pen {
	uint8_t *p, *begin;
};

static void put(struct pen *pen, const void *data, size_t len)
{
	if ((size_t)(pen->p - pen->begin) < len)
		warp_must(-90, "a snapshot is too long");
	pen->p -= len;
	memcpy(pen->p, data, len);
}

static void put_varint(struct pen *pen, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;
	for (; v > 127; v >>= 7)
		bytes[n++] = (uint8_t)(v | 128);
	bytes[n++] = (uint8_t)v;
	put(pen, bytes, n);
}

static void put_tag(struct pen *pen, uint32_t number, enum wire_type type)
{
	put_varint(pen, (uint64_t)number << 3 | type);
}

/* The length and tag of what was written since. */
static void put_head(struct pen *pen, uint32_t number, const uint8_t *since)
{
	put_varint(pen, (uint64_t)(since - pen->p));
	put_tag(pen, number, WIRE_BYTES);
}

static uint64_t count_of(const struct schema_histogram *h, uint32_t index)
{
	for (size_t i = 0; i < h->n && h->buckets[i].index <= index; i++) {
		if (h->buckets[i].index == index)
			return h->buckets[i].count;
	}
	return 0;
}

/* How the hour is scaled, and what the hours before it come to. */
struct scale {
	double factor, sum;
};

static struct scale scale_of(struct warp *w, uint64_t hour)
{
	while (w->n_factors <= hour) {
		uint32_t k = w->n_factors;
		w->factors = warp_grow(w->factors, k, &w->cap_factors, sizeof(*w->factors));
		w->sums = warp_grow(w->sums, k, &w->cap_sums, sizeof(*w->sums));
		w->factors[k] = k == 0 || !w->scale ? 1 : LEAST_FACTOR + FACTORS * (k * GOLDEN - floor(k * GOLDEN));
		w->sums[k] = k == 0 ? 0 : w->sums[k - 1] + w->factors[k - 1];
		w->n_factors++;
	}
	return (struct scale){.factor = w->factors[hour], .sum = w->sums[hour]};
}

/* A counter: what it grew since the hour began behind what it grew before, in its own steps. */
static uint64_t grown(uint64_t value, uint64_t first, uint64_t last, uint64_t grain, const struct scale *by)
{
	long double g = grain > 0 ? (long double)grain : 1, hour = last > first ? (long double)(last - first) / g : 0,
		    now = value > first ? (long double)(value - first) / g : -(long double)(first - value) / g;
	/* 1e-6: what is whole but for the arithmetic stays. */
	long double steps = floorl(by->sum * hour + by->factor * now + 1e-6L);
	return first + (uint64_t)(int64_t)(steps * g);
}

static double rounded(double v, unsigned decimals)
{
	double power = pow(10, decimals);
	return decimals > MAX_DECIMALS ? v : rint(v * power) / power;
}

static void put_uint(struct pen *pen, const struct op *op, const struct scale *by)
{
	const struct history *h = op->of;
	uint64_t v;
	if (h->kind == SCHEMA_KIND_COUNTER)
		v = grown(op->value, h->first, h->last, h->grain, by);
	else
		v = h->grain * (uint64_t)rint((double)(op->value / (h->grain ? h->grain : 1)) * by->factor);
	put_varint(pen, by->factor == 1 && h->kind != SCHEMA_KIND_COUNTER ? op->value : v);
	put_tag(pen, op->number, WIRE_VARINT);
}

/* A gauge. What is at most 1 stays so: a share. */
static double scaled(double v, uint32_t denominator, unsigned decimals, double factor)
{
	double most = fabs(v) <= 1 ? 1 : INFINITY;
	double to = denominator > 0 ? rint(v * denominator * factor) / denominator : rounded(v * factor, decimals);
	return fabs(to) > most ? copysign(most, v) : to;
}

static void put_double(struct pen *pen, const struct op *op, const struct scale *by)
{
	const struct history *h = op->of;
	double v = wire_double(op->value), first = wire_double(h->first), last = wire_double(h->last);
	if (h->kind == SCHEMA_KIND_COUNTER)
		v = rounded(first + by->sum * (last > first ? last - first : 0) + by->factor * (v - first),
			    h->decimals);
	else if (by->factor != 1)
		v = scaled(v, op->len, h->decimals, by->factor);
	uint64_t bits = wire_double_bits(v);
	put(pen, &bits, sizeof(bits));
	put_tag(pen, op->number, WIRE_FIXED64);
}

static void put_histogram(struct pen *pen, const struct op *op, const struct scale *by)
{
	struct schema_histogram base, first, last;
	warp_must(schema_histogram_parse(op->data, op->len, &base), "histogram");
	warp_must(schema_histogram_parse(op->of->first_data, op->of->first_len, &first), "histogram");
	warp_must(schema_histogram_parse(op->of->last_data, op->of->last_len, &last), "histogram");
	uint32_t indexes[253], n = 0;
	uint64_t counts[253];
	for (size_t b = 0, l = 0; b < base.n || (by->sum > 0 && l < last.n);) {
		uint32_t index = b < base.n ? base.buckets[b].index : UINT32_MAX;
		if (by->sum > 0 && l < last.n && last.buckets[l].index < index)
			index = last.buckets[l].index;
		b += b < base.n && base.buckets[b].index == index;
		l += l < last.n && last.buckets[l].index == index;
		indexes[n] = index;
		counts[n] = grown(count_of(&base, index), count_of(&first, index), count_of(&last, index), 1, by);
		n += counts[n] > 0;
	}
	const uint8_t *end = pen->p, *part = pen->p;
	for (uint32_t i = n; i-- > 0;)
		put_varint(pen, counts[i]);
	if (n > 0)
		put_head(pen, 4, part);
	part = pen->p;
	for (uint32_t i = n; i-- > 0;)
		put_varint(pen, indexes[i]);
	if (n > 0)
		put_head(pen, 3, part);
	put_varint(pen, grown(base.sum, first.sum, last.sum, 1, by));
	put_tag(pen, 2, WIRE_VARINT);
	put_varint(pen, 1);
	put_tag(pen, 1, WIRE_VARINT);
	put_head(pen, op->number, end);
}

static void put_op(struct pen *pen, const struct op *op, uint64_t k, const struct scale *by, const uint8_t *ends[],
		   unsigned *depth)
{
	switch (op->kind) {
	case OP_COPY:
		put(pen, op->data, op->number);
		break;
	case OP_VARINT:
		put_varint(pen, op->value + k * op->step);
		put_tag(pen, op->number, WIRE_VARINT);
		break;
	case OP_UINT:
		put_uint(pen, op, by);
		break;
	case OP_DOUBLE:
		put_double(pen, op, by);
		break;
	case OP_HISTOGRAM:
		put_histogram(pen, op, by);
		break;
	case OP_END:
		warp_must(*depth < NESTING ? 0 : -90, "nesting");
		ends[(*depth)++] = pen->p;
		break;
	case OP_BEGIN:
		put_head(pen, op->number, ends[--*depth]);
		break;
	}
}

static void put_header(struct pen *pen, const struct columns_tick *t)
{
	const uint8_t *end;
	put_varint(pen, t->interval_ms);
	put_tag(pen, 6, WIRE_VARINT);
	put_varint(pen, t->boottime_us);
	put_tag(pen, 5, WIRE_VARINT);
	end = pen->p;
	put_varint(pen, (uint64_t)(t->time_us % 1000000) * 1000);
	put_tag(pen, 2, WIRE_VARINT);
	put_varint(pen, (uint64_t)(t->time_us / 1000000));
	put_tag(pen, 1, WIRE_VARINT);
	put_head(pen, 4, end);
	put_varint(pen, t->sequence);
	put_tag(pen, 3, WIRE_VARINT);
	end = pen->p;
	put(pen, t->instance, 16);
	put_head(pen, 2, end);
	end = pen->p;
	put(pen, t->boot_id, 16);
	put_head(pen, 1, end);
}

/* A host's snapshots are those of the hour from its own place in it; the time between two is that in the recording. */
static const struct snapshot *place(const struct warp *w, uint32_t host, uint64_t i, uint64_t *ret_hour,
				    int64_t *ret_since_us)
{
	uint32_t start = (uint32_t)((uint64_t)host * 37 % w->n);
	uint64_t at = start + i;
	const struct snapshot *s = &w->ticks[at % w->n];
	*ret_hour = at / w->n;
	*ret_since_us = (int64_t)*ret_hour * WARP_HOUR_US + s->tick.time_us - w->ticks[start].tick.time_us;
	return s;
}

uint32_t warp_samples(const struct warp *w, uint32_t host, uint64_t i)
{
	uint64_t hour;
	int64_t since;
	return place(w, host, i, &hour, &since)->n;
}

int64_t warp_time_us(const struct warp *w, uint32_t host, uint64_t i, int64_t begin_us)
{
	uint64_t hour;
	int64_t since_us;
	(void)place(w, host, i, &hour, &since_us);
	return begin_us + since_us;
}

void warp_snapshot(struct warp *w, uint32_t host, uint64_t i, int64_t begin_us, struct columns_tick *tick,
		   const uint8_t **payload, size_t *len)
{
	uint64_t hour;
	int64_t since_us;
	const struct snapshot *s = place(w, host, i, &hour, &since_us);
	const struct scale by = scale_of(w, hour);
	const uint8_t *ends[NESTING];
	unsigned depth = 0;
	struct pen pen = {.p = w->scratch + SCRATCH, .begin = w->scratch};
	*tick = s->tick;
	tick->received_us += begin_us + since_us - tick->time_us;
	tick->time_us = begin_us + since_us;
	tick->boottime_us = w->ticks[0].tick.boottime_us + (uint64_t)since_us;
	tick->sequence = i + 1;
	tick->interval_ms *= w->every;
	tick->boot_id[0] ^= (uint8_t)host;
	tick->instance[0] ^= (uint8_t)host;
	tick->instance[1] ^= (uint8_t)(host >> 8);
	for (uint32_t op = s->n_ops; op-- > 0;)
		put_op(&pen, &w->ops[s->first_op + op], hour, &by, ends, &depth);
	put_header(&pen, tick);
	*payload = pen.p;
	*len = (size_t)(w->scratch + SCRATCH - pen.p);
}
