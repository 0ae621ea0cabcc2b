/* Hosts are few and snapshots many: a sorted array makes the lookup of every snapshot a binary search, and adding a
 * host, which moves others, happens once in its life. */
#include "backend/registry/host_table.h"

#include <stdlib.h>
#include <string.h>

static size_t position(const struct host_table *table, const uint8_t host_id[16])
{
	size_t low = 0, high = table->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (memcmp(table->rows[mid]->host_id, host_id, 16) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct host *host_table_find(const struct host_table *table, const uint8_t host_id[16])
{
	size_t at = position(table, host_id);
	return at < table->n && memcmp(table->rows[at]->host_id, host_id, 16) == 0 ? table->rows[at] : NULL;
}

struct host *host_table_find_text(const struct host_table *table, const char *host_id)
{
	uint8_t id[16];
	return encoding_uuid_parse(host_id, strlen(host_id), id) == 0 ? host_table_find(table, id) : NULL;
}

struct host *host_table_find_named(const struct host_table *table, int64_t tenant_id, const char *name)
{
	struct host *host = host_table_find_text(table, name);
	if (host && host->tenant_id == tenant_id)
		return host;
	for (size_t i = 0; i < table->n; i++) {
		host = table->rows[i];
		if (host->tenant_id == tenant_id && strcmp(host->hostname, name) == 0)
			return host;
	}
	return NULL;
}

struct host *host_table_obtain(struct host_table *table, const uint8_t host_id[16])
{
	struct host *host = host_table_find(table, host_id);
	if (host || table->n >= HOST_TABLE_MAX)
		return host;
	if (table->n == table->cap) {
		size_t cap = table->cap ? 2 * table->cap : 64;
		struct host **bigger = reallocarray(table->rows, cap, sizeof(void *));
		if (!bigger)
			return NULL;
		table->rows = bigger;
		table->cap = cap;
	}
	host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	memcpy(host->host_id, host_id, 16);
	encoding_uuid_format(host_id, host->id_text);
	host->status = HOST_OFFLINE;
	size_t at = position(table, host_id);
	memmove(table->rows + at + 1, table->rows + at, (table->n - at) * sizeof(void *));
	table->rows[at] = host;
	table->n++;
	return host;
}

static void host_free(struct host *host)
{
	hub_frame_unref(host->newest);
	held_sections_clear(&host->held);
	free(host->facts);
	free(host);
}

void host_table_clear(struct host_table *table)
{
	for (size_t i = 0; i < table->n; i++)
		host_free(table->rows[i]);
	free(table->rows);
	*table = (struct host_table){0};
}
