#include "agent/delivery/batch.h"

#include "common/log.h"
#include "common/wire.h"

#include <errno.h>
#include <sonde/v1/ingest.pb-c.h>
#include <stdlib.h>

enum { BATCH_FIELD_SNAPSHOTS = 1 };

static int next(struct queue *queue, const uint8_t *instance, uint64_t after, uint64_t *sequence, void **data,
		size_t *len)
{
	return instance ? queue_backlog_next(queue, instance, after, sequence, data, len)
			: queue_next(queue, after, sequence, data, len);
}

int batch_gather(struct queue *queue, const uint8_t *instance, uint64_t *after, uint64_t last, struct buf *batch)
{
	int n = 0;
	while (n < BATCH_SNAPSHOTS && batch->len < BATCH_BYTES) {
		uint64_t sequence;
		void *data;
		size_t len;
		int r = next(queue, instance, *after, &sequence, &data, &len);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		r = sequence > last ? -ERANGE : wire_put_bytes(batch, BATCH_FIELD_SNAPSHOTS, data, len);
		free(data);
		if (r == -ERANGE || (r == -EMSGSIZE && n > 0))
			break; /* it opens the next batch */
		if (r < 0)
			return r;
		*after = sequence;
		n++;
	}
	return n;
}

static void accept(struct queue *queue, const uint8_t *instance, const Sonde__V1__SequenceRange *range)
{
	if (!range->has_first || !range->has_last)
		return;
	if (instance)
		queue_backlog_accept(queue, instance, range->first, range->last);
	else
		queue_accept(queue, range->first, range->last);
}

static void reject(struct queue *queue, const uint8_t *instance, const Sonde__V1__Rejection *rejection)
{
	const Sonde__V1__SequenceRange *range = rejection->range;
	if (!range || !range->has_first || !range->has_last)
		return;
	if (instance)
		queue_backlog_reject(queue, instance, range->first, range->last);
	else
		queue_reject(queue, range->first, range->last);
	log_warn("the backend refused snapshots for good", LOG_UINT("first", range->first),
		 LOG_UINT("last", range->last), LOG_STR("detail", rejection->detail),
		 LOG_STR("then", "they are counted as rejected and dropped"));
}

uint64_t batch_acknowledge(struct queue *queue, const uint8_t *instance, const Sonde__V1__Acknowledgement *ack)
{
	struct queue_stats before = queue_stats(queue);
	for (size_t i = 0; i < ack->n_accepted; i++)
		accept(queue, instance, ack->accepted[i]);
	for (size_t i = 0; i < ack->n_rejected; i++)
		reject(queue, instance, ack->rejected[i]);
	struct queue_stats after = queue_stats(queue);
	return after.accepted + after.rejected - before.accepted - before.rejected;
}
