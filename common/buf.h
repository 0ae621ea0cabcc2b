/* A growing byte buffer that has a maximum from birth. The caller provides the struct; buf_free() releases the bytes.
 * Not thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* NULL while nothing was appended */
	size_t len;
	size_t cap;
	size_t max; /* appending past it is -EMSGSIZE and leaves the buffer as it was */
};

#define BUF_INIT(maximum) ((struct buf){.data = NULL, .len = 0, .cap = 0, .max = (maximum)})

/* Accepts a zeroed or freed buffer. */
void buf_free(struct buf *b);
/* Forgets the contents, keeps the memory. */
static inline void buf_reset(struct buf *b)
{
	b->len = 0;
}

/* All return 0, -ENOMEM or -EMSGSIZE. */
int buf_reserve(struct buf *b, size_t more) __attribute__((nonnull, warn_unused_result));
int buf_append(struct buf *b, const void *data, size_t len) __attribute__((nonnull(1), warn_unused_result));
int buf_append_str(struct buf *b, const char *s) __attribute__((nonnull, warn_unused_result));
int buf_printf(struct buf *b, const char *format, ...)
	__attribute__((format(printf, 2, 3), nonnull(1, 2), warn_unused_result));

/* Drops the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n) __attribute__((nonnull));

#define BUF_CLEANUP __attribute__((cleanup(buf_free)))
