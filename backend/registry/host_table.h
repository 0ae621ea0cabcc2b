/* All hosts of the registry by host_id. What is added is never removed before host_table_clear(), so a pointer to a
 * host stays good while the table grows; positions do not. Not thread-safe. */
#pragma once

#include "backend/registry/host_message.h"

#define HOST_TABLE_MAX 100000

struct host_table {
	struct host **rows; /* ascending by host_id */
	size_t n, cap;
};

/* NULL: there is none. A text that is no UUID names none. */
struct host *host_table_find(const struct host_table *table, const uint8_t host_id[16]) __attribute__((nonnull));
struct host *host_table_find_text(const struct host_table *table, const char *host_id) __attribute__((nonnull));
/* A tenant's host by host_id or by hostname. */
struct host *host_table_find_named(const struct host_table *table, int64_t tenant_id, const char *name)
	__attribute__((nonnull));
/* Finds or adds one that is offline and has nothing but its host_id. NULL when out of memory or full. */
struct host *host_table_obtain(struct host_table *table, const uint8_t host_id[16]) __attribute__((nonnull));
/* Frees all hosts and what they hold; the table is then empty. */
void host_table_clear(struct host_table *table) __attribute__((nonnull));
