/* A snapshot goes out when the next one of its host is known: the interval is the shorter of the ways to its
 * neighbours, so that a gap stays a gap. */
#include "backend/archive/import_build.h"

#include "backend/archive/appender.h"
#include "backend/archive/import_sample.h"
#include "backend/store/host_name.h"
#include "common/clock.h"
#include "common/histogram.h"
#include "common/schema/rows.h"
#include "common/wire.h"
#include "proto/descriptors.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_MAX (1u << 20) /* as agents' */
#define TEXTS_MAX (16u << 20)
#define INTERVAL_MAX_US 3600000000ll
#define INTERVAL_ALONE_US 1000000
#define FIRST_SECTION 10
#define LAST_SECTION 63
#define CUSTOM_SECTION 26

enum { SNAPSHOT_INSTANCE = 2, SNAPSHOT_SEQUENCE = 3, SNAPSHOT_TIMESTAMP = 4, SNAPSHOT_INTERVAL_MS = 6 };

struct finished {
	struct buf sections;
	int64_t time_us;
	bool there;
};

struct build {
	struct store *store;
	struct schema *schema;
	const struct schema_metric *metrics;
	struct schema_assembly *assembly;
	struct import_counts *counts;
	const uint8_t *file_hash;
	char *error;
	struct appender appender;
	/* The host at hand. */
	char hostname[STORE_HOSTNAME_MAX + 1];
	uint8_t host_id[16], instance[16];
	uint64_t sequence;
	bool has_host;
	/* The snapshot at hand, and the one before it. */
	int64_t time_us;
	uint64_t readings;
	char **texts; /* what the assembly borrows */
	size_t n_texts, cap_texts, text_bytes;
	struct finished before;
	int64_t before_before_us; /* INT64_MIN: none */
	/* The histogram at hand, whose parts follow each other. */
	struct buf histogram_series;
	struct schema_place histogram_place;
	uint64_t below[HISTOGRAM_BUCKETS]; /* a bound's count, or UINT64_MAX */
	uint64_t histogram_sum, histogram_count;
	bool has_histogram;
	struct buf out;
};

static int complain(struct build *b, int r, const char *what)
{
	snprintf(b->error, IMPORT_ERROR_SIZE, "%s, in what host %.100s has at %lld.%06lld", what, b->hostname,
		 (long long)(b->time_us / 1000000), (long long)(b->time_us % 1000000));
	return r;
}

int import_key_put(const char *host, size_t host_len, int64_t time_us, struct buf *out)
{
	uint32_t len = htobe32((uint32_t)host_len);
	uint64_t time = htobe64((uint64_t)time_us ^ 1ull << 63);
	int r = buf_append(out, &len, sizeof(len));
	r = r ? r : buf_append(out, host, host_len);
	return r ? r : buf_append(out, &time, sizeof(time));
}

/* --- hosts -------------------------------------------------------------------------------------------------------- */

static int find_host(struct build *b)
{
	struct store_host *hosts = NULL;
	size_t n = 0;
	bool found = false;
	int r = store_hosts(b->store, &hosts, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && !found; i++) {
		found = hosts[i].tenant_id == STORE_TENANT_DEFAULT && strcmp(hosts[i].hostname, b->hostname) == 0;
		if (found)
			memcpy(b->host_id, hosts[i].host_id, sizeof(b->host_id));
	}
	store_hosts_free(hosts, n);
	return found;
}

static int open_host(struct build *b, const char *name, size_t len)
{
	struct buf text BUF_CLEANUP = BUF_INIT(256);
	uint8_t hash[crypto_hash_sha256_BYTES];
	memcpy(b->hostname, name, len);
	b->hostname[len] = '\0';
	int r = find_host(b);
	if (r == 0) {
		struct store_host host = {
			.tenant_id = STORE_TENANT_DEFAULT, .first_seen_us = b->time_us, .last_seen_us = b->time_us};
		host_name_id(STORE_TENANT_DEFAULT, b->hostname, host.host_id);
		memcpy(host.hostname, b->hostname, len + 1);
		r = store_host_register(b->store, &host);
		memcpy(b->host_id, host.host_id, sizeof(b->host_id));
		b->counts->hosts_made++;
	}
	if (r >= 0)
		r = buf_append_str(&text, "sonde: import of a file by its contents, for a host");
	r = r < 0 ? r : buf_append(&text, b->file_hash, 32);
	r = r < 0 ? r : buf_append(&text, b->host_id, 16);
	if (r < 0)
		return r;
	crypto_hash_sha256(hash, text.data, text.len);
	memcpy(b->instance, hash, sizeof(b->instance));
	b->sequence = 0;
	b->has_host = true;
	b->before_before_us = INT64_MIN;
	return 0;
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

static int64_t interval_of(const struct build *b, int64_t next_us)
{
	int64_t shorter = INTERVAL_MAX_US;
	if (b->before_before_us != INT64_MIN && b->before.time_us - b->before_before_us < shorter)
		shorter = b->before.time_us - b->before_before_us;
	if (next_us != INT64_MIN && next_us - b->before.time_us < shorter)
		shorter = next_us - b->before.time_us;
	if (b->before_before_us == INT64_MIN && next_us == INT64_MIN)
		shorter = INTERVAL_ALONE_US;
	return shorter < 1000 ? 1000 : shorter;
}

static int put_header(struct build *b, int64_t next_us)
{
	BUF_CLEANUP struct buf time = BUF_INIT(32);
	buf_reset(&b->out);
	int r = wire_put_bytes(&b->out, SNAPSHOT_INSTANCE, b->instance, sizeof(b->instance));
	r = r ? r : wire_put_uint(&b->out, SNAPSHOT_SEQUENCE, b->sequence);
	r = r ? r : wire_put_uint(&time, 1, (uint64_t)(b->before.time_us / 1000000));
	r = r ? r : wire_put_uint(&time, 2, (uint64_t)(b->before.time_us % 1000000 * 1000));
	r = r ? r : wire_put_bytes(&b->out, SNAPSHOT_TIMESTAMP, time.data, time.len);
	return r ? r : wire_put_uint(&b->out, SNAPSHOT_INTERVAL_MS, (uint64_t)(interval_of(b, next_us) / 1000));
}

/* The one before the snapshot at hand, now that the time of that is known; INT64_MIN: there is none. */
static int send_before(struct build *b, int64_t next_us)
{
	if (!b->before.there)
		return 0;
	b->sequence++;
	int r = put_header(b, next_us);
	r = r ? r : buf_append(&b->out, b->before.sections.data, b->before.sections.len);
	if (r == -EMSGSIZE)
		return complain(b, r, "more readings of one time than a snapshot of 1 MiB holds");
	struct store_snapshot snapshot = {.sequence = b->sequence,
					  .agent_us = b->before.time_us,
					  .received_us = clock_wall_us(),
					  .payload = b->out.data,
					  .len = b->out.len};
	memcpy(snapshot.descriptor_hash, descriptors_snapshot().sha256, sizeof(snapshot.descriptor_hash));
	if (r == 0)
		r = appender_put(&b->appender, b->host_id, b->instance, &snapshot);
	b->before_before_us = b->before.time_us;
	b->before.there = false;
	b->counts->snapshots += r == 0;
	return r;
}

static int put_histogram(struct build *b)
{
	struct schema_histogram h = {.sum = b->histogram_sum};
	uint64_t before = 0;
	if (!b->has_histogram)
		return 0;
	b->has_histogram = false;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t below = b->below[i];
		/* What lies above the last bound is in the last bucket of all. */
		if (i == HISTOGRAM_BUCKETS - 1 && below == UINT64_MAX)
			below = b->histogram_count;
		if (below == UINT64_MAX || below == before)
			continue;
		if (below < before)
			return complain(b, -EBADMSG, "a histogram with fewer values below a higher bound");
		h.buckets[h.n].index = i;
		h.buckets[h.n++].count = below - before;
		before = below;
	}
	return schema_assembly_histogram(b->assembly, &b->histogram_place, &h);
}

static void forget_texts(struct build *b)
{
	for (size_t i = 0; i < b->n_texts; i++)
		free(b->texts[i]);
	b->n_texts = b->text_bytes = 0;
}

static int finish_snapshot(struct build *b)
{
	if (b->readings == 0)
		return 0;
	int r = put_histogram(b);
	if (r == 0)
		r = send_before(b, b->time_us);
	buf_reset(&b->before.sections);
	for (uint32_t section = FIRST_SECTION; section <= LAST_SECTION && r == 0; section++)
		r = schema_assembly_put(b->assembly, section, NULL, NULL, &b->before.sections);
	if (r == -EMSGSIZE)
		r = complain(b, r, "more readings of one time than a snapshot of 1 MiB holds");
	schema_assembly_clear(b->assembly);
	forget_texts(b);
	b->before.there = true;
	b->before.time_us = b->time_us;
	b->readings = 0;
	return r;
}

static int finish_host(struct build *b)
{
	int r = finish_snapshot(b);
	return r < 0 ? r : send_before(b, INT64_MIN);
}

/* --- readings ----------------------------------------------------------------------------------------------------- */

/* A copy that lives as long as the snapshot at hand. */
static const char *keep(struct build *b, const void *data, size_t len)
{
	if (b->n_texts == b->cap_texts) {
		size_t cap = b->cap_texts ? b->cap_texts * 2 : 256;
		char **more = realloc(b->texts, cap * sizeof(*more));
		if (!more)
			return NULL;
		b->texts = more;
		b->cap_texts = cap;
	}
	char *copy = b->text_bytes + len <= TEXTS_MAX ? malloc(len + 1) : NULL;
	if (!copy)
		return NULL;
	memcpy(copy, data, len);
	copy[len] = '\0';
	b->texts[b->n_texts++] = copy;
	b->text_bytes += len + 1;
	return copy;
}

static int add_part(struct build *b, const struct import_sample *s, const struct schema_place *place,
		    const uint8_t *series, size_t series_len)
{
	bool same = b->has_histogram && b->histogram_series.len == series_len &&
		    memcmp(b->histogram_series.data, series, series_len) == 0;
	if (!same) {
		int r = put_histogram(b);
		buf_reset(&b->histogram_series);
		r = r < 0 ? r : buf_append(&b->histogram_series, series, series_len);
		if (r < 0)
			return r;
		memset(b->below, 0xff, sizeof(b->below));
		b->histogram_sum = b->histogram_count = 0;
		b->histogram_place = *place;
		b->has_histogram = true;
	}
	if (s->part == IMPORT_SUM)
		b->histogram_sum = s->bits;
	else if (s->part == IMPORT_COUNT || s->bucket == UINT32_MAX)
		b->histogram_count = s->bits;
	else if (s->bucket < HISTOGRAM_BUCKETS)
		b->below[s->bucket] = s->bits;
	return 0;
}

static int add_reading(struct build *b, const struct sorter_entry *e, size_t head)
{
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	struct schema_histogram histogram;
	struct import_sample s;
	const char *bytes = keep(b, e->value, e->len);
	if (!bytes)
		return b->text_bytes + e->len > TEXTS_MAX
			       ? complain(b, -EMSGSIZE, "more readings of one time than a snapshot of 1 MiB holds")
			       : -ENOMEM;
	int r = import_sample_take(b->schema, (const uint8_t *)bytes, e->len, labels, &histogram, &s);
	if (r < 0)
		return r;
	if (s.metric == IMPORT_CUSTOM)
		return schema_assembly_custom(b->assembly, CUSTOM_SECTION, s.name, labels, s.n_labels, s.kind, s.unit,
					      s.type, s.bits);
	const struct schema_metric *metric = &b->metrics[s.metric];
	/* The assembly copies labels; what they point to is kept. Parts of a histogram are put later. */
	const struct schema_label_value *kept = labels;
	if (s.n_labels > 0 && s.part >= IMPORT_BUCKET)
		kept = (const struct schema_label_value *)(const void *)keep(b, labels, s.n_labels * sizeof(labels[0]));
	struct schema_place place = {
		.n_numbers = metric->n_numbers, .labels = kept, .n_labels = s.n_labels, .ordinal = s.ordinal};
	memcpy(place.numbers, metric->numbers, metric->n_numbers * sizeof(metric->numbers[0]));
	if (!kept)
		return -ENOMEM;
	if (s.part == IMPORT_VALUE)
		return schema_assembly_value(b->assembly, &place, s.type, s.bits);
	if (s.part == IMPORT_WHOLE_HISTOGRAM)
		return schema_assembly_histogram(b->assembly, &place, &histogram);
	return add_part(b, &s, &place, e->key + head, e->key_len - head);
}

static int take_entry(struct build *b, const struct sorter_entry *e)
{
	uint32_t host_len;
	uint64_t time;
	memcpy(&host_len, e->key, sizeof(host_len));
	host_len = be32toh(host_len);
	const char *host = (const char *)e->key + sizeof(host_len);
	memcpy(&time, host + host_len, sizeof(time));
	int64_t time_us = (int64_t)(be64toh(time) ^ 1ull << 63);
	bool same_host = b->has_host && strlen(b->hostname) == host_len && memcmp(b->hostname, host, host_len) == 0;
	int r = 0;
	if (!same_host)
		r = finish_host(b);
	else if (time_us != b->time_us)
		r = finish_snapshot(b);
	b->time_us = time_us;
	if (r == 0 && !same_host)
		r = open_host(b, host, host_len);
	if (r == 0)
		r = add_reading(b, e, sizeof(host_len) + host_len + sizeof(time));
	/* The schema knows the metric, and its place takes no such labels: a row's that is not there. */
	if (r == -ENOENT)
		return complain(b, -EBADMSG, "a reading whose labels do not belong to its metric");
	b->readings += r == 0;
	b->counts->readings += r == 0;
	return r;
}

static int run(struct build *b, struct sorter *sorter)
{
	struct descriptor_blob own = descriptors_snapshot();
	struct sorter_entry e;
	size_t n;
	b->metrics = schema_metrics(b->schema, &n);
	int more = 0, r = schema_assembly_new(b->schema, &b->assembly);
	if (r == 0)
		r = store_descriptors_put(b->store, own.sha256, own.data, own.len);
	while (r == 0 && (more = sorter_next(sorter, &e)) == 1)
		r = take_entry(b, &e);
	if (r == 0)
		r = more;
	if (r == 0)
		r = finish_host(b);
	int stored = appender_drain(&b->appender);
	struct appender_counts fates = appender_counts(&b->appender);
	b->counts->known += fates.duplicates;
	if (r == 0 && stored == 0 && fates.conflicts > 0) {
		/* Another program version may have made others of the same file. */
		snprintf(b->error, IMPORT_ERROR_SIZE,
			 "%llu snapshots of this file are stored with other contents, and stay so",
			 (unsigned long long)fates.conflicts);
		return -EEXIST;
	}
	if (stored == -EIO && r >= 0) {
		char status[IMPORT_ERROR_SIZE - 32];
		store_status(b->store, status, sizeof(status));
		snprintf(b->error, IMPORT_ERROR_SIZE, "given up: %s", status);
	}
	return r < 0 ? r : stored;
}

int import_build(struct store *store, struct schema *schema, struct sorter *sorter, const uint8_t file_hash[32],
		 struct import_counts *counts, char error[IMPORT_ERROR_SIZE])
{
	struct build *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	*b = (struct build){.store = store,
			    .schema = schema,
			    .counts = counts,
			    .file_hash = file_hash,
			    .error = error,
			    .before = {.sections = BUF_INIT(SNAPSHOT_MAX)},
			    .before_before_us = INT64_MIN,
			    .histogram_series = BUF_INIT(SORTER_MAX_ENTRY),
			    .out = BUF_INIT(SNAPSHOT_MAX)};
	int r = appender_init(&b->appender, store);
	if (r == 0)
		r = run(b, sorter);
	appender_free(&b->appender);
	schema_assembly_free(b->assembly);
	forget_texts(b);
	free(b->texts);
	buf_free(&b->before.sections);
	buf_free(&b->histogram_series);
	buf_free(&b->out);
	free(b);
	return r;
}
