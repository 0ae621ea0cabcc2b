/* Bump allocator for one tick's snapshot: collectors take arrays, strings and messages from it, reset frees all at
 * once. After a few ticks it has found its size and no tick calls malloc any more. One thread. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include <stddef.h>

struct arena;

/* max: bytes it may ever hold; an allocation past it is NULL. NULL when out of memory. */
struct arena *arena_new(size_t max);
void arena_free(struct arena *arena); /* accepts NULL */
void arena_reset(struct arena *arena);

/* Zeroed, 16-byte aligned, or NULL. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc));
char *arena_strndup(struct arena *arena, const char *s, size_t len);
/* An initialised message of that type. */
void *arena_message(struct arena *arena, const ProtobufCMessageDescriptor *type);
/* `n` initialised messages of one type behind an array of pointers, as protobuf-c's repeated fields want it; NULL for
 * n == 0 or out of room. */
void *arena_messages(struct arena *arena, const ProtobufCMessageDescriptor *type, size_t n);
