#include "agent/collectors/proc_net_sockstat.h"

#include "agent/collectors/named_field.h"
#include "agent/collectors/scale.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdbool.h>

#define FIELD(kernel, field) NAMED_FIELD(Sonde__V1__NetworkSockets, kernel, field)

static const struct named_field sockets[] = {FIELD("used", used)};
static const struct named_field tcp[] = {
	FIELD("inuse", tcp_in_use),    FIELD("orphan", tcp_orphans),   FIELD("tw", tcp_time_wait),
	FIELD("alloc", tcp_allocated), FIELD("mem", tcp_memory_bytes),
};
static const struct named_field udp[] = {FIELD("inuse", udp_in_use), FIELD("mem", udp_memory_bytes)};
static const struct named_field udplite[] = {FIELD("inuse", udplite_in_use)};
static const struct named_field raw[] = {FIELD("inuse", raw_in_use)};
static const struct named_field frag[] = {FIELD("inuse", fragment_queues), FIELD("memory", fragment_memory_bytes)};
static const struct named_field tcp6[] = {FIELD("inuse", tcp6_in_use)};
static const struct named_field udp6[] = {FIELD("inuse", udp6_in_use)};
static const struct named_field udplite6[] = {FIELD("inuse", udplite6_in_use)};
static const struct named_field raw6[] = {FIELD("inuse", raw6_in_use)};
static const struct named_field frag6[] = {FIELD("inuse", fragment6_queues), FIELD("memory", fragment6_memory_bytes)};

static const struct {
	const char *name;
	struct named_fields fields;
} lines[] = {
	{"sockets", NAMED_FIELDS(sockets)}, {"TCP", NAMED_FIELDS(tcp)},	    {"UDP", NAMED_FIELDS(udp)},
	{"UDPLITE", NAMED_FIELDS(udplite)}, {"RAW", NAMED_FIELDS(raw)},	    {"FRAG", NAMED_FIELDS(frag)},
	{"TCP6", NAMED_FIELDS(tcp6)},	    {"UDP6", NAMED_FIELDS(udp6)},   {"UDPLITE6", NAMED_FIELDS(udplite6)},
	{"RAW6", NAMED_FIELDS(raw6)},	    {"FRAG6", NAMED_FIELDS(frag6)},
};

/* inuse 1 orphan 0 tw 0 alloc 1 mem 19 */
static int take_line(struct scan line, const struct named_fields *fields, uint64_t page_bytes,
		     Sonde__V1__NetworkSockets *ret)
{
	size_t next = 0;
	while (!scan_at_end(&line)) {
		struct word name;
		uint64_t value;
		int r = scan_word(&line, &name);
		if (r == 0)
			r = scan_u64(&line, &value);
		if (r < 0)
			return r;
		const struct named_field *field = named_field_find(fields, &next, name);
		if (!field)
			continue;
		if (word_is(name, "mem"))
			value = scale_times(value, page_bytes);
		r = named_field_set(ret, field, value);
		if (r < 0)
			return r;
	}
	return 0;
}

int proc_net_sockstat_parse(const char *text, size_t len, uint64_t page_bytes, Sonde__V1__NetworkSockets *ret)
{
	struct scan rest = scan_text(text, len), line;
	bool found = false;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word name;
		r = scan_until(&line, ':', &name);
		if (r < 0)
			return r;
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			if (!word_is(name, lines[i].name))
				continue;
			r = take_line(line, &lines[i].fields, page_bytes, ret);
			if (r < 0)
				return r;
			found = true;
		}
	}
	return r < 0 ? r : found ? 0 : -EPROTO;
}
