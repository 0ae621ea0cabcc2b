#include "agent/collectors/proc_file_nr.h"

#include "agent/scan.h"

#include <errno.h>

/* 1024	0	9223372036854775807 */
int proc_file_nr_parse(const char *text, size_t len, struct proc_file_nr *ret)
{
	struct scan rest = scan_text(text, len), line;
	uint64_t allocated, unused, max;
	if (scan_line(&rest, &line) <= 0 || scan_u64(&line, &allocated) < 0 || scan_u64(&line, &unused) < 0 ||
	    scan_u64(&line, &max) < 0)
		return -EPROTO;
	ret->used = allocated > unused ? allocated - unused : 0;
	ret->max = max;
	return 0;
}
