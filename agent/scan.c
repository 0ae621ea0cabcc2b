#include "agent/scan.h"

#include <errno.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int scan_line(struct scan *text, struct scan *ret_line)
{
	if (text->p == text->end)
		return 0;
	const char *newline = memchr(text->p, '\n', (size_t)(text->end - text->p));
	if (!newline)
		return -EPROTO;
	*ret_line = (struct scan){.p = text->p, .end = newline};
	text->p = newline + 1;
	return 1;
}

size_t scan_count_lines(const char *text, size_t len)
{
	size_t n = 0;
	for (const char *p = text, *end = text + len; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		n++;
	return n;
}

int scan_until(struct scan *line, char separator, struct word *ret)
{
	const char *at = line->p < line->end ? memchr(line->p, separator, (size_t)(line->end - line->p)) : NULL;
	if (!at)
		return -EPROTO;
	const char *first = line->p, *last = at;
	while (first < last && is_blank(*first))
		first++;
	while (last > first && is_blank(last[-1]))
		last--;
	*ret = (struct word){.text = first, .len = (size_t)(last - first)};
	line->p = at + 1;
	return 0;
}

int scan_word(struct scan *line, struct word *ret)
{
	while (line->p < line->end && is_blank(*line->p))
		line->p++;
	const char *first = line->p;
	while (line->p < line->end && !is_blank(*line->p))
		line->p++;
	if (line->p == first)
		return -EPROTO;
	*ret = (struct word){.text = first, .len = (size_t)(line->p - first)};
	return 0;
}

int scan_u64(struct scan *line, uint64_t *ret)
{
	struct word word;
	int r = scan_word(line, &word);
	return r < 0 ? r : word_u64(word, ret);
}

bool scan_at_end(const struct scan *line)
{
	const char *p = line->p;
	while (p < line->end && is_blank(*p))
		p++;
	return p == line->end;
}

int word_u64(struct word word, uint64_t *ret)
{
	uint64_t value = 0;
	if (word.len == 0)
		return -EPROTO;
	for (size_t i = 0; i < word.len; i++) {
		unsigned digit = (unsigned)(word.text[i] - '0');
		if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return -EPROTO;
	}
	*ret = value;
	return 0;
}

/* strtod would read it by the locale. */
int word_decimal(struct word word, double *ret)
{
	static const double scales[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
	struct scan rest = scan_text(word.text, word.len);
	struct word whole;
	int r = scan_until(&rest, '.', &whole);
	if (r < 0)
		return r;
	struct word decimals = {rest.p, (size_t)(rest.end - rest.p)};
	uint64_t before, behind;
	if (decimals.len > 9 || word_u64(whole, &before) < 0 || word_u64(decimals, &behind) < 0)
		return -EPROTO;
	*ret = (double)before + (double)behind / scales[decimals.len];
	return 0;
}

int word_hex_u32(struct word word, uint32_t *ret)
{
	uint32_t value = 0;
	if (word.len == 0 || word.len > 8)
		return -EPROTO;
	for (size_t i = 0; i < word.len; i++) {
		char c = word.text[i];
		unsigned digit = c >= '0' && c <= '9'	? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
				 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
							: 16;
		if (digit > 15)
			return -EPROTO;
		value = value << 4 | digit;
	}
	*ret = value;
	return 0;
}

bool word_is(struct word word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

bool word_starts(struct word word, const char *prefix)
{
	size_t len = strlen(prefix);
	return word.len >= len && memcmp(word.text, prefix, len) == 0;
}
