#include "agent/events/event_log.h"

#include <string.h>

void event_log_begin(struct event_log *log)
{
	log->n = 0;
}

void event_log_add(struct event_log *log, const struct event *event)
{
	log->counts[event->kind] += event->occurrences;
	for (size_t i = 0; i < log->n; i++) {
		struct event *known = &log->events[i];
		if (known->kind != event->kind || strcmp(known->subject, event->subject) != 0)
			continue;
		known->occurrences += event->occurrences;
		known->amount_us += event->amount_us;
		if (event->severity > known->severity)
			known->severity = event->severity;
		return;
	}
	if (log->n == EVENT_LOG_MAX)
		log->left_out += event->occurrences;
	else
		log->events[log->n++] = *event;
}
