/* Group commit: a commit costs an fsync whatever it holds, so all that came while the last one ran goes into the next.
 * No delay is added: an idle store commits one batch at once, a busy one commits many together. Backlogs stand in a
 * line of their own, a little of which goes with each group: a thousand hosts that come back do not hold up who is
 * live. Callbacks run with no lock held. */
#include "backend/store/writer.h"

#include "common/clock.h"
#include "common/condition.h"
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_FIRST_MS 100
#define RETRY_LARGEST_MS 5000
#define STOP_GRACE_NS 5000000000ull
#define EXPIRE_EVERY_NS 10000000000ull
#define EXPIRE_ROWS 200 /* appends wait for it */
#define EXPIRE_PAUSE_MS 5

enum line { LIVE, LATE, LINES };

static const struct {
	size_t snapshots, bytes, group;
} limits[LINES] = {
	[LIVE] = {WRITER_MAX_SNAPSHOTS, WRITER_MAX_BYTES, WRITER_GROUP_SNAPSHOTS},
	[LATE] = {WRITER_LATE_MAX_SNAPSHOTS, WRITER_LATE_MAX_BYTES, WRITER_LATE_GROUP_SNAPSHOTS},
};

struct queue {
	struct batch *first, **last;
	size_t snapshots, bytes; /* the group being written included */
};

struct batch {
	struct batch *next;
	enum line line;
	uint8_t host_id[16];
	uint8_t instance[16];
	store_append_fn done;
	void *arg;
	int error; /* of this batch alone */
	size_t n;
	size_t bytes;
	enum store_fate *fates;
	uint8_t *payloads;
	struct store_snapshot snapshots[];
};

struct writer {
	const struct store_ops *ops;
	void *engine;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue queues[LINES];
	bool stopping;
	uint64_t stop_deadline_ns;
	char status[256];
	/* The thread's own. */
	uint32_t retry_ms;
	uint64_t expired_ns;
	bool expires_more;
};

static void free_batch(struct batch *b)
{
	free(b->fates);
	free(b->payloads);
	free(b);
}

static struct batch *new_batch(const struct store_snapshot *snapshots, size_t n)
{
	struct batch *b = calloc(1, sizeof(*b) + n * sizeof(b->snapshots[0]));
	if (!b)
		return NULL;
	for (size_t i = 0; i < n; i++)
		b->bytes += snapshots[i].len;
	b->n = n;
	b->fates = calloc(n, sizeof(b->fates[0]));
	b->payloads = malloc(b->bytes > 0 ? b->bytes : 1);
	if (!b->fates || !b->payloads) {
		free_batch(b);
		return NULL;
	}
	uint8_t *p = b->payloads;
	for (size_t i = 0; i < n; i++) {
		b->snapshots[i] = snapshots[i];
		memcpy(p, snapshots[i].payload, snapshots[i].len);
		b->snapshots[i].payload = p;
		p += snapshots[i].len;
	}
	return b;
}

static bool has_room(const struct writer *w, enum line line, size_t snapshots, size_t bytes)
{
	const struct queue *q = &w->queues[line];
	/* One batch larger than the limit still gets in when nothing else is there. */
	return q->snapshots == 0 ||
	       (q->snapshots + snapshots <= limits[line].snapshots && q->bytes + bytes <= limits[line].bytes);
}

/* 0, or why these may not come in now. The lock is held. */
static int admission(const struct writer *w, enum line line, size_t snapshots, size_t bytes)
{
	if (w->stopping)
		return -ESHUTDOWN;
	return has_room(w, line, snapshots, bytes) ? 0 : -EAGAIN;
}

bool store_is_late(const struct store_snapshot *snapshots, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (snapshots[i].received_us - snapshots[i].agent_us <= STORE_LATE_US)
			return false;
	}
	return true;
}

static void enqueue(struct writer *w, struct batch *b)
{
	struct queue *q = &w->queues[b->line];
	*q->last = b;
	q->last = &b->next;
	q->snapshots += b->n;
	q->bytes += b->bytes;
	pthread_cond_signal(&w->wake);
}

int writer_append(struct writer *w, const uint8_t host_id[16], const uint8_t instance[16],
		  const struct store_snapshot *snapshots, size_t n, bool late, store_append_fn done, void *arg)
{
	size_t bytes = 0;
	enum line line = late ? LATE : LIVE;
	for (size_t i = 0; i < n; i++)
		bytes += snapshots[i].len;
	/* Looked at first, so that a full queue does not cost a copy; looked at again when it counts. */
	pthread_mutex_lock(&w->lock);
	int r = admission(w, line, n, bytes);
	pthread_mutex_unlock(&w->lock);
	if (r < 0)
		return r;
	struct batch *b = new_batch(snapshots, n);
	if (!b)
		return -ENOMEM;
	memcpy(b->host_id, host_id, sizeof(b->host_id));
	memcpy(b->instance, instance, sizeof(b->instance));
	b->line = line;
	b->done = done;
	b->arg = arg;
	pthread_mutex_lock(&w->lock);
	r = admission(w, line, n, bytes);
	if (r == 0)
		enqueue(w, b);
	pthread_mutex_unlock(&w->lock);
	if (r < 0)
		free_batch(b);
	return r;
}

void writer_status(struct writer *w, char *text, size_t size)
{
	pthread_mutex_lock(&w->lock);
	snprintf(text, size, "%s", w->status);
	pthread_mutex_unlock(&w->lock);
}

static const char *advice(int error)
{
	switch (error) {
	case -ENOSPC:
		return "database or disk is full: free space; retrying";
	case -EBUSY:
		return "another program holds the database's lock: end it; retrying";
	case -EROFS:
	case -EACCES:
		return "database is not writable: check permissions and mounts; retrying";
	case -EUCLEAN:
		return "database is corrupt where new data goes: the log says what to do, else restore a backup; "
		       "retrying";
	case -EAGAIN:
		return "a damaged table of the database is set aside and begun anew; retrying";
	case -ENOTCONN:
		return "the database server cannot be reached: start it or mend the network; retrying";
	case -ETIMEDOUT:
		return "the database server does not answer; retrying";
	case -EUSERS:
		return "the database server has no connection left: raise its limit; retrying";
	case -ENOTSUP:
		return "the database was migrated by a newer sonde-backend: use that one; retrying";
	case -EIO:
		return "the disk reports errors: check the kernel's log; retrying";
	default:
		return NULL;
	}
}

/* Says a change once, in the log and to whoever asks. */
static void set_status(struct writer *w, int error)
{
	char text[sizeof(w->status)];
	if (error == 0)
		snprintf(text, sizeof(text), "ok");
	else if (advice(error))
		snprintf(text, sizeof(text), "%s", advice(error));
	else
		snprintf(text, sizeof(text), "writing fails: %s; retrying", log_strerror(error));
	pthread_mutex_lock(&w->lock);
	bool changed = strcmp(text, w->status) != 0;
	memcpy(w->status, text, sizeof(text));
	pthread_mutex_unlock(&w->lock);
	if (!changed)
		return;
	if (error == 0)
		log_info("the database is written again");
	else
		log_error("the database cannot be written", LOG_STR("reason", text),
			  LOG_STR("then", "live view goes on; snapshots wait, agents keep theirs"));
}

static int write_group(struct writer *w, struct batch *group)
{
	int r = w->ops->begin(w->engine);
	for (struct batch *b = group; b && r == 0; b = b->next) {
		b->error = 0;
		for (size_t i = 0; i < b->n && r == 0 && b->error == 0; i++) {
			r = w->ops->append(w->engine, b->host_id, b->instance, &b->snapshots[i], &b->fates[i]);
			/* A host nobody registered is that batch's fault alone. */
			if (r == -ENOENT) {
				b->error = r;
				r = 0;
			}
		}
	}
	if (r == 0)
		r = w->ops->commit(w->engine);
	if (r < 0)
		w->ops->rollback(w->engine);
	return r;
}

/* Takes up to a group's worth off each line, what is live first; what it holds stays counted until it is finished. */
static struct batch *take_group(struct writer *w)
{
	struct batch *group = NULL, **end = &group;
	for (enum line line = LIVE; line < LINES; line++) {
		struct queue *q = &w->queues[line];
		*end = q->first;
		for (size_t n = 0; *end && n < limits[line].group; end = &(*end)->next)
			n += (*end)->n;
		q->first = *end;
		if (!q->first)
			q->last = &q->first;
	}
	*end = NULL;
	return group;
}

static bool is_empty(const struct writer *w)
{
	return !w->queues[LIVE].first && !w->queues[LATE].first;
}

static void finish_group(struct writer *w, struct batch *group, int error)
{
	while (group) {
		struct batch *b = group;
		int e = error ? error : b->error;
		group = b->next;
		pthread_mutex_lock(&w->lock);
		w->queues[b->line].snapshots -= b->n;
		w->queues[b->line].bytes -= b->bytes;
		pthread_mutex_unlock(&w->lock);
		b->done(b->arg, e, e ? NULL : b->fates, b->n);
		free_batch(b);
	}
}

/* Waits on the condition for at most ms. The lock is held. */
static void wait_ms(struct writer *w, uint32_t ms)
{
	const struct timespec until = condition_in_ms(ms);
	pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

/* Between two tries; false when the writer must give up. */
static bool wait_to_retry(struct writer *w, int error)
{
	uint64_t until = clock_monotonic_ns() + (uint64_t)w->retry_ms * 1000000u;
	bool go_on = true;
	w->retry_ms = w->retry_ms * 2 > RETRY_LARGEST_MS ? RETRY_LARGEST_MS : w->retry_ms * 2;
	pthread_mutex_lock(&w->lock);
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (w->stopping && (error == -EUCLEAN || now >= w->stop_deadline_ns)) {
			go_on = false;
			break;
		}
		if (now >= until)
			break;
		wait_ms(w, 100);
	}
	pthread_mutex_unlock(&w->lock);
	return go_on;
}

/* Rows that are sealed go, a few at a time: about as many as came, so that of a store that is never idle they go as
 * well. */
static void expire(struct writer *w, size_t came)
{
	uint64_t now = clock_monotonic_ns();
	size_t gone = 0;
	int n;
	if (now - w->expired_ns < EXPIRE_EVERY_NS)
		return;
	do {
		n = w->ops->expire(w->engine, EXPIRE_ROWS);
		gone += n > 0 ? (size_t)n : 0;
	} while (n >= EXPIRE_ROWS && gone < came);
	/* A failure shows at the next append. */
	w->expires_more = n >= EXPIRE_ROWS;
	if (!w->expires_more)
		w->expired_ns = now;
}

static size_t count_snapshots(const struct batch *group)
{
	size_t n = 0;
	for (; group; group = group->next)
		n += group->n;
	return n;
}

static void *run(void *arg)
{
	struct writer *w = arg;
	for (;;) {
		pthread_mutex_lock(&w->lock);
		if (is_empty(w) && !w->stopping)
			wait_ms(w, w->expires_more ? EXPIRE_PAUSE_MS : 1000);
		struct batch *group = take_group(w);
		bool end = !group && w->stopping;
		pthread_mutex_unlock(&w->lock);
		if (end)
			return NULL;
		if (!group) {
			expire(w, 0);
			continue;
		}
		size_t came = count_snapshots(group);
		int r;
		w->retry_ms = RETRY_FIRST_MS;
		while ((r = write_group(w, group)) < 0) {
			set_status(w, r);
			/* A full disk can do without what is sealed; nobody else deletes it. */
			if (r == -ENOSPC)
				expire(w, came);
			if (!wait_to_retry(w, r))
				break;
		}
		if (r == 0)
			set_status(w, 0);
		finish_group(w, group, r < 0 ? -ECANCELED : 0);
		expire(w, came);
	}
}

int writer_start(const struct store_ops *ops, void *engine, struct writer **ret)
{
	struct writer *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->ops = ops;
	w->engine = engine;
	for (enum line line = LIVE; line < LINES; line++)
		w->queues[line].last = &w->queues[line].first;
	snprintf(w->status, sizeof(w->status), "ok");
	pthread_mutex_init(&w->lock, NULL);
	condition_init(&w->wake);
	int r = -pthread_create(&w->thread, NULL, run, w);
	if (r < 0) {
		pthread_cond_destroy(&w->wake);
		pthread_mutex_destroy(&w->lock);
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void writer_stop(struct writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	w->stop_deadline_ns = clock_monotonic_ns() + STOP_GRACE_NS;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
