/* Texts of nested rows pile up in one buffer: a row's own ends where that of a row in it begins, and goes on when that
 * one has been yielded. */
#include "common/schema/rows.h"

#include "common/schema/walk.h"

#include <errno.h>
#include <string.h>

struct rows {
	struct walk walk;
	schema_row_fn fn;
	void *arg;
	struct buf *room;
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t depth;
};

/* What State says of one reading and what the tick it came with says too. */
static bool of_one_reading(const struct plan_field *f)
{
	return strcmp(f->name, "collected_at_us") == 0 || strcmp(f->name, "duration_us") == 0;
}

/* The fields of a State that are kept, appended to out, or only measured when that is NULL. */
static int keep_state(const struct plan_message *m, const struct wire_field *w, size_t *ret_len, struct buf *out)
{
	struct wire_reader reader = wire_reader(w->data, w->len);
	struct wire_field field;
	int r;
	*ret_len = 0;
	while ((r = wire_next(&reader, &field)) == 1) {
		int i = plan_find_field(m, field.number);
		size_t len = (size_t)(reader.p - field.begin);
		if (i >= 0 && of_one_reading(&m->fields[i]))
			continue;
		*ret_len += len;
		r = out ? buf_append(out, field.begin, len) : 0;
		if (r < 0)
			return r;
	}
	return r;
}

static int put_state(struct rows *rows, const struct plan_field *f, const struct wire_field *w)
{
	size_t len;
	int r = keep_state(f->message, w, &len, NULL);
	if (r == 0)
		r = wire_put_tag(rows->room, w->number, WIRE_BYTES);
	if (r == 0)
		r = wire_put_varint(rows->room, len);
	return r < 0 ? r : keep_state(f->message, w, &len, rows->room);
}

static int put_text(struct rows *rows, const struct plan_field *f, const struct wire_field *w, const uint8_t *end)
{
	int r = plan_check_field(f, w, 0);
	if (r < 0)
		return r;
	if (rows->depth == 1 && f->type == PLAN_MESSAGE && !f->repeated &&
	    strcmp(f->message->full_name, "sonde.v1.State") == 0)
		return put_state(rows, f, w);
	return buf_append(rows->room, w->begin, (size_t)(end - w->begin));
}

static int walk_row(struct rows *rows, const struct plan_node *node, const uint8_t *data, size_t len, bool *ret_values);

static int into(struct rows *rows, const struct plan_child *child, const struct wire_field *w, bool *ret_values)
{
	if (w->type != WIRE_BYTES || rows->depth == SCHEMA_MAX_DEPTH)
		return -EPROTO;
	rows->numbers[rows->depth++] = w->number;
	int r = walk_row(rows, child->node, w->data, w->len, ret_values);
	rows->depth--;
	return r;
}

static int yield(struct rows *rows, size_t base, bool values)
{
	struct schema_row row = {
		.place = {.n_numbers = rows->depth, .labels = rows->walk.labels, .n_labels = rows->walk.n_labels},
		.text = rows->room->data + base,
		.len = rows->room->len - base,
		.bare = !values};
	memcpy(row.place.numbers, rows->numbers, sizeof(rows->numbers));
	return rows->fn(rows->arg, &row);
}

static int walk_row(struct rows *rows, const struct plan_node *node, const uint8_t *data, size_t len, bool *ret_values)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	size_t labels = rows->walk.n_labels, base = rows->room->len;
	bool values = false;
	int r = node->has_labels ? walk_labels(&rows->walk, node, data, len) : 0;
	while (r == 0 && (r = wire_next(&reader, &w)) == 1) {
		int i = plan_find_field(node->message, w.number);
		r = 0;
		if (i < 0)
			continue;
		const struct plan_child *child = &node->children[i];
		switch (child->action) {
		case PLAN_METRIC:
		case PLAN_CUSTOM:
			values = true;
			break;
		case PLAN_NODE:
			r = into(rows, child, &w, &values);
			break;
		case PLAN_LABEL:
			break;
		default:
			if (rows->depth > 0)
				r = put_text(rows, &node->message->fields[i], &w, reader.p);
			break;
		}
	}
	if (r == 0 && rows->depth > 0)
		r = yield(rows, base, values);
	rows->room->len = base;
	rows->walk.n_labels = labels;
	*ret_values |= values;
	return r;
}

int schema_rows(const struct schema *s, const uint8_t *data, size_t len, struct buf *room, schema_row_fn fn, void *arg)
{
	struct rows rows = {.fn = fn, .arg = arg, .room = room};
	bool values = false;
	buf_reset(room);
	/* A place for texts even where none has been appended yet. */
	int r = buf_reserve(room, 1);
	return r < 0 ? r : walk_row(&rows, s->root, data, len, &values);
}
