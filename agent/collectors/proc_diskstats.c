#include "agent/collectors/proc_diskstats.h"

#include "agent/scan.h"

#include <errno.h>

#define WITHOUT_DISCARDS DISKSTATS_DISCARDS
#define WITHOUT_FLUSHES DISKSTATS_FLUSHES

static int parse_number32(struct scan *line, uint32_t *ret)
{
	uint64_t value;
	int r = scan_u64(line, &value);
	if (r < 0)
		return r;
	if (value > UINT32_MAX)
		return -EPROTO;
	*ret = (uint32_t)value;
	return 0;
}

static int parse_values(struct scan *line, struct diskstats_row *row)
{
	unsigned n = 0;
	while (n < DISKSTATS_VALUES && !scan_at_end(line)) {
		int r = scan_u64(line, &row->values[n]);
		if (r < 0)
			return r;
		n++;
	}
	if (n != WITHOUT_DISCARDS && n != WITHOUT_FLUSHES && n != DISKSTATS_VALUES)
		return -EPROTO;
	row->n_values = n;
	return 0;
}

/* 259       0 nvme0n1 255999 814 12369153 47919 996852 81 36123024 425995 0 301795 580470 0 0 0 0 60602 106555 */
int proc_diskstats_next(struct proc_diskstats_reader *reader, struct diskstats_row *ret)
{
	struct scan rest = {reader->p, reader->end}, line;
	struct diskstats_row row = {.n_values = 0};
	struct word name;
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return r;
	if ((r = parse_number32(&line, &row.major)) < 0 || (r = parse_number32(&line, &row.minor)) < 0 ||
	    (r = scan_word(&line, &name)) < 0)
		return r;
	if (name.len > DISKSTATS_NAME_MAX)
		return -EPROTO;
	r = parse_values(&line, &row);
	if (r < 0)
		return r;
	row.name = name.text;
	row.name_len = name.len;
	reader->p = rest.p;
	*ret = row;
	return 1;
}
