#include "agent/processes/proc_pid_status.h"

#include "agent/scan.h"

#include <errno.h>
#include <stdbool.h>

/* Uid:	0	1000	0	0
 * Real, effective, saved, of the file system. */
int proc_pid_status_user(const char *text, size_t len, uint32_t *ret)
{
	struct scan rest = scan_text(text, len), line;
	bool found = false;
	uint64_t user = 0;
	while (scan_line(&rest, &line) > 0) {
		struct word name;
		uint64_t real;
		if (scan_until(&line, ':', &name) < 0)
			return -EPROTO;
		if (!word_is(name, "Uid"))
			continue;
		if (found || scan_u64(&line, &real) < 0 || scan_u64(&line, &user) < 0 || user > UINT32_MAX)
			return -EPROTO;
		found = true;
	}
	if (!found)
		return -EPROTO;
	*ret = (uint32_t)user;
	return 0;
}
