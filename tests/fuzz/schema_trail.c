/* What a trail remembers makes no difference: snapshots read one after the other say what each says by itself. The
 * input is cut in two, and the first part comes again behind the second. */
#include "common/schema/trail.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST 512 /* of each */

struct known {
	uint64_t hash, text; /* who, and what it said last */
};

struct reading {
	struct known labels[MOST], columns[MOST], rows[MOST];
	uint32_t n_labels, n_columns, n_rows;
	uint64_t told; /* all of it, in its order */
	bool forgot;
};

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h ^ len << 56;
}

static int number_of(struct known *known, uint32_t *n, uint64_t hash, uint32_t *ret)
{
	for (*ret = 0; *ret < *n; ++*ret) {
		if (known[*ret].hash == hash)
			return 0;
	}
	if (*n == MOST)
		return -EMSGSIZE;
	known[(*n)++] = (struct known){.hash = hash};
	return 0;
}

/* What it set is what it gets, unless it was told that it may not be. */
static int check(struct reading *reading, struct known *known, uint32_t *n, uint64_t hash, uint32_t *number)
{
	uint32_t is, before = *n;
	int r = number_of(known, n, hash, &is);
	if (r < 0)
		return r;
	if (*number != SCHEMA_TRAIL_NONE ? *number != is : is < before && !reading->forgot)
		abort();
	*number = is;
	return 0;
}

static int on_labels(void *arg, const struct schema_label_value *labels, size_t n, uint32_t *ret)
{
	struct reading *reading = arg;
	uint64_t hash = 0;
	for (size_t i = 0; i < n; i++) {
		hash = mix(hash, labels[i].name, strlen(labels[i].name));
		hash = labels[i].is_text ? mix(hash + 1, labels[i].text, labels[i].len)
					 : mix(hash, &labels[i].number, sizeof(labels[i].number));
	}
	return number_of(reading->labels, &reading->n_labels, hash, ret);
}

static int take(struct reading *reading, uint32_t labels, const struct schema_metric *metric, uint32_t *column,
		const void *value, size_t len)
{
	uint64_t who = mix(reading->labels[labels].hash, metric->path, strlen(metric->path));
	int r = check(reading, reading->columns, &reading->n_columns, who, column);
	reading->told = mix(mix(reading->told, &who, sizeof(who)), value, len);
	return r;
}

static int on_values(void *arg, uint32_t labels, const struct schema_trail_value *values, size_t n)
{
	int r = n > 0 ? 0 : -EINVAL;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = take(arg, labels, values[i].metric, values[i].column, &values[i].bits, sizeof(values[i].bits));
	return r;
}

static int on_histogram(void *arg, uint32_t labels, const struct schema_metric *metric, uint32_t *column,
			const uint8_t *data, size_t len)
{
	struct schema_histogram h;
	int r = schema_histogram_parse(data, len, &h);
	return r < 0 ? r : take(arg, labels, metric, column, data, len);
}

static int on_custom(void *arg, const struct schema_sample *sample)
{
	struct reading *reading = arg;
	uint32_t labels;
	int r = on_labels(arg, sample->labels, sample->n_labels, &labels);
	if (r < 0)
		return r;
	reading->told = mix(reading->told, &reading->labels[labels].hash, sizeof(uint64_t));
	reading->told = mix(reading->told, sample->metric->path, strlen(sample->metric->path));
	reading->told = mix(reading->told, &sample->u, sizeof(sample->u));
	return 0;
}

static int on_forget(void *arg)
{
	struct reading *reading = arg;
	reading->forgot = true;
	return 0;
}

static int on_row(void *arg, const struct schema_trail_row *row)
{
	struct reading *reading = arg;
	uint64_t who = mix(reading->labels[row->labels].hash, row->numbers, row->n_numbers * sizeof(*row->numbers));
	int r = check(reading, reading->rows, &reading->n_rows, who, row->number);
	if (r < 0)
		return r;
	struct known *known = &reading->rows[*row->number];
	if (!row->same)
		known->text = mix(0, row->text, row->len);
	reading->told = mix(mix(reading->told, &who, sizeof(who)), &known->text, sizeof(known->text));
	reading->told = mix(reading->told, &row->bare, sizeof(row->bare));
	return 0;
}

static int follow(struct schema_trail *trail, const uint8_t *data, size_t len, struct reading *reading)
{
	const struct schema_trail_taker taker = {.arg = reading,
						 .labels = on_labels,
						 .values = on_values,
						 .histogram = on_histogram,
						 .custom = on_custom,
						 .forget = on_forget,
						 .row = on_row};
	/* A copy of the exact size, so that a read past the end is seen. */
	uint8_t *copy = malloc(len > 0 ? len : 1);
	if (!copy)
		abort();
	memcpy(copy, data, len);
	reading->told = 0;
	int r = schema_trail_walk(trail, copy, len, &taker);
	free(copy);
	return r;
}

static struct schema_trail *trail_new(struct schema *schema, size_t max_bytes)
{
	struct schema_trail *trail;
	if (schema_trail_new(schema, max_bytes, &trail) < 0)
		abort();
	return trail;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schema *schema;
	static struct reading one, another;
	struct descriptor_blob blob = descriptors_services();
	if (!schema && schema_compile(blob.data, blob.len, "sonde.v1.Snapshot", &schema) < 0)
		abort();
	if (size < 3)
		return 0;
	/* Little is remembered in some of the runs. */
	size_t cut = (size - 3) * data[0] / 255, max_bytes = data[1] & 1 ? 1 << 20 : (size_t)data[2] << 10;
	struct schema_trail *trail = trail_new(schema, max_bytes);
	one = (struct reading){.told = 0};
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *part = i % 2 ? data + 3 + cut : data + 3;
		size_t len = i % 2 ? size - 3 - cut : cut;
		struct schema_trail *fresh = trail_new(schema, 0);
		another = (struct reading){.told = 0};
		int r = follow(fresh, part, len, &another), s = follow(trail, part, len, &one);
		if (s == -EAGAIN) {
			schema_trail_free(trail);
			trail = trail_new(schema, max_bytes);
			one = (struct reading){.told = 0};
			s = follow(trail, part, len, &one);
		}
		schema_trail_free(fresh);
		if (r == -EMSGSIZE || s == -EMSGSIZE)
			break;
		if (r != s || one.told != another.told)
			abort();
	}
	schema_trail_free(trail);
	return 0;
}
