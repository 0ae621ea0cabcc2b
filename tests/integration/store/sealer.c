/* Rows are gathered with no regard to what is committed meanwhile, and two of these run at once: a seal or a
 * replacement that comes too late is what is to be seen. */
#include "tests/integration/store/sealer.h"

#include "backend/history/tiers.h"
#include "backend/store/store.h"
#include "common/buf.h"
#include "common/clock.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_US 3000000 /* at most: often so short that rows are committed behind the view */
#define TOGETHER 4
#define FORGET_ONE_IN 8 /* rounds */
#define CHUNK_MAX (16u << 20)
#define PAYLOAD_MAX 2048

struct gathered {
	int64_t was_us, upto_us;
	uint64_t rows;
	struct buf sequences;
	struct store_row latest; /* its payload is in `payload` */
	uint8_t payload[PAYLOAD_MAX];
	struct store_chunk chunk;
};

static int gather(void *arg, const struct store_row *row)
{
	struct gathered *g = arg;
	uint64_t sequence = htole64(row->sequence);
	if (row->received_us > g->upto_us)
		return 0;
	if (row->len > sizeof(g->payload))
		return -EMSGSIZE;
	if (g->rows++ == 0)
		g->chunk.first_us = row->agent_us;
	g->chunk.last_us = row->agent_us;
	g->latest = *row;
	memcpy(g->payload, row->payload, row->len);
	g->latest.payload = g->payload;
	return buf_append(&g->sequences, &sequence, sizeof(sequence));
}

static int seal(struct store *store, const struct store_unsealed *unsealed, unsigned *seed)
{
	struct gathered g = {.was_us = unsealed->sealed_us,
			     .upto_us = clock_wall_us() - rand_r(seed) % GRACE_US,
			     .sequences = BUF_INIT(CHUNK_MAX),
			     .chunk = {.tier = STORE_TIER_RAW}};
	struct store_view *view;
	if (g.upto_us <= g.was_us)
		return 0;
	int r = store_view_open(store, &view);
	if (r < 0)
		return r;
	r = store_view_rows(view, unsealed->host_id, INT64_MIN, INT64_MAX, false, gather, &g);
	store_view_close(view);
	if (r == 0 && g.rows > 0) {
		g.chunk.window_us = tiers_window_of(STORE_TIER_RAW, g.chunk.first_us);
		g.chunk.made_us = clock_wall_us();
		g.chunk.data = g.sequences.data;
		g.chunk.len = g.sequences.len;
		struct store_chunk both[] = {g.chunk, g.chunk};
		both[1].tier = STORE_TIER_PROCESSES; /* to be forgotten soon */
		r = store_seal(store, unsealed->host_id, g.was_us, g.upto_us, g.rows, &g.latest, both, 2);
		r = r == 0 ? 1 : r;
	}
	buf_free(&g.sequences);
	return r;
}

static int read_all(struct store_view *view, const struct store_chunk *chunks, size_t n, struct buf *bytes)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = buf_reserve(bytes, chunks[i].len);
		if (r == 0)
			r = store_view_read(view, &chunks[i], 0, chunks[i].len, bytes->data + bytes->len);
		if (r == 0)
			bytes->len += chunks[i].len;
	}
	return r;
}

/* 1 when chunks of the host were put together. */
static int compact(struct store *store, const uint8_t host_id[16])
{
	struct buf bytes = BUF_INIT(CHUNK_MAX);
	struct store_chunk *chunks = NULL;
	struct store_view *view;
	size_t n = 0;
	int r = store_view_open(store, &view);
	if (r < 0)
		return r;
	r = store_view_chunks(view, host_id, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &chunks, &n);
	if (r == 0 && n >= TOGETHER)
		r = read_all(view, chunks, n, &bytes);
	store_view_close(view);
	if (r == 0 && n >= TOGETHER) {
		struct store_chunk whole = chunks[0];
		for (size_t i = 0; i < n; i++)
			whole.last_us = chunks[i].last_us > whole.last_us ? chunks[i].last_us : whole.last_us;
		whole.compacted = true;
		whole.data = bytes.data;
		whole.len = bytes.len;
		r = store_replace(store, host_id, chunks, n, &whole, 1);
		r = r == 0 ? 1 : r;
	}
	free(chunks);
	buf_free(&bytes);
	return r;
}

static void keep_house(struct store *store, struct sealer *s)
{
	struct store_unsealed *unsealed = NULL;
	size_t n = 0;
	if (store_unsealed(store, &unsealed, &n) < 0)
		return;
	for (size_t i = 0; i < n && !s->stop; i++) {
		int r = seal(store, &unsealed[i], &s->seed);
		s->sealed += r > 0;
		s->stale += r == -ESTALE;
		r = compact(store, unsealed[i].host_id);
		s->compacted += r > 0;
		s->stale += r == -ESTALE;
	}
	free(unsealed);
	uint64_t bytes = 0;
	if (rand_r(&s->seed) % FORGET_ONE_IN == 0 &&
	    store_drop(store, STORE_TIER_PROCESSES, clock_wall_us(), UINT64_MAX, &bytes) == 0)
		s->dropped += bytes > 0;
}

void *sealer_run(void *arg)
{
	struct sealer *s = arg;
	struct store *store = NULL;
	char *error = NULL;
	while (!s->stop && store_open(s->url, &store, &error) < 0) {
		free(error);
		error = NULL;
		usleep(20000);
	}
	while (store && !s->stop) {
		keep_house(store, s);
		usleep(3000);
	}
	store_close(store);
	return NULL;
}
