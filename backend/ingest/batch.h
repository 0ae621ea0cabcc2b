/* One Batch, from its bytes to what became of each snapshot. All snapshots are judged before any is shown, so that a
 * batch out of order has no effect at all; then what is news goes to the registry and the hub, and everything
 * acceptable to the store. What brought it (a call, a post) decides what is said about it. */
#pragma once

#include "backend/ingest/acknowledgement.h"
#include "backend/store/store.h"

#include <stdbool.h>

struct ingest;
struct source;
struct grpc_call;

struct batch {
	struct ingest *ingest;
	struct grpc_call *call; /* a reference, or NULL */
	void *arg;		/* of whoever brought it */
	int64_t tenant_id;
	uint8_t host_id[16];
	uint8_t instance[16];
	char host_id_text[UUID_TEXT_SIZE];
	char hostname[STORE_HOSTNAME_MAX + 1];
	bool live; /* something of it was broadcast, so its durability is news */
	bool late; /* all that is acceptable of it is (store_is_late()): a backlog */
	bool lost; /* the store closed before it could write */
	bool holds_ingest;
	bool told; /* to registry_recent() */
	void (*done)(struct batch *batch);

	uint8_t *copy; /* what the rows point into, when they outlive the message */
	size_t copy_len;
	size_t n, n_rows;
	struct outcome *outcomes;    /* n, in the batch's order */
	struct store_snapshot *rows; /* the acceptable ones */
	size_t *row_outcome;	     /* which outcome a row is */
};

/* For at most n snapshots. NULL when out of memory. */
struct batch *batch_new(const struct source *source, size_t n);
void batch_free(struct batch *batch); /* accepts NULL */
/* Fills it from the bytes of a Batch, into which it points. False when sequences do not ascend. */
bool batch_judge(struct source *source, struct batch *batch, const uint8_t *data, size_t len);
void batch_show(struct source *source, struct batch *batch);
/* It is a backlog, and such is held back at present (ingest_hold_backfill()). */
bool batch_is_held(const struct batch *batch);
/* The highest sequence it says to have. */
uint64_t batch_last(const struct batch *batch);
/* As store_append(); -EAGAIN also while it is held back. On 0 the batch belongs to the store until it calls done on its
 * own thread, with `lost` or the outcomes set; done owns it then. */
int batch_append(struct batch *batch, void (*done)(struct batch *batch)) __attribute__((warn_unused_result));
/* The sequence of the newest of a Batch's snapshots if that is late, by its bytes, before anything else is known of
 * them; 0 if it is not. */
uint64_t batch_backlog(const uint8_t *data, size_t len);
/* Backlogs that wait for the store are so many already that one more would not be kept. */
bool batch_is_crowded_out(struct ingest *ingest, size_t len);
/* Makes the rows independent of the bytes they came in. 0, -EAGAIN (too much is kept already), -ENOMEM. */
int batch_keep(struct batch *batch, const uint8_t *data, size_t len) __attribute__((warn_unused_result));
