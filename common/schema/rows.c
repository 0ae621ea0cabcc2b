/* Texts of nested rows pile up in one buffer: a row's own ends where that of a row in it begins, and goes on when that
 * one has been yielded. */
#include "common/schema/rows.h"

#include "common/schema/walk.h"

#include <errno.h>
#include <string.h>

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

int rows_text(struct walk *walk, const struct plan_field *f, const struct wire_field *w, const uint8_t *end)
{
	struct rows *rows = walk->rows;
	int r = plan_check_field(f, w, 0);
	if (r < 0 || rows->depth == 0)
		return r;
	if (rows->depth == 1 && f->type == PLAN_MESSAGE && !f->repeated &&
	    strcmp(f->message->full_name, "sonde.v1.State") == 0)
		return put_state(rows, f, w);
	return buf_append(rows->room, w->begin, (size_t)(end - w->begin));
}

int rows_yield(struct walk *walk, size_t base, bool values)
{
	struct rows *rows = walk->rows;
	struct schema_row row = {
		.place = {.n_numbers = rows->depth, .labels = walk->labels, .n_labels = walk->n_labels},
		.text = rows->room->data + base,
		.len = rows->room->len - base,
		.bare = !values};
	memcpy(row.place.numbers, rows->numbers, sizeof(rows->numbers));
	return rows->fn(rows->arg, &row);
}

int schema_walk_rows(const struct schema *s, const uint8_t *data, size_t len, schema_sample_fn fn, void *arg,
		     struct buf *room, schema_row_fn row_fn, void *row_arg)
{
	struct rows rows = {.fn = row_fn, .arg = row_arg, .room = room};
	struct walk walk = {.fn = fn, .arg = arg, .limit = wire_reader(data, len).end, .rows = &rows};
	bool values = false;
	buf_reset(room);
	/* A place for texts even where none has been appended yet. */
	int r = buf_reserve(room, 1);
	return r < 0 ? r : walk_node(&walk, s->root, data, len, &values);
}
