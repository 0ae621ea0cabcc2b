/* What it costs to put a window together, without a database: chunks of ten minutes as a backend seals them, of one
 * host over some hours, into those of windows, and their minutes. Says by part what a sample costs, and what came of
 * it.
 *
 *     bench_window RECORDING --hours H --end SECONDS [--every N] [--without SECTION]... [--scale 1] [--chunks FILE]
 *
 * With --chunks the sealed chunks are read from this file; when there is none they are made and left in it.
 */
#include "backend/history/window.h"
#include "backend/columns/chunk.h"
#include "backend/columns/chunk_builder.h"
#include "backend/columns/ticks.h"
#include "backend/history/tiers.h"
#include "tests/bench/storage/wish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define PERIOD_US 600000000ll
#define MAX_CHUNKS 4096

struct tier {
	struct buf bytes[MAX_CHUNKS];
	int64_t window_us[MAX_CHUNKS];
	uint32_t statistic[MAX_CHUNKS];
	size_t n;
	/* What putting them together cost and gave. */
	double cpu;
	uint64_t before, after, samples;
	unsigned long crc;
};

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench_window: %s: %s\n", what, strerror(-r));
	exit(1);
}

static struct buf *add(struct tier *tier, int64_t window_us, uint32_t statistic)
{
	if (tier->n == MAX_CHUNKS)
		exit(1);
	tier->window_us[tier->n] = window_us;
	tier->statistic[tier->n] = statistic;
	tier->bytes[tier->n] = BUF_INIT(WINDOW_MAX_BYTES);
	return &tier->bytes[tier->n++];
}

/* As seal.c parts them. */
static void part(struct tier *tiers, struct chunk_builder *builder)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(WINDOW_MAX_BYTES);
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	struct chunk_reader chunk;
	must(chunk_builder_finish(builder, COLUMNS_QUICK, &bytes), "seal");
	must(chunk_open(bytes.data, bytes.len, &chunk), "open");
	struct columns_tick *ticks = calloc(chunk.n_ticks + 1u, sizeof(*ticks));
	must(ticks ? ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, ticks) : -ENOMEM, "ticks");
	for (enum store_tier t = STORE_TIER_RAW; t <= STORE_TIER_PROCESSES; t++) {
		uint32_t n = 0;
		for (uint32_t i = 0; i < chunk.n_sections; i++) {
			if (tiers_of_section(chunk.sections[i].number) == t)
				sections[n++] = chunk.sections[i];
		}
		if (n > 0)
			must(chunk_put(ticks, chunk.n_ticks, sections, n,
				       add(&tiers[t], tiers_window_of(t, chunk.first_us), 0)),
			     "put");
	}
	free(ticks);
}

static void build(const struct wish *wish, const char *recording, struct tier *tiers, uint64_t *samples)
{
	struct warp *warp = warp_open(recording, wish->sections, wish->every, wish->scale);
	struct chunk_builder *builder = NULL;
	int64_t begin = wish_begin_us(wish), until = begin + PERIOD_US;
	for (uint64_t i = 0;; i++) {
		struct columns_tick tick;
		const uint8_t *payload;
		size_t len;
		warp_snapshot(warp, 0, i, begin, &tick, &payload, &len);
		if (builder && (tick.time_us >= until || tick.time_us >= wish->end_us)) {
			*samples += chunk_builder_samples(builder);
			part(tiers, builder);
			chunk_builder_free(builder);
			builder = NULL;
		}
		if (tick.time_us >= wish->end_us)
			break;
		while (tick.time_us >= until)
			until += PERIOD_US;
		if (!builder)
			must(chunk_builder_new(1u << 30, &builder), "builder");
		must(chunk_builder_add(builder, &tick, warp_schema(warp), payload, len), "add");
	}
	warp_close(warp);
}

/* --- the chunks as a file --- */

static void save(const char *name, const struct tier *tiers, uint64_t samples)
{
	FILE *f = fopen(name, "wb");
	bool ok = f && fwrite(&samples, sizeof(samples), 1, f) == 1;
	for (enum store_tier t = STORE_TIER_RAW; ok && t <= STORE_TIER_PROCESSES; t++) {
		for (size_t i = 0; ok && i < tiers[t].n; i++) {
			const uint64_t head[3] = {t, (uint64_t)tiers[t].window_us[i], tiers[t].bytes[i].len};
			ok = fwrite(head, sizeof(head), 1, f) == 1 &&
			     fwrite(tiers[t].bytes[i].data, head[2], 1, f) == 1;
		}
	}
	must(f && fclose(f) == 0 && ok ? 0 : -EIO, name);
}

static bool load(const char *name, struct tier *tiers, uint64_t *samples)
{
	uint64_t head[3];
	FILE *f = fopen(name, "rb");
	if (!f)
		return false;
	must(fread(samples, sizeof(*samples), 1, f) == 1 ? 0 : -EIO, name);
	while (fread(head, sizeof(head), 1, f) == 1) {
		must(head[0] == STORE_TIER_RAW || head[0] == STORE_TIER_PROCESSES ? 0 : -EIO, name);
		struct buf *bytes = add(&tiers[head[0]], (int64_t)head[1], 0);
		must(buf_reserve(bytes, head[2]), name);
		must(fread(bytes->data, head[2], 1, f) == 1 ? 0 : -EIO, name);
		bytes->len = head[2];
	}
	(void)fclose(f);
	return true;
}

/* --- putting together --- */

static void take_output(struct tier *tiers, enum store_tier t, int64_t window_us, const struct window_output *output)
{
	struct tier *tier = &tiers[t];
	tier->samples += output->samples;
	tier->after += output->merged.len;
	tier->crc = crc32(tier->crc, output->merged.data, (unsigned)output->merged.len);
	for (uint32_t s = ROLLUP_LAST; s < ROLLUP_END; s++) {
		const struct buf *minutes = &output->minutes[s];
		if (minutes->len > 0)
			must(buf_append(
				     add(&tiers[STORE_TIER_MINUTE], tiers_window_of(STORE_TIER_MINUTE, window_us), s),
				     minutes->data, minutes->len),
			     "minutes");
	}
}

static void put_together(struct tier *tiers, enum store_tier t)
{
	struct tier *tier = &tiers[t];
	bool *done = calloc(tier->n + 1, sizeof(*done));
	for (size_t first = 0; first < tier->n; first++) {
		struct window_input inputs[MAX_CHUNKS];
		struct window_output output;
		size_t n = 0;
		for (size_t i = first; i < tier->n && !done[first]; i++) {
			if (done[i] || tier->window_us[i] != tier->window_us[first] ||
			    tier->statistic[i] != tier->statistic[first])
				continue;
			done[i] = i != first;
			tier->before += tier->bytes[i].len;
			inputs[n++] = (struct window_input){.data = tier->bytes[i].data, .len = tier->bytes[i].len};
		}
		if (n == 0)
			continue;
		double t0 = cpu_seconds();
		bool left = false;
		if (t == STORE_TIER_PROCESSES)
			must(window_saves_little(inputs, n, &left), "look");
		if (!left)
			must(window_merge(inputs, n, t == STORE_TIER_RAW, NULL, &output), "window");
		tier->cpu += cpu_seconds() - t0;
		for (size_t i = 0; left && i < n; i++)
			tier->after += inputs[i].len;
		if (left)
			continue;
		take_output(tiers, t, tier->window_us[first], &output);
		window_output_free(&output);
	}
	free(done);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {[STORE_TIER_RAW] = "raw, and minutes",
					    [STORE_TIER_PROCESSES] = "processes",
					    [STORE_TIER_MINUTE] = "minutes of a day"};
	static struct tier tiers[STORE_TIER_END];
	struct wish wish = WISH_INIT;
	const char *chunks = NULL;
	uint64_t samples = 0;
	for (int i = 2; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--chunks") == 0)
			chunks = argv[i + 1];
		else if (!wish_take(&wish, argv[i], argv[i + 1]))
			return 2;
	}
	if (argc < 2 || wish.hours == 0 || wish.end_us == 0)
		return 2;
	if (!chunks || !load(chunks, tiers, &samples)) {
		build(&wish, argv[1], tiers, &samples);
		if (chunks)
			save(chunks, tiers, samples);
	}
	for (enum store_tier t = STORE_TIER_RAW; t < STORE_TIER_END; t++)
		put_together(tiers, t);
	double cpu = 0;
	printf("%" PRIu64 " samples\n\n| window | chunks | bytes before | bytes after | samples | CPU s | ns a sample "
	       "of all | CRC-32 |\n"
	       "|---|---|---|---|---|---|---|---|\n",
	       samples);
	for (enum store_tier t = STORE_TIER_RAW; t < STORE_TIER_END; t++) {
		const struct tier *tier = &tiers[t];
		cpu += tier->cpu;
		printf("| %s | %zu | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %.3f | %.1f | %08lx |\n", names[t],
		       tier->n, tier->before, tier->after, tier->samples, tier->cpu, tier->cpu * 1e9 / (double)samples,
		       tier->crc);
		for (size_t i = 0; i < tier->n; i++)
			buf_free(&tiers[t].bytes[i]);
	}
	printf("| all | | | | | %.3f | %.1f | |\n", cpu, cpu * 1e9 / (double)samples);
	return 0;
}
