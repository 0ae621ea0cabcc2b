/* The text format wants all series of a name together; the walk yields them host by host in wire order. So samples are
 * gathered, sorted by name (stable), and written. */
#include "common/histogram.h"
#include "common/schema/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_MAX (64u << 20)
#define MAX_SAMPLES 1000000

struct line {
	size_t order;
	size_t name, help, labels; /* offsets into scratch, terminated */
	enum schema_kind kind;
	double scale;
	enum schema_value_type type;
	union {
		uint64_t u;
		int64_t i;
		double d;
		struct {
			const uint8_t *data;
			size_t len;
		} histogram;
	};
};

struct gather {
	const char *extra;
	struct buf scratch;
	struct line *lines;
	size_t n, cap;
};

static int put_escaped(struct buf *b, const char *text, size_t len, bool quote)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < len; i++) {
		if (text[i] == '\n')
			r = buf_append_str(b, "\\n");
		else if (text[i] == '\\' || (quote && text[i] == '"'))
			r = buf_printf(b, "\\%c", text[i]);
		else
			r = buf_append(b, text[i] ? &text[i] : " ", 1);
	}
	return r;
}

static int put_labels(struct gather *g, const struct schema_sample *s)
{
	struct buf *b = &g->scratch;
	bool first = true;
	int r = 0;
	if (g->extra && g->extra[0]) {
		r = buf_append_str(b, g->extra);
		first = false;
	}
	for (size_t i = 0; r == 0 && i < s->n_labels; i++) {
		const struct schema_label_value *l = &s->labels[i];
		if (l->role == SCHEMA_LABEL_GENERATION)
			continue;
		r = buf_printf(b, "%s%s=\"", first ? "" : ",", l->name);
		first = false;
		if (r == 0)
			r = l->is_text ? put_escaped(b, l->text, l->len, true) : buf_printf(b, "%" PRIu64, l->number);
		if (r == 0)
			r = buf_append(b, "\"", 1);
	}
	return r < 0 ? r : buf_append(b, "", 1);
}

static int on_sample(void *arg, const struct schema_sample *s)
{
	struct gather *g = arg;
	if (g->n == MAX_SAMPLES)
		return -EMSGSIZE;
	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 1024;
		struct line *more = realloc(g->lines, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		g->lines = more;
		g->cap = cap;
	}
	struct line *l = &g->lines[g->n];
	*l = (struct line){.order = g->n, .kind = s->metric->kind, .scale = s->metric->scale, .type = s->type};
	/* A custom metric's name lives only for this call: all of them are copied. */
	l->name = g->scratch.len;
	int r = buf_append(&g->scratch, s->metric->name, strlen(s->metric->name) + 1);
	l->help = g->scratch.len;
	if (r == 0)
		r = put_escaped(&g->scratch, s->metric->help, strlen(s->metric->help), false);
	if (r == 0)
		r = buf_append(&g->scratch, "", 1);
	l->labels = g->scratch.len;
	if (r == 0)
		r = put_labels(g, s);
	if (r < 0)
		return r;
	if (s->type == SCHEMA_VALUE_HISTOGRAM) {
		l->histogram.data = s->histogram.data;
		l->histogram.len = s->histogram.len;
	} else {
		l->u = s->u; /* the union's other members have the same bits */
	}
	g->n++;
	return 0;
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct line *x = a, *y = b;
	const char *text = arg;
	int c = strcmp(text + x->name, text + y->name);
	return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

static int put_double(struct buf *out, double d)
{
	if (isnan(d))
		return buf_append_str(out, "NaN");
	if (isinf(d))
		return buf_append_str(out, d > 0 ? "+Inf" : "-Inf");
	return buf_printf(out, "%.17g", d);
}

/* Scaled by a power of ten, written in decimal with no more digits than the value has. */
static int put_scaled(struct buf *out, double value, double scale)
{
	return scale == 1 ? put_double(out, value) : buf_printf(out, "%.15g", value * scale);
}

static int put_series(struct buf *out, const char *name, const char *suffix, const char *labels, const char *le)
{
	bool braces = labels[0] || le;
	return buf_printf(out, "%s%s%s%s%s%s%s%s ", name, suffix, braces ? "{" : "", labels, labels[0] && le ? "," : "",
			  le ? le : "", le ? "\"" : "", braces ? "}" : "");
}

/* Bounds are the powers of two at or above what was seen: few, and the same for every series that sees the same. */
static int put_histogram(struct buf *out, const struct line *l, const char *name, const char *labels)
{
	struct schema_histogram h;
	uint64_t cumulative = 0;
	int r = schema_histogram_parse(l->histogram.data, l->histogram.len, &h);
	for (size_t i = 0; r == 0 && i < h.n; i++) {
		unsigned long long upper = histogram_bucket_lower(h.buckets[i].index + 1);
		unsigned power = histogram_log2(upper - 1) + 1;
		cumulative += h.buckets[i].count;
		/* The next bucket below the same bound says it for both. */
		if (i + 1 < h.n && power < 64 && histogram_bucket_lower(h.buckets[i + 1].index + 1) <= 1ull << power)
			continue;
		char le[48];
		if (power >= 64)
			break;
		snprintf(le, sizeof(le), "le=\"%.15g", (double)(1ull << power) * l->scale);
		r = put_series(out, name, "_bucket", labels, le);
		if (r == 0)
			r = buf_printf(out, "%" PRIu64 "\n", cumulative);
	}
	if (r == 0)
		r = put_series(out, name, "_bucket", labels, "le=\"+Inf");
	if (r == 0)
		r = buf_printf(out, "%" PRIu64 "\n", h.count);
	if (r == 0)
		r = put_series(out, name, "_sum", labels, NULL);
	if (r == 0)
		r = put_scaled(out, (double)h.sum, l->scale);
	if (r == 0)
		r = buf_append(out, "\n", 1);
	if (r == 0)
		r = put_series(out, name, "_count", labels, NULL);
	return r < 0 ? r : buf_printf(out, "%" PRIu64 "\n", h.count);
}

static int put_line(struct buf *out, const struct line *l, const char *name, const char *labels)
{
	if (l->type == SCHEMA_VALUE_HISTOGRAM)
		return put_histogram(out, l, name, labels);
	int r = put_series(out, name, "", labels, NULL);
	if (r < 0)
		return r;
	if (l->type == SCHEMA_VALUE_UINT && l->scale == 1)
		r = buf_printf(out, "%" PRIu64, l->u);
	else if (l->type == SCHEMA_VALUE_INT && l->scale == 1)
		r = buf_printf(out, "%" PRId64, l->i);
	else if (l->type == SCHEMA_VALUE_UINT)
		r = put_scaled(out, (double)l->u, l->scale);
	else if (l->type == SCHEMA_VALUE_INT)
		r = put_scaled(out, (double)l->i, l->scale);
	else
		r = put_scaled(out, l->d, l->scale);
	return r < 0 ? r : buf_append(out, "\n", 1);
}

static const char *type_name(enum schema_kind kind)
{
	return kind == SCHEMA_KIND_COUNTER ? "counter" : kind == SCHEMA_KIND_HISTOGRAM ? "histogram" : "gauge";
}

static int put_all(struct gather *g, struct buf *out)
{
	const char *text = (const char *)g->scratch.data, *last = "";
	int r = 0;
	for (size_t i = 0; r == 0 && i < g->n; i++) {
		const struct line *l = &g->lines[i];
		const char *name = text + l->name;
		if (strcmp(name, last) != 0) {
			if (text[l->help])
				r = buf_printf(out, "# HELP %s ", name);
			if (r == 0 && text[l->help])
				r = buf_append_str(out, text + l->help);
			if (r == 0 && text[l->help])
				r = buf_append(out, "\n", 1);
			if (r == 0)
				r = buf_printf(out, "# TYPE %s %s\n", name, type_name(l->kind));
			last = name;
		}
		if (r == 0)
			r = put_line(out, l, name, text + l->labels);
	}
	return r;
}

int schema_exposition(const struct schema *s, const uint8_t *data, size_t len, const char *extra, struct buf *out)
{
	struct gather g = {.extra = extra, .scratch = BUF_INIT(SCRATCH_MAX)};
	size_t before = out->len;
	int r = schema_walk(s, data, len, on_sample, &g);
	if (r == 0 && g.n > 0) {
		qsort_r(g.lines, g.n, sizeof(*g.lines), by_name, g.scratch.data);
		r = put_all(&g, out);
	}
	if (r < 0)
		out->len = before;
	free(g.lines);
	buf_free(&g.scratch);
	return r;
}
