/* Each snapshot of the hour is compiled once into a list of what is copied and what grows from hour to hour. */
#include "tests/bench/storage/warp_ops.h"

#include "common/schema/plan.h" /* where in the bytes a value stands is nobody else's business */
#include "common/schema/snapshot_index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAYS_US 120000000ll /* seen so near to both ends of the hour: it is the same one in the next */
#define MAX_DENOMINATOR 4000000

void warp_must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "warp: %s: %s\n", what, strerror(-r));
	exit(1);
}

void *warp_grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 1024;
	array = reallocarray(array, *cap, size);
	warp_must(array ? 0 : -12, "memory");
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
	warp_must(buf_append(&w->key, &s->metric, sizeof(s->metric)), "key");
	for (size_t i = 0; i < s->n_labels; i++) {
		const struct schema_label_value *l = &s->labels[i];
		uint64_t head[2] = {l->is_text, l->is_text ? l->len : l->number};
		warp_must(buf_append(&w->key, head, sizeof(head)), "key");
		if (l->is_text)
			warp_must(buf_append(&w->key, l->text, l->len), "key");
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
	w->series = warp_grow(w->series, w->n_series, &w->cap_series, sizeof(*w->series));
	*number = w->n_series;
	int r = intern_get(&w->intern, intern_hash(w->key.data, w->key.len), same_key, w, &w->key, number);
	warp_must(r, "series");
	struct history *h = &w->series[*number];
	if (r == 0) {
		*h = (struct history){.first_tick = tick,
				      .type = s->type,
				      .kind = s->metric->kind,
				      .key = w->keys.len,
				      .key_len = w->key.len,
				      .first = s->u};
		warp_must(buf_append(&w->keys, w->key.data, w->key.len), "keys");
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
	w->at->series = warp_grow(w->at->series, w->at->n, &w->cap, sizeof(uint32_t));
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
	w->ops = warp_grow(w->ops, w->n_ops, &w->cap_ops, sizeof(*w->ops));
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
		warp_must(-71, "a counter of another type");
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
	warp_must(r, "state");
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
	warp_must(r, "message");
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
	warp_must(buf_reserve(&w->sections, w->recording.bytes.len), "memory");
	while (recording_next(&w->recording, &tick, &payload, &len)) {
		if (seen == 0)
			begin = tick.time_us;
		if (tick.time_us - begin >= WARP_HOUR_US)
			break;
		if (seen++ % w->every != 0)
			continue;
		w->ticks = warp_grow(w->ticks, w->n, &cap, sizeof(*w->ticks));
		size_t offset = w->sections.len;
		warp_must(snapshot_index_copy(payload, len, w->wanted, &w->sections), "sections");
		w->ticks[w->n++] = (struct snapshot){
			.payload = w->sections.data + offset, .len = w->sections.len - offset, .tick = tick};
	}
	if (w->n < 2)
		warp_must(-61, "the recording is too short");
}

struct warp *warp_open(const char *path, uint64_t sections, uint32_t every, bool scale)
{
	struct warp *w = calloc(1, sizeof(*w));
	warp_must(w ? 0 : -12, "memory");
	w->wanted = sections;
	w->every = every;
	w->scale = scale;
	w->sections = w->keys = w->key = BUF_INIT(1ull << 34);
	w->scratch = malloc(SCRATCH);
	warp_must(w->scratch ? 0 : -12, "memory");
	recording_open(&w->recording, path);
	take(w);
	for (uint32_t i = 0; i < w->n; i++) {
		w->at = &w->ticks[i];
		w->cap = 0;
		warp_must(schema_walk(w->recording.schema, w->at->payload, w->at->len, learn, w), "walk");
	}
	for (uint32_t i = 0; i < w->n; i++) {
		w->at = &w->ticks[i];
		w->at->first_op = w->n_ops;
		w->next = 0;
		message(w, w->recording.schema->root, w->at->payload, w->at->len, 0);
		w->at->n_ops = w->n_ops - w->at->first_op;
		if (w->next != w->at->n)
			warp_must(-71, "samples and bytes do not agree");
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
