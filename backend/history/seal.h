/* Rows of a host become chunks. Thread-safe. */
#pragma once

#include "backend/registry/schemas.h"
#include "backend/store/store.h"

#include "backend/columns/chunk_builder.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SEAL_MAX_ROWS 1500	       /* at a time */
#define SEAL_BUILDER_BYTES (32u << 20) /* of values gathered; what does not fit begins another chunk */
#define SEAL_KEPT_BYTES (16u << 20)    /* a builder that has gathered more is not kept */

struct seal_job {
	struct store *store;
	struct schemas *schemas;
	const struct store_unsealed *host;
	int64_t upto_us;	 /* rows received up to then */
	unsigned max_rows;	 /* at a time; what came together stays together. 0: SEAL_MAX_ROWS */
	int64_t now_us;		 /* when the chunks are made */
	const atomic_bool *stop; /* NULL: nobody does */
	/* The caller's, for calls one after the other: NULL at first, then a builder whose memory is used again, or
	 * NULL. Without it none is kept. */
	struct chunk_builder **builder;
};

struct seal_result {
	uint64_t rows, samples, chunks, bytes;
	uint64_t bad_rows;   /* of which all or a part could not be read: the rest of them is in the chunks; a stretch
			      * of those of which nothing can be read counts as one, and a chunk that cannot be read
			      * either stands in its place */
	uint64_t duplicates; /* left out: that sequence of the instance was there already */
	int64_t sealed_us;   /* up to which rows are sealed now */
	bool more;	     /* there are rows up to upto_us that were too many for one time */
};

/* 0; -ESTALE when rows came meanwhile, or another backend was quicker: come again; -ECANCELED when *stop was set; other
 * negative errno of the store, -ENOMEM. But for 0 nothing was changed. */
int seal_host(const struct seal_job *job, struct seal_result *ret) __attribute__((nonnull, warn_unused_result));

/* Up to when a host is to be sealed at now_us: hosts take turns within a period, so that they do not come all at once.
 * Pure. */
int64_t seal_due_us(const uint8_t host_id[16], int64_t now_us, int64_t period_us);
