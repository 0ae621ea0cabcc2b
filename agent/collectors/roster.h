/* The devices a collector knows, in the order the kernel lists them, each with what was read about it once. A device
 * that is listed again is found where it was expected, without a search; one that is not listed any more is forgotten.
 * Room for all is taken at the start (the kernel gives pages only for what is used), so that a tick never allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ROSTER_NAME_MAX 63

/* First member of a collector's own struct. */
struct roster_entry {
	char name[ROSTER_NAME_MAX + 1];
	bool listed; /* in this round */
};

struct roster {
	char *items;
	size_t item_size;
	size_t n;
	size_t max;
	size_t next; /* where the coming name should be */
};

/* 0 or -ENOMEM. */
int roster_init(struct roster *roster, size_t item_size, size_t max) __attribute__((nonnull, warn_unused_result));
void roster_free(struct roster *roster); /* accepts NULL and a zeroed one */

static inline void *roster_at(const struct roster *roster, size_t i)
{
	return roster->items + i * roster->item_size;
}

void roster_begin(struct roster *roster) __attribute__((nonnull));
/* 1 for a new device (zeroed but for its name), 0 for a known one, -EEXIST for one that was listed in this round
 * already, -ENOSPC when there is room for no more, -EMSGSIZE for a name that is too long. */
int roster_take(struct roster *roster, const char *name, size_t len, void **ret_item)
	__attribute__((nonnull, warn_unused_result));
/* Forgets what was not listed; true if there was any. */
bool roster_end(struct roster *roster) __attribute__((nonnull));
