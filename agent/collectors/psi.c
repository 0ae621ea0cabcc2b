/* The host's files and those of a thousand control groups read alike, so the parser allocates nothing and knows nothing
 * of where its text came from. */
#include "agent/collectors/psi.h"

#include "agent/collector.h"
#include "agent/scan.h"

#include <errno.h>
#include <string.h>

enum { AVG10, AVG60, AVG300, TOTAL, FIELDS };

static const char *const names[FIELDS] = {"avg10", "avg60", "avg300", "total"};

static int find(struct word key)
{
	for (int i = 0; i < FIELDS; i++) {
		if (word_is(key, names[i]))
			return i;
	}
	return -1;
}

static int parse_percent(struct word word, double *ret)
{
	double percent;
	int r = word_decimal(word, &percent);
	if (r < 0)
		return r;
	*ret = percent < 100 ? percent / 100 : 1;
	return 0;
}

/* some avg10=0.56 avg60=1.47 avg300=1.04 total=2620543968 */
static int parse_line(struct scan *line, struct psi_line *out)
{
	double averages[TOTAL] = {0};
	unsigned seen = 0;
	while (!scan_at_end(line)) {
		struct word word, key;
		int r = scan_word(line, &word);
		struct scan field = scan_text(word.text, word.len);
		if (r < 0 || (r = scan_until(&field, '=', &key)) < 0)
			return r;
		int i = find(key);
		if (i < 0)
			continue;
		if (seen & 1u << i)
			return -EPROTO;
		seen |= 1u << i;
		struct word value = {field.p, (size_t)(field.end - field.p)};
		r = i == TOTAL ? word_u64(value, &out->total_us) : parse_percent(value, &averages[i]);
		if (r < 0)
			return r;
	}
	if (seen != (1u << FIELDS) - 1)
		return -EPROTO;
	out->avg10_ratio = averages[AVG10];
	out->avg60_ratio = averages[AVG60];
	out->avg300_ratio = averages[AVG300];
	out->there = true;
	return 0;
}

int psi_parse(const char *text, size_t len, struct psi *ret)
{
	struct psi out = {.some = {.there = false}};
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word kind;
		r = scan_word(&line, &kind);
		if (r < 0)
			return r;
		struct psi_line *to = word_is(kind, "some") ? &out.some : word_is(kind, "full") ? &out.full : NULL;
		if (!to)
			continue;
		r = to->there ? -EPROTO : parse_line(&line, to);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!out.some.there && !out.full.there)
		return -EPROTO;
	*ret = out;
	return 0;
}

static Sonde__V1__PressureLine *line_message(const struct psi_line *line, struct arena *arena)
{
	Sonde__V1__PressureLine *out = arena_message(arena, &sonde__v1__pressure_line__descriptor);
	if (!out)
		return NULL;
	SET(out, avg10_ratio, line->avg10_ratio);
	SET(out, avg60_ratio, line->avg60_ratio);
	SET(out, avg300_ratio, line->avg300_ratio);
	SET(out, total_us, line->total_us);
	return out;
}

Sonde__V1__PressureStall *psi_message(const struct psi *psi, struct arena *arena)
{
	Sonde__V1__PressureStall *out = arena_message(arena, &sonde__v1__pressure_stall__descriptor);
	if (!out)
		return NULL;
	if (psi->some.there)
		out->some = line_message(&psi->some, arena);
	if (psi->full.there)
		out->full = line_message(&psi->full, arena);
	return (psi->some.there && !out->some) || (psi->full.there && !out->full) ? NULL : out;
}
