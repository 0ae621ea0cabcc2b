/* A recording as text for other databases, by the schema's exposition: every sample with its snapshot's time.
 *
 *     bench_export RECORDING openmetrics|victoria [--without SECTION]... [--every N] [--hours H --end SECONDS
 *         [--hosts N] [--skip-hours H]] > text
 *
 * With --hours it is the hour again and again, as bench_load makes it.
 * openmetrics has seconds and ends in # EOF (promtool), victoria has milliseconds (/api/v1/import/prometheus). Says how
 * many samples there are, by section, on standard error. */
#include "common/schema/snapshot_index.h"
#include "tests/bench/storage/recording.h"
#include "tests/bench/storage/wish.h"

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

struct out {
	bool openmetrics;
	struct schema *schema;
	uint64_t sections, samples[64];
	struct buf some, text;
};

static int put_snapshot(struct out *o, uint32_t host, const struct columns_tick *tick, const uint8_t *payload,
			size_t len)
{
	char stamp[64], label[64];
	int64_t ms = tick->time_us / 1000;
	if (o->openmetrics)
		snprintf(stamp, sizeof(stamp), " %" PRId64 ".%03" PRId64 "\n", ms / 1000, ms % 1000);
	else
		snprintf(stamp, sizeof(stamp), " %" PRId64 "\n", ms);
	snprintf(label, sizeof(label), "host=\"host-%" PRIu32 "\"", host);
	for (unsigned section = 10; section < 40; section++) {
		buf_reset(&o->some);
		buf_reset(&o->text);
		if (!(o->sections >> section & 1))
			continue;
		if (snapshot_index_copy(payload, len, 1ull << section, &o->some) < 0 ||
		    schema_exposition(o->schema, o->some.data, o->some.len, label, &o->text) < 0)
			return -1;
		o->samples[section] += put_lines(&o->text, stamp, stdout);
	}
	return 0;
}

/* As it was taken. */
static int put_recording(struct out *o, const struct wish *wish, const char *path)
{
	struct recording rec;
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	int r = 0;
	recording_open(&rec, path);
	o->schema = rec.schema;
	while (r == 0 && recording_next(&rec, &tick, &payload, &len)) {
		if (tick.sequence % wish->every == 0)
			r = put_snapshot(o, 0, &tick, payload, len);
	}
	recording_close(&rec);
	return r;
}

static int put_warped(struct out *o, const struct wish *wish, const char *path)
{
	struct warp *warp = warp_open(path, wish->sections, wish->every, wish->scale);
	int64_t begin_us = wish_begin_us(wish), from_us = begin_us + wish->skip_hours * WARP_HOUR_US;
	uint64_t *next = calloc(wish->hosts, sizeof(*next));
	int r = next ? 0 : -1;
	o->schema = warp_schema(warp);
	for (int64_t until = begin_us; r == 0 && until < wish->end_us; until += WARP_HOUR_US / 60) {
		for (uint32_t host = 0; r == 0 && host < wish->hosts; host++) {
			for (;; next[host]++) {
				struct columns_tick tick;
				const uint8_t *payload;
				size_t len;
				if (warp_time_us(warp, host, next[host], begin_us) >= until + WARP_HOUR_US / 60)
					break;
				if (until < from_us)
					continue;
				warp_snapshot(warp, host, next[host], begin_us, &tick, &payload, &len);
				r = put_snapshot(o, host, &tick, payload, len);
				if (r < 0)
					break;
			}
		}
	}
	free(next);
	warp_close(warp);
	return r;
}

int main(int argc, char **argv)
{
	struct wish wish = WISH_INIT;
	struct out o = {.some = BUF_INIT(1 << 26), .text = BUF_INIT(1 << 28)};
	if (argc < 3)
		return 2;
	o.openmetrics = strcmp(argv[2], "openmetrics") == 0;
	for (int i = 3; i + 1 < argc; i += 2) {
		if (!wish_take(&wish, argv[i], argv[i + 1]))
			return 2;
	}
	o.sections = wish.sections;
	if ((wish.hours > 0 ? put_warped : put_recording)(&o, &wish, argv[1]) < 0)
		return 1;
	if (o.openmetrics)
		fputs("# EOF\n", stdout);
	uint64_t all = 0;
	for (unsigned i = 0; i < 64; i++) {
		all += o.samples[i];
		if (o.samples[i] > 0)
			fprintf(stderr, "%u %" PRIu64 "\n", i, o.samples[i]);
	}
	fprintf(stderr, "samples %" PRIu64 "\n", all);
	buf_free(&o.some);
	buf_free(&o.text);
	return fflush(stdout) == 0 ? 0 : 1;
}
