#include "agent/collectors/proc_net_conntrack.h"

#include "agent/scan.h"

#include <errno.h>

#define MAX_COLUMNS 32
#define NOT_WANTED CONNTRACK_VALUES

static const char *const names[CONNTRACK_VALUES] = {
	[CONNTRACK_ENTRIES] = "entries",
	[CONNTRACK_FOUND] = "found",
	[CONNTRACK_INVALID] = "invalid",
	[CONNTRACK_INSERT_FAILURES] = "insert_failed",
	[CONNTRACK_DROPS] = "drop",
	[CONNTRACK_EARLY_DROPS] = "early_drop",
	[CONNTRACK_ICMP_ERRORS] = "icmp_error",
	[CONNTRACK_SEARCH_RESTARTS] = "search_restart",
	[CONNTRACK_CLASHES_RESOLVED] = "clashres",
};

struct columns {
	size_t n;
	unsigned values[MAX_COLUMNS]; /* which value stands in this column, or NOT_WANTED */
};

/* entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error ... */
static int read_names(struct scan line, struct columns *columns, struct proc_net_conntrack *sums)
{
	for (columns->n = 0; !scan_at_end(&line); columns->n++) {
		struct word word;
		if (columns->n == MAX_COLUMNS || scan_word(&line, &word) < 0)
			return -EPROTO;
		unsigned value = 0;
		while (value < CONNTRACK_VALUES && !word_is(word, names[value]))
			value++;
		columns->values[columns->n] = value;
		if (value == NOT_WANTED)
			continue;
		if (sums->has[value])
			return -EPROTO;
		sums->has[value] = true;
	}
	return sums->has[CONNTRACK_ENTRIES] ? 0 : -EPROTO;
}

/* 0000002c  00000000 00000000 00000000 00000007 00000000 00000000 00000000 00000000 00000000 00000000 00000000 ... */
static int add_cpu(struct scan line, const struct columns *columns, struct proc_net_conntrack *sums)
{
	for (size_t i = 0; i < columns->n; i++) {
		struct word word;
		uint32_t number;
		int r = scan_word(&line, &word);
		if (r == 0)
			r = word_hex_u32(word, &number);
		if (r < 0)
			return r;
		unsigned value = columns->values[i];
		if (value == CONNTRACK_ENTRIES)
			sums->values[value] = number;
		else if (value != NOT_WANTED)
			sums->values[value] += number;
	}
	return scan_at_end(&line) ? 0 : -EPROTO;
}

int proc_net_conntrack_parse(const char *text, size_t len, struct proc_net_conntrack *ret)
{
	struct scan rest = scan_text(text, len), line;
	struct columns columns;
	struct proc_net_conntrack sums = {.has = {false}};
	size_t cpus = 0;
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return -EPROTO;
	r = read_names(line, &columns, &sums);
	if (r < 0)
		return r;
	for (; (r = scan_line(&rest, &line)) > 0; cpus++) {
		r = add_cpu(line, &columns, &sums);
		if (r < 0)
			return r;
	}
	if (r < 0 || cpus == 0)
		return -EPROTO;
	*ret = sums;
	return 0;
}
