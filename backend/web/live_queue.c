/* A snapshot that was not sent in time is worth nothing once a newer one is there; what a host's status became is.
 * So snapshots go first. */
#include "backend/web/live_queue.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

struct live_queued {
	struct live_queued *next;
	struct live_message *message;
};

struct live_message *live_message_new(bool binary, bool snapshot, const void *data, size_t len)
{
	struct live_message *message = malloc(sizeof(*message) + LWS_PRE + len);
	if (!message)
		return NULL;
	*message = (struct live_message){
		.refs = 1, .binary = binary, .snapshot = snapshot, .len = len, .text = message->data + LWS_PRE};
	if (len > 0)
		memcpy(message->text, data, len);
	return message;
}

struct live_message *live_message_ref(struct live_message *message)
{
	message->refs++;
	return message;
}

void live_message_unref(struct live_message *message)
{
	if (message && --message->refs == 0)
		free(message);
}

/* Unlinks what follows `before` (NULL: the first). */
static struct live_message *take(struct live_queue *queue, struct live_queued *before)
{
	struct live_queued *queued = before ? before->next : queue->first;
	struct live_message *message = queued->message;
	if (before)
		before->next = queued->next;
	else
		queue->first = queued->next;
	if (queue->last == queued)
		queue->last = before;
	queue->n--;
	queue->bytes -= message->len;
	free(queued);
	return message;
}

static void drop_oldest(struct live_queue *queue)
{
	struct live_queued *before = NULL;
	for (struct live_queued *q = queue->first; q && !q->message->snapshot; q = q->next)
		before = q;
	if (before && !before->next)
		before = NULL; /* no snapshot in it */
	live_message_unref(take(queue, before));
	queue->dropped++;
}

int live_queue_push(struct live_queue *queue, struct live_message *message, uint64_t now_ns)
{
	struct live_queued *queued = malloc(sizeof(*queued));
	if (!queued)
		return -ENOMEM;
	while (queue->n > 0 && (queue->n >= LIVE_QUEUE_MESSAGES || queue->bytes + message->len > LIVE_QUEUE_BYTES)) {
		drop_oldest(queue);
		if (queue->slow_since_ns == 0)
			queue->slow_since_ns = now_ns;
	}
	*queued = (struct live_queued){.message = live_message_ref(message)};
	if (queue->last)
		queue->last->next = queued;
	else
		queue->first = queued;
	queue->last = queued;
	queue->n++;
	queue->bytes += message->len;
	return 0;
}

struct live_message *live_queue_pop(struct live_queue *queue)
{
	if (!queue->first)
		return NULL;
	struct live_message *message = take(queue, NULL);
	if (queue->n == 0)
		queue->slow_since_ns = 0;
	return message;
}

void live_queue_clear(struct live_queue *queue)
{
	struct live_message *message;
	while ((message = live_queue_pop(queue)))
		live_message_unref(message);
}

bool live_queue_is_stuck(const struct live_queue *queue, uint64_t now_ns)
{
	return queue->slow_since_ns != 0 && now_ns - queue->slow_since_ns >= LIVE_SLOW_NS;
}
