#include "agent/collectors/meminfo_line.h"

#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>

static const struct meminfo_entry *find(const struct meminfo_entry *entries, size_t n, struct word key, size_t *next)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = (*next + i) % n;
		if (word_is(key, entries[at].key)) {
			*next = at + 1;
			return &entries[at];
		}
	}
	return NULL;
}

/* MemTotal:       32858820 kB */
int meminfo_line_parse(struct scan *line, const struct meminfo_entry *entries, size_t n, size_t *next, void *message)
{
	struct word key;
	int r = scan_until(line, ':', &key);
	if (r < 0)
		return r;
	const struct meminfo_entry *entry = find(entries, n, key, next);
	if (!entry)
		return 0;
	uint64_t value;
	r = scan_u64(line, &value);
	if (r < 0)
		return r;
	if (!entry->is_count) {
		struct word unit;
		if (scan_word(line, &unit) < 0 || !word_is(unit, "kB") || __builtin_mul_overflow(value, 1024u, &value))
			return -EPROTO;
	}
	protobuf_c_boolean *has = (void *)((char *)message + entry->has);
	if (*has)
		return -EPROTO;
	*has = 1;
	memcpy((char *)message + entry->value, &value, sizeof(value));
	return 0;
}
