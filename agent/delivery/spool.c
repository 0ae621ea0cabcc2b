/* The order of writing is what makes it safe to be killed anywhere: first the header, which says where the oldest
 * record is from now on, how many were dropped for it and that a record follows; then the record. So the room a record
 * is written to is never held by one that counts, and one that was begun and not finished is missed at the next start.
 *
 * What was accepted or rejected is marked in the record; the header follows at the next push. */
#include "agent/delivery/spool_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FORGET_BYTES ((uint64_t)256 << 10)
#define CHUNK ((size_t)16 << 10)

uint64_t spool_record_bytes(uint64_t len)
{
	return (sizeof(struct spool_record) + len + 7) & ~7ull;
}

uint32_t spool_record_crc(const struct spool *s, const struct spool_record *record)
{
	uint32_t crc = crc32c_of(&s->crc, 0, &s->header.id, sizeof(s->header.id));
	return crc32c_of(&s->crc, crc, record, offsetof(struct spool_record, crc));
}

uint32_t spool_header_crc(const struct crc32c *crc, const struct spool_header *header)
{
	return crc32c_of(crc, 0, header, offsetof(struct spool_header, crc));
}

static uint64_t place(const struct spool *s, uint64_t position)
{
	return SPOOL_RING + position % s->ring_bytes;
}

bool spool_payload_whole(const struct spool *s, uint64_t position, const struct spool_record *record)
{
	uint8_t bytes[CHUNK];
	uint64_t at = place(s, position) + sizeof(*record);
	uint32_t crc = 0;
	for (size_t left = record->len; left > 0;) {
		size_t len = left < sizeof(bytes) ? left : sizeof(bytes);
		if (mapping_read(&s->file, at, bytes, len) < 0)
			return false;
		crc = crc32c_of(&s->crc, crc, bytes, len);
		at += len;
		left -= len;
	}
	return crc == record->payload_crc;
}

int spool_commit(struct spool *s)
{
	s->header.generation++;
	s->header.crc = spool_header_crc(&s->crc, &s->header);
	return mapping_write(&s->file, s->header.generation % 2 * SPOOL_HEADER_SLOT, &s->header, sizeof(s->header));
}

void spool_settle(struct spool *s, struct spool_entry *entry)
{
	const uint32_t done = SPOOL_DONE;
	entry->waits = false;
	s->waiting--;
	s->waiting_bytes -= spool_record_bytes(entry->len);
	s->owners[entry->owner].snapshots--;
	/* A mark that cannot be written costs a snapshot that is sent twice. */
	int r = mapping_write(&s->file, place(s, entry->position) + offsetof(struct spool_record, state), &done,
			      sizeof(done));
	(void)r;
}

void spool_drop_head(struct spool *s)
{
	struct spool_header *h = &s->header;
	uint64_t ordinal = spool_entry(s, 0)->ordinal;
	s->first = (s->first + 1) % s->cap;
	s->used--;
	h->head = s->used > 0 ? spool_entry(s, 0)->position : h->tail;
	h->head_ordinal = s->used > 0 ? spool_entry(s, 0)->ordinal : h->next_ordinal;
	h->missing -= h->head_ordinal - ordinal - 1;
}

void spool_trim(struct spool *s)
{
	while (s->used > 0 && !spool_entry(s, 0)->waits)
		spool_drop_head(s);
}

/* Dropped in memory only: the header that follows says it, and their room is written to after that. */
static void make_room(struct spool *s, uint64_t end)
{
	while (s->used > 0 && (s->used == s->cap || end - s->header.head > s->ring_bytes)) {
		struct spool_entry *oldest = spool_entry(s, 0);
		if (oldest->waits) {
			s->header.dropped++;
			s->waiting--;
			s->waiting_bytes -= spool_record_bytes(oldest->len);
			s->owners[oldest->owner].snapshots--;
		}
		spool_drop_head(s);
	}
}

static int write_record(struct spool *s, const struct spool_record *record, const void *data)
{
	uint64_t at = place(s, record->position);
	int r = mapping_write(&s->file, at + sizeof(*record), data, record->len);
	return r < 0 ? r : mapping_write(&s->file, at, record, sizeof(*record));
}

int spool_push(struct spool *s, uint64_t sequence, const void *data, size_t len)
{
	struct spool_header *h = &s->header;
	uint64_t bytes = len < s->ring_bytes ? spool_record_bytes(len) : UINT64_MAX;
	if (bytes > s->ring_bytes) {
		h->dropped++;
		int r = spool_commit(s);
		return r < 0 ? r : -EMSGSIZE;
	}
	uint64_t offset = h->tail % s->ring_bytes;
	uint64_t position = h->tail + (offset + bytes > s->ring_bytes ? s->ring_bytes - offset : 0);
	make_room(s, position + bytes);
	if (s->used == 0)
		h->head = position;
	struct spool_record record = {
		.magic = SPOOL_RECORD_MAGIC,
		.position = position,
		.ordinal = h->next_ordinal++,
		.sequence = sequence,
		.origin = s->owners[s->n_owners - 1].origin,
		.len = (uint32_t)len,
		.payload_crc = crc32c_of(&s->crc, 0, data, len),
	};
	record.crc = spool_record_crc(s, &record);
	h->tail = position + bytes;
	int r = spool_commit(s);
	if (r == 0)
		r = write_record(s, &record, data);
	if (r < 0)
		return r;

	*spool_entry(s, s->used++) = (struct spool_entry){
		.position = position,
		.ordinal = record.ordinal,
		.sequence = sequence,
		.len = record.len,
		.owner = (uint32_t)(s->n_owners - 1),
		.waits = true,
	};
	s->owners[s->n_owners - 1].snapshots++;
	s->waiting++;
	s->waiting_bytes += bytes;
	s->untouched_bytes += bytes;
	if (s->untouched_bytes > FORGET_BYTES) {
		s->untouched_bytes = 0;
		mapping_forget(&s->file); /* or the whole file would count as this process's memory one day */
	}
	return 0;
}

/* The oldest owner of that instance that has something, or n_owners: an instance is there twice only when records
 * between were damaged in a way no checksum saw. */
static size_t find_owner(const struct spool *s, const uint8_t *instance)
{
	size_t i = instance ? 0 : s->n_owners - 1;
	while (instance && i < s->n_owners &&
	       (s->owners[i].snapshots == 0 || memcmp(s->owners[i].origin.instance, instance, 16) != 0))
		i++;
	return i;
}

/* The first entry at or above (owner, sequence); `used` if there is none. */
static size_t lower_bound(const struct spool *s, size_t owner, uint64_t sequence)
{
	size_t low = 0, high = s->used;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct spool_entry *e = spool_entry(s, middle);
		if (e->owner < owner || (e->owner == owner && e->sequence < sequence))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int read_entry(struct spool *s, const struct spool_entry *e, void **ret_data)
{
	struct spool_record record;
	void *data = malloc(e->len > 0 ? e->len : 1);
	if (!data)
		return -ENOMEM;
	uint64_t at = place(s, e->position);
	int r = mapping_read(&s->file, at, &record, sizeof(record));
	if (r == 0)
		r = mapping_read(&s->file, at + sizeof(record), data, e->len);
	if (r == 0 && (record.crc != spool_record_crc(s, &record) || record.position != e->position ||
		       record.payload_crc != crc32c_of(&s->crc, 0, data, e->len)))
		r = -EBADMSG;
	if (r < 0) {
		free(data);
		return r;
	}
	*ret_data = data;
	return 0;
}

int spool_next(struct spool *s, const uint8_t *instance, uint64_t after, uint64_t *ret_sequence, void **ret_data,
	       size_t *ret_len)
{
	size_t owner = find_owner(s, instance);
	int r = 0;
	if (after == UINT64_MAX)
		return 0;
	for (size_t i = lower_bound(s, owner, after + 1); i < s->used && r == 0; i++) {
		struct spool_entry *e = spool_entry(s, i);
		if (e->owner != owner)
			break;
		if (!e->waits)
			continue;
		r = read_entry(s, e, ret_data);
		if (r == 0) {
			*ret_sequence = e->sequence;
			*ret_len = e->len;
			return 1;
		}
		if (r == -EBADMSG) {
			spool_settle(s, e);
			s->header.corrupt++;
			r = spool_commit(s);
		}
	}
	return r;
}

uint64_t spool_remove(struct spool *s, const uint8_t *instance, uint64_t first, uint64_t last)
{
	size_t owner = find_owner(s, instance);
	uint64_t removed = 0;
	for (size_t i = lower_bound(s, owner, first); i < s->used; i++) {
		struct spool_entry *e = spool_entry(s, i);
		if (e->owner != owner || e->sequence > last)
			break;
		if (!e->waits)
			continue;
		spool_settle(s, e);
		removed++;
	}
	spool_trim(s);
	return removed;
}

uint64_t spool_newest(const struct spool *s)
{
	for (size_t i = s->used; i > 0 && spool_entry(s, i - 1)->owner == s->n_owners - 1; i--) {
		if (spool_entry(s, i - 1)->waits)
			return spool_entry(s, i - 1)->sequence;
	}
	return 0;
}

bool spool_backlog(const struct spool *s, struct origin *ret)
{
	for (size_t i = 0; i + 1 < s->n_owners; i++) {
		if (s->owners[i].snapshots == 0)
			continue;
		*ret = s->owners[i].origin;
		return true;
	}
	return false;
}

bool spool_has_set(const struct spool *s, const uint8_t descriptor_hash[32])
{
	for (size_t i = 0; i + 1 < s->n_owners; i++) {
		if (s->owners[i].snapshots > 0 && memcmp(s->owners[i].origin.descriptor_hash, descriptor_hash, 32) == 0)
			return true;
	}
	return false;
}

struct spool_stats spool_stats(const struct spool *s)
{
	return (struct spool_stats){
		.bytes = s->header.file_bytes,
		.used = s->waiting_bytes,
		.snapshots = s->waiting,
		.own = s->owners[s->n_owners - 1].snapshots,
		.dropped = s->header.dropped,
		.corrupt = s->header.corrupt,
	};
}
