/* The spool's file, so that spool.c and the tests that damage it agree.
 *
 * A page with the file's header in two places, written in turn, so that one of the two is always whole; then the ring.
 * A record lies in one piece at a multiple of 8: its header, then the packed Snapshot. What does not fit before the end
 * of the ring begins at its start. Numbers are in the host's byte order: the file does not travel. */
#pragma once

#include "agent/delivery/origin.h"

#include <stdint.h>

#define SPOOL_HEADER_MAGIC 0x314c4f4f50534453ull
#define SPOOL_RECORD_MAGIC 0x44524345524c5053ull
#define SPOOL_VERSION 1u
#define SPOOL_HEADER_SLOT 512u
#define SPOOL_RING 4096u /* where the ring begins */
#define SPOOL_DONE 0x656e6f64u

/* Positions and ordinals count from the file's making on: a position is the number of bytes written before it, and lies
 * at position % (file_bytes - SPOOL_RING) of the ring; an ordinal is the number of records before it. */
struct spool_header {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	uint64_t file_bytes;
	uint64_t id; /* random: what a former file left on the disk is not taken for this one's */
	uint8_t host_id[16];
	uint64_t generation; /* the higher one of the two counts */
	uint64_t head, tail; /* positions: the oldest record that may be wanted, the end of the newest */
	uint64_t head_ordinal, next_ordinal;
	uint64_t missing; /* ordinals between the two that were found damaged before */
	uint64_t dropped; /* snapshots: to make room, or too large */
	uint64_t corrupt; /* records that were found damaged */
	uint32_t unused;
	uint32_t crc; /* of all above */
};

struct spool_record {
	uint64_t magic;
	uint64_t position;
	uint64_t ordinal;
	uint64_t sequence;
	struct origin origin;
	uint32_t len;
	uint32_t payload_crc;
	uint32_t crc;	/* of all above and the file's id */
	uint32_t state; /* SPOOL_DONE: accepted, rejected or found damaged. Anything else is still to be sent */
};

_Static_assert(sizeof(struct spool_header) == 120, "no padding in what is summed");
_Static_assert(sizeof(struct spool_record) == 112, "no padding in what is summed");
