/* What a recording is compiled into (warp.c) and what writes snapshots from it (warp_write.c) share. */
#pragma once

#include "backend/columns/intern.h"
#include "tests/bench/storage/recording.h"
#include "tests/bench/storage/warp.h"

#define SCRATCH (1u << 20)
#define MAX_DECIMALS 9

enum op_kind {
	OP_COPY,
	OP_VARINT, /* what goes on with the hours */
	OP_UINT,   /* values */
	OP_DOUBLE,
	OP_HISTOGRAM,
	OP_BEGIN,
	OP_END,
};

struct op {
	enum op_kind kind;
	uint32_t number; /* of the field; of OP_COPY its length */
	union {
		const uint8_t *data; /* OP_COPY, OP_HISTOGRAM */
		uint64_t value;
	};
	union {
		uint64_t step;		  /* OP_VARINT: an hour's */
		const struct history *of; /* values */
	};
	uint32_t len; /* OP_HISTOGRAM; of OP_DOUBLE the denominator */
};

/* What a series was over the hour. */
struct history {
	uint64_t first, last; /* as columns_values */
	uint32_t first_tick, last_tick;
	enum schema_value_type type;
	enum schema_kind kind;
	bool changes;
	uint64_t grain;			       /* all values, or growths, are multiples of it */
	unsigned decimals;		       /* that all of them have at most; more than MAX_DECIMALS: any */
	const uint8_t *first_data, *last_data; /* of histograms */
	size_t first_len, last_len;
	size_t key, key_len; /* in keys */
};

struct snapshot {
	const uint8_t *payload;
	size_t len;
	struct columns_tick tick;
	uint32_t *series; /* of each sample, in wire order; custom metrics are not among them */
	uint32_t n;
	uint32_t first_op, n_ops;
};

struct warp {
	struct recording recording;
	struct buf sections; /* payloads without the sections that are not wanted */
	uint64_t wanted;
	uint32_t every;
	struct snapshot *ticks;
	uint32_t n;
	struct history *series;
	uint32_t n_series, cap_series;
	struct intern intern;
	struct buf keys;
	struct op *ops;
	uint32_t n_ops, cap_ops;
	uint8_t *scratch;
	bool scale;
	double *factors; /* of each hour so far, and of all before it together */
	double *sums;
	uint32_t n_factors, cap_factors, cap_sums;
	/* While a snapshot is read or compiled. */
	struct snapshot *at;
	uint32_t cap, next;
	struct buf key;
};

/* Ends the program with a line when r is negative. */
void warp_must(int r, const char *what);
/* Room for one more. */
void *warp_grow(void *array, uint32_t n, uint32_t *cap, size_t size);
