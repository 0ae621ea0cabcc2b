/* Names that the kernel gives and others made: an interface may be called by any bytes but '/', ':' and white space, a
 * protobuf string must be UTF-8, and one bad name would make the backend reject the whole snapshot. */
#pragma once

#include "agent/arena.h"

/* A terminated copy in which bytes above 0x7e and control characters are '?' unless the whole is valid UTF-8 without
 * control characters. NULL when the arena is full. */
char *label_copy(struct arena *arena, const char *text, size_t len) __attribute__((nonnull(1)));
/* The same in place. */
void label_clean(char *text, size_t len) __attribute__((nonnull));
