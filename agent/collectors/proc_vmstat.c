#include "agent/collectors/proc_vmstat.h"

#include "agent/collectors/scale.h"
#include "agent/scan.h"

#include <errno.h>
#include <string.h>

enum unit { EVENTS, KIBIBYTES, PAGES };

struct entry {
	const char *key;
	bool is_prefix; /* one counter a memory zone: pgalloc_dma, pgalloc_normal, ...: summed */
	enum unit unit;
	size_t has;
	size_t value;
};

#define ENTRY(name, prefix, unit, field)                                                                               \
	{                                                                                                              \
		name, prefix, unit, offsetof(Sonde__V1__Vmstat, has_##field), offsetof(Sonde__V1__Vmstat, field)       \
	}

static const struct entry entries[] = {
	ENTRY("pgpgin", false, KIBIBYTES, page_in_bytes),
	ENTRY("pgpgout", false, KIBIBYTES, page_out_bytes),
	ENTRY("pswpin", false, PAGES, swap_in_bytes),
	ENTRY("pswpout", false, PAGES, swap_out_bytes),
	ENTRY("pgalloc_", true, EVENTS, pages_allocated),
	ENTRY("pgfree", false, EVENTS, pages_freed),
	ENTRY("pgfault", false, EVENTS, page_faults),
	ENTRY("pgmajfault", false, EVENTS, major_page_faults),
	ENTRY("pgsteal_kswapd", false, EVENTS, pages_reclaimed_kswapd),
	ENTRY("pgsteal_direct", false, EVENTS, pages_reclaimed_direct),
	ENTRY("pgscan_kswapd", false, EVENTS, pages_scanned_kswapd),
	ENTRY("pgscan_direct", false, EVENTS, pages_scanned_direct),
	ENTRY("oom_kill", false, EVENTS, oom_kills),
};

static const struct entry *find(struct word key)
{
	/* All of them begin with 'p' but one: most of the file is passed over after a byte. */
	if (key.text[0] != 'p' && key.text[0] != 'o')
		return NULL;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (entries[i].is_prefix ? word_starts(key, entries[i].key) : word_is(key, entries[i].key))
			return &entries[i];
	}
	return NULL;
}

/* pgpgin 2261534 */
static int parse_value(struct scan *line, const struct entry *entry, uint64_t page_bytes, Sonde__V1__Vmstat *out)
{
	uint64_t value, sum;
	int r = scan_u64(line, &value);
	if (r < 0)
		return r;
	if (entry->unit != EVENTS)
		value = scale_times(value, entry->unit == PAGES ? page_bytes : 1024);

	protobuf_c_boolean *has = (void *)((char *)out + entry->has);
	if (*has && !entry->is_prefix)
		return -EPROTO;
	memcpy(&sum, (char *)out + entry->value, sizeof(sum));
	if (__builtin_add_overflow(sum, value, &sum))
		sum = UINT64_MAX;
	memcpy((char *)out + entry->value, &sum, sizeof(sum));
	*has = 1;
	return 0;
}

int proc_vmstat_parse(const char *text, size_t len, uint64_t page_bytes, Sonde__V1__Vmstat *ret)
{
	Sonde__V1__Vmstat out = SONDE__V1__VMSTAT__INIT;
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word key;
		r = scan_word(&line, &key);
		if (r < 0)
			return r;
		const struct entry *entry = find(key);
		r = entry ? parse_value(&line, entry, page_bytes, &out) : 0;
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!out.has_page_faults)
		return -EPROTO;
	out.state = ret->state;
	*ret = out;
	return 0;
}
