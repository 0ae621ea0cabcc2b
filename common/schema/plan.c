/* The plan's memory and look-ups: below both who builds it and who reads it. */
#include "common/schema/plan.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536

struct plan_chunk {
	struct plan_chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char bytes[];
};

void *plan_alloc(struct schema *s, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	struct plan_chunk *c = s->chunks;
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
		c = calloc(1, sizeof(*c) + room);
		if (!c)
			return NULL;
		c->size = room;
		c->next = s->chunks;
		s->chunks = c;
	}
	void *p = c->bytes + c->used;
	c->used += size;
	return p;
}

char *plan_strdup(struct schema *s, const char *text)
{
	size_t len = strlen(text);
	char *copy = plan_alloc(s, len + 1);
	if (copy)
		memcpy(copy, text, len);
	return copy;
}

static int name_cmp(const void *key, const void *element)
{
	return strcmp(key, ((const struct plan_message *)element)->full_name);
}

const struct plan_message *plan_find_message(const struct schema *s, const char *full_name)
{
	return bsearch(full_name, s->messages, s->n_messages, sizeof(*s->messages), name_cmp);
}

int plan_search_field(const struct plan_message *m, uint32_t number)
{
	size_t low = 0, high = m->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (m->fields[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->n && m->fields[low].number == number ? (int)low : -1;
}

enum schema_label_role schema_field_label(const struct schema *s, const char *type, uint32_t number)
{
	const struct plan_message *m = plan_find_message(s, type);
	int i = m ? plan_find_field(m, number) : -1;
	return i >= 0 ? m->fields[i].label : SCHEMA_LABEL_NONE;
}

const char *schema_field_help(const struct schema *s, const char *type, uint32_t number)
{
	const struct plan_message *m = plan_find_message(s, type);
	int i = m ? plan_find_field(m, number) : -1;
	return i >= 0 && m->fields[i].help ? m->fields[i].help : "";
}

struct schema *schema_ref(struct schema *s)
{
	atomic_fetch_add(&s->references, 1);
	return s;
}

void schema_unref(struct schema *s)
{
	if (!s || atomic_fetch_sub(&s->references, 1) != 1)
		return;
	while (s->chunks) {
		struct plan_chunk *c = s->chunks;
		s->chunks = c->next;
		free(c);
	}
	free(s);
}
