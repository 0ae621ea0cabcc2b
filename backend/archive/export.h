/* Readings of a store as text (export_format.h): metric by metric, host by host, series by series, each in the order of
 * time, whatever they are kept as. What is exported into a file can be interrupted and taken up again: the result is
 * the same to the byte as long as the store says the same of that time. */
#pragma once

#include "backend/archive/export_format.h"
#include "backend/query/range.h"
#include "backend/store/store.h"

#include <signal.h>

#define EXPORT_ERROR_SIZE 512

struct export_request {
	enum export_format format;
	const char *host;	/* NULL: all */
	const char *selector;	/* NULL: all metrics */
	int64_t from_us, to_us; /* to is not part of it */
	int64_t step_us;	/* 0: every reading */
	enum range_function function;
	const char *function_name; /* NULL: the kind's own */
	const char *output;	   /* NULL: standard output */
	const char *identity;	   /* the request as it was written: what is resumed must have the same */
	bool resume;
};

struct export_counts {
	uint64_t readings, series, bytes;
	uint64_t damaged; /* stretches of which something could not be read */
	bool resumed;
};

/* 0; -EINTR when *stop became true: what is there can be resumed; -EPIPE; negative errno with a line in error. */
int export_run(struct store *store, const struct export_request *request, const volatile sig_atomic_t *stop,
	       struct export_counts *ret, char error[EXPORT_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));
