/* One mutex around the storage. When the spool's file cannot be written any more, the queue goes on in memory at once:
 * the tick that found out is not lost, and what the file held counts as dropped. */
#include "agent/delivery/queue.h"

#include "agent/delivery/ring.h"
#include "agent/delivery/spool.h"
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
	pthread_mutex_t lock;
	int wake_fd;
	struct ring *ring;   /* NULL while there is a spool */
	struct spool *spool; /* or NULL */
	size_t capacity;
	enum queue_storage storage;
	uint64_t accepted, rejected;
	uint64_t dropped, corrupt; /* beside what the storage counts */
};

struct queue *queue_new(size_t capacity)
{
	struct queue *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->capacity = capacity;
	q->ring = ring_new(capacity);
	q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake_fd < 0 || !q->ring) {
		if (q->wake_fd >= 0)
			close(q->wake_fd);
		ring_free(q->ring);
		free(q);
		return NULL;
	}
	pthread_mutex_init(&q->lock, NULL);
	return q;
}

static void log_report(const struct spool_options *options, const struct spool_stats *stats,
		       const struct spool_report *report)
{
	if (report->discarded)
		log_warn("the spool could not be used and was made anew", LOG_STR("file", options->path),
			 LOG_STR("reason", report->discarded),
			 report->lost_known ? LOG_UINT("lost_at_most", report->lost)
					    : LOG_STR("lost", "what it held; how much cannot be told"));
	if (report->damaged > 0)
		log_warn("the spool held damaged records", LOG_STR("file", options->path),
			 LOG_UINT("records", report->damaged),
			 LOG_STR("then", "they are counted as corrupt; the others are sent"));
	if (stats->bytes < options->bytes && stats->snapshots == 0)
		log_warn("the disk has no room for the whole spool", LOG_STR("file", options->path),
			 LOG_UINT("wanted_bytes", options->bytes), LOG_UINT("spool_bytes", stats->bytes),
			 LOG_STR("then", "a smaller one is used"));
	else if (stats->bytes != options->bytes)
		log_info("the spool keeps its size until what it holds is sent", LOG_STR("file", options->path),
			 LOG_UINT("wanted_bytes", options->bytes), LOG_UINT("spool_bytes", stats->bytes));
	log_info("spool opened", LOG_STR("file", options->path), LOG_UINT("spool_bytes", stats->bytes),
		 LOG_UINT("snapshots", stats->snapshots), LOG_UINT("dropped_ever", stats->dropped),
		 LOG_UINT("corrupt_ever", stats->corrupt));
}

/* What is told from here on is about a file that is there but for -EBUSY. */
static int attach_spool(struct queue *q, struct spool_options *options)
{
	struct spool_report report;
	options->bytes -= options->bytes % 4096;
	int r = spool_open(options, &q->spool, &report);
	if (r == -EBUSY || r == -ENOMEM)
		return r;
	if (r < 0) {
		log_warn("there is no spool", LOG_STR("file", options->path), LOG_ERR(r),
			 LOG_STR("then", "snapshots are kept in memory only and do not outlive the agent"));
		q->storage = QUEUE_WITHOUT_SPOOL;
		return 0;
	}
	struct spool_stats stats = spool_stats(q->spool);
	log_report(options, &stats, &report);
	q->storage = stats.bytes == options->bytes ? QUEUE_IN_SPOOL : QUEUE_IN_OTHER_SPOOL;
	ring_free(q->ring);
	q->ring = NULL;
	return 0;
}

int queue_open(const struct queue_options *options, struct queue **ret)
{
	struct queue *q = queue_new(options->capacity);
	struct spool_options spool = {.path = options->spool_path, .bytes = options->spool_bytes};
	int r = q ? 0 : -ENOMEM;
	if (r == 0 && spool.path)
		r = origin_of_hello(options->hello, options->hello_len, &spool.origin, spool.host_id);
	if (r == 0 && spool.path)
		r = attach_spool(q, &spool);
	if (r < 0) {
		queue_free(q);
		return r;
	}
	*ret = q;
	return 0;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	ring_free(q->ring);
	spool_close(q->spool);
	close(q->wake_fd);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

int queue_wake_fd(const struct queue *q)
{
	return q->wake_fd;
}

/* --- the spool's end ---------------------------------------------------------------------------------------------- */

/* Without the file: its snapshots are lost, ours in the ring. -ENOMEM leaves things as they are, to be tried again. */
static int abandon_spool(struct queue *q)
{
	struct spool_stats stats = spool_stats(q->spool);
	q->ring = ring_new(q->capacity);
	if (!q->ring)
		return -ENOMEM;
	q->dropped += stats.dropped + stats.snapshots;
	q->corrupt += stats.corrupt;
	q->storage = QUEUE_WITHOUT_SPOOL;
	spool_close(q->spool);
	q->spool = NULL;
	return 0;
}

static void log_abandoned(void)
{
	log_error("the spool's file can be read or written no more",
		  LOG_STR("then", "what it held is counted as dropped; new snapshots are kept in memory only"));
}

/* --- the producer ------------------------------------------------------------------------------------------------- */

int queue_push(struct queue *q, uint64_t sequence, const void *data, size_t len)
{
	bool abandoned = false;
	pthread_mutex_lock(&q->lock);
	int r = q->spool ? spool_push(q->spool, sequence, data, len) : 0;
	if (q->spool && r == -EIO) {
		r = abandon_spool(q);
		abandoned = r == 0;
	}
	if (!q->spool && r == 0)
		r = ring_push(q->ring, sequence, data, len);
	if (r == -ENOMEM)
		q->dropped++;
	pthread_mutex_unlock(&q->lock);
	if (abandoned)
		log_abandoned();
	if (r < 0)
		return r;
	uint64_t one = 1;
	/* Fails only when the counter is at its limit: then the sender is awake anyway. */
	ssize_t written = write(q->wake_fd, &one, sizeof(one));
	(void)written;
	return 0;
}

/* --- the consumer ------------------------------------------------------------------------------------------------- */

static int next(struct queue *q, const uint8_t *instance, uint64_t after, uint64_t *ret_sequence, void **ret_data,
		size_t *ret_len)
{
	bool abandoned = false;
	int r = 0;
	pthread_mutex_lock(&q->lock);
	if (q->spool) {
		r = spool_next(q->spool, instance, after, ret_sequence, ret_data, ret_len);
		if (r == -EIO) {
			r = abandon_spool(q);
			abandoned = r == 0;
		}
	} else if (!instance) {
		r = ring_next(q->ring, after, ret_sequence, ret_data, ret_len);
	}
	pthread_mutex_unlock(&q->lock);
	if (abandoned)
		log_abandoned();
	return r;
}

int queue_next(struct queue *q, uint64_t after, uint64_t *ret_sequence, void **ret_data, size_t *ret_len)
{
	return next(q, NULL, after, ret_sequence, ret_data, ret_len);
}

int queue_backlog_next(struct queue *q, const uint8_t instance[16], uint64_t after, uint64_t *ret_sequence,
		       void **ret_data, size_t *ret_len)
{
	return next(q, instance, after, ret_sequence, ret_data, ret_len);
}

uint64_t queue_newest(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	uint64_t newest = q->spool ? spool_newest(q->spool) : ring_newest(q->ring);
	pthread_mutex_unlock(&q->lock);
	return newest;
}

static void settle(struct queue *q, const uint8_t *instance, uint64_t first, uint64_t last, uint64_t *count)
{
	pthread_mutex_lock(&q->lock);
	if (q->spool)
		*count += spool_remove(q->spool, instance, first, last);
	else if (!instance)
		*count += ring_remove(q->ring, first, last);
	pthread_mutex_unlock(&q->lock);
}

void queue_accept(struct queue *q, uint64_t first, uint64_t last)
{
	settle(q, NULL, first, last, &q->accepted);
}

void queue_reject(struct queue *q, uint64_t first, uint64_t last)
{
	settle(q, NULL, first, last, &q->rejected);
}

void queue_backlog_accept(struct queue *q, const uint8_t instance[16], uint64_t first, uint64_t last)
{
	settle(q, instance, first, last, &q->accepted);
}

void queue_backlog_reject(struct queue *q, const uint8_t instance[16], uint64_t first, uint64_t last)
{
	settle(q, instance, first, last, &q->rejected);
}

bool queue_backlog(struct queue *q, struct origin *ret)
{
	pthread_mutex_lock(&q->lock);
	bool any = q->spool && spool_backlog(q->spool, ret);
	pthread_mutex_unlock(&q->lock);
	return any;
}

bool queue_backlog_has_set(struct queue *q, const uint8_t descriptor_hash[32])
{
	pthread_mutex_lock(&q->lock);
	bool has = q->spool && spool_has_set(q->spool, descriptor_hash);
	pthread_mutex_unlock(&q->lock);
	return has;
}

struct queue_stats queue_stats(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	struct queue_stats stats = {
		.dropped = q->dropped,
		.accepted = q->accepted,
		.rejected = q->rejected,
		.corrupt = q->corrupt,
		.storage = q->storage,
	};
	if (q->spool) {
		struct spool_stats spool = spool_stats(q->spool);
		stats.length = stats.spool_snapshots = spool.snapshots;
		stats.own = spool.own;
		stats.dropped += spool.dropped;
		stats.corrupt += spool.corrupt;
		stats.spool_bytes = spool.bytes;
		stats.spool_used_bytes = spool.used;
	} else {
		struct ring_stats ring = ring_stats(q->ring);
		stats.length = stats.own = ring.length;
		stats.dropped += ring.dropped;
	}
	pthread_mutex_unlock(&q->lock);
	return stats;
}
