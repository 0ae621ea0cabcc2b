#include "agent/collectors/proc_swaps.h"

#include <errno.h>

int proc_swaps_reader(const char *text, size_t len, struct proc_swaps_reader *ret)
{
	struct scan rest = scan_text(text, len), line;
	struct word first;
	if (scan_line(&rest, &line) <= 0 || scan_word(&line, &first) < 0 || !word_is(first, "Filename"))
		return -EPROTO;
	ret->rest = rest;
	return 0;
}

static int parse_signed(struct scan *line, int32_t *ret)
{
	struct word word;
	uint64_t value;
	int r = scan_word(line, &word);
	if (r < 0)
		return r;
	bool negative = word.text[0] == '-';
	if (negative)
		word = (struct word){word.text + 1, word.len - 1};
	r = word_u64(word, &value);
	if (r < 0)
		return r;
	if (value > INT32_MAX)
		return -EPROTO;
	*ret = negative ? -(int32_t)value : (int32_t)value;
	return 0;
}

/* /dev/dm-1                               partition	1998844		512		-2 */
int proc_swaps_next(struct proc_swaps_reader *reader, struct swap_row *ret)
{
	struct scan line;
	struct swap_row row;
	int r = scan_line(&reader->rest, &line);
	if (r <= 0)
		return r;
	if (scan_word(&line, &row.device) < 0 || scan_word(&line, &row.type) < 0 ||
	    scan_u64(&line, &row.size_kib) < 0 || scan_u64(&line, &row.used_kib) < 0 ||
	    parse_signed(&line, &row.priority) < 0)
		return -EPROTO;
	*ret = row;
	return 1;
}
