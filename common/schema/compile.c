/* The tree of messages below the root, unrolled: each place a message can stand at becomes a node whose metrics have
 * their path, name and labels already. The walk then looks up nothing but field numbers. */
#include "common/schema/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATH 512
#define MAX_NODES 65536

/* --- building --- */

struct place {
	char path[MAX_PATH];
	size_t path_len;
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t depth;
	struct schema_label labels[SCHEMA_MAX_LABELS];
	size_t n_labels;
};

struct builder {
	struct schema *schema;
	struct place place;
	size_t nodes;
	size_t cap_metrics;
	struct found {
		const struct schema_metric *metric;
		struct plan_child *child; /* to be pointed into the sorted catalogue */
	} * metrics;			  /* in the order found */
	size_t n_metrics;
};

static const struct {
	const char *suffix;	 /* of the field's name */
	const char *base_suffix; /* of the exposition's name */
	double scale;
} units[] = {
	[SCHEMA_UNIT_MILLISECONDS] = {"_ms", "_seconds", 1e-3},
	[SCHEMA_UNIT_MICROSECONDS] = {"_us", "_seconds", 1e-6},
	[SCHEMA_UNIT_NANOSECONDS] = {"_ns", "_seconds", 1e-9},
	[SCHEMA_UNIT_MICROJOULES] = {"_uj", "_joules", 1e-6},
};

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && strcmp(s + n - m, suffix) == 0;
}

static const char *exposition_name(struct schema *s, const char *path, const struct plan_field *f, double *ret_scale)
{
	char name[MAX_PATH + 32];
	int n = snprintf(name, sizeof(name), "sonde_%s", path);
	for (int i = 0; i < n; i++) {
		if (name[i] == '.')
			name[i] = '_';
	}
	*ret_scale = 1;
	if (f->unit < sizeof(units) / sizeof(units[0]) && units[f->unit].suffix) {
		*ret_scale = units[f->unit].scale;
		if (ends_with(name, units[f->unit].suffix))
			n -= (int)strlen(units[f->unit].suffix);
		n += snprintf(name + n, sizeof(name) - (size_t)n, "%s", units[f->unit].base_suffix);
	}
	if (f->kind == SCHEMA_KIND_COUNTER && !ends_with(name, "_total"))
		snprintf(name + n, sizeof(name) - (size_t)n, "_total");
	return plan_strdup(s, name);
}

static bool is_number(enum plan_type type)
{
	return type != PLAN_STRING && type != PLAN_BYTES && type != PLAN_MESSAGE && type != PLAN_ENUM;
}

static bool is_metric(const struct plan_field *f)
{
	if (f->kind == SCHEMA_KIND_NONE || f->repeated)
		return false;
	if (f->kind == SCHEMA_KIND_HISTOGRAM)
		return f->type == PLAN_MESSAGE && f->message->special == PLAN_HISTOGRAM;
	return is_number(f->type);
}

static bool is_label(const struct plan_field *f)
{
	return f->label != SCHEMA_LABEL_NONE && !f->repeated && f->type != PLAN_BYTES && f->type != PLAN_MESSAGE &&
	       f->type != PLAN_DOUBLE && f->type != PLAN_FLOAT;
}

static int add_metric(struct builder *b, const struct plan_field *f, struct plan_child *child)
{
	struct schema_metric *m = plan_alloc(b->schema, sizeof(*m));
	if (!m)
		return -ENOMEM;
	if (b->n_metrics >= SCHEMA_MAX_METRICS)
		return -EMSGSIZE;
	m->path = plan_strdup(b->schema, b->place.path);
	m->name = exposition_name(b->schema, b->place.path, f, &m->scale);
	m->help = f->help;
	m->kind = f->kind;
	m->unit = f->unit;
	m->type = f->kind == SCHEMA_KIND_HISTOGRAM ? SCHEMA_VALUE_HISTOGRAM : plan_value_type(f->type);
	m->n_numbers = b->place.depth;
	memcpy(m->numbers, b->place.numbers, sizeof(m->numbers));
	m->n_labels = b->place.n_labels;
	memcpy(m->labels, b->place.labels, sizeof(m->labels));
	if (!m->path || !m->name)
		return -ENOMEM;
	if (b->n_metrics == b->cap_metrics) {
		size_t cap = b->cap_metrics ? b->cap_metrics * 2 : 256;
		struct found *more = realloc(b->metrics, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		b->metrics = more;
		b->cap_metrics = cap;
	}
	b->metrics[b->n_metrics++] = (struct found){m, child};
	return 0;
}

/* 1 when it fits, 0 when the tree is cut here. */
static int enter(struct builder *b, const struct plan_field *f)
{
	struct place *p = &b->place;
	if (p->depth == SCHEMA_MAX_DEPTH)
		return 0;
	int n = snprintf(p->path + p->path_len, sizeof(p->path) - p->path_len, "%s%s", p->depth ? "." : "", f->name);
	if (n < 0 || (size_t)n >= sizeof(p->path) - p->path_len)
		return -EMSGSIZE;
	p->path_len += (size_t)n;
	p->numbers[p->depth++] = f->number;
	return 1;
}

static int build_node(struct builder *b, const struct plan_message *m, struct plan_node **ret);

static int build_child(struct builder *b, const struct plan_field *f, struct plan_child *child)
{
	struct place saved = b->place;
	size_t before = b->n_metrics;
	if (is_label(f)) {
		child->action = PLAN_LABEL;
		return 0;
	}
	int r = enter(b, f);
	if (r == 1 && is_metric(f)) {
		child->action = PLAN_METRIC;
		r = add_metric(b, f, child);
	} else if (r == 1 && f->type == PLAN_MESSAGE && f->message->special == PLAN_CUSTOM_METRIC) {
		child->action = PLAN_CUSTOM;
		r = 0;
	} else if (r == 1 && f->type == PLAN_MESSAGE && f->message->special == PLAN_PLAIN) {
		struct plan_node *node = NULL;
		r = build_node(b, f->message, &node);
		bool custom = r == 1; /* something below yields without being in the catalogue */
		if (r >= 0 && (b->n_metrics > before || custom)) {
			child->action = PLAN_NODE;
			child->node = node;
		}
	}
	b->place = saved;
	return r < 0 ? r : child->action == PLAN_CUSTOM || (child->action == PLAN_NODE && b->n_metrics == before);
}

/* What the walk is to know of values. */
static void tell_value(struct plan_child *child)
{
	child->plain = child->type != PLAN_FLOAT && child->type < PLAN_SFIXED32;
	if (child->action == PLAN_METRIC && (child->wire == WIRE_VARINT || child->wire == WIRE_FIXED64))
		child->value_tag = child->number << 3 | child->wire;
}

/* 1 when there are custom metrics below it, 0 or negative errno. */
static int build_node(struct builder *b, const struct plan_message *m, struct plan_node **ret)
{
	struct plan_node *node = plan_alloc(b->schema, sizeof(*node));
	int custom = 0;
	if (++b->nodes > MAX_NODES)
		return -EMSGSIZE;
	if (!node)
		return -ENOMEM;
	node->message = m;
	node->children = plan_alloc(b->schema, (m->n + 1) * sizeof(*node->children));
	if (!node->children)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		if (!is_label(&m->fields[i]))
			continue;
		if (b->place.n_labels == SCHEMA_MAX_LABELS)
			return -EMSGSIZE;
		b->place.labels[b->place.n_labels++] = (struct schema_label){m->fields[i].name, m->fields[i].label};
		node->has_labels = true;
	}
	for (size_t i = 0; i < m->n; i++) {
		node->children[i].number = m->fields[i].number;
		node->children[i].type = m->fields[i].type;
		node->children[i].wire = plan_wire_type(m->fields[i].type);
		int r = build_child(b, &m->fields[i], &node->children[i]);
		if (r == 0)
			tell_value(&node->children[i]);
		if (r < 0)
			return r;
		custom |= r;
	}
	*ret = node;
	return custom;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct schema_metric *)a)->path, ((const struct schema_metric *)b)->path);
}

int plan_build(struct schema *s, const char *root)
{
	const struct plan_message *m = plan_find_message(s, root);
	struct builder b = {.schema = s};
	struct plan_node *node = NULL;
	if (!m)
		return -ENOENT;
	int r = build_node(&b, m, &node);
	if (r >= 0) {
		s->root = node;
		s->metrics = plan_alloc(s, (b.n_metrics + 1) * sizeof(*s->metrics));
		r = s->metrics ? 0 : -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < b.n_metrics; i++)
		s->metrics[s->n_metrics++] = *b.metrics[i].metric;
	if (r == 0)
		qsort(s->metrics, s->n_metrics, sizeof(*s->metrics), by_path);
	/* A sample's metric is its row of the catalogue, so that the two can be compared by address. */
	for (size_t i = 0; r == 0 && i < b.n_metrics; i++)
		b.metrics[i].child->metric =
			bsearch(b.metrics[i].metric, s->metrics, s->n_metrics, sizeof(*s->metrics), by_path);
	free(b.metrics);
	return r;
}

int schema_compile(const uint8_t *set, size_t len, const char *root, struct schema **ret)
{
	struct schema *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	atomic_init(&s->references, 1);
	int r = plan_read_set(s, set, len);
	if (r == 0)
		r = plan_build(s, root);
	if (r < 0) {
		schema_unref(s);
		return r;
	}
	*ret = s;
	return 0;
}

const struct schema_metric *schema_metrics(const struct schema *s, size_t *ret_n)
{
	*ret_n = s->n_metrics;
	return s->metrics;
}

const struct schema_metric *schema_find(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->n_metrics; i++) {
		if (strcmp(s->metrics[i].path, name) == 0 || strcmp(s->metrics[i].name, name) == 0)
			return &s->metrics[i];
	}
	return NULL;
}

uint32_t schema_section(const struct schema *s, const char *name)
{
	const struct plan_message *root = s->root->message;
	for (size_t i = 0; i < root->n; i++) {
		const struct plan_field *f = &root->fields[i];
		if (f->type == PLAN_MESSAGE && !f->repeated && f->message->n > 0 && f->message->fields[0].number == 1 &&
		    f->message->fields[0].type == PLAN_MESSAGE && strcmp(f->message->fields[0].name, "state") == 0 &&
		    strcmp(f->name, name) == 0)
			return f->number;
	}
	return 0;
}
