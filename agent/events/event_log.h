/* The events of one tick, and how many of each kind there have been. What repeats within a tick is told once with its
 * number, so that a disk that fails a thousand requests a second takes one row. */
#pragma once

#include <sonde/v1/event.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_LOG_MAX 64 /* a tick */
#define EVENT_KINDS 24	 /* numbers of EventKind */
#define EVENT_SUBJECT_SIZE 64
#define EVENT_MESSAGE_SIZE 256

struct event {
	Sonde__V1__EventKind kind;
	Sonde__V1__EventSeverity severity;
	uint64_t boottime_us;
	int64_t wall_us;
	int64_t amount_us; /* 0: none */
	uint64_t occurrences;
	char subject[EVENT_SUBJECT_SIZE]; /* "" where there is none */
	char message[EVENT_MESSAGE_SIZE];
};

struct event_log {
	uint64_t counts[EVENT_KINDS];
	bool seen[EVENT_KINDS]; /* there is a source for this kind: its count means something */
	uint64_t left_out;
	size_t n;
	struct event events[EVENT_LOG_MAX];
};

/* A new tick: nothing has happened in it yet. */
void event_log_begin(struct event_log *log) __attribute__((nonnull));
/* Counts event->occurrences of them, merged with one of the same kind and subject. */
void event_log_add(struct event_log *log, const struct event *event) __attribute__((nonnull));
