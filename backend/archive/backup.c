/* Records of the small tables, then each host's chunks in the order in which they were made, then its rows; the streams
 * at the end, for a restored row writes a stream of its own. */
#include "backend/archive/backup.h"

#include "backend/archive/archive_file.h"
#include "backend/archive/progress.h"
#include "backend/archive/records.h"
#include "backend/columns/rollup.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_FROM INT64_MIN
#define ALL_TO INT64_MAX

struct backup {
	struct store_view *view;
	struct archive_writer *archive;
	struct buf bytes; /* of the record at hand */
	uint8_t *data;	  /* of the chunk at hand */
	size_t data_cap;
	uint8_t (*hosts)[16];
	size_t n_hosts, hosts_cap;
	const uint8_t *host_id;
	struct backup_counts counts;
	struct progress progress;
	uint64_t done, total; /* bytes of chunks and rows */
};

static int put(struct backup *b, unsigned type, const void *body, size_t len)
{
	b->done += b->bytes.len + len;
	progress_show(&b->progress, b->done, b->total, " bytes");
	return archive_put(b->archive, type, b->bytes.data, b->bytes.len, body, len);
}

static int keep_host(struct backup *b, const struct store_record *record)
{
	if (b->n_hosts == b->hosts_cap) {
		size_t cap = b->hosts_cap ? b->hosts_cap * 2 : 64;
		void *more = realloc(b->hosts, cap * sizeof(b->hosts[0]));
		if (!more)
			return -ENOMEM;
		b->hosts = more;
		b->hosts_cap = cap;
	}
	memcpy(b->hosts[b->n_hosts++], record->values[0].data, 16);
	return 0;
}

static int on_record(void *arg, const struct store_record *record)
{
	struct backup *b = arg;
	int r = record->table == STORE_HOSTS ? keep_host(b, record) : 0;
	buf_reset(&b->bytes);
	if (r == 0)
		r = record_put_values(record, &b->bytes);
	return r < 0 ? r : put(b, record->table, NULL, 0);
}

static int on_row(void *arg, const struct store_row *row)
{
	struct backup *b = arg;
	if (row->damaged) {
		b->counts.damaged++;
		return 0;
	}
	buf_reset(&b->bytes);
	int r = record_put_row(b->host_id, row, &b->bytes);
	if (r == 0)
		r = put(b, RECORD_ROW, NULL, 0);
	b->counts.rows += r == 0;
	return r;
}

static int copy_chunk(struct backup *b, const struct store_chunk *chunk)
{
	if (chunk->len > ARCHIVE_MAX_RECORD - 1024)
		return -EMSGSIZE;
	if (chunk->len > b->data_cap) {
		uint8_t *more = realloc(b->data, (size_t)chunk->len);
		if (!more)
			return -ENOMEM;
		b->data = more;
		b->data_cap = (size_t)chunk->len;
	}
	int r = store_view_read(b->view, chunk, 0, (size_t)chunk->len, b->data);
	if (r == -EUCLEAN) {
		/* All else is worth keeping all the more. */
		b->counts.damaged++;
		return 0;
	}
	buf_reset(&b->bytes);
	if (r == 0)
		r = record_put_chunk(b->host_id, chunk, &b->bytes);
	if (r == 0)
		r = put(b, RECORD_CHUNK, b->data, (size_t)chunk->len);
	b->counts.chunks += r == 0;
	return r;
}

static int by_generation(const void *a, const void *b)
{
	const struct store_chunk *x = a, *y = b;
	return x->generation < y->generation ? -1 : x->generation > y->generation;
}

/* Adds the host's chunks of a tier and statistic to those that are listed. */
static int list_chunks(struct backup *b, enum store_tier tier, uint32_t statistic, struct store_chunk **chunks,
		       size_t *n)
{
	struct store_chunk *some = NULL;
	size_t n_some = 0;
	int r = store_view_chunks(b->view, b->host_id, tier, statistic, ALL_FROM, ALL_TO, &some, &n_some);
	if (r < 0 || n_some == 0) {
		free(r < 0 ? NULL : some);
		return r;
	}
	struct store_chunk *more = realloc(*chunks, (*n + n_some) * sizeof(**chunks));
	if (more) {
		memcpy(more + *n, some, n_some * sizeof(*some));
		*chunks = more;
		*n += n_some;
	}
	free(some);
	return more ? 0 : -ENOMEM;
}

static int copy_chunks(struct backup *b)
{
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	int r = list_chunks(b, STORE_TIER_RAW, 0, &chunks, &n);
	if (r == 0)
		r = list_chunks(b, STORE_TIER_PROCESSES, 0, &chunks, &n);
	for (uint32_t statistic = 1; statistic < ROLLUP_END && r == 0; statistic++)
		r = list_chunks(b, STORE_TIER_MINUTE, statistic, &chunks, &n);
	if (r == 0 && n > 0)
		qsort(chunks, n, sizeof(*chunks), by_generation);
	for (size_t i = 0; i < n && r == 0; i++)
		r = copy_chunk(b, &chunks[i]);
	free(chunks);
	return r;
}

static int copy_about(struct backup *b)
{
	buf_reset(&b->bytes);
	int r = buf_printf(&b->bytes, "sonde-backend %s, made at %lld", SONDE_VERSION,
			   (long long)(clock_wall_us() / 1000000));
	return r < 0 ? r : put(b, RECORD_ABOUT, NULL, 0);
}

static int copy_all(struct backup *b)
{
	int r = copy_about(b);
	for (unsigned table = STORE_TENANTS; table < STORE_STREAMS && r == 0; table++)
		r = store_view_records(b->view, (enum store_table)table, on_record, b);
	for (size_t i = 0; i < b->n_hosts && r == 0; i++) {
		b->host_id = b->hosts[i];
		r = copy_chunks(b);
		if (r == 0)
			r = store_view_rows(b->view, b->host_id, ALL_FROM, ALL_TO, false, on_row, b);
	}
	if (r == 0)
		r = store_view_records(b->view, STORE_STREAMS, on_record, b);
	b->counts.hosts = b->n_hosts;
	return r;
}

/* About: what a running backend adds meanwhile is not part of the picture. */
static uint64_t expected_bytes(struct store *store)
{
	struct store_usage usage;
	uint64_t bytes = 0;
	if (store_usage(store, &usage) < 0)
		return 0;
	for (unsigned tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++)
		bytes += usage.tiers[tier].bytes;
	return bytes + usage.row_bytes;
}

static int complain(char *error, int r, const char *path, int written)
{
	if (r == -EEXIST)
		snprintf(error, BACKUP_ERROR_SIZE, "%s is there already: choose another name", path);
	else if (r == -EWOULDBLOCK && !written)
		snprintf(error, BACKUP_ERROR_SIZE, "another backup writes %s.part just now", path);
	else if (r == -ENOSPC)
		snprintf(error, BACKUP_ERROR_SIZE, "%s cannot be written: the disk is full; nothing is left of it",
			 path);
	else if (r == -EUCLEAN)
		snprintf(error, BACKUP_ERROR_SIZE,
			 "the database is damaged where it cannot be left out: users, keys, "
			 "hosts or rows");
	else
		snprintf(error, BACKUP_ERROR_SIZE, "the backup %s cannot be made: %s", path, strerror(-r));
	return r;
}

int backup_make(struct store *store, const char *path, struct backup_counts *ret, char error[BACKUP_ERROR_SIZE])
{
	struct backup b = {.bytes = BUF_INIT(ARCHIVE_MAX_RECORD), .progress = progress_begin("backup")};
	int r = archive_create(path, &b.archive);
	if (r < 0)
		return complain(error, r, path, 0);
	b.total = expected_bytes(store);
	r = store_view_open(store, &b.view);
	if (r == 0)
		r = copy_all(&b);
	store_view_close(b.view);
	if (r == 0)
		r = archive_finish(b.archive);
	progress_end(&b.progress);
	b.counts.bytes = archive_written(b.archive);
	archive_close(b.archive);
	buf_free(&b.bytes);
	free(b.data);
	free(b.hosts);
	if (r < 0)
		return complain(error, r, path, 1);
	*ret = b.counts;
	return 0;
}
