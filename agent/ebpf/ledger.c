/* Of a line only identity and the four counts of operations matter. diskstats puts operations into groups (a
 * write-zeroes is a write, a flush has a column of its own from 5.5 on); their sum is the number of operations traced,
 * whatever the group. */
#include "agent/ebpf/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OLD_VALUES 11	  /* before 4.18 */
#define DISCARD_VALUES 15 /* before 5.5 */
#define ALL_VALUES 17
#define READS 0
#define WRITES 4
#define DISCARDS 11
#define FLUSHES 15

struct line {
	const char *name;
	size_t name_len;
	uint64_t total;
};

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

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && *p == ' ')
		p++;
	return p;
}

static int parse_number(const char **p, const char *end, uint64_t *ret)
{
	const char *s = skip_blanks(*p, end), *first = s;
	uint64_t value = 0;
	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -EPROTO;
	}
	if (s == first || (s < end && *s != ' '))
		return -EPROTO;
	*p = s;
	*ret = value;
	return 0;
}

/*  254       0 vda 80487 30622 6294226 25880 17157 22928 3028704 5474 0 12316 31898 7138 32 267848 470 2119 72 */
static int parse_line(const char *p, const char *end, struct line *ret)
{
	uint64_t major, minor, values[ALL_VALUES] = {0};
	if (parse_number(&p, end, &major) < 0 || parse_number(&p, end, &minor) < 0 || major > UINT32_MAX ||
	    minor > UINT32_MAX)
		return -EPROTO;
	struct line line = {.name = skip_blanks(p, end)};
	for (p = line.name; p < end && *p != ' ';)
		p++;
	line.name_len = (size_t)(p - line.name);
	size_t n = 0;
	for (; n < ALL_VALUES && skip_blanks(p, end) < end; n++) {
		if (parse_number(&p, end, &values[n]) < 0)
			return -EPROTO;
	}
	if (line.name_len == 0 || (n != OLD_VALUES && n != DISCARD_VALUES && n != ALL_VALUES))
		return -EPROTO;
	line.total = values[READS] + values[WRITES] + values[DISCARDS] + values[FLUSHES];
	*ret = line;
	return 0;
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

static void take_in(struct ledger *ledger, const struct line *line)
{
	if (line->name_len >= LEDGER_NAME)
		return;
	struct ledger_entry *entry = find(ledger, line->name, line->name_len, ledger->cursor);
	if (!entry) {
		entry = find_free(ledger);
		if (!entry)
			return;
		*entry = (struct ledger_entry){.used = true};
		memcpy(entry->name, line->name, line->name_len);
	} else if (line->total < entry->total) {
		entry->base_low = entry->base_high = 0;
		entry->carried = 0;
		entry->epoch++;
	}
	entry->total = line->total;
	entry->seen = true;
	ledger->cursor = (size_t)(entry - ledger->entries) + 1;
}

/* A first pass without `ledger` only checks. */
static int for_each_line(struct ledger *ledger, const char *text, size_t len)
{
	const char *end = text + len;
	for (const char *p = text; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		struct line line;
		if (!newline || parse_line(p, newline, &line) < 0)
			return -EPROTO;
		if (ledger)
			take_in(ledger, &line);
		p = newline + 1;
	}
	return 0;
}

int ledger_update(struct ledger *ledger, const char *text, size_t len)
{
	int r = for_each_line(NULL, text, len);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ledger->n; i++)
		ledger->entries[i].seen = false;
	ledger->cursor = 0;
	r = for_each_line(ledger, text, len);
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
