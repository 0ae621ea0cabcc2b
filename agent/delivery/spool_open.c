/* What is there is used as it is, or emptied in place: the lock is the file's, not its name's. The two counters go over
 * to the new file. */
#include "agent/delivery/spool_internal.h"

#include "common/encoding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define BYTES_PER_ENTRY 1024u
#define MAX_ENTRIES ((size_t)1 << 20)

int spool_make_entries(struct spool *s)
{
	uint64_t n = s->ring_bytes / BYTES_PER_ENTRY + 64;
	s->cap = n < MAX_ENTRIES ? (size_t)n : MAX_ENTRIES;
	s->entries = calloc(s->cap, sizeof(s->entries[0]));
	return s->entries ? 0 : -ENOMEM;
}

int spool_add_owner(struct spool *s, const struct origin *origin)
{
	if (s->n_owners >= UINT32_MAX)
		return -ENOMEM;
	struct spool_owner *more = reallocarray(s->owners, s->n_owners + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->owners = more;
	s->owners[s->n_owners++] = (struct spool_owner){.origin = *origin};
	return 0;
}

/* Forgets what was read, but not the lock. */
static void reset(struct spool *s)
{
	mapping_unmap(&s->file);
	free(s->entries);
	free(s->owners);
	*s = (struct spool){.file = s->file, .crc = s->crc};
}

/* As large as the disk has room for. */
static int allocate(struct spool *s, uint64_t bytes)
{
	int r = -ENOSPC;
	bytes = bytes / PAGE * PAGE;
	for (; r == -ENOSPC && bytes >= SPOOL_MIN_BYTES; bytes = bytes / 2 / PAGE * PAGE) {
		r = mapping_allocate(&s->file, bytes);
		if (r == -EDQUOT || r == -EFBIG)
			r = -ENOSPC;
		if (r == 0)
			s->header.file_bytes = bytes;
	}
	return r;
}

static int make(struct spool *s, const struct spool_options *options, uint64_t dropped, uint64_t corrupt)
{
	int r = allocate(s, options->bytes);
	if (r < 0)
		return r;
	s->header = (struct spool_header){
		.magic = SPOOL_HEADER_MAGIC,
		.version = SPOOL_VERSION,
		.file_bytes = s->header.file_bytes,
		.dropped = dropped,
		.corrupt = corrupt,
	};
	encoding_random(&s->header.id, sizeof(s->header.id));
	memcpy(s->header.host_id, options->host_id, sizeof(s->header.host_id));
	s->ring_bytes = s->header.file_bytes - SPOOL_RING;
	r = mapping_map(&s->file, s->header.file_bytes);
	return r < 0 ? r : spool_make_entries(s);
}

static int load_or_make(struct spool *s, const struct spool_options *options, uint64_t size,
			struct spool_report *report)
{
	int r = spool_load(s, options, size, report);
	if (r == 0 && (s->waiting > 0 || s->header.file_bytes == options->bytes / PAGE * PAGE))
		return 0;
	if (r == -ENOMEM)
		return r;
	uint64_t dropped = s->header.dropped + report->lost, corrupt = s->header.corrupt;
	reset(s);
	return make(s, options, dropped, corrupt);
}

int spool_open(const struct spool_options *options, struct spool **ret, struct spool_report *ret_report)
{
	struct spool_report report = {.discarded = NULL};
	uint64_t size;
	struct spool *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	crc32c_init(&s->crc);
	int r = mapping_lock(options->path, &s->file, &size);
	if (r < 0) {
		free(s);
		return r;
	}
	r = load_or_make(s, options, size, &report);
	if (r == 0)
		r = spool_add_owner(s, &options->origin);
	if (r == 0)
		r = spool_commit(s);
	if (r < 0) {
		spool_close(s);
		return r;
	}
	*ret = s;
	*ret_report = report;
	return 0;
}

void spool_close(struct spool *s)
{
	if (!s)
		return;
	mapping_close(&s->file);
	free(s->entries);
	free(s->owners);
	free(s);
}
