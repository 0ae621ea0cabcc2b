/* Values come metric by metric, a section's rows mixed: a row is found by a hash of its place. When it is all there,
 * rows and values are sorted into the order in which they are written, parents before what is in them. */
#include "common/schema/assemble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS (1u << 20)
#define MAX_VALUES (1u << 22)

int schema_assembly_new(struct schema *schema, struct schema_assembly **ret)
{
	struct schema_assembly *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->schema = schema_ref(schema);
	a->bytes = BUF_INIT(ASSEMBLY_MAX_SECTION);
	*ret = a;
	return 0;
}

void schema_assembly_free(struct schema_assembly *a)
{
	if (!a)
		return;
	assembly_forget_order(a);
	schema_unref(a->schema);
	free(a->rows);
	free(a->values);
	free(a->labels);
	free(a->slots);
	buf_free(&a->bytes);
	free(a);
}

void schema_assembly_clear(struct schema_assembly *a)
{
	assembly_forget_order(a);
	a->n_rows = a->n_values = 0;
	a->n_labels = 0;
	buf_reset(&a->bytes);
	if (a->n_slots > 0)
		memset(a->slots, 0, a->n_slots * sizeof(*a->slots));
}

static int grow(void **array, size_t *cap, size_t n, size_t size)
{
	if (n <= *cap)
		return 0;
	size_t want = n < 64 ? 64 : n * 2;
	void *more = reallocarray(*array, want, size);
	if (!more)
		return -ENOMEM;
	*array = more;
	*cap = want;
	return 0;
}

static int grow_counted(void **array, uint32_t *cap, uint32_t n, uint32_t max, size_t size)
{
	size_t wide = *cap;
	int r = n > max ? -EMSGSIZE : grow(array, &wide, n, size);
	*cap = (uint32_t)wide;
	return r;
}

/* --- rows by their places --- */

static uint32_t mix(uint32_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

static uint32_t hash_place(const struct schema_place *place)
{
	uint32_t h = mix(2166136261u, place->numbers, place->n_numbers * sizeof(*place->numbers));
	for (size_t i = 0; i < place->n_labels; i++) {
		const struct schema_label_value *l = &place->labels[i];
		h = l->is_text ? mix(h, l->text, l->len) : mix(h, &l->number, sizeof(l->number));
	}
	return mix(h, &place->ordinal, sizeof(place->ordinal));
}

static bool same_label(const struct schema_label_value *a, const struct schema_label_value *b)
{
	if (a->is_text != b->is_text || (a->name != b->name && strcmp(a->name, b->name) != 0))
		return false;
	return a->is_text ? a->len == b->len && memcmp(a->text, b->text, a->len) == 0 : a->number == b->number;
}

static bool is_at(const struct schema_assembly *a, const struct assembly_row *row, const struct schema_place *place)
{
	if (row->n_numbers != place->n_numbers || row->n_labels != place->n_labels || row->ordinal != place->ordinal ||
	    memcmp(row->numbers, place->numbers, place->n_numbers * sizeof(*place->numbers)) != 0)
		return false;
	for (size_t i = 0; i < place->n_labels; i++) {
		if (!same_label(&a->labels[row->labels + i], &place->labels[i]))
			return false;
	}
	return true;
}

static uint32_t *slot_of(const struct schema_assembly *a, const struct schema_place *place, uint32_t hash)
{
	uint32_t i = hash & (a->n_slots - 1);
	for (; a->slots[i]; i = (i + 1) & (a->n_slots - 1)) {
		const struct assembly_row *row = &a->rows[a->slots[i] - 1];
		if (row->hash == hash && is_at(a, row, place))
			break;
	}
	return &a->slots[i];
}

static int grow_slots(struct schema_assembly *a)
{
	if (a->n_rows * 2 < a->n_slots)
		return 0;
	uint32_t n = a->n_slots ? a->n_slots * 2 : 256;
	uint32_t *slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(a->slots);
	a->slots = slots;
	a->n_slots = n;
	for (uint32_t i = 0; i < a->n_rows; i++) {
		uint32_t k = a->rows[i].hash & (n - 1);
		while (slots[k])
			k = (k + 1) & (n - 1);
		slots[k] = i + 1;
	}
	return 0;
}

/* How many labels from `from` on are of the message at this node: each of its fields at most once. */
static size_t own_labels(const struct plan_node *node, const struct schema_place *place, size_t from)
{
	const struct plan_message *m = node->message;
	size_t end = from;
	for (; end < place->n_labels; end++) {
		const char *name = place->labels[end].name;
		bool own = false;
		for (size_t i = 0; i < m->n && !own; i++)
			own = node->children[i].action == PLAN_LABEL && strcmp(m->fields[i].name, name) == 0;
		for (size_t i = from; i < end && own; i++)
			own = strcmp(place->labels[i].name, name) != 0;
		if (!own)
			break;
	}
	return end;
}

static int add_row(struct schema_assembly *a, const struct schema_place *place, const struct plan_node *node,
		   uint32_t parent, size_t first_label, uint32_t *ret)
{
	uint32_t hash = hash_place(place);
	int r = grow_slots(a);
	if (r < 0)
		return r;
	uint32_t *slot = slot_of(a, place, hash);
	if (*slot) {
		*ret = *slot - 1;
		return 0;
	}
	r = grow_counted((void **)&a->rows, &a->cap_rows, a->n_rows + 1, MAX_ROWS, sizeof(*a->rows));
	if (r == 0)
		r = grow((void **)&a->labels, &a->cap_labels, a->n_labels + place->n_labels, sizeof(*a->labels));
	if (r < 0)
		return r;
	struct assembly_row *row = &a->rows[a->n_rows];
	*row = (struct assembly_row){.node = node,
				     .parent = parent,
				     .hash = hash,
				     .n_numbers = (uint8_t)place->n_numbers,
				     .n_labels = (uint8_t)place->n_labels,
				     .first_label = (uint8_t)first_label,
				     .ordinal = place->ordinal,
				     .labels = a->n_labels};
	memcpy(row->numbers, place->numbers, place->n_numbers * sizeof(*place->numbers));
	if (place->n_labels > 0)
		memcpy(a->labels + a->n_labels, place->labels, place->n_labels * sizeof(*place->labels));
	a->n_labels += place->n_labels;
	*slot = ++a->n_rows;
	*ret = a->n_rows - 1;
	return 0;
}

/* From the section down; only the innermost row has the ordinal. */
static int make_rows(struct schema_assembly *a, const struct schema_place *place, uint32_t *ret)
{
	const struct plan_node *node = a->schema->root;
	struct schema_place here = {.labels = place->labels};
	uint32_t parent = ASSEMBLY_NONE;
	int r = 0;
	for (size_t depth = 0; depth < place->n_numbers && r == 0; depth++) {
		int i = plan_find_field(node->message, place->numbers[depth]);
		if (i < 0 || node->children[i].action != PLAN_NODE)
			return -ENOENT;
		node = node->children[i].node;
		size_t first = here.n_labels;
		here.numbers[depth] = place->numbers[depth];
		here.n_numbers = depth + 1;
		here.n_labels = own_labels(node, place, first);
		if (here.n_numbers == place->n_numbers) {
			here.ordinal = place->ordinal;
			if (here.n_labels != place->n_labels)
				return -ENOENT;
		}
		r = add_row(a, &here, node, parent, first, &parent);
	}
	*ret = parent;
	return r;
}

static int find_row(struct schema_assembly *a, const struct schema_place *place, uint32_t *ret)
{
	if (place->n_numbers == 0 || place->n_numbers > SCHEMA_MAX_DEPTH || place->n_labels > SCHEMA_MAX_LABELS)
		return -ENOENT;
	assembly_forget_order(a);
	if (a->n_slots > 0) {
		uint32_t *slot = slot_of(a, place, hash_place(place));
		if (*slot) {
			*ret = *slot - 1;
			return 0;
		}
	}
	return make_rows(a, place, ret);
}

int schema_assembly_row(struct schema_assembly *a, const struct schema_place *place)
{
	uint32_t row;
	return find_row(a, place, &row);
}

/* --- values --- */

static int add_value(struct schema_assembly *a, const struct schema_place *place, struct assembly_value *value)
{
	struct schema_place of = *place;
	if (place->n_numbers < 2)
		return -ENOENT;
	of.n_numbers--;
	int r = find_row(a, &of, &value->row);
	if (r < 0)
		return r;
	const struct plan_node *node = a->rows[value->row].node;
	int i = plan_find_field(node->message, place->numbers[of.n_numbers]);
	if (i < 0 || node->children[i].action != PLAN_METRIC)
		return -ENOENT;
	bool histogram = node->children[i].metric->kind == SCHEMA_KIND_HISTOGRAM;
	if (histogram != (value->type == SCHEMA_VALUE_HISTOGRAM) ||
	    (!histogram && plan_value_type(node->message->fields[i].type) != value->type))
		return -ENOENT;
	value->child = (uint32_t)i;
	r = grow_counted((void **)&a->values, &a->cap_values, a->n_values + 1, MAX_VALUES, sizeof(*a->values));
	if (r < 0)
		return r;
	value->order = a->n_values;
	a->values[a->n_values++] = *value;
	return 0;
}

int schema_assembly_value(struct schema_assembly *a, const struct schema_place *place, enum schema_value_type type,
			  uint64_t bits)
{
	struct assembly_value value = {.type = type, .bits = bits};
	return type == SCHEMA_VALUE_HISTOGRAM ? -ENOENT : add_value(a, place, &value);
}

enum { HISTOGRAM_SCHEME = 1, HISTOGRAM_SUM = 2, HISTOGRAM_INDEXES = 3, HISTOGRAM_COUNTS = 4 };
enum { SCHEME_LOG_LINEAR_4 = 1 };

static int put_histogram(const struct schema_histogram *h, struct buf *out)
{
	BUF_CLEANUP struct buf indexes = BUF_INIT(4096), counts = BUF_INIT(4096);
	int r = wire_put_uint(out, HISTOGRAM_SCHEME, SCHEME_LOG_LINEAR_4);
	if (r == 0)
		r = wire_put_uint(out, HISTOGRAM_SUM, h->sum);
	for (size_t i = 0; r == 0 && i < h->n; i++) {
		r = wire_put_varint(&indexes, h->buckets[i].index);
		if (r == 0)
			r = wire_put_varint(&counts, h->buckets[i].count);
	}
	if (r == 0 && h->n > 0)
		r = wire_put_bytes(out, HISTOGRAM_INDEXES, indexes.data, indexes.len);
	if (r == 0 && h->n > 0)
		r = wire_put_bytes(out, HISTOGRAM_COUNTS, counts.data, counts.len);
	buf_free(&counts);
	return r;
}

int schema_assembly_histogram(struct schema_assembly *a, const struct schema_place *place,
			      const struct schema_histogram *histogram)
{
	struct assembly_value value = {.type = SCHEMA_VALUE_HISTOGRAM, .offset = a->bytes.len};
	int r = put_histogram(histogram, &a->bytes);
	value.len = a->bytes.len - value.offset;
	return r < 0 ? r : add_value(a, place, &value);
}

static int put_custom_label(const struct schema_label_value *label, struct buf *out)
{
	BUF_CLEANUP struct buf one = BUF_INIT(1u << 20);
	int r = label->is_text ? wire_put_bytes(&one, 1, label->name, strlen(label->name)) : -ENOENT;
	if (r == 0)
		r = wire_put_bytes(&one, 2, label->text, label->len);
	return r < 0 ? r : wire_put_bytes(out, CUSTOM_LABELS, one.data, one.len);
}

static int put_custom_value(enum schema_value_type type, uint64_t bits, struct buf *out)
{
	switch (type) {
	case SCHEMA_VALUE_DOUBLE:
		return wire_put_fixed(out, CUSTOM_DOUBLE, WIRE_FIXED64, bits);
	case SCHEMA_VALUE_UINT:
		return wire_put_uint(out, CUSTOM_UINT, bits);
	case SCHEMA_VALUE_INT:
		return wire_put_uint(out, CUSTOM_INT, bits << 1 ^ (uint64_t)((int64_t)bits >> 63));
	default:
		return -ENOENT;
	}
}

static int custom_child(const struct plan_node *node)
{
	for (size_t i = 0; i < node->message->n; i++) {
		if (node->children[i].action == PLAN_CUSTOM)
			return (int)i;
	}
	return -ENOENT;
}

int schema_assembly_custom(struct schema_assembly *a, uint32_t section, const char *name,
			   const struct schema_label_value *labels, size_t n_labels, enum schema_kind kind,
			   enum schema_unit unit, enum schema_value_type type, uint64_t bits)
{
	const struct schema_place place = {.numbers = {section}, .n_numbers = 1};
	struct assembly_value value = {.type = SCHEMA_VALUE_HISTOGRAM, .offset = a->bytes.len, .order = a->n_values};
	int r = find_row(a, &place, &value.row);
	int child = r == 0 ? custom_child(a->rows[value.row].node) : r;
	if (child < 0)
		return child;
	value.child = (uint32_t)child;
	r = wire_put_bytes(&a->bytes, CUSTOM_NAME, name, strlen(name));
	for (size_t i = 0; i < n_labels && r == 0; i++)
		r = put_custom_label(&labels[i], &a->bytes);
	if (r == 0)
		r = wire_put_uint(&a->bytes, CUSTOM_KIND, kind);
	if (r == 0 && unit != SCHEMA_UNIT_NONE)
		r = wire_put_uint(&a->bytes, CUSTOM_UNIT, unit);
	if (r == 0)
		r = put_custom_value(type, bits, &a->bytes);
	if (r == 0)
		r = grow_counted((void **)&a->values, &a->cap_values, a->n_values + 1, MAX_VALUES, sizeof(*a->values));
	if (r < 0) {
		a->bytes.len = value.offset;
		return r;
	}
	value.len = a->bytes.len - value.offset;
	a->values[a->n_values++] = value;
	return 0;
}
