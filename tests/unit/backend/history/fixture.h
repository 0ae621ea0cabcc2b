/* A store with a host whose snapshots are made by chance, and what its chunks say beside what was sent. SQLite in a
 * temporary directory, or the PostgreSQL database that SONDE_TEST_STORE names, emptied before each test. */
#pragma once

#include "backend/registry/schemas.h"
#include "backend/store/store.h"
#include "tests/unit/backend/columns/fixture.h"

struct history {
	char directory[64], path[96], url[256];
	struct store *store;
	struct schemas *schemas;
	uint8_t host[16], instance[16];
	struct maker maker;
	struct facts sent;
	uint64_t sequence;
	int64_t received_us; /* the backend's clock, which goes on whatever the agent's does */
};

int history_setup(void **state); /* needs what the columns' fixture_setup() sets up for the group */
int history_teardown(void **state);

/* Appends what the maker says next, n times, received a second apart; waits until it is durable. Returns when
 * the last was received. */
int64_t history_append(struct history *h, uint32_t n);
/* One payload of the test's own. `sequence` goes on. */
void history_append_payload(struct history *h, int64_t agent_us, int64_t received_us, const void *payload, size_t len);
/* Snapshots of these sections, a second apart, known as sent. */
void history_append_sections(struct history *h, int64_t agent_us, const struct buf *sections, size_t n);
/* A snapshot's header fields as payload: what is in `sections` follows them. */
void history_payload(const struct history *h, const struct columns_tick *tick, const struct buf *sections,
		     struct buf *payload);

/* Hosts with rows that are not sealed: 1 and this one, or 0. */
size_t history_unsealed(struct history *h, struct store_unsealed *ret);
size_t history_rows(struct history *h);
/* The chunks of a tier; malloc'd. */
size_t history_chunks(struct history *h, enum store_tier tier, uint32_t statistic, struct store_chunk **ret);
void history_read(struct history *h, const struct store_chunk *chunk, struct buf *bytes);
/* What is in RAW and PROCESSES together is what was sent, each once. */
void history_expect_sent(struct history *h);
/* Seals all rows there are. */
void history_seal_all(struct history *h);
