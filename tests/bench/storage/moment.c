/* What a past moment costs: a recording's hour, six times over, as chunks of six hours (without processes) and of an
 * hour (processes), and a host put together again out of their middle.
 *
 *     bench_moment RECORDING
 */
#include "backend/columns/chunk_builder.h"
#include "backend/columns/chunk_merge.h"
#include "backend/query/rebuild.h"
#include "common/schema/snapshot_index.h"
#include "tests/bench/must.h"
#include "tests/bench/storage/recording.h"
#include "tests/bench/storage/tile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TILES 6
#define PROCESSES 23
#define KEYFRAME_TICKS 60 /* a table of processes is made of so many */

static double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int read_buf(void *arg, uint64_t offset, size_t len, uint8_t *data)
{
	const struct buf *bytes = arg;
	if (offset > bytes->len || len > bytes->len - offset)
		return -ERANGE;
	memcpy(data, bytes->data + offset, len);
	return 0;
}

static void build(struct recording *rec, uint64_t sections, struct buf *chunk)
{
	struct buf some BUF_CLEANUP = BUF_INIT(1 << 26);
	struct chunk_builder *builder;
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	must(chunk_builder_new(1u << 30, &builder), "builder");
	for (rec->at = 0; recording_next(rec, &tick, &payload, &len);) {
		buf_reset(&some);
		must(snapshot_index_copy(payload, len, sections, &some), "copy");
		must(chunk_builder_add(builder, &tick, rec->schema, some.data, some.len), "add");
	}
	must(chunk_builder_finish(builder, COLUMNS_QUICK, chunk), "finish");
	chunk_builder_free(builder);
}

static void tile(struct buf *chunk)
{
	struct buf tiles[TILES], merged = BUF_INIT(1u << 30);
	struct chunk_bytes bytes[TILES];
	struct chunk_merge_result result;
	uint32_t bad;
	for (unsigned i = 0; i < TILES; i++) {
		tiles[i] = BUF_INIT(1u << 30);
		tile_chunk(chunk, i, &tiles[i]);
		bytes[i] = (struct chunk_bytes){.data = tiles[i].data, .len = tiles[i].len};
	}
	must(chunk_merge(bytes, TILES, INT64_MIN, INT64_MAX, &merged, &result, &bad), "merge");
	for (unsigned i = 0; i < TILES; i++)
		buf_free(&tiles[i]);
	buf_free(chunk);
	*chunk = merged;
}

/* The last of `ticks` that end in the chunk's middle is the moment. */
static void measure(struct buf *chunk, struct schema *schema, uint32_t ticks, const char *what)
{
	const struct rebuild_source source = {.read = read_buf, .arg = chunk, .len = chunk->len};
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 28);
	struct rebuild *rebuild;
	double begin = cpu_ms(), loading = 0;
	uint32_t n;
	must(rebuild_open(&source, schema, &rebuild), "open");
	rebuild_ticks(rebuild, &n);
	for (uint32_t number = 0; (number = rebuild_next_section(rebuild, number)) != 0;) {
		double t = cpu_ms();
		must(rebuild_load(rebuild, number, n / 2 - ticks + 1, n / 2), "load");
		loading += cpu_ms() - t;
		for (uint32_t i = 0; i < ticks; i++)
			must(rebuild_put(rebuild, number, n / 2 - i, &out), "put");
	}
	printf("| %s | %zu | %" PRIu32 " | %.0f | %.0f | %zu |\n", what, chunk->len, n, cpu_ms() - begin, loading,
	       out.len);
	rebuild_free(rebuild);
}

int main(int argc, char **argv)
{
	struct buf raw = BUF_INIT(1u << 30), processes = BUF_INIT(1u << 30);
	struct recording rec;
	if (argc != 2)
		return 2;
	recording_open(&rec, argv[1]);
	build(&rec, ~(1ull << PROCESSES), &raw);
	build(&rec, 1ull << PROCESSES, &processes);
	tile(&raw);
	printf("| chunk | bytes | ticks | CPU ms | of these decoding | bytes of snapshots "
	       "|\n|---|---|---|---|---|---|\n");
	measure(&raw, rec.schema, 1, "six hours, without processes");
	measure(&processes, rec.schema, KEYFRAME_TICKS, "an hour of processes");
	buf_free(&raw);
	buf_free(&processes);
	recording_close(&rec);
	return 0;
}
