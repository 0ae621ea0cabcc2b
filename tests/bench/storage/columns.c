/* Sizes and speed of chunks made of a recording (take.py), section by section.
 *
 *     bench_columns RECORDING [--window SECONDS] [--without SECTION]... [--every N] [--tile TIMES]
 */
#include "backend/columns/chunk.h"
#include "backend/columns/chunk_builder.h"
#include "backend/columns/chunk_merge.h"
#include "backend/columns/section_reader.h"
#include "common/schema/snapshot_index.h"
#include "tests/bench/storage/recording.h"
#include "tests/bench/storage/tile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct totals {
	uint64_t bytes, directory, samples, series, parts, values, changing, texts;
};

static void read_section(const struct chunk_section *s, uint32_t n_ticks, struct totals *totals)
{
	struct section_reader *reader;
	struct columns_values values = {0};
	if (chunk_section_has_texts(s->number)) {
		totals[chunk_section_of(s->number)].texts += s->len;
		return;
	}
	int r = section_reader_open(s->data, s->len, n_ticks, &reader);
	if (r < 0) {
		fprintf(stderr, "section %u: %s\n", s->number, strerror(-r));
		exit(1);
	}
	struct totals *t = &totals[s->number];
	t->bytes += s->len;
	t->directory += 12 + ((uint32_t)s->data[0] | (uint32_t)s->data[1] << 8 | (uint32_t)s->data[2] << 16);
	for (uint32_t i = 0; i < section_reader_series(reader); i++) {
		r = section_reader_values(reader, i, &values);
		if (r < 0) {
			fprintf(stderr, "section %u series %u: %s\n", s->number, i, strerror(-r));
			exit(1);
		}
		t->series++;
		t->samples += values.n;
		t->parts += values.n_parts;
		t->values += (uint64_t)values.n * values.n_parts;
	}
	columns_values_free(&values);
	section_reader_free(reader);
}

/* Leaves of a recording every Nth snapshot, and of these the sections that are asked for: what follows is timed. */
static void thin(struct recording *rec, uint64_t without, uint64_t every)
{
	struct columns_tick tick;
	struct buf some = BUF_INIT(1ull << 36);
	const uint8_t *payload;
	uint8_t header[RECORD_HEADER];
	size_t len, at;
	while (recording_next(rec, &tick, &payload, &len)) {
		if (tick.sequence % every != 0)
			continue;
		at = some.len;
		memcpy(header, payload - RECORD_HEADER, RECORD_HEADER);
		int r = buf_append(&some, header, sizeof(header));
		if (r == 0)
			r = snapshot_index_copy(payload, len, ~without, &some);
		if (r < 0) {
			fprintf(stderr, "copy: %s\n", strerror(-r));
			exit(1);
		}
		uint32_t size = (uint32_t)(some.len - at - RECORD_HEADER);
		memcpy(some.data + at + 8, &size, sizeof(size));
	}
	buf_free(&rec->bytes);
	rec->bytes = some;
	rec->at = 0;
}

/* Builds one chunk of at most `window` seconds; false when the recording is at its end. */
static bool build(struct recording *rec, uint32_t window, struct chunk_builder *b)
{
	struct columns_tick tick;
	const uint8_t *payload;
	int64_t began = 0;
	size_t len, before = rec->at;
	while (recording_next(rec, &tick, &payload, &len)) {
		if (chunk_builder_ticks(b) == 0)
			began = tick.time_us;
		if (tick.time_us >= began + window * 1000000ll) {
			rec->at = before;
			return true;
		}
		before = rec->at;
		int r = chunk_builder_add(b, &tick, rec->schema, payload, len);
		if (r < 0) {
			fprintf(stderr, "add: %s\n", strerror(-r));
			exit(1);
		}
	}
	return chunk_builder_ticks(b) > 0;
}

int main(int argc, char **argv)
{
	struct totals totals[64] = {0};
	struct recording rec;
	struct buf chunks[CHUNK_MERGE_MAX], merged = BUF_INIT(1u << 30);
	struct chunk_bytes bytes[CHUNK_MERGE_MAX];
	double building = 0, finishing = 0, reading = 0, merging = 0, t0, t1;
	uint64_t samples = 0, sealed = 0, without = 0, every = 1;
	unsigned tiles = 1;
	uint32_t n = 0, window = 3600, bad;
	unsigned long crc = 0;
	if (argc < 2)
		return 2;
	for (int i = 2; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--window") == 0)
			window = (uint32_t)atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--every") == 0)
			every = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--tile") == 0)
			tiles = (unsigned)atoi(argv[i + 1]);
		else
			without |= 1ull << (unsigned)atoi(argv[i + 1]);
	}
	recording_open(&rec, argv[1]);
	if (without || every > 1)
		thin(&rec, without, every);
	for (;;) {
		struct chunk_builder *b;
		if (n == CHUNK_MERGE_MAX || chunk_builder_new(1u << 30, &b) < 0)
			return 1;
		t0 = cpu_seconds();
		bool more = build(&rec, window, b);
		t1 = cpu_seconds();
		building += t1 - t0;
		chunks[n] = BUF_INIT(1u << 30);
		if (more && chunk_builder_finish(b, COLUMNS_QUICK, &chunks[n]) < 0)
			return 1;
		finishing += cpu_seconds() - t1;
		samples += chunk_builder_samples(b);
		chunk_builder_free(b);
		if (!more)
			break;
		bytes[n] = (struct chunk_bytes){.data = chunks[n].data, .len = chunks[n].len};
		crc = crc32(crc, chunks[n].data, (unsigned)chunks[n].len);
		sealed += chunks[n++].len;
	}
	if (tiles > 1 && (n != 1 || tiles > CHUNK_MERGE_MAX))
		return 2;
	for (; n < tiles; n++) {
		chunks[n] = BUF_INIT(1u << 30);
		tile_chunk(&chunks[0], n, &chunks[n]);
		bytes[n] = (struct chunk_bytes){.data = chunks[n].data, .len = chunks[n].len};
		sealed += chunks[n].len;
	}
	struct chunk_merge_result result;
	struct chunk_reader reader;
	t0 = cpu_seconds();
	if (chunk_merge(bytes, n, INT64_MIN, INT64_MAX, &merged, &result, &bad) < 0 ||
	    chunk_open(merged.data, merged.len, &reader) < 0)
		return 1;
	t1 = cpu_seconds();
	merging = t1 - t0;
	for (uint32_t i = 0; i < reader.n_sections; i++)
		read_section(&reader.sections[i], reader.n_ticks, totals);
	reading = cpu_seconds() - t1;
	printf("| section | series | samples | bytes | of these directory | bytes a sample | texts "
	       "|\n|---|---|---|---|---|---|---|\n");
	for (uint32_t i = 0; i < 64; i++) {
		const struct totals *t = &totals[i];
		if (t->samples > 0)
			printf("| %u | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %.3f | %" PRIu64 " |\n",
			       i, t->series, t->samples, t->bytes, t->directory, (double)t->bytes / (double)t->samples,
			       t->texts);
	}
	double s = (double)result.samples, walked = (double)samples;
	printf("%u chunks of %u s, sealed %" PRIu64 " bytes (%.3f a sample); compacted %zu bytes, ticks %u (%.3f)\n"
	       "CRC-32 of the sealed chunks %08lx, of the compacted one %08lx\n",
	       n, window, sealed, (double)sealed / s, merged.len, reader.ticks_len, (double)merged.len / s, crc,
	       crc32(0, merged.data, (unsigned)merged.len));
	printf("%u ticks, samples %" PRIu64 "; ns a sample: walk and gather %.1f, seal %.1f, compact %.1f, read %.1f\n",
	       reader.n_ticks, result.samples, building * 1e9 / walked, finishing * 1e9 / walked, merging * 1e9 / s,
	       reading * 1e9 / s);
	for (uint32_t i = 0; i < n; i++)
		buf_free(&chunks[i]);
	buf_free(&merged);
	recording_close(&rec);
	return 0;
}
