#include "agent/collectors/proc_net_dev.h"

#include "agent/scan.h"

#include <errno.h>
#include <string.h>

#define HEADING_LINES 2

int proc_net_dev_reader(const char *text, size_t len, struct proc_net_dev_reader *ret)
{
	struct scan rest = scan_text(text, len), line;
	for (int i = 0; i < HEADING_LINES; i++) {
		int r = scan_line(&rest, &line);
		if (r <= 0 || !memchr(line.p, '|', (size_t)(line.end - line.p)))
			return -EPROTO;
	}
	*ret = (struct proc_net_dev_reader){.p = rest.p, .end = rest.end};
	return 0;
}

/*   eth0: 179458867    3440    0    0    0     0          0         0   147936    2043    0    0    0     0       0 0
 * There may be no space behind the colon. */
int proc_net_dev_next(struct proc_net_dev_reader *reader, struct net_dev_row *ret)
{
	struct scan rest = {reader->p, reader->end}, line;
	struct net_dev_row row;
	struct word name;
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return r;
	r = scan_until(&line, ':', &name);
	if (r < 0)
		return r;
	if (name.len == 0 || name.len > NET_DEV_NAME_MAX)
		return -EPROTO;
	for (size_t i = 0; i < NET_DEV_VALUES; i++) {
		r = scan_u64(&line, &row.values[i]);
		if (r < 0)
			return r;
	}
	row.name = name.text;
	row.name_len = name.len;
	reader->p = rest.p;
	*ret = row;
	return 1;
}
