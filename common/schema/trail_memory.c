#include "common/schema/trail_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_transient(struct trail_memory *m)
{
	for (size_t i = 0; i <= SCHEMA_MAX_DEPTH; i++) {
		free(m->transient[i]);
		m->transient[i] = NULL;
	}
}

void trail_memory_free(struct trail_memory *m)
{
	free_transient(m);
	pages_free(&m->pages);
	free(m->rows);
	*m = (struct trail_memory){.pages = m->pages};
}

void trail_memory_clear(struct trail_memory *m)
{
	free_transient(m);
	pages_clear(&m->pages);
	if (m->end > 0)
		memset(m->rows, 0, m->end * sizeof(struct trail_row *));
	m->end = 0;
	m->full = false;
}

/* 1 and *ret, 0 when there is no room, -ENOMEM. */
static int take_room(struct trail_memory *m, size_t wanted, void **ret)
{
	int r = pages_take(&m->pages, wanted, ret);
	m->full |= r == -EMSGSIZE;
	return r == 0 ? 1 : r == -EMSGSIZE ? 0 : r;
}

/* Where rows with these labels are kept: new labels have new numbers, so nothing is looked at that is another's. */
static struct trail_row **place_of(struct trail_memory *m, uint32_t labels)
{
	if (labels >= m->cap) {
		size_t cap = labels < 256 ? 512 : 2 * (size_t)labels;
		struct trail_row **rows = reallocarray(m->rows, cap, sizeof(struct trail_row *));
		if (!rows)
			return NULL;
		memset(rows + m->cap, 0, (cap - m->cap) * sizeof(struct trail_row *));
		m->rows = rows;
		m->cap = (uint32_t)cap;
	}
	return &m->rows[labels];
}

static size_t size_of(const struct plan_node *node)
{
	return sizeof(struct trail_row) + node->message->n * sizeof(union trail_slot);
}

static void make(struct trail_row *row, const struct plan_node *node, uint32_t labels)
{
	*row = (struct trail_row){.node = node, .labels = labels, .number = SCHEMA_TRAIL_NONE};
	for (size_t i = 0; i < node->message->n; i++) {
		row->slots[i].first = NULL;
		if (node->children[i].action == PLAN_METRIC)
			row->slots[i].column = SCHEMA_TRAIL_NONE;
	}
}

static struct trail_row *make_transient(struct trail_memory *m, unsigned depth, const struct plan_node *node,
					uint32_t labels)
{
	struct trail_row *row = malloc(size_of(node));
	if (!row)
		return NULL;
	make(row, node, labels);
	row->transient = true;
	free(m->transient[depth]);
	m->transient[depth] = row;
	return row;
}

struct trail_row *trail_memory_row(struct trail_memory *m, unsigned depth, const struct plan_node *node,
				   uint32_t labels)
{
	void *room;
	struct trail_row **first = place_of(m, labels);
	if (!first)
		return NULL;
	for (struct trail_row *row = *first; row; row = row->alike) {
		if (row->node == node)
			return row;
	}
	int r = take_room(m, size_of(node), &room);
	if (r <= 0)
		return r == 0 ? make_transient(m, depth, node, labels) : NULL;
	struct trail_row *row = room;
	make(row, node, labels);
	row->alike = *first;
	*first = row;
	m->end = labels < m->end ? m->end : labels + 1;
	return row;
}

int trail_memory_keep(struct trail_memory *m, struct trail_row *row, const uint8_t *said, size_t len)
{
	row->known = false;
	if (row->transient || row->twins || len > UINT32_MAX / 2)
		return 0;
	if (len > row->said_cap) {
		/* What it had is lost until all is forgotten: the next time it is longer there is room. */
		size_t cap = row->said_cap ? len + len / 2 : len + 16;
		void *room;
		int r = take_room(m, cap, &room);
		if (r <= 0)
			return r;
		row->said = room;
		row->said_cap = (uint32_t)cap;
	}
	if (len > 0)
		memcpy(row->said, said, len);
	row->said_len = (uint32_t)len;
	row->known = true;
	return 0;
}
