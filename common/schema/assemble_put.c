/* Rows and values are sorted when the first section is asked for: then what is in a row stands together. */
#include "common/schema/assemble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void assembly_forget_order(struct schema_assembly *a)
{
	free(a->sorted);
	free(a->first_child);
	free(a->first_value);
	a->sorted = a->first_child = a->first_value = NULL;
}

static int compare_labels(const struct schema_label_value *a, const struct schema_label_value *b)
{
	if (a->is_text != b->is_text)
		return a->is_text - b->is_text;
	if (!a->is_text)
		return a->number < b->number ? -1 : a->number > b->number;
	int c = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
	return c ? c : a->len < b->len ? -1 : a->len > b->len;
}

static int by_parent(const void *x, const void *y, void *arg)
{
	const struct schema_assembly *assembly = arg;
	const struct assembly_row *a = &assembly->rows[*(const uint32_t *)x],
				  *b = &assembly->rows[*(const uint32_t *)y];
	if (a->parent != b->parent)
		return a->parent + 1 < b->parent + 1 ? -1 : 1; /* sections first */
	uint32_t i = a->numbers[a->n_numbers - 1], k = b->numbers[b->n_numbers - 1];
	if (i != k)
		return i < k ? -1 : 1;
	for (size_t l = a->first_label; l < a->n_labels && l < b->n_labels; l++) {
		int c = compare_labels(&assembly->labels[a->labels + l], &assembly->labels[b->labels + l]);
		if (c)
			return c;
	}
	if (a->n_labels != b->n_labels)
		return a->n_labels < b->n_labels ? -1 : 1;
	return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static int by_row(const void *x, const void *y)
{
	const struct assembly_value *a = x, *b = y;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	if (a->child != b->child)
		return a->child < b->child ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int make_order(struct schema_assembly *a)
{
	if (a->sorted)
		return 0;
	a->sorted = calloc(a->n_rows + 1u, sizeof(*a->sorted));
	a->first_child = calloc(a->n_rows + 2u, sizeof(*a->first_child));
	a->first_value = calloc(a->n_rows + 1u, sizeof(*a->first_value));
	if (!a->sorted || !a->first_child || !a->first_value) {
		assembly_forget_order(a);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < a->n_rows; i++)
		a->sorted[i] = i;
	qsort_r(a->sorted, a->n_rows, sizeof(*a->sorted), by_parent, a);
	if (a->n_values > 0)
		qsort(a->values, a->n_values, sizeof(*a->values), by_row);
	/* first_child[1 + row]: how many sorted rows are sections or below rows before this one. */
	for (uint32_t i = 0, k = 0; i <= a->n_rows; i++) {
		while (k < a->n_rows && a->rows[a->sorted[k]].parent + 1 <= i)
			k++;
		a->first_child[i + 1] = k;
	}
	for (uint32_t i = 0, k = 0; i <= a->n_rows; i++) {
		while (k < a->n_values && a->values[k].row < i)
			k++;
		a->first_value[i] = k;
	}
	return 0;
}

static int put_number(const struct plan_field *f, uint64_t bits, struct buf *out)
{
	enum wire_type wire = plan_wire_type(f->type);
	if (wire == WIRE_VARINT)
		return wire_put_uint(out, f->number, bits);
	return wire_put_fixed(out, f->number, wire, bits);
}

static int put_value(const struct schema_assembly *a, const struct assembly_value *v, const struct plan_field *f,
		     struct buf *out)
{
	union {
		float f;
		uint32_t u;
	} single;
	if (v->type == SCHEMA_VALUE_HISTOGRAM)
		return wire_put_bytes(out, f->number, a->bytes.data + v->offset, v->len);
	switch (f->type) {
	case PLAN_FLOAT:
		single.f = (float)wire_double(v->bits);
		return put_number(f, single.u, out);
	case PLAN_SINT32:
	case PLAN_SINT64:
		return put_number(f, v->bits << 1 ^ (uint64_t)((int64_t)v->bits >> 63), out);
	case PLAN_SFIXED32:
		return put_number(f, (uint32_t)v->bits, out);
	default:
		return put_number(f, v->bits, out);
	}
}

static int put_label(const struct schema_assembly *a, const struct assembly_row *row, const struct plan_field *f,
		     struct buf *out)
{
	for (size_t i = row->first_label; i < row->n_labels; i++) {
		const struct schema_label_value *l = &a->labels[row->labels + i];
		if (strcmp(l->name, f->name) != 0)
			continue;
		if (f->type == PLAN_STRING)
			return l->is_text ? wire_put_bytes(out, f->number, l->text, l->len) : 0;
		if (!l->is_text)
			return put_number(f, l->number, out);
		for (size_t k = 0; f->type == PLAN_ENUM && k < f->enumeration->n; k++) {
			const struct plan_enum_value *e = &f->enumeration->values[k];
			if (strlen(e->json) == l->len && memcmp(e->json, l->text, l->len) == 0)
				return wire_put_uint(out, f->number, (uint64_t)(int64_t)e->number);
		}
	}
	return 0;
}

static int put_text(const uint8_t *text, size_t len, uint32_t number, struct buf *out)
{
	struct wire_reader reader = wire_reader(text, len);
	struct wire_field w;
	int r = 0;
	/* A text that is damaged is left out from there on. */
	while (r == 0 && wire_next(&reader, &w) == 1) {
		if (w.number == number)
			r = buf_append(out, w.begin, (size_t)(reader.p - w.begin));
	}
	return r;
}

struct putting {
	struct schema_assembly *a;
	schema_text_fn text;
	void *arg;
};

static int put_row(const struct putting *p, uint32_t index, struct buf *out);

static int put_children(const struct putting *p, uint32_t index, uint32_t number, uint32_t *next, struct buf *out)
{
	const struct schema_assembly *a = p->a;
	int r = 0;
	for (; r == 0 && *next < a->first_child[index + 2]; (*next)++) {
		const struct assembly_row *child = &a->rows[a->sorted[*next]];
		if (child->numbers[child->n_numbers - 1] != number)
			break;
		r = put_row(p, a->sorted[*next], out);
	}
	return r;
}

static int put_fields(const struct putting *p, uint32_t index, const uint8_t *text, size_t len, struct buf *out)
{
	const struct schema_assembly *a = p->a;
	const struct assembly_row *row = &a->rows[index];
	const struct plan_message *m = row->node->message;
	uint32_t value = a->first_value[index], child = a->first_child[index + 1];
	int r = 0;
	for (size_t i = 0; i < m->n && r == 0; i++) {
		switch (row->node->children[i].action) {
		case PLAN_LABEL:
			r = put_label(a, row, &m->fields[i], out);
			break;
		case PLAN_METRIC:
		case PLAN_CUSTOM:
			for (; r == 0 && value < a->first_value[index + 1] && a->values[value].child == i; value++)
				r = put_value(a, &a->values[value], &m->fields[i], out);
			break;
		case PLAN_NODE:
			r = put_children(p, index, m->fields[i].number, &child, out);
			break;
		default:
			r = len > 0 ? put_text(text, len, m->fields[i].number, out) : 0;
			break;
		}
	}
	return r;
}

static int put_row(const struct putting *p, uint32_t index, struct buf *out)
{
	const struct assembly_row *row = &p->a->rows[index];
	struct schema_place place = {.n_numbers = row->n_numbers,
				     .labels = p->a->labels ? p->a->labels + row->labels : NULL,
				     .n_labels = row->n_labels,
				     .ordinal = row->ordinal};
	BUF_CLEANUP struct buf message = BUF_INIT(ASSEMBLY_MAX_SECTION);
	const uint8_t *text = NULL;
	size_t len = 0;
	memcpy(place.numbers, row->numbers, sizeof(row->numbers));
	int r = p->text ? p->text(p->arg, &place, &text, &len) : 0;
	if (r >= 0)
		r = put_fields(p, index, text, r > 0 ? len : 0, &message);
	return r < 0 ? r : wire_put_bytes(out, row->numbers[row->n_numbers - 1], message.data, message.len);
}

int schema_assembly_put(struct schema_assembly *a, uint32_t section, schema_text_fn text, void *arg, struct buf *out)
{
	const struct putting p = {.a = a, .text = text, .arg = arg};
	size_t before = out->len;
	int r = make_order(a);
	for (uint32_t i = 0; r == 0 && i < a->n_rows && a->rows[a->sorted[i]].parent == ASSEMBLY_NONE; i++) {
		if (a->rows[a->sorted[i]].numbers[0] == section)
			r = put_row(&p, a->sorted[i], out);
	}
	if (r < 0)
		out->len = before;
	return r;
}
