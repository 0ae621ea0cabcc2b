#include "common/schema/trail_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void trail_memory_free(struct trail_memory *m)
{
	for (uint32_t i = 0; i < m->cap; i++) {
		if (m->rows[i])
			free(m->rows[i]->said);
		free(m->rows[i]);
	}
	for (size_t i = 0; i <= SCHEMA_MAX_DEPTH; i++)
		free(m->transient[i]);
	free(m->rows);
	*m = (struct trail_memory){.max_bytes = m->max_bytes};
}

static uint32_t place_of(const struct trail_row *parent, const struct plan_node *node, uint32_t labels)
{
	uint64_t h = (uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15ull;
	h = (h ^ (h >> 29) ^ (uint64_t)(uintptr_t)node ^ (uint64_t)labels << 32) * 0xff51afd7ed558ccdull;
	return (uint32_t)(h >> 32);
}

static struct trail_row **find(struct trail_row **rows, uint32_t cap, const struct trail_row *parent,
			       const struct plan_node *node, uint32_t labels)
{
	uint32_t i = place_of(parent, node, labels) & (cap - 1);
	for (; rows[i]; i = (i + 1) & (cap - 1)) {
		if (rows[i]->parent == parent && rows[i]->node == node && rows[i]->labels == labels)
			break;
	}
	return &rows[i];
}

static int grow(struct trail_memory *m)
{
	uint32_t cap = m->cap ? m->cap * 2 : 512;
	struct trail_row **rows = calloc(cap, sizeof(struct trail_row *));
	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->cap; i++) {
		const struct trail_row *row = m->rows[i];
		if (row)
			*find(rows, cap, row->parent, row->node, row->labels) = m->rows[i];
	}
	free(m->rows);
	m->rows = rows;
	m->cap = cap;
	return 0;
}

static size_t size_of(const struct plan_node *node)
{
	return sizeof(struct trail_row) + node->message->n * sizeof(union trail_slot);
}

static struct trail_row *make(const struct trail_row *parent, const struct plan_node *node, uint32_t labels)
{
	struct trail_row *row = malloc(size_of(node));
	if (!row)
		return NULL;
	*row = (struct trail_row){.node = node, .parent = parent, .labels = labels, .number = SCHEMA_TRAIL_NONE};
	for (size_t i = 0; i < node->message->n; i++) {
		row->slots[i].first = NULL;
		if (node->children[i].action == PLAN_METRIC)
			row->slots[i].column = SCHEMA_TRAIL_NONE;
	}
	return row;
}

static bool has_room(struct trail_memory *m, size_t bytes)
{
	m->full |= bytes > m->max_bytes - m->bytes;
	return bytes <= m->max_bytes - m->bytes;
}

struct trail_row *trail_memory_row(struct trail_memory *m, const struct trail_row *parent, unsigned depth,
				   const struct plan_node *node, uint32_t labels)
{
	if (m->n * 4 >= m->cap * 3 && grow(m) < 0)
		return NULL;
	struct trail_row **place = find(m->rows, m->cap, parent, node, labels);
	bool lasts = !parent || !parent->transient;
	if (lasts && *place)
		return *place;
	struct trail_row *row = make(parent, node, labels);
	/* What it takes in the table is counted too. */
	size_t bytes = size_of(node) + 4 * sizeof(row);
	if (row && lasts && has_room(m, bytes)) {
		m->bytes += bytes;
		m->n++;
		*place = row;
	} else if (row) {
		row->transient = true;
		free(m->transient[depth]);
		m->transient[depth] = row;
	}
	return row;
}

int trail_memory_keep(struct trail_memory *m, struct trail_row *row, const uint8_t *said, size_t len)
{
	row->known = false;
	if (row->transient || row->twins || len > UINT32_MAX)
		return 0;
	if (len > row->said_cap) {
		size_t cap = (len + 31) & ~(size_t)31;
		if (!has_room(m, cap - row->said_cap))
			return 0;
		uint8_t *more = realloc(row->said, cap);
		if (!more)
			return -ENOMEM;
		m->bytes += cap - row->said_cap;
		row->said = more;
		row->said_cap = (uint32_t)cap;
	}
	if (len > 0)
		memcpy(row->said, said, len);
	row->said_len = (uint32_t)len;
	row->known = true;
	return 0;
}
