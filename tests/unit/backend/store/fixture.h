/* A store and appends that can be waited for: SQLite in a temporary directory, or the PostgreSQL database that
 * SONDE_TEST_STORE names, emptied before each test. */
#pragma once

#include "backend/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

extern const uint8_t host_a[16], host_b[16], run_1[16], run_2[16];

struct fixture {
	char directory[64];
	char path[96]; /* of SQLite's file */
	char url[256];
	bool is_postgres;
	struct store *store;
};

/* Where the counter stands that every finished append adds to. */
struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t calls;
	int error;
	enum store_fate fates[64]; /* of the last call */
	size_t n;
};

/* True when the tests run on PostgreSQL. */
bool fixture_on_postgres(void);
/* SQL behind the store's back; hot and streams are found in both engines. The first value of the answer, 0 without any.
 */
int64_t fixture_ask(const struct fixture *f, const char *sql);

/* After the death of a process that wrote: waits until the server has ended what it was about. */
void fixture_settle(const struct fixture *f);

int fixture_setup(void **state);    /* opens it; the hosts below are registered */
int fixture_teardown(void **state); /* closes it and removes the directory */
/* The same with the database of PostgreSQL as it stands, which somebody has damaged. */
int fixture_setup_as_it_is(void **state);
int fixture_teardown_as_it_is(void **state);
void fixture_open(struct fixture *f);
void fixture_reopen(struct fixture *f);
void fixture_remove(const char *directory);

void waiter_init(struct waiter *w);
void waiter_done(void *arg, int error, const enum store_fate *fates, size_t n);
/* Fails the test after `seconds`. */
void waiter_wait(struct waiter *w, size_t calls, unsigned seconds);

void register_host(struct store *store, const uint8_t host_id[16], const char *hostname);
struct store_snapshot make_snapshot(uint64_t sequence, const char *payload);
/* Appends one and waits for its fate. */
enum store_fate append_one(struct store *store, const uint8_t host[16], const uint8_t instance[16], uint64_t sequence,
			   const char *payload);
/* "1-3 5-5" */
void assert_durable(struct store *store, const uint8_t host[16], const uint8_t instance[16], const char *expected);
/* The host's newest snapshot, and that its schema is the one of make_snapshot(). */
void assert_latest(struct store *store, const uint8_t host[16], const char *expected);
/* Waits until store_status() contains the words, for fifteen seconds. */
void wait_status(struct store *store, const char *words);
#define FIXTURE_HOUR_US 3600000000ll
#define FIXTURE_DAY_US (24 * FIXTURE_HOUR_US)
/* A chunk of RAW with a second of ticks and a few bytes; and all of RAW that a host has, malloc'd. */
struct store_chunk fixture_raw_chunk(int64_t first_us, bool compacted);
size_t fixture_raw_chunks(struct store_view *view, const uint8_t host[16], struct store_chunk **ret);
/* On an engine of PostgreSQL, past the writer. */
void fixture_append_received(void *engine, const uint8_t host[16], uint64_t sequence, int64_t received_us);
/* Fills what is left of the filesystem with this file. */
void fixture_fill_disk(const char *path);
