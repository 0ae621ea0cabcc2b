/* From wire bytes to samples. Labels may stand behind the values they identify: of a message whose type has some,
 * fields are read before any is yielded. What yields no sample is checked all the same, so that bytes that passed a
 * walk can be forwarded to anyone.
 */
#include "common/schema/walk.h"

#include "common/wire_next.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHECK_DEPTH 32
#define FIELDS_KEPT 48

int plan_check(const struct plan_message *m, const uint8_t *data, size_t len, unsigned depth)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	int r;
	if (depth > CHECK_DEPTH)
		return -EPROTO;
	while ((r = wire_next(&reader, &w)) == 1) {
		int i = plan_find_field(m, w.number);
		r = i < 0 ? 0 : plan_check_field(&m->fields[i], &w, depth);
		if (r < 0)
			return r;
	}
	return r;
}

static int check_packed(const struct plan_field *f, const struct wire_field *w)
{
	struct wire_reader reader = wire_reader(w->data, w->len);
	uint64_t v;
	int r;
	if (plan_wire_type(f->type) == WIRE_FIXED64)
		return w->len % 8 == 0 ? 0 : -EPROTO;
	if (plan_wire_type(f->type) == WIRE_FIXED32)
		return w->len % 4 == 0 ? 0 : -EPROTO;
	while ((r = wire_varint(&reader, &v)) == 1)
		;
	return r;
}

int plan_check_field(const struct plan_field *f, const struct wire_field *w, unsigned depth)
{
	enum wire_type want = plan_wire_type(f->type);
	if (w->type != want)
		return f->repeated && w->type == WIRE_BYTES ? check_packed(f, w) : -EPROTO;
	if (f->type == PLAN_MESSAGE)
		return plan_check(f->message, w->data, w->len, depth + 1);
	if (f->type == PLAN_STRING)
		return wire_utf8(w->data, w->len) ? 0 : -EPROTO;
	return 0;
}

/* --- values --- */

static int emit_histogram(struct walk *walk, struct schema_sample *sample, const struct wire_field *w)
{
	struct schema_histogram histogram;
	if (schema_histogram_parse(w->data, w->len, &histogram) < 0)
		return -EPROTO;
	sample->type = SCHEMA_VALUE_HISTOGRAM;
	sample->histogram.data = w->data;
	sample->histogram.len = w->len;
	sample->histogram.parsed = &histogram;
	return walk->fn(walk->arg, sample);
}

static int emit(struct walk *walk, const struct plan_field *f, const struct schema_metric *metric,
		const struct wire_field *w)
{
	struct schema_sample sample = {
		.metric = metric, .labels = walk->labels, .n_labels = walk->n_labels, .row = walk->row};
	if (w->type != plan_wire_type(f->type))
		return -EPROTO;
	if (metric->kind == SCHEMA_KIND_HISTOGRAM)
		return emit_histogram(walk, &sample, w);
	sample.type = metric->type;
	sample.u = walk_bits(f->type, w->value);
	return walk->fn(walk->arg, &sample);
}

int walk_label(struct walk *walk, size_t base, const struct plan_field *f, const struct wire_field *w)
{
	struct schema_label_value label = {.name = f->name, .role = f->label};
	if (w->type != plan_wire_type(f->type))
		return -EPROTO;
	if (f->type == PLAN_STRING) {
		if (!wire_utf8(w->data, w->len))
			return -EPROTO;
		label.is_text = true;
		label.text = (const char *)w->data;
		label.len = w->len;
	} else if (f->type == PLAN_ENUM) {
		for (size_t i = 0; i < f->enumeration->n && !label.text; i++) {
			if (f->enumeration->values[i].number == (int32_t)w->value)
				label.text = f->enumeration->values[i].json;
		}
		label.is_text = label.text != NULL;
		label.len = label.text ? strlen(label.text) : 0;
		label.number = w->value;
	} else {
		label.number = w->value;
	}
	/* The last one wins, as everywhere in protobuf. */
	size_t i = base;
	while (i < walk->n_labels && walk->labels[i].name != f->name)
		i++;
	if (i == SCHEMA_MAX_LABELS)
		return -EPROTO;
	walk->labels[i] = label;
	if (i == walk->n_labels)
		walk->n_labels++;
	return 0;
}

/* --- custom metrics --- */

struct custom {
	char text[4096]; /* terminated copies of names and help */
	size_t used;
	const char *path, *name, *help;
	enum schema_kind kind;
	enum schema_unit unit;
	struct schema_sample sample;
	bool has_value;
};

/* A copy that is a metric or label name: what may not stand in one becomes '_'. NULL when there is no room or no name.
 */
static const char *copy_name(struct custom *c, const char *prefix, const uint8_t *data, size_t len, bool sanitise)
{
	size_t n = strlen(prefix);
	if (len == 0 || c->used + n + len + 1 > sizeof(c->text))
		return NULL;
	char *copy = c->text + c->used;
	memcpy(copy, prefix, n);
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = data[i];
		bool valid = isalpha(byte) || byte == '_' || byte == ':' || (i > 0 && isdigit(byte));
		copy[n + i] = sanitise && !valid ? '_' : byte ? (char)byte : '_';
	}
	copy[n + len] = '\0';
	c->used += n + len + 1;
	return copy;
}

static int custom_label(struct walk *walk, struct custom *c, const struct wire_field *w)
{
	struct wire_reader reader = wire_reader(w->data, w->len);
	struct schema_label_value label = {.role = SCHEMA_LABEL_NAME, .is_text = true, .text = ""};
	struct wire_field f;
	int r;
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number > 2)
			continue;
		if (f.type != WIRE_BYTES || !wire_utf8(f.data, f.len))
			return -EPROTO;
		if (f.number == 1) {
			label.name = copy_name(c, "", f.data, f.len, true);
		} else {
			label.text = (const char *)f.data;
			label.len = f.len;
		}
	}
	if (r < 0 || !label.name || walk->n_labels == SCHEMA_MAX_LABELS)
		return -EPROTO;
	walk->labels[walk->n_labels++] = label;
	return 0;
}

static int custom_value(struct custom *c, const struct wire_field *w)
{
	static const enum plan_type types[] = {
		[CUSTOM_DOUBLE] = PLAN_DOUBLE, [CUSTOM_UINT] = PLAN_UINT64, [CUSTOM_INT] = PLAN_SINT64};
	if (w->type != plan_wire_type(types[w->number]))
		return -EPROTO;
	c->sample.type = plan_value_type(types[w->number]);
	c->sample.u = walk_bits(types[w->number], w->value);
	c->has_value = true;
	return 0;
}

static int custom_field(struct walk *walk, struct custom *c, const struct wire_field *w)
{
	switch (w->number) {
	case CUSTOM_NAME:
	case CUSTOM_HELP:
		if (w->type != WIRE_BYTES || !wire_utf8(w->data, w->len))
			return -EPROTO;
		if (w->number == CUSTOM_HELP) {
			const char *help = copy_name(c, "", w->data, w->len, false);
			c->help = help ? help : "";
			return 0;
		}
		c->name = copy_name(c, "", w->data, w->len, true);
		c->path = copy_name(c, "custom.", w->data, w->len, false);
		return c->name && c->path ? 0 : -EPROTO;
	case CUSTOM_LABELS:
		return w->type == WIRE_BYTES ? custom_label(walk, c, w) : -EPROTO;
	case CUSTOM_KIND:
		if (w->type != WIRE_VARINT)
			return -EPROTO;
		c->kind = w->value == SCHEMA_KIND_COUNTER ? SCHEMA_KIND_COUNTER : SCHEMA_KIND_GAUGE;
		return 0;
	case CUSTOM_UNIT:
		if (w->type != WIRE_VARINT)
			return -EPROTO;
		c->unit = w->value <= SCHEMA_UNIT_LAST ? (enum schema_unit)w->value : SCHEMA_UNIT_NONE;
		return 0;
	case CUSTOM_DOUBLE:
	case CUSTOM_UINT:
	case CUSTOM_INT:
		return custom_value(c, w);
	default:
		return 0;
	}
}

int walk_custom(struct walk *walk, const struct wire_field *field)
{
	struct custom c;
	struct wire_field w;
	size_t base = walk->n_labels;
	int r;
	if (field->type != WIRE_BYTES)
		return -EPROTO;
	c.used = 0;
	c.path = c.name = NULL;
	c.help = "";
	c.kind = SCHEMA_KIND_GAUGE;
	c.unit = SCHEMA_UNIT_NONE;
	c.has_value = false;
	c.sample = (struct schema_sample){0};
	struct wire_reader reader = wire_reader(field->data, field->len);
	while ((r = wire_next(&reader, &w)) == 1) {
		r = custom_field(walk, &c, &w);
		if (r < 0)
			return r;
	}
	if (r < 0 || !c.name)
		return -EPROTO;
	const struct schema_metric metric = {.path = c.path,
					     .name = c.name,
					     .help = c.help,
					     .kind = c.kind,
					     .unit = c.unit,
					     .type = c.sample.type,
					     .scale = 1};
	c.sample.metric = &metric;
	c.sample.labels = walk->labels;
	c.sample.n_labels = walk->n_labels;
	c.sample.row = ++walk->row;
	r = c.has_value ? walk->fn(walk->arg, &c.sample) : 0;
	walk->n_labels = base;
	walk->row++;
	return r;
}

/* --- the tree --- */

static int walk_node(struct walk *walk, const struct plan_node *node, const uint8_t *data, size_t len);

static int walk_field(struct walk *walk, const struct plan_node *node, const struct walk_field *f)
{
	const struct plan_child *child = &node->children[f->child];
	const struct plan_field *field = &node->message->fields[f->child];
	switch (child->action) {
	case PLAN_METRIC:
		return emit(walk, field, child->metric, &f->wire);
	case PLAN_NODE:
		return f->wire.type == WIRE_BYTES ? walk_node(walk, child->node, f->wire.data, f->wire.len) : -EPROTO;
	case PLAN_CUSTOM:
		return walk_custom(walk, &f->wire);
	case PLAN_LABEL:
		return 0;
	default:
		return plan_check_field(field, &f->wire, 0);
	}
}

static int walk_fields(struct walk *walk, const struct plan_node *node, struct wire_reader *reader)
{
	struct walk_field f;
	int r;
	while ((r = walk_next(walk, node, reader, &f)) == 1) {
		r = walk_field(walk, node, &f);
		if (r != 0)
			return r;
	}
	return r;
}

/* Takes the labels of a message. Its other fields are kept, as many as there is room for; the reader is left behind
 * these. */
static int take_labels(struct walk *walk, const struct plan_node *node, struct wire_reader *reader,
		       struct walk_field *kept, size_t room, size_t *ret_n)
{
	struct wire_reader ahead = *reader;
	struct walk_field f;
	size_t base = walk->n_labels, n = 0;
	int r;
	walk->row++;
	for (;;) {
		struct walk_field *to = n < room ? &kept[n] : &f;
		r = walk_next(walk, node, &ahead, to);
		if (r != 1)
			break;
		if (node->children[to->child].action == PLAN_LABEL)
			r = walk_label(walk, base, &node->message->fields[to->child], &to->wire);
		else
			n += to != &f;
		if (r < 0)
			return r;
		if (to != &f)
			*reader = ahead;
	}
	*ret_n = n;
	return r;
}

/* A message is read once: what stands before a label waits until all labels are known. */
static int walk_labelled(struct walk *walk, const struct plan_node *node, struct wire_reader *reader)
{
	struct walk_field kept[FIELDS_KEPT];
	size_t n = 0;
	int r = take_labels(walk, node, reader, kept, FIELDS_KEPT, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = walk_field(walk, node, &kept[i]);
	return r != 0 ? r : walk_fields(walk, node, reader);
}

static int walk_node(struct walk *walk, const struct plan_node *node, const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	size_t labels = walk->n_labels;
	int r = node->has_labels ? walk_labelled(walk, node, &reader) : walk_fields(walk, node, &reader);
	if (r != 0)
		return r;
	walk->n_labels = labels;
	walk->row += node->has_labels;
	return 0;
}

int schema_walk(const struct schema *s, const uint8_t *data, size_t len, schema_sample_fn fn, void *arg)
{
	struct walk walk = {.fn = fn, .arg = arg, .limit = wire_reader(data, len).end};
	return walk_node(&walk, s->root, data, len);
}

/* --- one metric --- */

static int walk_path(struct walk *walk, const struct plan_node *node, const struct schema_metric *metric, size_t depth,
		     const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	struct wire_reader labels = reader;
	size_t base = walk->n_labels, none;
	int r = node->has_labels ? take_labels(walk, node, &labels, NULL, 0, &none) : 0;
	int i = plan_find_field(node->message, metric->numbers[depth]);
	if (r < 0 || i < 0)
		return r;
	const struct plan_child *child = &node->children[i];
	while ((r = wire_next(&reader, &w)) == 1) {
		if (w.number != metric->numbers[depth])
			continue;
		if (child->action == PLAN_METRIC)
			r = emit(walk, &node->message->fields[i], child->metric, &w);
		else if (child->action == PLAN_NODE)
			r = w.type == WIRE_BYTES ? walk_path(walk, child->node, metric, depth + 1, w.data, w.len)
						 : -EPROTO;
		else
			r = 0;
		if (r != 0)
			return r;
	}
	walk->n_labels = base;
	walk->row += node->has_labels;
	return r;
}

int schema_walk_metric(const struct schema *s, const struct schema_metric *metric, const uint8_t *data, size_t len,
		       schema_sample_fn fn, void *arg)
{
	struct walk walk = {.fn = fn, .arg = arg, .limit = wire_reader(data, len).end};
	return metric->n_numbers > 0 ? walk_path(&walk, s->root, metric, 0, data, len) : 0;
}
