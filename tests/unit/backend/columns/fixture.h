/* Snapshots made by chance from a seed, and what is in snapshots and chunks as a set of facts that can be compared: a
 * fact is a tick's header, a series and its value, to the bit. */
#pragma once

#include "backend/columns/chunk.h"
#include "backend/columns/chunk_builder.h"
#include "backend/columns/columns.h"
#include "common/schema/schema.h"

struct facts {
	uint64_t *hashes;
	size_t n, cap;
};

void facts_free(struct facts *facts);
/* What the walk yields of a snapshot. */
void facts_of_payload(struct facts *facts, const struct columns_tick *tick, const struct schema *schema,
		      const uint8_t *payload, size_t len);
/* All of a chunk; returns the first error of a series, section or the ticks, and goes on behind it. */
int facts_of_chunk(struct facts *facts, const uint8_t *data, size_t len);
/* The same facts, in any order, each as often. */
bool facts_equal(struct facts *a, struct facts *b);
/* How many of a are in b. */
size_t facts_common(struct facts *a, struct facts *b);

struct schema *fixture_schema(void);

/* A random number; never twice the same in a test run with one seed. */
uint64_t fixture_random(uint64_t *seed);
/* Small ones often, any of 64 bits sometimes. */
uint64_t fixture_value(uint64_t *seed);

/* What makes snapshots: counters that go on from one to the next, rows that come and go. */
struct maker {
	uint64_t seed;
	uint64_t counters[64];
	struct columns_tick tick;
	bool wild; /* any values, not only plausible ones */
};
void maker_init(struct maker *maker, uint64_t seed, bool wild);
/* The next snapshot's header and payload. */
void maker_next(struct maker *maker, struct buf *payload);

/* A snapshot of one custom gauge and one custom counter, by hand. */
void fixture_custom_double(struct buf *payload, const char *name, uint64_t bits);
void fixture_custom_uint(struct buf *payload, const char *name, uint64_t value);
void fixture_custom_int(struct buf *payload, const char *name, int64_t value);
/* Wraps what was put with the three above into a section of a snapshot. */
void fixture_custom_section(const struct buf *metrics, struct buf *payload);
