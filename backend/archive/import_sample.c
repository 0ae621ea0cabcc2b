#include "backend/archive/import_sample.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

enum {
	METRIC = 1,
	NAME,
	KIND,
	UNIT,
	ORDINAL,
	LABEL_NAME,
	LABEL_TEXT,
	LABEL_NUMBER,
	PART,
	TYPE,
	BITS,
	BUCKET,
	SUM,
	INDEX,
	COUNT
};

int import_sample_put(const struct import_sample *s, struct buf *out, size_t *ret_series_len)
{
	size_t before = out->len;
	int r = wire_put_uint(out, METRIC, s->metric);
	if (s->metric == IMPORT_CUSTOM) {
		r = r ? r : wire_put_bytes(out, NAME, s->name, strlen(s->name) + 1);
		r = r ? r : wire_put_uint(out, KIND, s->kind);
		r = r ? r : wire_put_uint(out, UNIT, s->unit);
	}
	r = r ? r : wire_put_uint(out, ORDINAL, s->ordinal);
	for (size_t i = 0; i < s->n_labels && r == 0; i++) {
		const struct schema_label_value *l = &s->labels[i];
		r = wire_put_bytes(out, LABEL_NAME, l->name, strlen(l->name) + 1);
		if (r == 0)
			r = l->is_text ? wire_put_bytes(out, LABEL_TEXT, l->text, l->len)
				       : wire_put_uint(out, LABEL_NUMBER, l->number);
	}
	*ret_series_len = out->len - before;
	r = r ? r : wire_put_uint(out, PART, s->part);
	r = r ? r : wire_put_uint(out, TYPE, s->type);
	r = r ? r : wire_put_uint(out, BITS, s->bits);
	r = r ? r : wire_put_uint(out, BUCKET, s->bucket);
	if (s->part != IMPORT_WHOLE_HISTOGRAM)
		return r;
	r = r ? r : wire_put_uint(out, SUM, s->histogram->sum);
	for (size_t i = 0; i < s->histogram->n && r == 0; i++) {
		r = wire_put_uint(out, INDEX, s->histogram->buckets[i].index);
		r = r ? r : wire_put_uint(out, COUNT, s->histogram->buckets[i].count);
	}
	return r;
}

static int take_label(const struct wire_field *f, struct schema_label_value *labels, struct import_sample *s)
{
	if (f->number == LABEL_NAME) {
		if (s->n_labels == SCHEMA_MAX_LABELS || f->len == 0 || f->data[f->len - 1] != '\0')
			return -EPROTO;
		labels[s->n_labels++] = (struct schema_label_value){.name = (const char *)f->data};
		return 0;
	}
	if (s->n_labels == 0)
		return -EPROTO;
	struct schema_label_value *l = &labels[s->n_labels - 1];
	l->is_text = f->number == LABEL_TEXT;
	l->text = (const char *)f->data;
	l->len = f->len;
	l->number = f->value;
	return 0;
}

static int take_bucket(const struct wire_field *f, struct schema_histogram *h)
{
	if (f->number == INDEX && h->n == sizeof(h->buckets) / sizeof(h->buckets[0]))
		return -EPROTO;
	if (f->number == INDEX)
		h->buckets[h->n++].index = (uint32_t)f->value;
	else if (h->n == 0)
		return -EPROTO;
	else
		h->buckets[h->n - 1].count = f->value;
	return 0;
}

int import_sample_take(const struct schema *schema, const uint8_t *data, size_t len, struct schema_label_value *labels,
		       struct schema_histogram *histogram, struct import_sample *ret)
{
	struct wire_reader reader = wire_reader(data, len);
	struct import_sample s = {.labels = labels, .histogram = histogram, .name = ""};
	struct wire_field f;
	int n, r = 0;
	histogram->n = 0;
	while (r == 0 && (n = wire_next(&reader, &f)) == 1) {
		if (f.number == METRIC)
			s.metric = (uint32_t)f.value;
		else if (f.number == NAME)
			s.name = f.len > 0 && f.data[f.len - 1] == '\0' ? (const char *)f.data : "";
		else if (f.number == KIND)
			s.kind = (enum schema_kind)f.value;
		else if (f.number == UNIT)
			s.unit = (enum schema_unit)f.value;
		else if (f.number == ORDINAL)
			s.ordinal = (uint32_t)f.value;
		else if (f.number >= LABEL_NAME && f.number <= LABEL_NUMBER)
			r = take_label(&f, labels, &s);
		else if (f.number == PART)
			s.part = (enum import_part)f.value;
		else if (f.number == TYPE)
			s.type = (enum schema_value_type)f.value;
		else if (f.number == BITS)
			s.bits = f.value;
		else if (f.number == BUCKET)
			s.bucket = (uint32_t)f.value;
		else if (f.number == SUM)
			histogram->sum = f.value;
		else
			r = take_bucket(&f, histogram);
	}
	size_t metrics;
	(void)schema_metrics(schema, &metrics);
	if (r < 0 || n < 0 || (s.metric != IMPORT_CUSTOM && s.metric >= metrics))
		return -EPROTO;
	*ret = s;
	return 0;
}
