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
/* An undamaged chunk says these facts, in any order, each as often, and no others. */
void facts_expect(struct facts *facts, const struct buf *chunk);
/* How many of a are in b. */
size_t facts_common(struct facts *a, struct facts *b);

/* For cmocka_run_group_tests(): fixture_schema() is there in between. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The group's own, borrowed; and the same compiled once more, a reference for the caller. */
struct schema *fixture_schema(void);
struct schema *fixture_schema_new(void);

/* A random number; never twice the same in a test run with one seed. */
uint64_t fixture_random(uint64_t *seed);
/* Small ones often, any of 64 bits sometimes. */
uint64_t fixture_value(uint64_t *seed);
/* The bits of a double that is none to reckon with: zeros, infinities, NaNs that say something, the outermost. */
uint64_t fixture_odd_double(uint64_t *seed);

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

/* Adds with the group's schema, which succeeds. */
void fixture_add(struct chunk_builder *builder, const struct columns_tick *tick, const struct buf *payload);
/* Appends the chunk, in the form in which chunks are sealed, and frees its builder. */
void fixture_finish(struct chunk_builder *builder, struct buf *chunk);
/* A chunk of so many snapshots of a maker, in that form or in any. */
void fixture_chunk(uint64_t seed, bool wild, uint32_t n, struct buf *chunk);
void fixture_chunk_as(enum columns_form form, uint64_t seed, bool wild, uint32_t n, struct buf *chunk);

/* A snapshot of one custom gauge and one custom counter, by hand. */
void fixture_custom_double(struct buf *payload, const char *name, uint64_t bits);
void fixture_custom_uint(struct buf *payload, const char *name, uint64_t value);
void fixture_custom_int(struct buf *payload, const char *name, int64_t value);
/* Wraps what was put with the three above into a section of a snapshot. */
void fixture_custom_section(const struct buf *metrics, struct buf *payload);
/* What a chunk of nothing but such snapshots has of a metric: there is one of that name, labelled as above. The texts
 * of *id are the closed section's. */
void fixture_custom_find(const struct buf *chunk, const char *name, struct columns_values *values,
			 struct columns_series *id);
