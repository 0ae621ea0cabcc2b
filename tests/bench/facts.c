/* The walk over a snapshot's wire bytes is that of the backend, so a metric that is added counts without a line here.
 */
#include "tests/bench/facts.h"

#include "common/buf.h"
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 << 20)

struct facts {
	struct schema *schema;
};

int facts_new(struct facts **ret)
{
	struct descriptor_blob set = descriptors_snapshot();
	struct facts *facts = calloc(1, sizeof(*facts));
	if (!facts)
		return -ENOMEM;
	int r = schema_compile(set.data, set.len, "sonde.v1.Snapshot", &facts->schema);
	if (r < 0) {
		free(facts);
		return r;
	}
	*ret = facts;
	return 0;
}

void facts_free(struct facts *facts)
{
	if (!facts)
		return;
	schema_unref(facts->schema);
	free(facts);
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
	size_t len = strlen(text), n = strlen(with);
	return len >= n && strcmp(text + len - n, with) == 0;
}

static bool is_computed(const char *path)
{
	return begins(path, "summary.") || begins(path, "agent.") || strstr(path, ".rates.") ||
	       ends(path, "coverage_ratio") || ends(path, "used_ratio");
}

static int count(void *arg, const struct schema_sample *sample)
{
	size_t *n = arg;
	struct schema_histogram histogram;
	if (sample->metric->path && is_computed(sample->metric->path))
		return 0;
	if (sample->type != SCHEMA_VALUE_HISTOGRAM) {
		++*n;
		return 0;
	}
	int r = schema_histogram_parse(sample->histogram.data, sample->histogram.len, &histogram);
	if (r == 0)
		*n += histogram.n + 1;
	return r;
}

int facts_count(const struct facts *facts, const uint8_t *data, size_t len, size_t *ret)
{
	size_t n = 0;
	int r = schema_walk(facts->schema, data, len, count, &n);
	if (r == 0)
		*ret = n;
	return r;
}

static int write_file(const char *prefix, const char *suffix, const uint8_t *data, size_t len)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s.%s", prefix, suffix);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	FILE *file = fopen(path, "we");
	if (!file)
		return -errno;
	size_t written = fwrite(data, 1, len, file);
	return fclose(file) == 0 && written == len ? 0 : -EIO;
}

int facts_dump(const struct facts *facts, const uint8_t *data, size_t len, const char *prefix)
{
	BUF_CLEANUP struct buf text = BUF_INIT(TEXT_MAX);
	int r = write_file(prefix, "pb", data, len);
	if (r == 0)
		r = schema_json(facts->schema, "sonde.v1.Snapshot", data, len, &text);
	if (r == 0)
		r = write_file(prefix, "json", text.data, text.len);
	buf_reset(&text);
	if (r == 0)
		r = schema_exposition(facts->schema, data, len, NULL, &text);
	if (r == 0)
		r = write_file(prefix, "prom", text.data, text.len);
	return r;
}
