/* A host's snapshots by chance, in a real store in any of the ways in which they can lie there: rows, sealed,
 * compacted, several generations, minutes; and range queries over them. */
#pragma once

#include "backend/history/tiers.h"
#include "backend/query/query_cache.h"
#include "backend/query/range.h"
#include "backend/registry/recent.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"
#include "tests/unit/backend/columns/fixture.h"

struct history_snapshot {
	struct columns_tick tick;
	struct buf payload; /* with its header */
};

struct history {
	char directory[64];
	struct store *store;
	struct schemas *schemas;
	struct query_cache *cache;	    /* small enough to forget */
	struct recent *recent;		    /* or NULL: what is put in as rows it is told too */
	struct history_snapshot *snapshots; /* as they were made: the clock may have gone back between two */
	size_t n;
	int64_t sealed_us;
	unsigned threads;  /* that a question has */
	int64_t window_us; /* where chunks are cut: as the tier says, or as it once was */
};

extern const uint8_t history_host[16];

/* An empty store with one host, "a". */
void history_open(struct history *h);
void history_close(struct history *h);

void history_make(struct history *h, uint64_t seed, bool wild, size_t n);
/* One more snapshot, with sections as they stand in `sections`. */
void history_add(struct history *h, const struct columns_tick *tick, const struct buf *sections);

/* Which of the snapshots: i of which keep(i, arg). NULL: all. */
typedef bool (*history_keep_fn)(size_t i, size_t arg);

void history_put_rows(struct history *h, history_keep_fn keep, size_t arg);
/* Chunks, cut where windows end, and after `most` snapshots. With `values_of` the values are those of another history
 * with the same ticks. */
void history_put_chunks(struct history *h, const struct history *values_of, history_keep_fn keep, size_t arg,
			size_t most, bool compacted);
/* The minutes of what is kept, compacted; and nothing else. */
void history_put_minutes(struct history *h, history_keep_fn keep, size_t arg);
/* Stores a chunk as it is; or bytes in its place. */
void history_put(struct history *h, enum store_tier tier, uint32_t statistic, bool compacted, const struct buf *chunk);
void history_put_instead(struct history *h, enum store_tier tier, uint32_t statistic, bool compacted,
			 const struct buf *chunk, const struct buf *bytes);
/* The chunk of snapshots [first, end) that history_put_chunks() would put. */
void history_chunk(struct history *h, size_t first, size_t end, struct buf *out);

struct history_question {
	const char *selector;
	enum range_function function;
	int64_t from_us, to_us, step_us;
	const char *group_by; /* NULL: not grouped */
};

/* The answer, or selector_parse()'s or range_run()'s error with its sentence in error. */
int history_ask(struct history *h, const struct history_question *question, struct range_result *ret, char *error,
		size_t size);
/* The answer, which there is. */
struct range_result history_answer(struct history *h, const struct history_question *question);
/* Fail with what differs. With tolerance 0 values are the same bits. */
void history_same(const struct range_result *a, const struct range_result *b, double tolerance, const char *what);
void history_same_gaps(const struct range_result *a, const struct range_result *b, const char *what);
