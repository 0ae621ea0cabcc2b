#include "agent/collectors/sys_cpu_list.h"

#include "agent/scan.h"

#include <errno.h>

static int parse_range(struct word range, uint64_t *ret_first, uint64_t *ret_last)
{
	struct scan rest = scan_text(range.text, range.len);
	struct word first;
	if (scan_until(&rest, '-', &first) < 0) {
		int r = word_u64(range, ret_first);
		*ret_last = r < 0 ? 0 : *ret_first;
		return r;
	}
	int r = word_u64(first, ret_first);
	return r < 0 ? r : word_u64((struct word){rest.p, (size_t)(rest.end - rest.p)}, ret_last);
}

/* 0-3,8,10-11 */
static int parse_line(struct scan line, uint32_t *numbers, size_t max, uint32_t *ret_count)
{
	uint64_t count = 0, next = 0;
	bool more = !scan_at_end(&line);
	while (more) {
		struct word range;
		uint64_t first, last;
		more = scan_until(&line, ',', &range) == 0;
		if (!more)
			range = (struct word){line.p, (size_t)(line.end - line.p)};
		int r = parse_range(range, &first, &last);
		if (r < 0)
			return r;
		if (first < next || last < first || last >= UINT32_MAX)
			return -EPROTO;
		for (uint64_t n = first; n <= last && count + (n - first) < max; n++)
			numbers[count + (n - first)] = (uint32_t)n;
		count += last - first + 1;
		next = last + 1;
	}
	*ret_count = (uint32_t)count;
	return 0;
}

int sys_cpu_list_parse(const char *text, size_t len, uint32_t *numbers, size_t max, uint32_t *ret_count)
{
	struct scan rest = scan_text(text, len), line;
	int r = scan_line(&rest, &line);
	return r <= 0 ? -EPROTO : parse_line(line, numbers, max, ret_count);
}

int sys_cpu_list_count(const char *text, size_t len, uint32_t *ret)
{
	return sys_cpu_list_parse(text, len, NULL, 0, ret);
}
