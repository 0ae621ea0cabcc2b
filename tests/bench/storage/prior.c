/* Makes backend/columns/residuals_prior.c of a recording (take.py): what the coder's decisions turn out to be on the
 * average, early in a run, where a model has not learnt yet.
 *
 *     bench_prior RECORDING [--without SECTION]... > backend/columns/residuals_prior.c
 *
 * The recording is merged as at 1 s and as at 5 s, with what the table says now (which changes where blocks end, and
 * little else). Of each decision the first EARLY times in each run count, of all sections together: what comes later
 * the model knows by itself. Without a section, to see what the table does for series it has not seen. backend/columns
 * is compiled for this program once more, with RESIDUALS_TALLY. */
#include "backend/columns/chunk_builder.h"
#include "backend/columns/chunk_merge.h"
#include "backend/columns/residuals_prior.h"
#include "common/schema/snapshot_index.h"
#include "tests/bench/must.h"
#include "tests/bench/storage/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EARLY 32
#define MODELS 16
#define A_LINE 24
#define LEAST 4 /* of 256: a decision that was always the same may be another */

static uint64_t counts[RESIDUALS_PRIORS][RESIDUALS_DECISIONS][2];
static struct run {
	const struct residuals_model *model;
	enum residuals_prior prior;
	uint8_t used[RESIDUALS_DECISIONS];
} runs[MODELS];
static size_t n_runs;

static struct run *find(const struct residuals_model *model)
{
	for (size_t i = 0; i < n_runs; i++) {
		if (runs[i].model == model)
			return &runs[i];
	}
	/* They lie where others lay before. */
	if (n_runs == MODELS)
		n_runs = 0;
	runs[n_runs] = (struct run){.model = model};
	return &runs[n_runs++];
}

void residuals_tally_begins(const struct residuals_model *model, enum residuals_prior prior)
{
	struct run *run = find(model);
	memset(run->used, 0, sizeof(run->used));
	run->prior = prior;
}

void residuals_tally(const struct residuals_model *model, size_t decision, unsigned value)
{
	struct run *run = find(model);
	if (run->used[decision] == EARLY)
		return;
	run->used[decision]++;
	counts[run->prior][decision][value]++;
}

/* One snapshot of `every`, and of it the sections that are asked for. */
static void merge(struct recording *rec, uint64_t sections, uint64_t every)
{
	struct buf some BUF_CLEANUP = BUF_INIT(1 << 26), chunk BUF_CLEANUP = BUF_INIT(1u << 30);
	struct buf merged BUF_CLEANUP = BUF_INIT(1u << 30);
	struct chunk_merge_result result;
	struct chunk_builder *builder;
	struct columns_tick tick;
	const uint8_t *payload;
	uint32_t bad;
	size_t len;
	must(chunk_builder_new(1u << 30, &builder), "builder");
	for (rec->at = 0; recording_next(rec, &tick, &payload, &len);) {
		if (tick.sequence % every != 0)
			continue;
		buf_reset(&some);
		must(snapshot_index_copy(payload, len, sections, &some), "copy");
		must(chunk_builder_add(builder, &tick, rec->schema, some.data, some.len), "add");
	}
	must(chunk_builder_finish(builder, COLUMNS_QUICK, &chunk), "finish");
	chunk_builder_free(builder);
	const struct chunk_bytes one = {.data = chunk.data, .len = chunk.len};
	must(chunk_merge(&one, 1, INT64_MIN, INT64_MAX, &merged, &result, &bad), "merge");
}

static unsigned likely(const uint64_t count[2])
{
	uint64_t all = count[0] + count[1];
	unsigned of_256 = all == 0 ? 128 : (unsigned)((512 * count[0] + all) / (2 * all));
	return of_256 < LEAST ? LEAST : of_256 > 256 - LEAST ? 256 - LEAST : of_256;
}

static void print(void)
{
	static const char *const names[RESIDUALS_PRIORS] = {
		[RESIDUALS_VALUES] = "RESIDUALS_VALUES", [RESIDUALS_DENOMINATORS] = "RESIDUALS_DENOMINATORS",
		[RESIDUALS_BESIDE] = "RESIDUALS_BESIDE", [RESIDUALS_BUCKETS] = "RESIDUALS_BUCKETS",
		[RESIDUALS_TICKS] = "RESIDUALS_TICKS",
	};
	puts("/* Made by tests/bench/storage/prior.c. */\n#include \"backend/columns/residuals_prior.h\"\n\n"
	     "/* clang-format off */\n"
	     "const uint8_t residuals_priors[RESIDUALS_PRIORS][RESIDUALS_DECISIONS] = {");
	for (size_t prior = RESIDUALS_UNPRIMED + 1; prior < RESIDUALS_PRIORS; prior++) {
		printf("\t[%s] = {\n\t", names[prior]);
		for (size_t i = 0; i < RESIDUALS_DECISIONS; i++)
			printf("%s%u,", i > 0 && i % A_LINE == 0 ? "\n\t" : "", likely(counts[prior][i]));
		puts("},");
	}
	puts("};");
}

int main(int argc, char **argv)
{
	struct recording rec;
	uint64_t sections = UINT64_MAX;
	if (argc < 2)
		return 2;
	for (int i = 2; i + 1 < argc; i += 2)
		sections &= ~(1ull << strtoul(argv[i + 1], NULL, 10));
	recording_open(&rec, argv[1]);
	merge(&rec, sections, 1);
	merge(&rec, sections, 5);
	recording_close(&rec);
	print();
	return 0;
}
