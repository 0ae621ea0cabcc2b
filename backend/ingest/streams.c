/* Which streams there are, and who claims to be whom. A list: it is walked when a stream begins, when the database has
 * been too slow, and once a second. grpc_call_post() only enqueues, so it may be called under the lock; a stream in the
 * list has not been closed, so its call is there. */
#include "backend/ingest/internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

#define HELLO_WITHIN_NS (30ull * 1000000000ull)
#define RIVAL_AFTER_NS (10ull * 1000000000ull)
#define RIVALS_PER_TICK 16
#define HOLD_AGAIN_NS (HOLD_MS / 2 * 1000000ull)

bool streams_add(struct stream *stream)
{
	struct ingest *ingest = stream->source.ingest;
	pthread_mutex_lock(&ingest->lock);
	bool draining = ingest->draining;
	stream->next = ingest->streams;
	if (stream->next)
		stream->next->prev = stream;
	ingest->streams = stream;
	pthread_mutex_unlock(&ingest->lock);
	return !draining;
}

void streams_remove(struct stream *stream)
{
	struct ingest *ingest = stream->source.ingest;
	pthread_mutex_lock(&ingest->lock);
	if (stream->prev)
		stream->prev->next = stream->next;
	else
		ingest->streams = stream->next;
	if (stream->next)
		stream->next->prev = stream->prev;
	if (stream->identified && !stream->unary)
		ingest->n_identified--;
	pthread_mutex_unlock(&ingest->lock);
}

static void tell(struct stream *stream, void (*fn)(struct grpc_call *call, bool alive, void *arg))
{
	/* Without memory it stays as it is a while longer: the next tick, or its peer, ends it. */
	if (grpc_call_post(stream->call, fn, NULL) < 0)
		log_debug("a stream could not be told");
}

static void end_superseded(struct grpc_call *call, bool alive, void *arg)
{
	if (alive)
		grpc_call_finish(call, GRPC_ABORTED, "a newer connection of the same agent has taken over");
}

static void end_silent(struct grpc_call *call, bool alive, void *arg)
{
	if (alive)
		grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, "no Hello came within 30 seconds");
}

static bool rivals(const struct stream *a, const struct stream *b)
{
	return a != b && b->identified && !b->unary && !atomic_load(&b->superseded) &&
	       memcmp(a->source.host_id, b->source.host_id, sizeof(a->source.host_id)) == 0;
}

void streams_identify(struct stream *stream, const uint8_t host_id[16], const uint8_t instance[16])
{
	struct ingest *ingest = stream->source.ingest;
	uint64_t now = clock_monotonic_ns();
	pthread_mutex_lock(&ingest->lock);
	memcpy(stream->source.host_id, host_id, sizeof(stream->source.host_id));
	memcpy(stream->source.instance, instance, sizeof(stream->source.instance));
	stream->identified = true;
	if (!stream->unary) {
		ingest->n_identified++;
		for (struct stream *other = ingest->streams; other; other = other->next) {
			if (!rivals(stream, other))
				continue;
			if (memcmp(other->source.instance, instance, sizeof(other->source.instance)) == 0) {
				atomic_store(&other->superseded, true);
				tell(other, end_superseded);
			} else {
				stream->rival_since_ns = now;
				if (other->rival_since_ns == 0)
					other->rival_since_ns = now;
			}
		}
	}
	pthread_mutex_unlock(&ingest->lock);
}

void streams_wait(struct stream *stream, bool waiting, bool held)
{
	struct ingest *ingest = stream->source.ingest;
	pthread_mutex_lock(&ingest->lock);
	stream->held = held;
	if (stream->waiting != waiting) {
		stream->waiting = waiting;
		atomic_fetch_add(&ingest->n_waiting, waiting ? 1u : -1u);
	}
	pthread_mutex_unlock(&ingest->lock);
}

void streams_slow(struct stream *stream, uint64_t until_ns)
{
	struct ingest *ingest = stream->source.ingest;
	pthread_mutex_lock(&ingest->lock);
	stream->slowed_until_ns = until_ns;
	pthread_mutex_unlock(&ingest->lock);
}

static void go_on(struct grpc_call *call, bool alive, void *arg)
{
	if (!alive)
		return;
	struct stream *stream = grpc_call_data(call);
	streams_slow(stream, 0);
	stream_resume(stream);
}

static void retry(struct grpc_call *call, bool alive, void *arg)
{
	if (!alive)
		return;
	struct stream *stream = grpc_call_data(call);
	batch_retry(stream);
	stream_settle(stream);
}

void streams_wake(struct ingest *ingest)
{
	if (atomic_load(&ingest->n_waiting) == 0)
		return;
	/* Those that are held back would only be woken for nothing, by every commit. */
	bool hold = atomic_load(&ingest->hold_backfill);
	pthread_mutex_lock(&ingest->lock);
	for (struct stream *stream = ingest->streams; stream; stream = stream->next) {
		if (!stream->waiting || (hold && stream->held) || grpc_call_post(stream->call, retry, NULL) < 0)
			continue;
		stream->waiting = false;
		atomic_fetch_sub(&ingest->n_waiting, 1);
	}
	pthread_mutex_unlock(&ingest->lock);
}

void streams_hold(struct stream *stream)
{
	struct ingest *ingest = stream->source.ingest;
	uint64_t now = clock_monotonic_ns();
	pthread_mutex_lock(&ingest->lock);
	if (!stream->unary)
		stream->hold_told_ns = now;
	for (struct stream *other = ingest->streams; other && stream->unary; other = other->next) {
		if (rivals(stream, other))
			other->hold_told_ns = now;
	}
	pthread_mutex_unlock(&ingest->lock);
}

static void release(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	for (struct stream *stream = ingest->streams; stream; stream = stream->next) {
		if (stream->hold_told_ns != 0)
			tell(stream, stream_release);
		stream->hold_told_ns = 0;
	}
	pthread_mutex_unlock(&ingest->lock);
}

void ingest_hold_backfill(struct ingest *ingest, bool hold)
{
	if (!atomic_exchange(&ingest->hold_backfill, hold) || hold)
		return;
	release(ingest);
	streams_wake(ingest);
}

/* --- once a second ------------------------------------------------------------------------------------------------ */

struct rivalry {
	uint8_t host_id[16];
	bool begins;
};

/* A restarted agent's former stream is there for a while, but has nothing more to say. */
static bool sends_still(const struct stream *stream, uint64_t since_ns)
{
	return atomic_load(&stream->batch_ns) > since_ns + RIVAL_AFTER_NS;
}

/* True when there is news about a stream's rivals. Holds the lock. */
static bool check_rivals(struct ingest *ingest, struct stream *stream, struct rivalry *ret)
{
	bool rival = false, both = false;
	for (struct stream *other = ingest->streams; other && !both; other = other->next) {
		if (!rivals(stream, other))
			continue;
		rival = true;
		both = sends_still(stream, stream->rival_since_ns) && sends_still(other, stream->rival_since_ns);
	}
	bool due = both && !stream->rival_told;
	bool over = !rival && stream->rival_told;
	if (!rival)
		stream->rival_since_ns = 0;
	if (!due && !over)
		return false;
	stream->rival_told = due;
	/* Told once, not once by each of them. */
	for (struct stream *other = ingest->streams; other && due; other = other->next) {
		if (rivals(stream, other))
			other->rival_told = true;
	}
	memcpy(ret->host_id, stream->source.host_id, sizeof(ret->host_id));
	ret->begins = due;
	return true;
}

static void tell_rivals(struct ingest *ingest, const struct rivalry *rivalry)
{
	char host_id[UUID_TEXT_SIZE];
	encoding_uuid_format(rivalry->host_id, host_id);
	if (!rivalry->begins) {
		registry_warn(ingest->registry, rivalry->host_id, NULL);
		return;
	}
	log_warn("two agents send as one host", LOG_STR("host_id", host_id),
		 LOG_STR("then", "both are kept; delete the copied agent state directory on one of them"));
	registry_warn(
		ingest->registry, rivalry->host_id,
		"two agents send as this host at the same time: delete the copied agent state directory on one of "
		"them");
}

void ingest_tick(struct ingest *ingest)
{
	struct rivalry news[RIVALS_PER_TICK];
	size_t n = 0;
	pthread_mutex_lock(&ingest->lock);
	/* Not before: a stream that begins while the lock is waited for would be younger than now. */
	uint64_t now = clock_monotonic_ns();
	for (struct stream *stream = ingest->streams; stream; stream = stream->next) {
		if (!stream->identified && now - stream->started_ns > HELLO_WITHIN_NS)
			tell(stream, end_silent);
		if (stream->slowed_until_ns != 0 && now >= stream->slowed_until_ns)
			tell(stream, go_on);
		if (stream->hold_told_ns != 0 && now - stream->hold_told_ns > HOLD_AGAIN_NS)
			tell(stream, stream_hold_again);
		if (stream->rival_since_ns != 0 && n < RIVALS_PER_TICK && check_rivals(ingest, stream, &news[n]))
			n++;
	}
	pthread_mutex_unlock(&ingest->lock);
	for (size_t i = 0; i < n; i++)
		tell_rivals(ingest, &news[i]);
	streams_wake(ingest);
}

static void drain(struct grpc_call *call, bool alive, void *arg)
{
	if (!alive)
		return;
	struct stream *stream = grpc_call_data(call);
	stream->draining = true;
	stream_settle(stream);
}

void ingest_drain(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	ingest->draining = true;
	atomic_store(&ingest->hold_backfill, false);
	for (struct stream *stream = ingest->streams; stream; stream = stream->next) {
		if (!stream->unary)
			tell(stream, drain);
	}
	pthread_mutex_unlock(&ingest->lock);
	streams_wake(ingest);
}
