/* Rows go through store_append() as those of an agent do. Their payloads are those of the recording, all sections of
 * them: what a panel passes over is most of what it costs. */
#include "tests/bench/query/hot.h"

#include "backend/columns/chunk_merge.h"
#include "tests/bench/storage/recording.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 32
#define SECOND_US 1000000

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static void on_done(void *arg, int error, const enum store_fate *fates, size_t n)
{
	must(error, "append");
	for (size_t i = 0; i < n; i++)
		must(fates[i] == STORE_ACCEPTED ? 0 : -EEXIST, "append");
	sem_post(arg);
}

static void append(struct store *store, const uint8_t host_id[16], const struct store_snapshot *snapshots, size_t n)
{
	static const uint8_t instance[16] = "hot";
	sem_t done;
	if (n == 0)
		return;
	sem_init(&done, 0, 0);
	must(store_append(store, host_id, instance, snapshots, n, on_done, &done), "append");
	while (sem_wait(&done) < 0)
		;
	sem_destroy(&done);
}

/* The recording is read once for all hosts. */
static struct recording *whole(const char *path)
{
	static struct recording recording;
	if (!recording.bytes.data)
		recording_open(&recording, path);
	recording.at = 0;
	return &recording;
}

static uint64_t count(struct recording *recording, uint64_t every)
{
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	uint64_t n = 0;
	while (recording_next(recording, &tick, &payload, &len))
		n += tick.sequence % every == 0;
	recording->at = 0;
	return n;
}

int64_t hot_rows(struct store *store, const uint8_t host_id[16], const char *path, uint64_t every, unsigned n,
		 int64_t after_us)
{
	struct recording *recording = whole(path);
	struct store_snapshot batch[BATCH];
	struct columns_tick tick;
	size_t len, held = 0;
	const uint8_t *payload;
	uint64_t all = count(recording, every), skip = all > n ? all - n : 0, seen = 0, sequence = 0;
	while (recording_next(recording, &tick, &payload, &len)) {
		if (tick.sequence % every != 0 || seen++ < skip)
			continue;
		sequence++;
		after_us += (int64_t)every * SECOND_US;
		batch[held++] = (struct store_snapshot){.sequence = sequence,
							.agent_us = after_us,
							.boottime_us = sequence * every * SECOND_US,
							.received_us = after_us,
							.payload = payload,
							.len = len};
		if (held < BATCH)
			continue;
		append(store, host_id, batch, held);
		held = 0;
	}
	append(store, host_id, batch, held);
	return after_us;
}

void hot_slice(const struct store_chunk *chunk, int64_t from_us, int64_t to_us, struct buf *out)
{
	const struct chunk_bytes bytes = {.data = chunk->data, .len = chunk->len};
	struct chunk_merge_result result;
	uint32_t bad;
	must(chunk_merge(&bytes, 1, from_us, to_us, out, &result, &bad), "slice");
	if (result.ticks == 0)
		buf_reset(out);
}
