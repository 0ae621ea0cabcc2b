/* Of a line only identity and the four counts of operations matter. diskstats puts operations into groups (a
 * write-zeroes is a write, a flush has a column of its own from 5.5 on); their sum is the number of operations traced,
 * whatever the group. */
#include "agent/ebpf/ledger.h"

#include "agent/collectors/proc_diskstats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ledger_init(struct ledger *ledger, size_t max)
{
	*ledger = (struct ledger){.entries = calloc(max, sizeof(*ledger->entries)), .max = max};
	return ledger->entries ? 0 : -ENOMEM;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	free(ledger->entries);
	*ledger = (struct ledger){0};
}

/* Columns that an old kernel does not write are zero. */
static uint64_t operations_of(const struct diskstats_row *row)
{
	return row->values[DISKSTATS_READS] + row->values[DISKSTATS_WRITES] + row->values[DISKSTATS_DISCARDS] +
	       row->values[DISKSTATS_FLUSHES];
}

static bool is_entry(const struct ledger_entry *entry, const char *name, size_t len)
{
	return entry->used && strlen(entry->name) == len && memcmp(entry->name, name, len) == 0;
}

static struct ledger_entry *find(const struct ledger *ledger, const char *name, size_t len, size_t from)
{
	for (size_t i = 0; i < ledger->n; i++) {
		struct ledger_entry *entry = &ledger->entries[(from + i) % ledger->n];
		if (is_entry(entry, name, len))
			return entry;
	}
	return NULL;
}

static struct ledger_entry *find_free(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->n; i++) {
		if (!ledger->entries[i].used)
			return &ledger->entries[i];
	}
	return ledger->n < ledger->max ? &ledger->entries[ledger->n++] : NULL;
}

static void take_in(struct ledger *ledger, const struct diskstats_row *row)
{
	if (row->name_len >= LEDGER_NAME)
		return;
	uint64_t total = operations_of(row);
	struct ledger_entry *entry = find(ledger, row->name, row->name_len, ledger->cursor);
	if (!entry) {
		entry = find_free(ledger);
		if (!entry)
			return;
		*entry = (struct ledger_entry){.used = true};
		memcpy(entry->name, row->name, row->name_len);
	} else if (total < entry->total) {
		entry->base_low = entry->base_high = 0;
		entry->carried = 0;
		entry->epoch++;
	}
	ledger->without_flushes = row->n_values <= DISKSTATS_FLUSHES;
	entry->major = row->major;
	entry->total = total;
	entry->reads_merged = row->values[DISKSTATS_READS_MERGED];
	entry->writes_merged = row->values[DISKSTATS_WRITES_MERGED];
	entry->discards_merged = row->values[DISKSTATS_DISCARDS_MERGED];
	entry->seen = true;
	ledger->cursor = (size_t)(entry - ledger->entries) + 1;
}

/* A first pass without `ledger` only checks. */
static int for_each_row(struct ledger *ledger, const char *text, size_t len)
{
	struct proc_diskstats_reader reader = proc_diskstats_reader(text, len);
	struct diskstats_row row;
	int r;
	while ((r = proc_diskstats_next(&reader, &row)) > 0) {
		if (ledger)
			take_in(ledger, &row);
	}
	return r;
}

int ledger_update(struct ledger *ledger, const char *text, size_t len)
{
	int r = for_each_row(NULL, text, len);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ledger->n; i++)
		ledger->entries[i].seen = false;
	ledger->cursor = 0;
	r = for_each_row(ledger, text, len);
	for (size_t i = 0; i < ledger->n; i++)
		ledger->entries[i].used = ledger->entries[i].used && ledger->entries[i].seen;
	return r;
}

struct ledger_entry *ledger_find(const struct ledger *ledger, const char *name, size_t *hint)
{
	struct ledger_entry *entry = find(ledger, name, strlen(name), *hint);
	if (entry)
		*hint = (size_t)(entry - ledger->entries);
	return entry;
}

void ledger_begin(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->n; i++)
		ledger->entries[i].base_low = ledger->entries[i].base_high = ledger->entries[i].total;
}

/* An operation that was traced is in diskstats or just about to be: never below zero but for the reading's order. */
static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void ledger_begin_traced(struct ledger_entry *entry, uint64_t before, uint64_t after)
{
	entry->base_low = minus(entry->total, after);
	entry->base_high = minus(entry->total, before);
}

int64_t ledger_untraced(const struct ledger_entry *entry, uint64_t before, uint64_t after)
{
	int64_t low = (int64_t)(entry->total - (entry->carried + after) - entry->base_high);
	int64_t high = (int64_t)(entry->total - (entry->carried + before) - entry->base_low);
	if (low > 0)
		return low;
	return high < 0 ? high : 0;
}

uint64_t ledger_operations(const struct ledger_entry *entry)
{
	return minus(entry->total, entry->base_low);
}

bool ledger_is_lossy(int64_t untraced, uint64_t operations)
{
	uint64_t magnitude = untraced < 0 ? 0 - (uint64_t)untraced : (uint64_t)untraced;
	return magnitude > operations / 1000;
}
