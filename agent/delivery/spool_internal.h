/* What spool.c (the ring) and spool_load.c (how it comes out of the file) share. */
#pragma once

#include "agent/delivery/crc32c.h"
#include "agent/delivery/mapping.h"
#include "agent/delivery/spool.h"
#include "agent/delivery/spool_format.h"

struct spool_entry {
	uint64_t position, ordinal, sequence;
	uint32_t len;
	uint32_t owner; /* index of owners */
	bool waits;	/* neither accepted, rejected nor damaged */
};

struct spool_owner {
	struct origin origin;
	uint64_t snapshots; /* that wait */
};

struct spool {
	struct mapping file;
	struct crc32c crc;
	struct spool_header header; /* what the file's says after the next commit */
	uint64_t ring_bytes;

	/* Records from head to tail, ascending in ordinal and in (owner, sequence); the first one waits. A ring of its
	 * own: entry i is entries[(first + i) % cap]. */
	struct spool_entry *entries;
	size_t cap, first, used;

	/* In the order in which they lived; the last is ourselves. */
	struct spool_owner *owners;
	size_t n_owners;

	uint64_t waiting, waiting_bytes;
	uint64_t untouched_bytes; /* written since the pages were last given back */
};

static inline struct spool_entry *spool_entry(const struct spool *spool, size_t i)
{
	return &spool->entries[(spool->first + i) % spool->cap];
}

/* Bytes a record takes in the ring. */
uint64_t spool_record_bytes(uint64_t len);
uint32_t spool_record_crc(const struct spool *spool, const struct spool_record *record);
uint32_t spool_header_crc(const struct crc32c *crc, const struct spool_header *header);
/* Checks a payload that is in the file. True when it is whole. */
bool spool_payload_whole(const struct spool *spool, uint64_t position, const struct spool_record *record);

/* Writes the header over the older of the two. 0 or -EIO. */
int spool_commit(struct spool *spool) __attribute__((warn_unused_result));
/* The entry waits no longer; the file says so as well. */
void spool_settle(struct spool *spool, struct spool_entry *entry);
/* Takes the oldest record off. */
void spool_drop_head(struct spool *spool);
/* Takes off what has been settled at the old end. */
void spool_trim(struct spool *spool);

/* Room for the entries of a ring of ring_bytes. */
int spool_make_entries(struct spool *spool) __attribute__((warn_unused_result));
/* The last owner from now on. */
int spool_add_owner(struct spool *spool, const struct origin *origin) __attribute__((warn_unused_result));

/* spool_load.c. Reads a locked file of that size into the empty spool: 0, or a negative errno with the reason why it
 * cannot be used in the report; what it held is counted there as far as it can be told. */
int spool_load(struct spool *spool, const struct spool_options *options, uint64_t size, struct spool_report *report)
	__attribute__((warn_unused_result));
