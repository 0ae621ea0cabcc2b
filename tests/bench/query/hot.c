/* Rows go through store_append() as those of an agent do. Their payloads are those of the recording, all sections of
 * them: what a panel passes over is most of what it costs. */
#include "tests/bench/query/hot.h"

#include "backend/columns/chunk.h"
#include "backend/columns/chunk_merge.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/section_writer.h"
#include "backend/columns/ticks.h"
#include "tests/bench/must.h"
#include "tests/bench/storage/recording.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000

static void on_done(void *arg, int error, const enum store_fate *fates, size_t n)
{
	must(error, "append");
	for (size_t i = 0; i < n; i++)
		must(fates[i] == STORE_ACCEPTED ? 0 : -EEXIST, "append");
	sem_post(arg);
}

static void append(struct store *store, const struct store_host *host, const struct store_snapshot *snapshot,
		   sem_t *done)
{
	static const uint8_t instance[16] = "hot";
	must(store_append(store, host->host_id, instance, snapshot, 1, on_done, done), "append");
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

int64_t hot_rows(struct store *store, const struct store_host *hosts, size_t n_hosts, const char *path, uint64_t every,
		 unsigned n, int64_t after_us)
{
	struct recording *recording = whole(path);
	struct columns_tick tick;
	size_t len;
	const uint8_t *payload;
	uint64_t all = count(recording, every), skip = all > n ? all - n : 0, seen = 0, sequence = 0;
	sem_t done;
	sem_init(&done, 0, 0);
	while (recording_next(recording, &tick, &payload, &len)) {
		if (tick.sequence % every != 0 || seen++ < skip)
			continue;
		sequence++;
		after_us += (int64_t)every * SECOND_US;
		const struct store_snapshot snapshot = {.sequence = sequence,
							.agent_us = after_us,
							.boottime_us = sequence * every * SECOND_US,
							.received_us = after_us,
							.payload = payload,
							.len = len};
		for (size_t i = 0; i < n_hosts; i++)
			append(store, &hosts[i], &snapshot, &done);
		for (size_t i = 0; i < n_hosts; i++) {
			while (sem_wait(&done) < 0)
				;
		}
	}
	sem_destroy(&done);
	return after_us;
}

static void recode_section(const struct chunk_section *section, uint32_t n_ticks, struct buf *out)
{
	struct columns_values values = {0};
	struct section_reader *reader;
	struct section_writer *writer;
	struct columns_series id;
	must(section_reader_open(section->data, section->len, n_ticks, &reader), "section");
	must(section_writer_new(section->number, n_ticks, COLUMNS_QUICK, &writer), "section");
	for (uint32_t i = 0; i < section_reader_series(reader); i++) {
		section_reader_get(reader, i, &id);
		must(section_reader_values(reader, i, &values), "values");
		must(section_writer_add(writer, &id, &values), "values");
	}
	must(section_writer_finish(writer, out), "section");
	section_writer_free(writer);
	section_reader_free(reader);
	columns_values_free(&values);
}

static void recode(const struct buf *chunk, struct buf *out)
{
	struct chunk_reader reader;
	struct buf bytes[COLUMNS_MAX_SECTIONS];
	uint32_t n = 0;
	must(chunk_open(chunk->data, chunk->len, &reader), "slice");
	struct columns_tick *ticks = calloc(reader.n_ticks + 1u, sizeof(*ticks));
	must(ticks ? ticks_take(reader.ticks, reader.ticks_len, reader.n_ticks, ticks) : -ENOMEM, "ticks");
	for (uint32_t i = 0; i < reader.n_sections; i++) {
		if (chunk_section_has_texts(reader.sections[i].number))
			continue;
		bytes[n] = BUF_INIT(1u << 30);
		recode_section(&reader.sections[i], reader.n_ticks, &bytes[n]);
		reader.sections[n] = reader.sections[i];
		reader.sections[n].data = bytes[n].data;
		reader.sections[n].len = (uint32_t)bytes[n].len;
		n++;
	}
	must(chunk_put(ticks, reader.n_ticks, reader.sections, n, out), "slice");
	for (uint32_t i = 0; i < n; i++)
		buf_free(&bytes[i]);
	free(ticks);
}

void hot_slice(const struct store_chunk *chunk, int64_t from_us, int64_t to_us, struct buf *out)
{
	const struct chunk_bytes bytes = {.data = chunk->data, .len = chunk->len};
	struct buf part BUF_CLEANUP = BUF_INIT(1u << 30);
	struct chunk_merge_result result;
	uint32_t bad;
	must(chunk_merge(&bytes, 1, from_us, to_us, &part, &result, &bad), "slice");
	if (result.ticks > 0)
		recode(&part, out);
}
