/* What the files of ingest share.
 *
 * A struct stream is the data of its call: all callbacks run on the call's thread, and only the fields marked so are
 * read by others, under ingest->lock. What may wait for a disk (keys, Hello, descriptor sets) is a struct request on
 * the jobs thread while the stream is paused. What waits for a commit is a struct batch, owned by the store until its
 * callback. Both hold references to the call, never to the stream. */
#pragma once

#include "backend/ingest/acknowledgement.h"
#include "backend/ingest/batch.h"
#include "backend/ingest/cardinality.h"
#include "backend/ingest/envelope.h"
#include "backend/ingest/ingest.h"
#include "backend/ingest/keys.h"
#include "backend/jobs/jobs.h"

#include <pthread.h>
#include <stdatomic.h>

#define INGEST_MAX_MESSAGE (4u << 20)
#define INGEST_KEY_TEXT_MAX 128
#define INGEST_PENDING_MAX (64u << 20) /* bytes of batches the store had no room for, of all streams */
#define INGEST_PENDING_LATE_MAX (INGEST_PENDING_MAX / 4) /* by backlogs: the rest is for what is live */
#define INGEST_REPLY_MAX (1u << 20)

struct ingest {
	struct store *store;
	struct auth *auth;
	struct registry *registry;
	struct hub *hub;
	struct schema *own;
	struct keys *keys;
	struct rates *rates;
	struct cardinality *cardinality;
	struct jobs *jobs;
	struct grpc_service service;

	atomic_uint refs; /* one, and one for each batch the store owns */
	atomic_size_t pending_bytes;
	atomic_uint n_waiting; /* streams with `waiting` set */
	atomic_bool hold_backfill;

	pthread_mutex_t numbering; /* of snapshots that come without numbers; see post.c */
	pthread_mutex_t lock;	   /* what follows */
	pthread_cond_t idle;
	bool draining, closed;
	unsigned running; /* completions that use what ingest borrows */
	struct stream *streams;
	uint32_t n_identified;
};

enum stream_state { STREAM_AUTHENTICATING, STREAM_NEW, STREAM_IDENTIFYING, STREAM_OPEN };

/* Whose snapshots they are. */
struct source {
	struct ingest *ingest;
	struct store_key key;
	uint8_t host_id[16];
	uint8_t instance[16];
	char host_id_text[UUID_TEXT_SIZE];
	char hostname[STORE_HOSTNAME_MAX + 1];
	uint8_t descriptor_hash[32];
	struct schema *schema; /* a reference */
	uint64_t highest_live; /* what is not above it is a resend or backfill */
	unsigned verdicts_logged;
	bool skew_logged;
};

struct stream {
	struct source
		source; /* the call's thread only; host_id and instance change under ingest->lock, read by others */
	struct grpc_call *call; /* whose data this is: no reference */
	bool unary;		/* Push */

	/* Under ingest->lock; read by other threads. */
	struct stream *prev, *next;
	bool identified;
	bool waiting; /* for room in the store's queue */
	bool held;    /* it waits because what it brings is a backlog */
	bool rival_told;
	uint64_t hold_told_ns;	  /* it was told to hold its backlog until history has caught up; 0: not */
	uint64_t slowed_until_ns; /* paused, for its key is above its limits; 0: not */
	uint64_t started_ns;
	uint64_t rival_since_ns; /* another instance of the host streams too; 0: none */

	atomic_bool superseded;	       /* a newer stream has taken this one's place */
	atomic_uint_fast64_t batch_ns; /* when the last batch came; 0: none */

	/* The call's thread only. */
	enum stream_state state;
	bool draining, half_closed;
	bool slow_logged;
	size_t batch_snapshots; /* of the last batch */
	bool want_set;		/* the descriptor set was asked for */
	bool takes_hold;	/* its agent knows Hold */
	char key_text[INGEST_KEY_TEXT_MAX + 1];
	unsigned in_flight;	/* batches the store owns */
	struct watched watched; /* what the agent was told, and when */
	uint64_t watched_told_ns;
	struct batch *pending;	 /* the batch the store had no room for; the call is paused */
	uint64_t pending_ns;	 /* since when */
	uint64_t holds_until_ns; /* its agent was told to hold its backlog at least so long */
};

/* --- streams.c: which streams there are -------------------------------------------------------------------------- */

/* False when the backend is stopping. */
bool streams_add(struct stream *stream);
void streams_remove(struct stream *stream);
/* The stream is of this host and instance from now on; an older one of the same ends with ABORTED. */
void streams_identify(struct stream *stream, const uint8_t host_id[16], const uint8_t instance[16]);
/* Marks a stream as slowed down until then; it goes on at a tick behind that. 0 takes the mark away. */
void streams_slow(struct stream *stream, uint64_t until_ns);
/* Marks a stream as waiting for room in the store, or not; `held`: because it brings a backlog. */
void streams_wait(struct stream *stream, bool waiting, bool held);
/* Marks a stream (of a Push: those of its host) whose agent is to hold its backlog until it is told that history has
 * caught up. */
void streams_hold(struct stream *stream);
/* Lets those that wait try again. Any thread. */
void streams_wake(struct ingest *ingest);

/* --- stream.c ---------------------------------------------------------------------------------------------------- */

void stream_start(struct grpc_call *call, struct ingest *ingest, bool unary);
void stream_close(struct grpc_call *call, void *service);
void stream_on_start(struct grpc_call *call, void *service);
void stream_on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len);
void stream_on_half_close(struct grpc_call *call, void *service);
/* Reads on, unless there is another reason not to. */
void stream_resume(struct stream *stream);
/* Ends the call with when to try again. */
void stream_finish_later(struct stream *stream, enum grpc_status status, const char *message, uint64_t delay_ms);
/* After anything that may have been the last thing a stream waited for. */
void stream_settle(struct stream *stream);
/* Sends a BackendMessage with one field; a peer that does not read its acknowledgements is ended. */
void stream_send(struct stream *stream, uint32_t number, const struct buf *payload);

/* --- watch.c ----------------------------------------------------------------------------------------------------- */

/* Sends sonde.v1.Watch when what is looked at has changed, and again in time while somebody looks. */
void stream_tell_watched(struct stream *stream);

/* --- hold.c ------------------------------------------------------------------------------------------------------ */

#define HOLD_MS 30000 /* said again before it is over */
#define HOLD_REASON "older snapshots wait until history has caught up: send it again"

/* Tells an agent that takes_hold to bring a backlog later: what came up to `refused` (0: nothing) is not kept. */
void stream_hold(struct stream *stream, uint64_t wait_ms, const char *reason, uint64_t refused);
/* For grpc_call_post(): again, because history has still to catch up; and that it has. */
void stream_hold_again(struct grpc_call *call, bool alive, void *arg);
void stream_release(struct grpc_call *call, bool alive, void *arg);

/* --- push.c ------------------------------------------------------------------------------------------------------ */

void push_on_start(struct grpc_call *call, void *service);
void push_on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len);
void push_reply(struct stream *stream, const struct buf *acknowledgement);

/* --- identify.c: what asks the store, on the jobs thread -------------------------------------------------------------
 */

struct request {
	struct ingest *ingest;
	struct grpc_call *call; /* a reference */
	/* On the call's thread, if it is still alive; the result is in what follows. */
	void (*done)(struct stream *stream, struct request *request);

	bool authenticate, identify, describe;
	char key_text[INGEST_KEY_TEXT_MAX + 1];
	struct store_key key;
	struct hello hello; /* facts point into bytes */
	uint8_t *bytes;	    /* the message, copied: Hello, PushRequest or DescriptorSet */
	size_t len;
	struct envelope set, batch; /* parts of bytes */

	enum grpc_status status; /* GRPC_OK, or why not */
	char message[200];
	char hostname[STORE_HOSTNAME_MAX + 1];
	bool suffixed;
	struct schema *schema; /* NULL: not known */
	struct store_range *durable;
	size_t n_durable;
};

/* NULL when out of memory. Copies the bytes. */
struct request *request_new(struct stream *stream, const uint8_t *bytes, size_t len,
			    void (*done)(struct stream *stream, struct request *request));
void request_free(struct request *request);
/* Hands it to the jobs thread, which owns it from now on; if that is not possible, ends the call. */
void request_start(struct stream *stream, struct request *request);
/* Checks Hello's contents: true, or the call has been finished with what is wrong. */
bool request_take_hello(struct stream *stream, struct request *request, const struct envelope *hello);
/* What the stream learns from an identified Hello. */
void request_apply(struct stream *stream, struct request *request);

/* --- batch_call.c ------------------------------------------------------------------------------------------------ */

/* Validates a Batch, publishes what is new, and gives it to the store. */
void batch_take(struct stream *stream, const uint8_t *data, size_t len);
/* Tries again what the store had no room for. */
void batch_retry(struct stream *stream);

/* --- ingest.c ---------------------------------------------------------------------------------------------------- */

/* For completions on the store's thread: true while what ingest borrows is there, until ingest_leave(). */
bool ingest_enter(struct ingest *ingest);
void ingest_leave(struct ingest *ingest);
void ingest_unref(struct ingest *ingest);
