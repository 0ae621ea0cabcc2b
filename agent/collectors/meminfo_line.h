/* The lines that /proc/meminfo and a NUMA node's meminfo are made of, to the fields of a message: KiB become bytes. */
#pragma once

#include "agent/scan.h"

struct meminfo_entry {
	const char *key;
	size_t has; /* offset of the field's presence in the message */
	size_t value;
	bool is_count; /* no unit behind the number */
};

#define MEMINFO_SIZE(name, type, field)                                                                                \
	{                                                                                                              \
		name, offsetof(type, has_##field), offsetof(type, field), false                                        \
	}
#define MEMINFO_COUNT(name, type, field)                                                                               \
	{                                                                                                              \
		name, offsetof(type, has_##field), offsetof(type, field), true                                         \
	}

/* One line "Key: number [kB]" into the field its entry names; a key without an entry is skipped. Entries are in the
 * kernel's order: the search begins at *next, where the last one ended. 0; -EPROTO for a number that is none or does
 * not fit in 64 bits as bytes, a size without its unit, a field that is set already. */
int meminfo_line_parse(struct scan *line, const struct meminfo_entry *entries, size_t n, size_t *next, void *message)
	__attribute__((nonnull, warn_unused_result));
