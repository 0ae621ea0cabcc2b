/* The file is not walked from record to record but searched: what is valid says itself where it belongs, and damage to
 * one record hides no other. Only the header decides what is too old; only checksums decide what is whole. Ordinals
 * without a record between the oldest and the newest are what was lost. */
#include "agent/delivery/spool_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define SEARCH_BYTES ((size_t)64 << 10)
#define LARGEST ((uint64_t)1 << 62) /* of what counts up: sums of two do not overflow */

struct found {
	struct spool_record *records;
	size_t n, cap;
};

/* --- the header --------------------------------------------------------------------------------------------------- */

static bool header_sane(const struct spool_header *h)
{
	return h->file_bytes % PAGE == 0 && h->file_bytes >= SPOOL_MIN_BYTES && h->file_bytes <= SPOOL_MAX_BYTES &&
	       h->head % 8 == 0 && h->tail % 8 == 0 && h->generation < LARGEST && h->tail < LARGEST &&
	       h->head <= h->tail && h->tail - h->head <= h->file_bytes - SPOOL_RING && h->next_ordinal < LARGEST &&
	       h->head_ordinal <= h->next_ordinal && h->missing <= h->next_ordinal - h->head_ordinal;
}

/* 0 or -EPROTO with the reason, -EIO. */
static int load_header(struct spool *s, const struct spool_options *options, struct spool_report *report)
{
	struct spool_header found;
	bool any = false;
	report->discarded = "its header is damaged";
	for (unsigned i = 0; i < 2; i++) {
		int r = mapping_peek(&s->file, i * (uint64_t)SPOOL_HEADER_SLOT, &found, sizeof(found));
		if (r < 0 && r != -ENODATA)
			return r;
		if (r < 0 || found.magic != SPOOL_HEADER_MAGIC)
			continue;
		if (found.version != SPOOL_VERSION && !any)
			report->discarded = "another version of the agent made it";
		if (found.version != SPOOL_VERSION || found.crc != spool_header_crc(&s->crc, &found) ||
		    !header_sane(&found) || (any && found.generation < s->header.generation))
			continue;
		s->header = found;
		any = true;
	}
	if (!any)
		return -EPROTO;
	report->discarded = NULL;
	if (memcmp(s->header.host_id, options->host_id, sizeof(s->header.host_id)) != 0) {
		report->discarded = "it is of another host id";
		return -EPROTO;
	}
	return 0;
}

/* --- the records -------------------------------------------------------------------------------------------------- */

static int add_found(struct found *found, const struct spool_record *record)
{
	if (found->n == found->cap) {
		size_t cap = found->cap > 0 ? 2 * found->cap : 256;
		struct spool_record *more = reallocarray(found->records, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		found->records = more;
		found->cap = cap;
	}
	found->records[found->n++] = *record;
	return 0;
}

/* A record that begins at that offset of the ring and is not too old: true. */
static bool is_record(const struct spool *s, const struct spool_record *record, uint64_t offset)
{
	return record->crc == spool_record_crc(s, record) && record->position < LARGEST &&
	       record->position % s->ring_bytes == offset && record->position >= s->header.head &&
	       record->ordinal < LARGEST && record->ordinal >= s->header.head_ordinal &&
	       spool_record_bytes(record->len) <= s->ring_bytes - offset;
}

/* Read, not mapped: pages that hold nothing need not count as this process's memory. */
static int search(const struct spool *s, struct found *found)
{
	const uint64_t magic = SPOOL_RECORD_MAGIC;
	uint8_t *window = malloc(SEARCH_BYTES);
	uint64_t offset = 0;
	int r = window ? 0 : -ENOMEM;
	while (r == 0 && offset + sizeof(struct spool_record) <= s->ring_bytes) {
		uint64_t left = s->ring_bytes - offset;
		size_t len = left < SEARCH_BYTES ? (size_t)left : SEARCH_BYTES, at = 0;
		r = mapping_peek(&s->file, SPOOL_RING + offset, window, len);
		while (r == 0 && at + sizeof(struct spool_record) <= len) {
			struct spool_record record;
			bool is = memcmp(window + at, &magic, sizeof(magic)) == 0; /* hardly ever: no copy before */
			if (is) {
				memcpy(&record, window + at, sizeof(record));
				is = is_record(s, &record, offset + at);
			}
			if (is)
				r = add_found(found, &record);
			at += is ? spool_record_bytes(record.len) : 8;
		}
		offset += at;
	}
	free(window);
	return r;
}

static int by_position(const void *a, const void *b)
{
	const struct spool_record *one = a, *two = b;
	return (one->position > two->position) - (one->position < two->position);
}

/* Keeps what can all be true at once: the newest lap, ordinals that ascend. Only a power failure leaves others. */
static void reconcile(struct spool *s, struct found *found)
{
	struct spool_header *h = &s->header;
	if (found->n == 0)
		return;
	qsort(found->records, found->n, sizeof(found->records[0]), by_position);
	const struct spool_record *last = &found->records[found->n - 1];
	uint64_t end = last->position + spool_record_bytes(last->len), ordinal = 0;
	size_t n = 0;
	h->tail = end > h->tail ? end : h->tail;
	for (size_t i = 0; i < found->n; i++) {
		const struct spool_record *record = &found->records[i];
		if (h->tail - record->position > s->ring_bytes || (n > 0 && record->ordinal <= ordinal))
			continue;
		ordinal = record->ordinal;
		found->records[n++] = *record;
	}
	found->n = n;
	h->next_ordinal = ordinal >= h->next_ordinal ? ordinal + 1 : h->next_ordinal;
}

static void count_missing(struct spool *s, const struct found *found, struct spool_report *report)
{
	struct spool_header *h = &s->header;
	uint64_t missing = h->next_ordinal - h->head_ordinal - found->n;
	if (missing > h->missing) {
		report->damaged += missing - h->missing;
		h->corrupt += missing - h->missing;
	}
	h->head = found->n > 0 ? found->records[0].position : h->tail;
	h->head_ordinal = found->n > 0 ? found->records[0].ordinal : h->next_ordinal;
	h->missing = h->next_ordinal - h->head_ordinal - found->n;
}

static int add_entry(struct spool *s, const struct spool_record *record, struct spool_report *report)
{
	const struct spool_entry *before = s->used > 0 ? spool_entry(s, s->used - 1) : NULL;
	if (!before || record->sequence <= before->sequence ||
	    memcmp(&s->owners[before->owner].origin, &record->origin, sizeof(record->origin)) != 0) {
		int r = spool_add_owner(s, &record->origin);
		if (r < 0)
			return r;
	}
	struct spool_entry *entry = spool_entry(s, s->used++);
	*entry = (struct spool_entry){
		.position = record->position,
		.ordinal = record->ordinal,
		.sequence = record->sequence,
		.len = record->len,
		.owner = (uint32_t)(s->n_owners - 1),
		.waits = record->state != SPOOL_DONE,
	};
	if (!entry->waits)
		return 0;
	s->waiting++;
	s->waiting_bytes += spool_record_bytes(record->len);
	s->owners[entry->owner].snapshots++;
	if (!spool_payload_whole(s, record->position, record)) {
		spool_settle(s, entry);
		s->header.corrupt++;
		report->damaged++;
	}
	return 0;
}

static int load_records(struct spool *s, struct spool_report *report)
{
	struct found found = {.records = NULL};
	int r = search(s, &found);
	if (r == 0) {
		reconcile(s, &found);
		count_missing(s, &found, report);
	}
	for (size_t i = 0; i < found.n && r == 0; i++) {
		if (s->used == s->cap) {
			if (spool_entry(s, 0)->waits) {
				s->header.dropped++;
				spool_settle(s, spool_entry(s, 0));
			}
			spool_drop_head(s);
		}
		r = add_entry(s, &found.records[i], report);
	}
	free(found.records);
	if (r == 0) {
		spool_trim(s);
		mapping_forget(&s->file);
	}
	return r;
}

int spool_load(struct spool *s, const struct spool_options *options, uint64_t size, struct spool_report *report)
{
	if (size == 0)
		return -ENOENT;
	int r = load_header(s, options, report);
	if (r < 0)
		return r;
	s->ring_bytes = s->header.file_bytes - SPOOL_RING;
	/* A file is made whole again, but not larger than anybody wants it. */
	bool wanted = s->header.file_bytes <= (size > options->bytes ? size : options->bytes);
	r = !wanted ? -ENOSPC : mapping_fill(&s->file, s->header.file_bytes);
	if (r == 0)
		r = mapping_map(&s->file, s->header.file_bytes);
	if (r == 0)
		r = spool_make_entries(s);
	if (r == 0)
		r = load_records(s, report);
	if (r < 0) {
		report->discarded =
			r == -ENOSPC ? "it was shortened and there is no room for the rest" : "it cannot be read";
		report->lost = s->header.next_ordinal - s->header.head_ordinal - s->header.missing;
		report->lost_known = true;
		report->damaged = 0;
	}
	return r;
}
