/* Chunks in a list, newest first. A tick that needed more than one chunk leaves, at reset, a single chunk as large as
 * all of them, so that the list is one long from the second or third tick on and allocation is an addition. */
#include "agent/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 16
#define FIRST_CHUNK ((size_t)64 << 10)

struct chunk {
	struct chunk *older;
	size_t cap;
	size_t used;
	_Alignas(ALIGNMENT) unsigned char data[];
};

struct arena {
	struct chunk *newest;
	size_t held; /* sum of cap */
	size_t max;
};

struct arena *arena_new(size_t max)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	if (arena)
		arena->max = max;
	return arena;
}

static void free_chunks(struct arena *arena)
{
	for (struct chunk *c = arena->newest, *older; c; c = older) {
		older = c->older;
		free(c);
	}
	arena->newest = NULL;
	arena->held = 0;
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	free_chunks(arena);
	free(arena);
}

static struct chunk *add_chunk(struct arena *arena, size_t cap)
{
	struct chunk *c = malloc(sizeof(*c) + cap);
	if (!c)
		return NULL;
	c->older = arena->newest;
	c->cap = cap;
	c->used = 0;
	arena->newest = c;
	arena->held += cap;
	return c;
}

void arena_reset(struct arena *arena)
{
	if (!arena->newest)
		return;
	if (arena->newest->older) {
		size_t whole = arena->held;
		free_chunks(arena);
		/* Without memory for it the arena is simply empty and grows again. */
		(void)add_chunk(arena, whole);
		return;
	}
	arena->newest->used = 0;
}

static struct chunk *grow(struct arena *arena, size_t size)
{
	size_t room = arena->max - arena->held;
	if (size > room)
		return NULL;
	size_t cap = arena->newest ? arena->newest->cap * 2 : FIRST_CHUNK;
	if (cap < size)
		cap = size;
	if (cap > room)
		cap = room;
	return add_chunk(arena, cap);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX - ALIGNMENT)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);

	struct chunk *c = arena->newest;
	if (!c || c->cap - c->used < size)
		c = grow(arena, size);
	if (!c)
		return NULL;
	void *p = c->data + c->used;
	c->used += size;
	return memset(p, 0, size);
}

char *arena_strndup(struct arena *arena, const char *s, size_t len)
{
	char *copy = len < SIZE_MAX ? arena_alloc(arena, len + 1) : NULL;
	if (copy && len > 0)
		memcpy(copy, s, len);
	return copy;
}

void *arena_message(struct arena *arena, const ProtobufCMessageDescriptor *type)
{
	void *message = arena_alloc(arena, type->sizeof_message);
	if (message)
		protobuf_c_message_init(type, message);
	return message;
}

void *arena_messages(struct arena *arena, const ProtobufCMessageDescriptor *type, size_t n)
{
	size_t size = (type->sizeof_message + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (n == 0 || n > SIZE_MAX / 2 / (size + sizeof(void *)))
		return NULL;
	void **pointers = arena_alloc(arena, n * sizeof(*pointers));
	unsigned char *messages = pointers ? arena_alloc(arena, n * size) : NULL;
	if (!messages)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		pointers[i] = messages + i * size;
		protobuf_c_message_init(type, pointers[i]);
	}
	return pointers;
}
