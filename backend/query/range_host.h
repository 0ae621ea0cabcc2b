/* What one host adds to the answer of a range query. Private to backend/query. */
#pragma once

#include "backend/query/range.h"
#include "backend/query/range_values.h"

#include <stdatomic.h>

#define RANGE_TOO_MUCH_READ                                                                                            \
	"more than %u values would be read: ask for a shorter range, fewer hosts or a step of whole minutes"
#define RANGE_TOO_MANY_GROUPS                                                                                          \
	"more than %d series, %d values or %d points of histograms: narrow the selector, group, or take a longer step"

struct range_limits {
	uint64_t decoded_bytes; /* that this host may read */
	uint64_t deadline_ns;	/* monotonic */
	const atomic_bool *stopped;
	bool ahead; /* it may have threads of its own */
};

/* The answer of a host alone, whose points are not finished. */
struct range_partial {
	struct range_result result; /* .points is set by who asks */
	bool has_metric;	    /* kind, unit and function are known: of this host, or set by who asks */
	uint64_t decoded_bytes;
	char error[256]; /* a sentence, when range_host_read() fails by a limit or the function */
};

/* What a thread uses from host to host. */
struct range_scratch {
	struct range_series_table table;
	struct range_ticks ticks;
};
void range_scratch_free(struct range_scratch *scratch) __attribute__((nonnull));

/* Reads one host into an empty partial. As range_run(), and -ECANCELED once limits->stopped. */
int range_host_read(const struct query_source *source, const struct range_request *request,
		    const struct range_host *host, size_t index, const struct range_limits *limits,
		    struct range_scratch *scratch, struct range_partial *partial)
	__attribute__((nonnull, warn_unused_result));
