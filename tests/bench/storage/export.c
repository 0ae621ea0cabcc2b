/* A recording as text for other databases, by the schema's exposition: every sample with its snapshot's time.
 *
 *     bench_export RECORDING openmetrics|victoria [--without SECTION]... [--every N] > text
 *
 * openmetrics has seconds and ends in # EOF (promtool), victoria has milliseconds (/api/v1/import/prometheus). Says how
 * many samples there are, by section, on standard error. */
#include "common/schema/snapshot_index.h"
#include "tests/bench/storage/recording.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t put_lines(const struct buf *text, const char *stamp, FILE *out)
{
	const char *p = (const char *)text->data, *end = p + text->len;
	uint64_t n = 0;
	while (p < end) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((line ? line : end) - p);
		if (len > 0 && *p != '#') {
			n++;
			if (out) {
				fwrite(p, 1, len, out);
				fputs(stamp, out);
			}
		}
		p += len + 1;
	}
	return n;
}

int main(int argc, char **argv)
{
	struct recording rec;
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	uint64_t wanted = UINT64_MAX, samples[64] = {0};
	struct buf some = BUF_INIT(1 << 26), text = BUF_INIT(1 << 28);
	if (argc < 3)
		return 2;
	bool openmetrics = strcmp(argv[2], "openmetrics") == 0;
	uint64_t every = 1;
	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--every") == 0)
			every = strtoull(argv[i + 1], NULL, 10);
		else
			wanted &= ~(1ull << (unsigned)atoi(argv[i + 1]));
	}
	recording_open(&rec, argv[1]);
	while (recording_next(&rec, &tick, &payload, &len)) {
		char stamp[64];
		if (tick.sequence % every != 0)
			continue;
		int64_t ms = tick.time_us / 1000;
		if (openmetrics)
			snprintf(stamp, sizeof(stamp), " %" PRId64 ".%03" PRId64 "\n", ms / 1000, ms % 1000);
		else
			snprintf(stamp, sizeof(stamp), " %" PRId64 "\n", ms);
		for (unsigned section = 10; section < 40; section++) {
			buf_reset(&some);
			buf_reset(&text);
			if (!(wanted >> section & 1))
				continue;
			if (snapshot_index_copy(payload, len, 1ull << section, &some) < 0 ||
			    schema_exposition(rec.schema, some.data, some.len, "host=\"a\"", &text) < 0)
				return 1;
			samples[section] += put_lines(&text, stamp, stdout);
		}
	}
	if (openmetrics)
		fputs("# EOF\n", stdout);
	uint64_t all = 0;
	for (unsigned i = 0; i < 64; i++) {
		all += samples[i];
		if (samples[i] > 0)
			fprintf(stderr, "%u %" PRIu64 "\n", i, samples[i]);
	}
	fprintf(stderr, "samples %" PRIu64 "\n", all);
	recording_close(&rec);
	buf_free(&some);
	buf_free(&text);
	return fflush(stdout) == 0 ? 0 : 1;
}
