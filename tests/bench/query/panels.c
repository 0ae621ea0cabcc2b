/* What range queries cost over a store as a backend leaves it: sealed, put together, with minutes. A recorded hour
 * (tests/bench/storage/take.py), repeated: a day at 1 s, 30 days at 5 s, 100 hosts over a day at 5 s. CPU and memory
 * sections only, so that the store is made in a minute; other series of a section are read past as anywhere.
 *
 *     bench_panels RECORDING DATABASE [RUNS [PANEL]]
 *
 * With COLD set nothing decoded is kept from one run to the next; THREADS read a fleet (4).
 * DATABASE: SQLite's file, or a URL as of --store. Fills the database when it is empty. Milliseconds of a whole query
 * but for the request's parsing and the reply's bytes. */
#include "backend/columns/chunk.h"
#include "backend/columns/chunk_builder.h"
#include "backend/columns/chunk_merge.h"
#include "backend/columns/rollup.h"
#include "backend/history/tiers.h"
#include "backend/query/range.h"
#include "backend/registry/recent_fill.h"
#include "backend/registry/schemas.h"
#include "common/clock.h"
#include "common/schema/snapshot_index.h"
#include "tests/bench/must.h"
#include "tests/bench/query/hot.h"
#include "tests/bench/storage/recording.h"
#include "tests/bench/storage/tile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECTIONS (1ull << 11 | 1ull << 12)
#define FLEET 100
/* Of hosts that live: rows of so many seconds (between two seals and their grace, in the mean), chunks of ten minutes
 * for so many hours. */
#define HOT_S 330
#define SEAL_S 600
#define SEALED_HOURS 6
#define MAX_HOURS 720
#define DAYS 31

/* --- the store --------------------------------------------------------------------------------------------------- */

/* Chunks of a host that are all there is of it. */
struct made {
	struct store_chunk *chunks;
	struct buf *bytes;
	size_t n;
	int64_t first_us, last_us;
};

static void keep(struct made *made, enum store_tier tier, uint32_t statistic, struct buf *bytes)
{
	struct chunk_reader reader;
	must(chunk_open(bytes->data, bytes->len, &reader), "chunk");
	made->chunks = realloc(made->chunks, (made->n + 1) * sizeof(*made->chunks));
	made->bytes = realloc(made->bytes, (made->n + 1) * sizeof(*made->bytes));
	if (!made->chunks || !made->bytes)
		must(-ENOMEM, "chunk");
	made->chunks[made->n] = (struct store_chunk){.tier = tier,
						     .statistic = statistic,
						     .compacted = true,
						     .window_us = tiers_window_of(tier, reader.first_us),
						     .first_us = reader.first_us,
						     .last_us = reader.last_us,
						     .made_us = reader.last_us,
						     .len = bytes->len,
						     .data = bytes->data};
	made->bytes[made->n++] = *bytes;
	*bytes = BUF_INIT(0);
}

/* Raw chunks of the last hours become many, as they are before they are put together. */
static void slice(struct made *made, int64_t hours, int64_t every_us)
{
	struct made cut = {.first_us = made->first_us, .last_us = made->last_us};
	for (size_t i = 0; i < made->n; i++) {
		const struct store_chunk *chunk = &made->chunks[i];
		if (chunk->tier != STORE_TIER_RAW || chunk->last_us < made->last_us - hours * TIERS_HOUR_US) {
			keep(&cut, chunk->tier, chunk->statistic, &made->bytes[i]);
			continue;
		}
		for (int64_t at = chunk->first_us; at <= chunk->last_us; at += every_us) {
			struct buf part = BUF_INIT(1u << 30);
			hot_slice(chunk, at, at + every_us, &part);
			if (part.len > 0) {
				keep(&cut, STORE_TIER_RAW, 0, &part);
				cut.chunks[cut.n - 1].compacted = false;
			}
		}
		buf_free(&made->bytes[i]);
	}
	free(made->bytes);
	free(made->chunks);
	*made = cut;
}

static void build_hour(const char *path, uint64_t every, struct buf *out)
{
	struct recording recording;
	struct chunk_builder *builder;
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	recording_open(&recording, path);
	must(chunk_builder_new(1u << 30, &builder), "builder");
	while (recording_next(&recording, &tick, &payload, &len)) {
		struct buf some BUF_CLEANUP = BUF_INIT(1 << 26);
		if (tick.sequence % every != 0)
			continue;
		must(snapshot_index_copy(payload, len, SECTIONS, &some), "snapshot");
		must(chunk_builder_add(builder, &tick, recording.schema, some.data, some.len), "snapshot");
	}
	must(chunk_builder_finish(builder, COLUMNS_QUICK, out), "hour");
	chunk_builder_free(builder);
	recording_close(&recording);
}

/* [from_us, to_us) of some chunks; false when that is empty. */
static bool merge(const struct buf *parts, size_t n, int64_t from_us, int64_t to_us, struct buf *out)
{
	struct chunk_bytes bytes[CHUNK_MERGE_MAX];
	struct chunk_merge_result result;
	uint32_t used = 0, bad;
	for (size_t i = 0; i < n; i++) {
		struct chunk_reader reader;
		must(chunk_open(parts[i].data, parts[i].len, &reader), "part");
		if (reader.last_us >= from_us && reader.first_us < to_us && used < CHUNK_MERGE_MAX)
			bytes[used++] = (struct chunk_bytes){.data = parts[i].data, .len = parts[i].len};
	}
	if (used == 0)
		return false;
	must(chunk_merge(bytes, used, from_us, to_us, out, &result, &bad), "merge");
	return result.ticks > 0;
}

static void make(const char *recording, uint64_t every, unsigned hours, struct made *ret)
{
	static struct buf tiles[MAX_HOURS], minutes[ROLLUP_END][4 * DAYS];
	size_t n_minutes[ROLLUP_END] = {0};
	struct buf hour = BUF_INIT(1u << 30);
	struct chunk_reader reader;
	*ret = (struct made){.n = 0};
	build_hour(recording, every, &hour);
	for (unsigned k = 0; k < hours; k++) {
		tiles[k] = BUF_INIT(1u << 30);
		tile_chunk(&hour, k, &tiles[k]);
		must(chunk_open(tiles[k].data, tiles[k].len, &reader), "tile");
		ret->first_us = k == 0 ? reader.first_us : ret->first_us;
		ret->last_us = reader.last_us;
	}
	int64_t window_us = tiers_window_us(STORE_TIER_RAW), day_us = tiers_window_us(STORE_TIER_MINUTE);
	for (int64_t at = tiers_window_of(STORE_TIER_RAW, ret->first_us); at <= ret->last_us; at += window_us) {
		struct buf whole = BUF_INIT(1u << 30), out[ROLLUP_END];
		struct rollup_result rolled;
		if (!merge(tiles, hours, at, at + window_us, &whole))
			continue;
		for (unsigned s = 0; s < ROLLUP_END; s++)
			out[s] = BUF_INIT(1u << 30);
		must(rollup_minutes(whole.data, whole.len, out, &rolled), "minutes");
		for (unsigned s = 0; s < ROLLUP_END; s++) {
			if (out[s].len > 0)
				minutes[s][n_minutes[s]++] = out[s];
		}
		keep(ret, STORE_TIER_RAW, 0, &whole);
	}
	for (int64_t at = tiers_window_of(STORE_TIER_MINUTE, ret->first_us); at <= ret->last_us; at += day_us) {
		for (unsigned s = 0; s < ROLLUP_END; s++) {
			struct buf day = BUF_INIT(1u << 30);
			if (merge(minutes[s], n_minutes[s], at, at + day_us, &day))
				keep(ret, STORE_TIER_MINUTE, s, &day);
		}
	}
	for (unsigned k = 0; k < hours; k++)
		buf_free(&tiles[k]);
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		for (size_t i = 0; i < n_minutes[s]; i++)
			buf_free(&minutes[s][i]);
	}
	buf_free(&hour);
}

static struct store_host put(struct store *store, uint32_t number, const char *hostname, const struct made *made)
{
	struct store_host host = {.tenant_id = STORE_TENANT_DEFAULT, .key_id = 1, .host_id = "bench"};
	memcpy(host.host_id + 8, &number, sizeof(number));
	snprintf(host.hostname, sizeof(host.hostname), "%s", hostname);
	must(store_host_register(store, &host), "host");
	for (size_t i = 0; i < made->n; i++)
		must(store_seal(store, host.host_id, i == 0 ? INT64_MIN : (int64_t)i, (int64_t)i + 1, 0, NULL,
				&made->chunks[i], 1),
		     "seal");
	return host;
}

static uint64_t bytes_of(const struct made *made, enum store_tier tier)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < made->n; i++)
		sum += made->chunks[i].tier == tier ? made->chunks[i].len : 0;
	return sum;
}

static void made_free(struct made *made)
{
	for (size_t i = 0; i < made->n; i++)
		buf_free(&made->bytes[i]);
	free(made->bytes);
	free(made->chunks);
}

static void fill(struct store *store, const char *recording)
{
	static const struct {
		const char *name;
		uint64_t every;
		unsigned hours, hosts;
		unsigned rows; /* above 0: what is sealed is not put together yet */
	} whats[] = {{"day", 1, 24, 1, 0},     {"month", 5, 720, 1, 0},		  {"fleet", 5, 24, FLEET, 0},
		     {"hot", 1, 24, 1, HOT_S}, {"live", 5, 24, FLEET, HOT_S / 5}, {"lively", 1, 24, FLEET, HOT_S}};
	const char *sets = getenv("SETS"); /* "live,lively," */
	for (uint32_t i = 0; i < sizeof(whats) / sizeof(whats[0]); i++) {
		struct made made;
		char name[32];
		snprintf(name, sizeof(name), "%s,", whats[i].name);
		if (sets && !strstr(sets, name))
			continue;
		struct store_host hosts[FLEET];
		make(recording, whats[i].every, whats[i].hours, &made);
		if (whats[i].rows > 0)
			slice(&made, SEALED_HOURS, SEAL_S * 1000000ll);
		for (uint32_t k = 0; k < whats[i].hosts; k++) {
			snprintf(name, sizeof(name), "%s-%u", whats[i].name, k);
			hosts[k] = put(store, i * 1000 + k, name, &made);
		}
		if (whats[i].rows > 0)
			hot_rows(store, hosts, whats[i].hosts, recording, whats[i].every, whats[i].rows, made.last_us);
		printf("%s: %zu chunks, %llu bytes raw, %llu of minutes, until %lld\n", whats[i].name, made.n,
		       (unsigned long long)bytes_of(&made, STORE_TIER_RAW),
		       (unsigned long long)bytes_of(&made, STORE_TIER_MINUTE), (long long)made.last_us);
		made_free(&made);
	}
}

/* --- panels ------------------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double cpu_ms(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

struct bench {
	struct store *store;
	struct query_store *from;
	struct query_source source;
	struct store_host *hosts;
	size_t n;
	unsigned runs;
	const char *only; /* panels whose name has this in it */
	const char *path; /* of the database, when it leaves the page cache before each run; or NULL */
};

/* The files' pages leave the cache of this machine, nobody else's do. */
static void evict(const char *path)
{
	static const char *const suffixes[] = {"", "-wal"};
	for (size_t i = 0; path && i < 2; i++) {
		char name[4096];
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		int fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		must(fsync(fd) < 0 ? -errno : -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), "evict");
		close(fd);
	}
}

static void panel(const struct bench *bench, const char *name, const char *prefix, const char *text,
		  enum range_function function, int64_t to_us, int64_t seconds, int64_t step_us)
{
	struct range_host hosts[FLEET];
	struct range_request request = {.to_us = to_us,
					.from_us = to_us - seconds * 1000000,
					.step_us = step_us,
					.function = function,
					.now_us = to_us};
	struct selector selector;
	double times[1000], first = 0, first_cpu = 0, cpu = cpu_ms();
	char error[256] = "";
	size_t n = 0, known = 0;
	struct range_result result;
	if (!strstr(name, bench->only))
		return;
	for (size_t i = 0; i < bench->n && n < FLEET; i++) {
		if (strncmp(bench->hosts[i].hostname, prefix, strlen(prefix)) == 0)
			hosts[n++] = (struct range_host){.host_id = bench->hosts[i].host_id,
							 .hostname = bench->hosts[i].hostname};
	}
	if (n == 0)
		return;
	must(selector_parse(text, strlen(text), &selector, error, sizeof(error)), error);
	request.selector = &selector;
	for (unsigned i = 0; i < bench->runs; i++) {
		double took = cpu_ms();
		evict(bench->path);
		cpu += cpu_ms() - took;
		uint64_t began = clock_monotonic_ns();
		must(store_view_open(bench->store, &bench->from->view), "view");
		must(range_run(&bench->source, &request, hosts, n, &result, error, sizeof(error)), error);
		store_view_close(bench->from->view);
		times[i] = (double)(clock_monotonic_ns() - began) / 1e6;
		if (i == 0) {
			first = times[0];
			first_cpu = cpu_ms() - cpu;
			cpu += first_cpu;
		}
		for (size_t k = 0; i == 0 && k < result.n_groups * result.points; k++)
			known += result.groups[k / result.points].values[k % result.points] ==
				 result.groups[k / result.points].values[k % result.points];
		if (i + 1 < bench->runs)
			range_result_free(&result);
	}
	qsort(times, bench->runs, sizeof(*times), by_value);
	printf("| %s | %s | %zu | %llu | %zu | %.2f | %.2f | %.2f | %.2f | %.2f |\n", name, text, n,
	       (unsigned long long)result.samples, known, first, first_cpu, times[bench->runs / 2],
	       times[bench->runs - 1 - bench->runs / 100],
	       bench->runs > 1 ? (cpu_ms() - cpu) / (bench->runs - 1) : first_cpu);
	range_result_free(&result);
	selector_free(&selector);
}

static int64_t last_us(struct store *store, const struct bench *bench, const char *prefix)
{
	struct store_view *view;
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	int64_t last = 0;
	must(store_view_open(store, &view), "view");
	for (size_t i = 0; i < bench->n && last == 0; i++) {
		if (strncmp(bench->hosts[i].hostname, prefix, strlen(prefix)) != 0)
			continue;
		must(store_view_chunks(view, bench->hosts[i].host_id, STORE_TIER_RAW, 0, 0, INT64_MAX, &chunks, &n),
		     "chunks");
		last = n > 0 ? chunks[n - 1].last_us : 0;
		free(chunks);
	}
	store_view_close(view);
	return last / 1000000 * 1000000;
}

int main(int argc, char **argv)
{
	char url[4096], *error = NULL;
	struct bench bench = {.runs = 50, .only = argc > 4 ? argv[4] : ""};
	struct schemas *schemas;
	struct store *store;
	if (argc < 3)
		return 2;
	if (argc > 3)
		bench.runs = (unsigned)strtoul(argv[3], NULL, 10);
	if (bench.runs == 0 || bench.runs > 1000)
		return 2;
	snprintf(url, sizeof(url), "%s%s", strstr(argv[2], ":/") ? "" : "sqlite:", argv[2]);
	if (store_open(url, &store, &error) < 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	must(store_hosts(store, &bench.hosts, &bench.n), "hosts");
	if (bench.n == 0)
		fill(store, argv[1]);
	store_hosts_free(bench.hosts, bench.n);
	must(schemas_open(store, &schemas), "schemas");
	struct query_cache *cache = NULL;
	if (!getenv("COLD"))
		must(query_cache_new(48u << 20, &cache), "cache");
	const char *threads = getenv("THREADS");
	struct recent *recent = NULL;
	if (getenv("RECENT")) {
		double before = cpu_ms();
		must(recent_new(RECENT_MAX_BYTES, &recent), "recent");
		must(recent_fill_now(store, recent, INT64_MIN), "recent");
		printf("recent: %zu bytes, %.0f ms CPU\n", recent_bytes(recent), cpu_ms() - before);
	}
	struct query_store from = {.store = store,
				   .schemas = schemas,
				   .cache = cache,
				   .recent = recent,
				   .threads = threads ? (unsigned)strtoul(threads, NULL, 10) : 4};
	bench.source = query_source_store(&from);
	bench.store = store;
	bench.path = getenv("EVICT") ? argv[2] : NULL;
	bench.from = &from;
	must(store_hosts(store, &bench.hosts, &bench.n), "hosts");
	static const char counter[] = "cpu.cores.user_us{cpu=\"0\"}", gauge[] = "memory.available_bytes";
	int64_t day = last_us(store, &bench, "day"), month = last_us(store, &bench, "month"),
		fleet = last_us(store, &bench, "fleet");
	printf("| panel | series | hosts | values read | points known | first ms | CPU ms | p50 ms | p99 ms | CPU ms "
	       "|\n"
	       "|---|---|---|---|---|---|---|---|---|---|\n");
	panel(&bench, "15 min at 1 s", "day", counter, RANGE_RATE, day, 900, 3000000);
	panel(&bench, "1 h at 1 s", "day", counter, RANGE_RATE, day, 3600, 12000000);
	panel(&bench, "24 h at 1 s, every value", "day", counter, RANGE_RATE, day, 86400, 86000000);
	panel(&bench, "24 h at 1 s, every value", "day", gauge, RANGE_AVG, day, 86400, 86000000);
	panel(&bench, "24 h, minutes", "day", counter, RANGE_RATE, day, 86400, 300000000);
	panel(&bench, "30 days, 1,000 points", "month", counter, RANGE_RATE, month, 30 * 86400, 2592000000);
	panel(&bench, "30 days, 1,000 points", "month", gauge, RANGE_AVG, month, 30 * 86400, 2592000000);
	panel(&bench, "15 min at 5 s, fleet", "fleet", counter, RANGE_RATE, fleet, 900, 15000000);
	panel(&bench, "24 h at 5 s, fleet, every value", "fleet", counter, RANGE_RATE, fleet, 86400, 86000000);
	panel(&bench, "24 h, fleet, minutes", "fleet", counter, RANGE_RATE, fleet, 86400, 300000000);
	int64_t hot = last_us(store, &bench, "hot-") + HOT_S * 1000000ll,
		live = last_us(store, &bench, "live-") + HOT_S * 1000000ll,
		lively = last_us(store, &bench, "lively-") + HOT_S * 1000000ll;
	panel(&bench, "15 min at 1 s, now", "hot-", counter, RANGE_RATE, hot, 900, 3000000);
	panel(&bench, "1 h at 1 s, now", "hot-", counter, RANGE_RATE, hot, 3600, 12000000);
	panel(&bench, "24 h at 1 s, now", "hot-", counter, RANGE_RATE, hot, 86400, 300000000);
	panel(&bench, "15 min at 5 s, fleet, now", "live-", counter, RANGE_RATE, live, 900, 15000000);
	panel(&bench, "1 h at 5 s, fleet, now", "live-", counter, RANGE_RATE, live, 3600, 15000000);
	panel(&bench, "24 h at 5 s, fleet, now", "live-", counter, RANGE_RATE, live, 86400, 300000000);
	panel(&bench, "15 min at 1 s, fleet, now", "lively-", counter, RANGE_RATE, lively, 900, 15000000);
	panel(&bench, "24 h at 1 s, fleet, now", "lively-", counter, RANGE_RATE, lively, 86400, 300000000);
	store_hosts_free(bench.hosts, bench.n);
	query_cache_free(cache);
	recent_free(recent);
	schemas_close(schemas);
	store_close(store);
	return 0;
}
