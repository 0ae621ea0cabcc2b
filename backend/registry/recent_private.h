/* Private to recent*.c. */
#pragma once

#include "backend/registry/recent.h"
#include "common/buf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zstd.h>

#define RECENT_BLOCK_ROWS 12
#define RECENT_BLOCK_BYTES (32u << 10) /* a block of so many is full */
#define RECENT_ROW_BYTES 8192
#define RECENT_SLOTS 1024

struct recent_tick {
	int64_t agent_us, received_us;
	uint64_t sequence, boottime_us;
	uint64_t left_out; /* sections that the row has and that are not here */
	uint32_t at, len;  /* in the block's bytes */
};

/* Memory of blocks that were made one after the other, for they go in that order too: by themselves, among what else is
 * allocated, each would hold pages that are half empty. */
struct recent_slab {
	_Atomic unsigned references; /* blocks, and whoever fills it */
	size_t used;
};

/* Rows of one instance and schema. Does not change. */
struct recent_block {
	_Atomic unsigned references;
	struct recent_slab *slab;		  /* a reference; NULL: malloc'd */
	struct recent_block *next, *next_of_host; /* younger; guarded by the lock */
	struct recent_host *host;
	uint8_t instance[16], descriptor_hash[32];
	int64_t newest_us;		 /* received */
	size_t size;			 /* of all of it */
	uint32_t n, raw_len, packed_len; /* packed_len 0: the bytes are as they came */
	struct recent_tick ticks[];	 /* then the bytes */
};

struct recent_host {
	struct recent_host *next; /* of the slot */
	uint8_t host_id[16];
	struct recent_block *first, *last;
	/* Rows that will be the next block. */
	uint8_t instance[16], descriptor_hash[32];
	struct recent_tick ticks[RECENT_BLOCK_ROWS];
	uint32_t n;
	struct buf raw;
};

struct recent {
	size_t max_bytes;
	_Atomic uint64_t wanted;       /* sections */
	_Atomic uint64_t asked_ns[64]; /* when they were asked for */
	pthread_mutex_t lock;	       /* guards what follows */
	size_t bytes;
	int64_t newest_us; /* the latest receipt: the clock here */
	uint64_t adds;
	size_t n_hosts;
	struct recent_block *first, *last; /* by age */
	struct recent_host *hosts[RECENT_SLOTS];
	struct recent_slab *slab; /* that is being filled, or NULL */
	ZSTD_CCtx *packer;
	struct buf packed;
};

static inline const uint8_t *recent_block_bytes(const struct recent_block *block)
{
	return (const uint8_t *)&block->ticks[block->n];
}

void recent_block_unref(struct recent_block *block); /* accepts NULL */

/* The host, or NULL. The lock is held. */
struct recent_host *recent_find_host(const struct recent *recent, const uint8_t host_id[16]) __attribute__((nonnull));
/* What the host's rows are that are no block yet, as one that is nobody's. NULL: no memory. The lock is held. */
struct recent_block *recent_copy_pending(const struct recent_host *host) __attribute__((nonnull));
