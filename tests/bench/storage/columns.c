/* Sizes and speed of chunks made of a recording (take.py), section by section.
 *
 *     bench_columns RECORDING [--window SECONDS]
 */
#include "backend/columns/chunk.h"
#include "backend/columns/chunk_builder.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"
#include "common/schema/snapshot_index.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	int r = f ? 0 : -errno;
	while (r == 0 && !feof(f)) {
		r = buf_reserve(out, 1 << 20);
		if (r == 0)
			out->len += fread(out->data + out->len, 1, 1 << 20, f);
	}
	if (f)
		fclose(f);
	return r;
}

struct totals {
	uint64_t bytes, directory, samples, series, parts, values, changing;
};

static void read_section(const struct chunk_section *s, uint32_t n_ticks, struct totals *totals, bool by_path)
{
	struct section_reader *reader;
	struct columns_values values = {0};
	struct columns_series id;
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
		section_reader_get(reader, i, &id);
		t->series++;
		t->samples += values.n;
		t->parts += values.n_parts;
		t->values += (uint64_t)values.n * values.n_parts;
	}
	(void)by_path;
	columns_values_free(&values);
	section_reader_free(reader);
}

int main(int argc, char **argv)
{
	struct buf recording = BUF_INIT(1ull << 36), chunk = BUF_INIT(1u << 30);
	struct totals totals[64] = {0}, all = {0};
	struct schema *schema;
	if (argc < 2)
		return 2;
	uint32_t window = argc > 3 ? (uint32_t)atoi(argv[3]) : 3600;
	if (read_file(argv[1], &recording) < 0 ||
	    schema_compile(descriptors_snapshot().data, descriptors_snapshot().len, "sonde.v1.Snapshot", &schema) < 0)
		return 1;
	double building = 0, finishing = 0, reading = 0;
	uint64_t chunks = 0, ticks_bytes = 0, chunk_bytes = 0;
	size_t at = 0;
	while (at < recording.len) {
		struct chunk_builder *b;
		int64_t began = 0;
		int r = chunk_builder_new(1u << 30, &b);
		double t0 = cpu_seconds();
		while (r == 0 && at < recording.len) {
			int64_t received;
			uint32_t len;
			struct snapshot_index index;
			memcpy(&received, recording.data + at, 8);
			memcpy(&len, recording.data + at + 8, 4);
			r = snapshot_index_parse(recording.data + at + 12, len, &index);
			if (r < 0)
				break;
			if (began == 0)
				began = index.timestamp_us;
			if (index.timestamp_us >= began + window * 1000000ll)
				break;
			struct columns_tick tick = {.time_us = index.timestamp_us,
						    .received_us = received,
						    .boottime_us = index.boottime_us,
						    .sequence = index.sequence,
						    .interval_ms = index.interval_ms};
			memcpy(tick.instance, index.instance, 16);
			memcpy(tick.boot_id, index.boot_id, 16);
			r = chunk_builder_add(b, &tick, schema, recording.data + at + 12, len);
			at += 12 + len;
		}
		double t1 = cpu_seconds();
		buf_reset(&chunk);
		if (r == 0)
			r = chunk_builder_finish(b, &chunk);
		double t2 = cpu_seconds();
		struct chunk_reader reader;
		if (r == 0)
			r = chunk_open(chunk.data, chunk.len, &reader);
		if (r < 0) {
			fprintf(stderr, "%s\n", strerror(-r));
			return 1;
		}
		for (uint32_t i = 0; i < reader.n_sections; i++)
			read_section(&reader.sections[i], reader.n_ticks, totals, false);
		reading += cpu_seconds() - t2;
		building += t1 - t0;
		finishing += t2 - t1;
		chunks++;
		ticks_bytes += reader.ticks_len;
		chunk_bytes += chunk.len;
		printf("chunk: %u ticks, %u series, %" PRIu64 " samples, %zu bytes, ticks %u\n", reader.n_ticks,
		       chunk_builder_series(b), chunk_builder_samples(b), chunk.len, reader.ticks_len);
		chunk_builder_free(b);
	}
	printf("section series samples values bytes directory B/sample\n");
	for (uint32_t i = 0; i < 64; i++) {
		const struct totals *t = &totals[i];
		if (t->samples == 0)
			continue;
		printf("%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.3f\n", i, t->series,
		       t->samples, t->values, t->bytes, t->directory, (double)t->bytes / (double)t->samples);
		all.samples += t->samples;
		all.values += t->values;
	}
	printf("all: %" PRIu64 " bytes, %.3f B/sample; add %.1f ns/sample, finish %.1f, read %.1f\n", chunk_bytes,
	       (double)chunk_bytes / (double)all.samples, building * 1e9 / (double)all.samples,
	       finishing * 1e9 / (double)all.samples, reading * 1e9 / (double)all.samples);
	return 0;
}
