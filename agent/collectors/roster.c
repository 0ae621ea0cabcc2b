#include "agent/collectors/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int roster_init(struct roster *roster, size_t item_size, size_t max)
{
	char *items = calloc(max, item_size);
	if (!items)
		return -ENOMEM;
	*roster = (struct roster){.items = items, .item_size = item_size, .max = max};
	return 0;
}

void roster_free(struct roster *roster)
{
	if (!roster)
		return;
	free(roster->items);
	*roster = (struct roster){.n = 0};
}

void roster_begin(struct roster *roster)
{
	for (size_t i = 0; i < roster->n; i++)
		((struct roster_entry *)roster_at(roster, i))->listed = false;
	roster->next = 0;
}

static bool is_called(const struct roster_entry *entry, const char *name, size_t len)
{
	return memcmp(entry->name, name, len) == 0 && entry->name[len] == '\0';
}

static struct roster_entry *find(struct roster *roster, const char *name, size_t len)
{
	for (size_t i = 0; i < roster->n; i++) {
		size_t at = (roster->next + i) % roster->n;
		struct roster_entry *entry = roster_at(roster, at);
		if (is_called(entry, name, len)) {
			roster->next = at + 1;
			return entry;
		}
	}
	return NULL;
}

int roster_take(struct roster *roster, const char *name, size_t len, void **ret_item)
{
	if (len > ROSTER_NAME_MAX)
		return -EMSGSIZE;
	struct roster_entry *entry = find(roster, name, len);
	if (entry && entry->listed)
		return -EEXIST;
	bool is_new = !entry;
	if (is_new) {
		if (roster->n == roster->max)
			return -ENOSPC;
		entry = roster_at(roster, roster->n++);
		memset(entry, 0, roster->item_size);
		memcpy(entry->name, name, len);
	}
	entry->listed = true;
	*ret_item = entry;
	return is_new;
}

bool roster_end(struct roster *roster)
{
	size_t kept = 0;
	for (size_t i = 0; i < roster->n; i++) {
		if (!((struct roster_entry *)roster_at(roster, i))->listed)
			continue;
		if (kept != i)
			memcpy(roster_at(roster, kept), roster_at(roster, i), roster->item_size);
		kept++;
	}
	bool forgot = kept < roster->n;
	roster->n = kept;
	return forgot;
}
