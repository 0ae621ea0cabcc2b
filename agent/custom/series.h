/* The series of all files together: a file is taken whole or leaves nothing behind, no series is there twice, a name
 * means the same type in every file. */
#pragma once

#include "agent/custom/key_set.h"

#include <sonde/v1/custom.pb-c.h>

#define SERIES_ERROR_SIZE 192

struct series {
	struct arena *arena;
	Sonde__V1__CustomMetric **metrics;
	size_t n, max;
	size_t bytes, max_bytes; /* packed */
	size_t left_out;	 /* good, and beyond the limits */
	struct key_set keys;	 /* of series, with the file's number */
	struct key_set families; /* by name, with type and file */
};

/* 0 or -ENOMEM. */
int series_init(struct series *series, struct arena *arena, size_t max, size_t max_bytes)
	__attribute__((nonnull, warn_unused_result));

/* Parses one file's text. file: its place in `names`, which the messages name the other file by. 0 with
 * *ret_taken; -EPROTO with a sentence in error; -ENOMEM. */
int series_add_file(struct series *series, const char *text, size_t len, uint32_t file, const char (*names)[256],
		    size_t *ret_taken, char error[SERIES_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));
