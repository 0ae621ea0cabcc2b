/* A row with labels is recognised by its bytes: the row that followed the one before it the last time is compared with
 * it, and where labels and text are the same bytes in the same order nothing of them is read. Labels come first in
 * nearly all messages; of others, and where a label comes late after all, nothing is recognised. A row without labels
 * is recognised by its place. Whatever is not recognised is read as if there were no memory. Texts of nested rows pile
 * up in one buffer: a row's own ends where that of a row in it begins, and goes on when that one has been told. */
#include "common/schema/trail.h"

#include "common/schema/trail_memory.h"
#include "common/schema/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 32  /* values that are told */
#define MOST_GONE 4 /* rows that are looked for behind the expected one */
#define ROOM_MAX (64u << 20)

struct schema_trail {
	struct schema *schema;
	struct trail_memory memory;
	const struct plan_message *state;
	uint64_t of_one_reading; /* which of its fields, one bit each */
	const struct schema_trail_taker *taker;
	struct walk walk;
	uint32_t walks;
	struct buf texts, said; /* of the rows that are open */
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	unsigned depth;
	bool forgetful; /* something was not remembered */
};

/* A row that is being read. */
struct open_row {
	struct open_row *outer;
	struct trail_row *row;
	size_t texts, said, labels; /* where its own begin */
	bool has_labels;	    /* they are among those of the walk */
	bool values;
	/* The row with labels that was last in it, and of which field. */
	struct trail_row *last;
	int last_child;
};

int schema_trail_new(struct schema *schema, size_t max_bytes, struct schema_trail **ret)
{
	struct schema_trail *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->schema = schema_ref(schema);
	t->memory.pages = PAGES_INIT(max_bytes);
	t->texts = t->said = BUF_INIT(ROOM_MAX);
	t->state = plan_find_message(schema, "sonde.v1.State");
	for (size_t i = 0; t->state && i < t->state->n && i < 64; i++) {
		const char *name = t->state->fields[i].name;
		if (strcmp(name, "collected_at_us") == 0 || strcmp(name, "duration_us") == 0)
			t->of_one_reading |= 1ull << i;
	}
	*ret = t;
	return 0;
}

void schema_trail_free(struct schema_trail *t)
{
	if (!t)
		return;
	trail_memory_free(&t->memory);
	schema_unref(t->schema);
	buf_free(&t->texts);
	buf_free(&t->said);
	free(t);
}

void schema_trail_clear(struct schema_trail *t)
{
	trail_memory_clear(&t->memory);
	t->forgetful = false;
}

/* --- texts --- */

/* The fields of a State that are kept: appended to out, or only measured when that is NULL. */
static int keep_state(const struct schema_trail *t, const struct wire_field *w, size_t *ret_len, struct buf *out)
{
	struct wire_reader reader = wire_reader(w->data, w->len);
	struct wire_field field;
	int r;
	*ret_len = 0;
	while ((r = wire_next(&reader, &field)) == 1) {
		int i = plan_find_field(t->state, field.number);
		size_t len = (size_t)(reader.p - field.begin);
		if (i >= 0 && i < 64 && (t->of_one_reading >> i & 1))
			continue;
		*ret_len += len;
		r = out ? buf_append(out, field.begin, len) : 0;
		if (r < 0)
			return r;
	}
	return r;
}

static int put_state(struct schema_trail *t, const struct wire_field *w)
{
	size_t len;
	int r = keep_state(t, w, &len, NULL);
	if (r == 0)
		r = wire_put_tag(&t->texts, w->number, WIRE_BYTES);
	if (r == 0)
		r = wire_put_varint(&t->texts, len);
	return r < 0 ? r : keep_state(t, w, &len, &t->texts);
}

/* A field that is neither label nor metric nor row: checks it and adds it to the row's text. */
static int put_text(struct schema_trail *t, const struct plan_field *f, const struct walk_field *field)
{
	const struct wire_field *w = &field->wire;
	int r = plan_check_field(f, w, 0);
	if (r < 0 || t->depth == 0)
		return r;
	if (t->depth == 1 && f->type == PLAN_MESSAGE && !f->repeated && f->message == t->state)
		return put_state(t, w);
	return buf_append(&t->texts, w->begin, (size_t)(field->end - w->begin));
}

/* --- labels --- */

/* Those of rows that were recognised have not been read. */
static int read_labels(struct schema_trail *t, struct open_row *o)
{
	struct wire_field w;
	if (!o || o->has_labels)
		return 0;
	int r = read_labels(t, o->outer);
	o->labels = t->walk.n_labels;
	o->has_labels = true;
	if (r < 0 || !o->row || !o->row->node->has_labels)
		return r;
	const struct plan_node *node = o->row->node;
	struct wire_reader reader = wire_reader(o->row->said, o->row->said_len);
	while (r >= 0 && (r = wire_next(&reader, &w)) == 1) {
		int i = plan_find_field(node->message, w.number);
		if (i >= 0 && node->children[i].action == PLAN_LABEL)
			r = walk_label(&t->walk, o->labels, &node->message->fields[i], &w);
	}
	return r;
}

/* --- rows --- */

static int walk_row(struct schema_trail *t, struct open_row *outer, int child, const struct wire_field *w);

static int forget_if_full(struct schema_trail *t)
{
	if (!t->memory.full || t->forgetful)
		return 0;
	t->forgetful = true;
	return t->taker->forget(t->taker->arg);
}

static int take_row(struct schema_trail *t, struct open_row *o, const struct plan_node *node, uint32_t labels)
{
	o->row = trail_memory_row(&t->memory, t->depth, node, labels);
	if (!o->row)
		return -ENOMEM;
	return forget_if_full(t);
}

static inline int take_value(struct schema_trail *t, struct open_row *o, int i, const struct wire_field *w)
{
	const struct plan_child *child = &o->row->node->children[i];
	uint32_t *column = &o->row->slots[i].column;
	o->values = true;
	if (w->type != child->wire)
		return -EPROTO;
	if (w->type == WIRE_BYTES)
		return t->taker->histogram(t->taker->arg, o->row->labels, child->metric, column, w->data, w->len);
	const struct schema_trail_value value = {
		.metric = child->metric, .column = column, .bits = walk_bits(child->type, w->value)};
	return t->taker->values(t->taker->arg, o->row->labels, &value, 1);
}

static inline int take_field(struct schema_trail *t, struct open_row *o, const struct walk_field *f)
{
	const struct plan_node *node = o->row->node;
	int r;
	switch (node->children[f->child].action) {
	case PLAN_METRIC:
		return take_value(t, o, f->child, &f->wire);
	case PLAN_NODE:
		return walk_row(t, o, f->child, &f->wire);
	case PLAN_CUSTOM:
		o->values = true;
		r = read_labels(t, o);
		return r < 0 ? r : walk_custom(&t->walk, &f->wire);
	case PLAN_LABEL:
		return 0;
	default:
		return put_text(t, &node->message->fields[f->child], f);
	}
}

#define VALUE_MAX 18 /* bytes that a tag and a number are looked for in */

/* What stands at p if that is a value, as nearly all fields are, and its bytes can be looked at eight at a time: the
 * number of the field among the node's, and where it ends; NULL: it is something else. */
WIRE_INLINE const uint8_t *next_value(const struct plan_node *node, const uint8_t *p, const uint8_t *end,
				      const uint8_t *limit, uint32_t *ret_i, uint64_t *ret_bits)
{
	if (p >= end || limit - p < VALUE_MAX)
		return NULL;
	uint32_t bytes = (uint32_t)p[0] | (uint32_t)p[1] << 8, more = bytes >> 7 & 1;
	uint32_t tag = (bytes & 0x7f) | (bytes >> 1 & 0x3f80 & (0u - more)), i = (tag >> 3) - 1;
	if ((bytes & 0x8080) == 0x8080 || i >= node->message->n || node->children[i].value_tag != tag)
		return NULL;
	p += 1 + more;
	if ((tag & 7) == WIRE_FIXED64) {
		*ret_bits = wire_load(p);
		p += 8;
	} else {
		unsigned len = wire_varint_ahead(p, ret_bits);
		if (len == 0)
			return NULL;
		p += len;
	}
	*ret_i = i;
	return p <= end ? p : NULL;
}

/* The values that come next. */
static int take_values(struct schema_trail *t, struct open_row *o, struct wire_reader *reader)
{
	struct schema_trail_value values[AT_ONCE];
	const struct plan_node *node = o->row->node;
	union trail_slot *slots = o->row->slots;
	const uint8_t *p;
	uint64_t bits;
	uint32_t i, n = 0;
	int r = 0;
	while (r == 0 && (p = next_value(node, reader->p, reader->end, t->walk.limit, &i, &bits))) {
		const struct plan_child *child = &node->children[i];
		values[n++] = (struct schema_trail_value){.metric = child->metric,
							  .column = &slots[i].column,
							  .bits = child->plain ? bits : walk_bits(child->type, bits)};
		reader->p = p;
		if (n == AT_ONCE) {
			o->values = true;
			r = t->taker->values(t->taker->arg, o->row->labels, values, n);
			n = 0;
		}
	}
	if (r != 0 || n == 0)
		return r;
	o->values = true;
	return t->taker->values(t->taker->arg, o->row->labels, values, n);
}

static int take_fields(struct schema_trail *t, struct open_row *o, struct wire_reader *reader)
{
	struct walk_field f;
	int r = take_values(t, o, reader);
	while (r == 0 && (r = walk_next(&t->walk, o->row->node, reader, &f)) == 1) {
		r = take_field(t, o, &f);
		if (r == 0)
			r = take_values(t, o, reader);
	}
	return r;
}

static int tell(struct schema_trail *t, struct open_row *o, bool same)
{
	struct schema_trail_row told = {
		.numbers = t->numbers,
		.n_numbers = t->depth,
		.labels = o->row->labels,
		.number = &o->row->number,
		.bare = !o->values,
		.same = same,
		.text = t->texts.data + o->texts,
		.len = t->texts.len - o->texts,
	};
	return t->depth > 0 ? t->taker->row(t->taker->arg, &told) : 0;
}

/* The row becomes that of this walk; one that is met twice is not recognised any more. */
static void meet(struct schema_trail *t, struct trail_row *row)
{
	row->twins |= row->walk == t->walks;
	row->known &= !row->twins;
	row->walk = t->walks;
}

static int walk_unlabelled(struct schema_trail *t, struct open_row *o, int child, const struct plan_node *node,
			   struct wire_reader *reader)
{
	struct trail_row **place = o->outer ? &o->outer->row->slots[child].first : NULL;
	o->row = place ? *place : NULL;
	if (!o->row) {
		uint32_t labels = 0;
		const struct trail_row *parent = o->outer ? o->outer->row : NULL;
		int r = parent ? 0 : t->taker->labels(t->taker->arg, NULL, 0, &labels);
		if (r != 0)
			return r;
		r = take_row(t, o, node, parent ? parent->labels : labels);
		if (r != 0)
			return r;
		if (place && !o->row->transient)
			*place = o->row;
	}
	meet(t, o->row);
	int r = take_fields(t, o, reader);
	if (r != 0)
		return r;
	const uint8_t *text = t->texts.data + o->texts;
	size_t len = t->texts.len - o->texts;
	bool same = o->row->known && len == o->row->said_len && (len == 0 || memcmp(text, o->row->said, len) == 0);
	r = tell(t, o, same);
	return r != 0 || same ? r : trail_memory_keep(&t->memory, o->row, text, len);
}

/* --- rows with labels --- */

/* How many bytes at the beginning are those of this row: all its labels at least. 0: it is another. */
static size_t recognise(const struct schema_trail *t, const struct trail_row *row, const struct plan_node *node,
			const struct wire_reader *reader)
{
	size_t len = (size_t)(reader->end - reader->p);
	if (row->node != node || !row->known || row->walk == t->walks || row->label_len == 0)
		return 0;
	if (len >= row->head_len && memcmp(reader->p, row->said, row->head_len) == 0)
		return row->head_len;
	return len >= row->label_len && memcmp(reader->p, row->said, row->label_len) == 0 ? row->label_len : 0;
}

/* A row whose labels are as they were, and whose values have been told, says something else. */
static int tell_changed(struct schema_trail *t, struct open_row *o, struct wire_reader reader)
{
	const struct plan_node *node = o->row->node;
	const uint8_t *begin = reader.p;
	struct walk_field f;
	size_t head = 0;
	int r;
	while ((r = walk_next(&t->walk, node, &reader, &f)) == 1) {
		enum plan_action action = node->children[f.child].action;
		if (action != PLAN_LABEL && action != PLAN_CHECK_ONLY)
			continue;
		if (f.wire.begin == begin + head)
			head = (size_t)(f.end - begin);
		r = buf_append(&t->said, f.wire.begin, (size_t)(f.end - f.wire.begin));
		if (r == 0 && action == PLAN_CHECK_ONLY)
			r = put_text(t, &node->message->fields[f.child], &f);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = tell(t, o, false);
	o->row->head_len = (uint32_t)head;
	return r != 0 ? r : trail_memory_keep(&t->memory, o->row, t->said.data + o->said, t->said.len - o->said);
}

/* The rest of a row of which so many bytes were recognised. *ret_other: there is another label, and nothing has been
 * told yet. -EAGAIN: there is one behind what has been told, or the row is malformed: read without memory it would have
 * been told otherwise. */
static int take_known(struct schema_trail *t, struct open_row *o, struct wire_reader reader, size_t at, bool *ret_other)
{
	const struct trail_row *row = o->row;
	const struct plan_node *node = row->node;
	const uint8_t *begin = reader.p;
	bool same = true, below = false;
	struct walk_field f;
	int r;
	reader.p += at;
	r = take_values(t, o, &reader);
	while (r == 0 && (r = walk_next(&t->walk, node, &reader, &f)) == 1) {
		enum plan_action action = node->children[f.child].action;
		if (action == PLAN_METRIC) {
			r = take_value(t, o, f.child, &f.wire);
		} else if (action == PLAN_CHECK_ONLY) {
			size_t len = (size_t)(f.end - f.wire.begin);
			same = same && len <= row->said_len - at && memcmp(f.wire.begin, row->said + at, len) == 0;
			at += same ? len : 0;
			r = same ? 0 : plan_check_field(&node->message->fields[f.child], &f.wire, 0);
		} else if (action == PLAN_LABEL) {
			*ret_other = !o->values && !below;
			r = -EAGAIN;
		} else {
			below = true;
			r = take_field(t, o, &f);
		}
		if (r == 0)
			r = take_values(t, o, &reader);
	}
	if (r != 0)
		return r == -EPROTO ? -EAGAIN : r;
	if (same && at == row->said_len)
		return tell(t, o, true);
	return tell_changed(t, o, wire_reader(begin, (size_t)(reader.end - begin)));
}

/* Where in a row that is read labels and texts stand. */
struct heads {
	const uint8_t *begin;
	size_t head, labels; /* bytes at its beginning that are labels or text, or labels alone */
	bool further;	     /* labels behind them */
};

static void extend_heads(struct heads *h, const struct walk_field *f, bool is_label)
{
	size_t at = (size_t)(f->wire.begin - h->begin), end = (size_t)(f->end - h->begin);
	if (at == h->head)
		h->head = end;
	if (is_label && at == h->labels)
		h->labels = end;
	else if (is_label)
		h->further = true;
}

/* Reads all of it for its labels, and keeps what it says. */
static int read_row(struct schema_trail *t, struct open_row *o, const struct plan_node *node, struct wire_reader reader,
		    struct heads *heads)
{
	const uint8_t *p, *run = reader.p, *run_end = run; /* of labels and texts */
	struct walk_field f;
	uint64_t bits;
	uint32_t i;
	int r;
	*heads = (struct heads){.begin = reader.p};
	for (;;) {
		while ((p = next_value(node, reader.p, reader.end, t->walk.limit, &i, &bits)))
			reader.p = p;
		r = walk_next(&t->walk, node, &reader, &f);
		if (r != 1)
			break;
		int action = node->children[f.child].action;
		if (action != PLAN_LABEL && action != PLAN_CHECK_ONLY)
			continue;
		extend_heads(heads, &f, action == PLAN_LABEL);
		if (f.wire.begin != run_end) {
			r = run == run_end ? 0 : buf_append(&t->said, run, (size_t)(run_end - run));
			run = f.wire.begin;
		}
		run_end = f.end;
		if (r >= 0 && action == PLAN_LABEL)
			r = walk_label(&t->walk, o->labels, &node->message->fields[f.child], &f.wire);
		if (r < 0)
			return r;
	}
	return r < 0 || run == run_end ? r : buf_append(&t->said, run, (size_t)(run_end - run));
}

/* Which row it is whose labels have been read: the expected one if they are the same bytes. */
static int find_row(struct schema_trail *t, struct open_row *o, const struct plan_node *node, struct trail_row *guess,
		    const struct heads *heads)
{
	uint32_t labels;
	if (guess && guess->node == node && heads->labels > 0 && !heads->further && guess->label_len == heads->labels &&
	    guess->known && memcmp(guess->said, heads->begin, heads->labels) == 0) {
		o->row = guess;
		return 0;
	}
	int r = t->taker->labels(t->taker->arg, t->walk.labels, t->walk.n_labels, &labels);
	if (r != 0)
		return r;
	r = take_row(t, o, node, labels);
	if (r != 0)
		return r;
	if (!o->row->next && o->row != guess)
		o->row->next = guess;
	return 0;
}

static int read_labelled(struct schema_trail *t, struct open_row *o, const struct plan_node *node,
			 struct trail_row *guess, struct wire_reader *reader)
{
	struct heads heads;
	int r = read_labels(t, o->outer);
	o->labels = t->walk.n_labels;
	o->has_labels = true;
	if (r == 0)
		r = read_row(t, o, node, *reader, &heads);
	t->walk.row++;
	size_t said = t->said.len;
	if (r == 0)
		r = find_row(t, o, node, guess, &heads);
	if (r != 0)
		return r;
	meet(t, o->row);
	r = take_fields(t, o, reader);
	if (r != 0)
		return r;
	/* It may have stood elsewhere the last time. */
	const uint8_t *bytes = t->said.data + o->said;
	size_t len = said - o->said;
	bool same = o->row->known && len == o->row->said_len && (len == 0 || memcmp(bytes, o->row->said, len) == 0);
	r = tell(t, o, same);
	if (r != 0 || same)
		return r;
	o->row->head_len = (uint32_t)heads.head;
	o->row->label_len = heads.further ? 0 : (uint32_t)heads.labels;
	return trail_memory_keep(&t->memory, o->row, bytes, len);
}

/* Remembers that it followed the row before it. */
static void link_row(struct open_row *outer, int child, struct trail_row *row)
{
	if (!outer || !row || row->transient || outer->row->transient)
		return;
	if (outer->last && outer->last_child == child)
		outer->last->next = row;
	else
		outer->row->slots[child].first = row;
	outer->last = row;
	outer->last_child = child;
}

static int walk_labelled(struct schema_trail *t, struct open_row *o, int child, const struct plan_node *node,
			 struct wire_reader *reader)
{
	struct open_row *outer = o->outer;
	struct trail_row *guess = NULL;
	if (outer)
		guess = outer->last && outer->last_child == child ? outer->last->next : outer->row->slots[child].first;
	/* Those that went stood before it. */
	struct trail_row *row = guess;
	size_t at = row ? recognise(t, row, node, reader) : 0;
	for (unsigned i = 0; at == 0 && row && row->next && i < MOST_GONE; i++) {
		row = row->next;
		at = recognise(t, row, node, reader);
	}
	if (at > 0) {
		uint32_t walk = row->walk;
		bool other = false;
		o->row = row;
		meet(t, row);
		int r = take_known(t, o, *reader, at, &other);
		if (!other) {
			link_row(outer, child, row);
			return r;
		}
		row->walk = walk;
		o->row = NULL;
	}
	int r = read_labelled(t, o, node, guess, reader);
	link_row(outer, child, o->row);
	return r;
}

/* --- the tree --- */

static int walk_open(struct schema_trail *t, struct open_row *o, int child, const struct plan_node *node,
		     const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	o->texts = t->texts.len;
	o->said = t->said.len;
	int r = node->has_labels ? walk_labelled(t, o, child, node, &reader)
				 : walk_unlabelled(t, o, child, node, &reader);
	t->texts.len = o->texts;
	t->said.len = o->said;
	if (o->has_labels)
		t->walk.n_labels = o->labels;
	if (o->outer)
		o->outer->values |= o->values;
	return r;
}

static int walk_row(struct schema_trail *t, struct open_row *outer, int child, const struct wire_field *w)
{
	struct open_row o = {.outer = outer};
	if (w->type != WIRE_BYTES || t->depth == SCHEMA_MAX_DEPTH)
		return -EPROTO;
	t->numbers[t->depth++] = w->number;
	int r = walk_open(t, &o, child, outer->row->node->children[child].node, w->data, w->len);
	t->depth--;
	return r;
}

int schema_trail_walk(struct schema_trail *t, const uint8_t *data, size_t len, const struct schema_trail_taker *taker)
{
	struct open_row root = {0};
	t->taker = taker;
	int r = forget_if_full(t);
	if (t->memory.full)
		trail_memory_clear(&t->memory);
	t->walk = (struct walk){.fn = taker->custom, .arg = taker->arg, .limit = wire_reader(data, len).end};
	t->walks++;
	t->depth = 0;
	t->texts.len = t->said.len = 0;
	/* A place for texts even where none has been appended yet. */
	if (r == 0)
		r = buf_reserve(&t->texts, 1);
	if (r == 0)
		r = buf_reserve(&t->said, 1);
	return r != 0 ? r : walk_open(t, &root, -1, t->schema->root, data, len);
}
