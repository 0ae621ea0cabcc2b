/* Each snapshot of the hour is compiled once into a list of what is copied and what grows from hour to hour. The list
 * is carried out from its end to its beginning, so that the length of a message is known where it has to be written. */
#include "tests/bench/storage/warp.h"

#include "backend/columns/intern.h"
#include "common/schema/plan.h" /* where in the bytes a value stands is nobody else's business */
#include "common/schema/snapshot_index.h"
#include "tests/bench/storage/recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH (1u << 20)
#define STAYS_US 120000000ll /* seen so near to both ends of the hour: it is the same one in the next */
#define NESTING 32
#define MAX_DECIMALS 9
#define MAX_DENOMINATOR 4000000
#define LEAST_FACTOR 0.75
#define FACTORS 0.5
#define GOLDEN 0.6180339887498949 /* its multiples are spread evenly between integers */

enum op_kind {
	OP_COPY,
	OP_VARINT, /* what goes on with the hours */
	OP_UINT,   /* values */
	OP_DOUBLE,
	OP_HISTOGRAM,
	OP_BEGIN,
	OP_END,
};

struct op {
	enum op_kind kind;
	uint32_t number; /* of the field; of OP_COPY its length */
	union {
		const uint8_t *data; /* OP_COPY, OP_HISTOGRAM */
		uint64_t value;
	};
	union {
		uint64_t step;		  /* OP_VARINT: an hour's */
		const struct history *of; /* values */
	};
	uint32_t len; /* OP_HISTOGRAM; of OP_DOUBLE the denominator */
};

/* What a series was over the hour. */
struct history {
	uint64_t first, last; /* as columns_values */
	uint32_t first_tick, last_tick;
	enum schema_value_type type;
	enum schema_kind kind;
	bool changes;
	uint64_t grain;			       /* all values, or growths, are multiples of it */
	unsigned decimals;		       /* that all of them have at most; more than MAX_DECIMALS: any */
	const uint8_t *first_data, *last_data; /* of histograms */
	size_t first_len, last_len;
	size_t key, key_len; /* in keys */
};

struct snapshot {
	const uint8_t *payload;
	size_t len;
	struct columns_tick tick;
	uint32_t *series; /* of each sample, in wire order; custom metrics are not among them */
	uint32_t n;
	uint32_t first_op, n_ops;
};

struct warp {
	struct recording recording;
	struct buf sections; /* payloads without the sections that are not wanted */
	uint64_t wanted;
	uint32_t every;
	struct snapshot *ticks;
	uint32_t n;
	struct history *series;
	uint32_t n_series, cap_series;
	struct intern intern;
	struct buf keys;
	struct op *ops;
	uint32_t n_ops, cap_ops;
	uint8_t *scratch;
	bool scale;
	double *factors; /* of each hour so far, and of all before it together */
	double *sums;
	uint32_t n_factors, cap_factors, cap_sums;
	/* While a snapshot is read or compiled. */
	struct snapshot *at;
	uint32_t cap, next;
	struct buf key;
};

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "warp: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void *grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 1024;
	array = reallocarray(array, *cap, size);
	must(array ? 0 : -12, "memory");
	return array;
}

/* --- what grows by how much ------------------------------------------------------------------------------------- */

static bool same_key(const void *arg, uint32_t number, const void *key)
{
	const struct warp *w = arg;
	const struct buf *k = key;
	const struct history *h = &w->series[number];
	return h->key_len == k->len && memcmp(w->keys.data + h->key, k->data, k->len) == 0;
}

static void make_key(struct warp *w, const struct schema_sample *s)
{
	buf_reset(&w->key);
	must(buf_append(&w->key, &s->metric, sizeof(s->metric)), "key");
	for (size_t i = 0; i < s->n_labels; i++) {
		const struct schema_label_value *l = &s->labels[i];
		uint64_t head[2] = {l->is_text, l->is_text ? l->len : l->number};
		must(buf_append(&w->key, head, sizeof(head)), "key");
		if (l->is_text)
			must(buf_append(&w->key, l->text, l->len), "key");
	}
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static void learn_double(struct history *h, double v)
{
	static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
	while (h->decimals <= MAX_DECIMALS &&
	       fabs(v * powers[h->decimals] - rint(v * powers[h->decimals])) > fabs(v) * powers[h->decimals] * 1e-14)
		h->decimals++;
}

static void learn_value(struct history *h, const struct schema_sample *s)
{
	h->changes |= s->u != h->first;
	h->last = s->u;
	if (s->type == SCHEMA_VALUE_DOUBLE)
		learn_double(h, s->d);
	else if (h->kind == SCHEMA_KIND_COUNTER)
		h->grain = common_divisor(h->grain, s->u > h->first ? s->u - h->first : h->first - s->u);
	else
		h->grain = common_divisor(h->grain, s->u);
}

static struct history *find(struct warp *w, const struct schema_sample *s, uint32_t tick, uint32_t *number)
{
	make_key(w, s);
	w->series = grow(w->series, w->n_series, &w->cap_series, sizeof(*w->series));
	*number = w->n_series;
	int r = intern_get(&w->intern, intern_hash(w->key.data, w->key.len), same_key, w, &w->key, number);
	must(r, "series");
	struct history *h = &w->series[*number];
	if (r == 0) {
		*h = (struct history){.first_tick = tick,
				      .type = s->type,
				      .kind = s->metric->kind,
				      .key = w->keys.len,
				      .key_len = w->key.len,
				      .first = s->u};
		must(buf_append(&w->keys, w->key.data, w->key.len), "keys");
		if (s->type == SCHEMA_VALUE_HISTOGRAM) {
			h->first_data = s->histogram.data;
			h->first_len = s->histogram.len;
		}
		w->n_series++;
	}
	return h;
}

static int learn(void *arg, const struct schema_sample *s)
{
	struct warp *w = arg;
	uint32_t number, tick = (uint32_t)(w->at - w->ticks);
	if (s->metric->n_numbers == 0)
		return 0;
	struct history *h = find(w, s, tick, &number);
	h->last_tick = tick;
	if (s->type == SCHEMA_VALUE_HISTOGRAM) {
		h->last_data = s->histogram.data;
		h->last_len = s->histogram.len;
	} else {
		learn_value(h, s);
	}
	w->at->series = grow(w->at->series, w->at->n, &w->cap, sizeof(uint32_t));
	w->at->series[w->at->n++] = number;
	return 0;
}

static bool stays(const struct warp *w, const struct history *h)
{
	int64_t begin = w->ticks[0].tick.time_us, end = w->ticks[w->n - 1].tick.time_us;
	return w->ticks[h->first_tick].tick.time_us - begin < STAYS_US &&
	       end - w->ticks[h->last_tick].tick.time_us < STAYS_US;
}

/* --- compiling -------------------------------------------------------------------------------------------------- */

static struct op *add(struct warp *w, const struct op *op)
{
	w->ops = grow(w->ops, w->n_ops, &w->cap_ops, sizeof(*w->ops));
	w->ops[w->n_ops] = *op;
	return &w->ops[w->n_ops++];
}

static void copy(struct warp *w, const uint8_t *begin, const uint8_t *end)
{
	struct op *last = w->n_ops > w->at->first_op ? &w->ops[w->n_ops - 1] : NULL;
	if (last && last->kind == OP_COPY && last->data + last->number == begin)
		last->number += (uint32_t)(end - begin);
	else
		add(w, &(struct op){.kind = OP_COPY, .number = (uint32_t)(end - begin), .data = begin});
}

/* Of the fraction of integers that a value was made as, which ratios and rates are; 0 when there is none that short. */
static uint32_t denominator_of(double v)
{
	double x = fabs(v);
	uint64_t before = 1, q = 0;
	for (unsigned i = 0; i < 40; i++) {
		uint64_t next = (uint64_t)x * q + before;
		if (x > 1e15 || next > MAX_DENOMINATOR)
			return 0;
		before = q;
		q = next;
		if (q > 0 && rint(v * (double)q) / (double)q == v)
			return (uint32_t)q;
		if (x == floor(x))
			return 0;
		x = 1 / (x - floor(x));
	}
	return 0;
}

static void metric(struct warp *w, const struct wire_field *f, const uint8_t *end)
{
	const struct history *h = &w->series[w->at->series[w->next++]];
	struct op op = {.number = f->number, .value = f->value, .of = h};
	if (h->kind == SCHEMA_KIND_HISTOGRAM) {
		op.kind = OP_HISTOGRAM;
		op.data = f->data;
		op.len = (uint32_t)f->len;
	} else if (!h->changes) {
		copy(w, f->begin, end);
		return;
	} else if (h->type == SCHEMA_VALUE_UINT && f->type == WIRE_VARINT) {
		op.kind = OP_UINT;
	} else if (h->type == SCHEMA_VALUE_DOUBLE && f->type == WIRE_FIXED64) {
		op.kind = OP_DOUBLE;
		op.len = h->decimals > MAX_DECIMALS ? denominator_of(wire_double(f->value)) : 0;
	} else if (h->kind == SCHEMA_KIND_COUNTER) {
		must(-71, "a counter of another type");
	} else {
		copy(w, f->begin, end);
		return;
	}
	add(w, &op);
}

/* State: when it was read goes on with time. */
static void state(struct warp *w, const struct wire_field *field)
{
	struct wire_reader reader = wire_reader(field->data, field->len);
	struct wire_field f;
	int r;
	add(w, &(struct op){.kind = OP_BEGIN, .number = field->number});
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number == 4)
			add(w, &(struct op){.kind = OP_VARINT, .number = 4, .value = f.value, .step = WARP_HOUR_US});
		else
			copy(w, f.begin, reader.p);
	}
	must(r, "state");
	add(w, &(struct op){.kind = OP_END});
}

static void message(struct warp *w, const struct plan_node *node, const uint8_t *data, size_t len, unsigned depth);

static void child(struct warp *w, const struct plan_node *node, const struct wire_field *f, const uint8_t *end,
		  uint32_t *generation, unsigned depth)
{
	int i = plan_find_field(node->message, f->number);
	const struct plan_child *c = i < 0 ? NULL : &node->children[i];
	const struct plan_field *field = i < 0 ? NULL : &node->message->fields[i];
	if (c && c->action == PLAN_METRIC) {
		metric(w, f, end);
	} else if (c && c->action == PLAN_NODE) {
		add(w, &(struct op){.kind = OP_BEGIN, .number = f->number});
		message(w, c->node, f->data, f->len, depth + 1);
		add(w, &(struct op){.kind = OP_END});
	} else if (field && field->message && strcmp(field->message->full_name, "sonde.v1.State") == 0) {
		state(w, f);
	} else if (c && c->action == PLAN_LABEL && field->label == SCHEMA_LABEL_GENERATION && f->type == WIRE_VARINT) {
		*generation = w->n_ops;
		add(w,
		    &(struct op){.kind = OP_VARINT,
				 .number = f->number,
				 .value = f->value,
				 .step = strcmp(field->name, "start_time_us") == 0 ? (uint64_t)WARP_HOUR_US : 1000003});
	} else {
		copy(w, f->begin, end);
	}
}

static void message(struct warp *w, const struct plan_node *node, const uint8_t *data, size_t len, unsigned depth)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	uint32_t before = w->next, generation = UINT32_MAX;
	int r;
	while ((r = wire_next(&reader, &f)) == 1) {
		/* The header is written anew. */
		if (depth > 0 || f.number >= 10)
			child(w, node, &f, reader.p, &generation, depth);
	}
	must(r, "message");
	bool same = before == w->next;
	for (uint32_t i = before; i < w->next; i++)
		same |= stays(w, &w->series[w->at->series[i]]);
	if (same && generation != UINT32_MAX)
		w->ops[generation].step = 0;
}

/* --- reading the recording -------------------------------------------------------------------------------------- */

/* The snapshots of the first hour; payloads lie in w->sections, which does not move any more once it is filled. */
static void take(struct warp *w)
{
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	uint32_t cap = 0, seen = 0;
	int64_t begin = 0;
	must(buf_reserve(&w->sections, w->recording.bytes.len), "memory");
	while (recording_next(&w->recording, &tick, &payload, &len)) {
		if (seen == 0)
			begin = tick.time_us;
		if (tick.time_us - begin >= WARP_HOUR_US)
			break;
		if (seen++ % w->every != 0)
			continue;
		w->ticks = grow(w->ticks, w->n, &cap, sizeof(*w->ticks));
		size_t offset = w->sections.len;
		must(snapshot_index_copy(payload, len, w->wanted, &w->sections), "sections");
		w->ticks[w->n++] = (struct snapshot){
			.payload = w->sections.data + offset, .len = w->sections.len - offset, .tick = tick};
	}
	if (w->n < 2)
		must(-61, "the recording is too short");
}

struct warp *warp_open(const char *path, uint64_t sections, uint32_t every, bool scale)
{
	struct warp *w = calloc(1, sizeof(*w));
	must(w ? 0 : -12, "memory");
	w->wanted = sections;
	w->every = every;
	w->scale = scale;
	w->sections = w->keys = w->key = BUF_INIT(1ull << 34);
	w->scratch = malloc(SCRATCH);
	must(w->scratch ? 0 : -12, "memory");
	recording_open(&w->recording, path);
	take(w);
	for (uint32_t i = 0; i < w->n; i++) {
		w->at = &w->ticks[i];
		w->cap = 0;
		must(schema_walk(w->recording.schema, w->at->payload, w->at->len, learn, w), "walk");
	}
	for (uint32_t i = 0; i < w->n; i++) {
		w->at = &w->ticks[i];
		w->at->first_op = w->n_ops;
		w->next = 0;
		message(w, w->recording.schema->root, w->at->payload, w->at->len, 0);
		w->at->n_ops = w->n_ops - w->at->first_op;
		if (w->next != w->at->n)
			must(-71, "samples and bytes do not agree");
	}
	return w;
}

void warp_close(struct warp *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n; i++)
		free(w->ticks[i].series);
	free(w->ticks);
	free(w->series);
	free(w->ops);
	free(w->factors);
	free(w->sums);
	free(w->scratch);
	intern_free(&w->intern);
	buf_free(&w->keys);
	buf_free(&w->key);
	buf_free(&w->sections);
	recording_close(&w->recording);
	free(w);
}

uint32_t warp_ticks(const struct warp *w)
{
	return w->n;
}

struct schema *warp_schema(const struct warp *w)
{
	return w->recording.schema;
}

/* --- writing, from the end -------------------------------------------------------------------------------------- */

struct pen {
	uint8_t *p, *begin;
};

static void put(struct pen *pen, const void *data, size_t len)
{
	if ((size_t)(pen->p - pen->begin) < len)
		must(-90, "a snapshot is too long");
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
		w->factors = grow(w->factors, k, &w->cap_factors, sizeof(*w->factors));
		w->sums = grow(w->sums, k, &w->cap_sums, sizeof(*w->sums));
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
	must(schema_histogram_parse(op->data, op->len, &base), "histogram");
	must(schema_histogram_parse(op->of->first_data, op->of->first_len, &first), "histogram");
	must(schema_histogram_parse(op->of->last_data, op->of->last_len, &last), "histogram");
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
		must(*depth < NESTING ? 0 : -90, "nesting");
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
