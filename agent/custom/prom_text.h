/* The Prometheus text exposition format, version 0.0.4, as "*.prom" files hold it. Pure; nothing is allocated: names
 *and values are borrowed from the text, label values still escaped.
 *
 *	# HELP room_celsius Temperature of the room
 *	# TYPE room_celsius gauge
 *	room_celsius{room="hall \"A\""} 21.5
 *
 * Stricter than the format where leniency hides a mistake: no timestamps (the agent's own is the one that counts), no
 * last line without a newline (the file is being written), all lines of a metric together. */
#pragma once

#include "agent/scan.h"

#define PROM_MAX_LABELS 16	/* what a series may have on the backend */
#define PROM_NAME_MAX 200	/* bytes of a metric's name */
#define PROM_LABEL_NAME_MAX 128 /* bytes of a label's name */
#define PROM_VALUE_MAX 1024	/* bytes of a label's value as it is written */
#define PROM_ERROR_SIZE 128

enum prom_type { PROM_UNTYPED, PROM_COUNTER, PROM_GAUGE, PROM_HISTOGRAM, PROM_SUMMARY };

/* What HELP and TYPE said of the lines that follow. */
struct prom_family {
	struct word name;
	enum prom_type type;
	struct word help; /* escaped; empty when none */
	bool has_type, has_help;
	bool has_samples;
};

struct prom_label {
	struct word name;
	struct word value; /* between the quotes, escaped */
};

struct prom_sample {
	struct word name;
	const struct prom_family *family; /* of the reader: good until the next call */
	bool first_of_family;
	double value; /* NaN and infinities as they are */
	size_t n_labels;
	struct prom_label labels[PROM_MAX_LABELS]; /* no name twice */
};

struct prom_reader {
	struct scan rest;
	size_t line; /* of the last sample or error, from 1 */
	struct prom_family family;
	char error[PROM_ERROR_SIZE]; /* what is wrong with that line, when prom_next() failed */
};

struct prom_reader prom_reader(const char *text, size_t len) __attribute__((nonnull));
/* 1 and a sample, 0 at the end, -EPROTO. */
int prom_next(struct prom_reader *reader, struct prom_sample *ret) __attribute__((nonnull, warn_unused_result));

/* Writes the value behind the escapes, at most word.len bytes, not terminated. Returns how many. */
size_t prom_unescape(struct word word, char *ret) __attribute__((nonnull, warn_unused_result));
