/* Memory for many small things that all go at once: it comes in pages, and nothing of it is given back before the rest.
 * Has a maximum from birth. Not thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pages {
	struct page *page; /* the one that is being filled, before those that are full */
	struct page *spare;
	size_t bytes, max_bytes; /* of pages in use and of what is charged */
};

#define PAGES_INIT(maximum) ((struct pages){.max_bytes = (maximum)})

/* Accepts a zeroed one; it can be used again. */
void pages_free(struct pages *pages);
/* Forgets what was taken and charged, keeps the memory that it lay in. */
void pages_clear(struct pages *pages) __attribute__((nonnull));

/* Room that stays where it is, aligned for anything. 0, -EMSGSIZE, -ENOMEM. */
int pages_take(struct pages *pages, size_t size, void **ret) __attribute__((nonnull, warn_unused_result));
/* A copy. As pages_take(). */
int pages_keep(struct pages *pages, const void *data, size_t len, const void **ret)
	__attribute__((nonnull(1, 4), warn_unused_result));
/* What lies elsewhere and counts. 0 or -EMSGSIZE. */
int pages_charge(struct pages *pages, size_t bytes) __attribute__((nonnull, warn_unused_result));

/* Room for one more in an array of n, which is not in the pages: 0 or -ENOMEM. */
int pages_grow_array(void **array, uint32_t *cap, uint32_t n, size_t size) __attribute__((nonnull, warn_unused_result));
