/* The first hour of a recording as hosts that go on in the same way for as long as is asked for: snapshot after
 * snapshot, as an agent would send them. Times and sequences continue; counters and histograms go on from where the
 * hour left them; rows that came and went within the hour come and go in the next as other ones (their generation is
 * another). Hosts are at different moments of the hour. No noise is added. To scale is to multiply what changes, growth
 * of counters and gauges, by a factor of each hour between 0.75 and 1.25, in the steps, decimals or fractions that a
 * series has: else a database whose blocks are longer than an hour would store what it has seen
 * before. */
#pragma once

#include "backend/columns/columns.h"

#define WARP_HOUR_US 3600000000ll
#define WARP_ALL_SECTIONS UINT64_MAX

struct warp;

/* Of each `every` snapshots one is taken; of these the sections with a bit (1 << field number). Ends the program with a
 * line when it cannot. */
struct warp *warp_open(const char *recording, uint64_t sections, uint32_t every, bool scale);
void warp_close(struct warp *warp);

/* Snapshots of an hour. */
uint32_t warp_ticks(const struct warp *warp);
struct schema *warp_schema(const struct warp *warp);
/* The i-th snapshot of a host (from 0) that began at begin_us; borrowed until the next call. */
void warp_snapshot(struct warp *warp, uint32_t host, uint64_t i, int64_t begin_us, struct columns_tick *tick,
		   const uint8_t **payload, size_t *len);
/* Samples of it: a histogram is one. */
uint32_t warp_samples(const struct warp *warp, uint32_t host, uint64_t i);
/* Its time alone. */
int64_t warp_time_us(const struct warp *warp, uint32_t host, uint64_t i, int64_t begin_us);
