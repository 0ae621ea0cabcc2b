/* Blocks of one host, read by several threads: one reads in the order of time and makes the answer, the others read the
 * next blocks into the source's cache, where it finds them. So the answer is that of one thread alone, and what the
 * others cannot read, or the cache does not keep, it reads itself. Private to backend/query. */
#pragma once

#include "backend/query/range.h"

/* Borrowed until range_ahead_end(). */
struct range_ahead_wish {
	const struct query_source *source;
	const struct query_range *range;
	const struct selector *selector;
	const char *hostname;
	uint64_t deadline_ns;
	enum schema_kind kind;
	unsigned statistics;
};

struct range_ahead;
/* Before the first block of those: NULL when there are too few, or when there is no memory. */
struct range_ahead *range_ahead_start(const struct range_ahead_wish *wish, const struct query_due *due)
	__attribute__((nonnull));
/* The block is read next: waits while another thread does so, and no longer than until the deadline. */
void range_ahead_wait(struct range_ahead *ahead, const struct query_due *due) __attribute__((nonnull));
/* Ends the threads, each after what it is reading. */
void range_ahead_end(struct range_ahead *ahead); /* accepts NULL */
