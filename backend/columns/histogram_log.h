/* The histograms of one series while a chunk is gathered: as they came, one after the other. Their buckets are taken
 * apart once, when all are there, for a histogram of twenty buckets is then twenty columns that lie beside each other;
 * at its coming it would be as many places far from each other. Private to table.c. */
#pragma once

#include "backend/columns/columns.h"
#include "common/pages.h"

/* A zeroed one is empty; its memory is that of the pages. */
struct histogram_log {
	struct histogram_block *first, *block;
	const uint8_t *last;	/* record that the next is compared with; NULL: none */
	const uint8_t *layout;	/* the indexes of the last record, as a message has them */
	uint32_t layout_len, n; /* bytes of these, and how many they are */
	uint32_t drop;		/* bytes of the last record; 0: it was dropped */
};

/* 1: the message had the buckets of the one before it and was added. 0: it is to be parsed, or malformed. -EMSGSIZE,
 * -ENOMEM. */
int histogram_log_again(struct histogram_log *log, struct pages *pages, const uint8_t *data, size_t len)
	__attribute__((nonnull, warn_unused_result));
/* 0, -EMSGSIZE, -ENOMEM. */
int histogram_log_add(struct histogram_log *log, struct pages *pages, const struct schema_histogram *histogram)
	__attribute__((nonnull, warn_unused_result));
/* Forgets the one added last; only one. */
void histogram_log_drop(struct histogram_log *log) __attribute__((nonnull));

/* All n of them as columns: the sum, and each bucket that ever had a count. 0 or -ENOMEM. */
int histogram_log_values(const struct histogram_log *log, uint32_t n, struct columns_values *ret)
	__attribute__((nonnull, warn_unused_result));
