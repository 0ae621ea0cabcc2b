#include "agent/collectors/statfs_text.h"

#include <errno.h>
#include <sys/statvfs.h>

/* /mnt/a\040disk 4096 64139013 7352833 7348737 16318464 14908341 1 */
int statfs_next(struct statfs_reader *reader, struct statfs_row *ret)
{
	struct scan rest = reader->rest, line;
	struct statfs_row row;
	uint64_t flags;
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return r;
	struct mount_space *space = &row.space;
	if (scan_word(&line, &row.point) < 0 || scan_u64(&line, &space->block_bytes) < 0 ||
	    scan_u64(&line, &space->blocks) < 0 || scan_u64(&line, &space->free) < 0 ||
	    scan_u64(&line, &space->available) < 0 || scan_u64(&line, &space->inodes) < 0 ||
	    scan_u64(&line, &space->inodes_free) < 0 || scan_u64(&line, &flags) < 0)
		return -EPROTO;
	space->read_only = (flags & ST_RDONLY) != 0;
	reader->rest = rest;
	*ret = row;
	return 1;
}
