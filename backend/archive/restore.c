/* Twice through the archive: the first time to see that all of it is there and well made, the second time to write it.
 */
#include "backend/archive/backup.h"

#include "backend/archive/appender.h"
#include "backend/archive/archive_file.h"
#include "backend/archive/progress.h"
#include "backend/archive/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_RECORDS 500
#define BATCH_BYTES (4u << 20)

struct restore {
	struct store *store;
	struct archive_reader *archive;
	struct appender appender;
	/* Records that wait to be written in one transaction; their bytes are copies. */
	struct store_record records[BATCH_RECORDS];
	size_t n;
	struct buf bytes;
	struct backup_counts counts;
	struct progress progress;
};

/* --- the first time ----------------------------------------------------------------------------------------------- */

static int look_at(const struct archive_record *record)
{
	const uint8_t *host_id;
	struct store_record values;
	struct store_chunk chunk;
	struct store_row row;
	if (record->type == RECORD_ROW)
		return record_take_row(record->data, record->len, &host_id, &row);
	if (record->type == RECORD_CHUNK)
		return record_take_chunk(record->data, record->len, &host_id, &chunk);
	if (record->type == RECORD_ABOUT)
		return 0;
	return record->type < STORE_TABLES
		       ? record_take_values((enum store_table)record->type, record->data, record->len, &values)
		       : -ENOTSUP;
}

static int verify(struct restore *s, char *error)
{
	struct archive_record record;
	char what[ARCHIVE_ERROR_SIZE];
	int n;
	while ((n = archive_next(s->archive, &record, what)) == 1) {
		int r = look_at(&record);
		if (r < 0) {
			snprintf(error, BACKUP_ERROR_SIZE,
				 "the archive holds what this program does not know (record type %u before byte %llu): "
				 "use the sonde-backend that made it, or a newer one",
				 record.type, (unsigned long long)archive_position(s->archive));
			return r;
		}
		progress_show(&s->progress, archive_position(s->archive), archive_size(s->archive), " bytes");
	}
	if (n < 0)
		snprintf(error, BACKUP_ERROR_SIZE, "%s", what);
	return n;
}

/* --- the second time ---------------------------------------------------------------------------------------------- */

static int flush(struct restore *s)
{
	int r = store_restore(s->store, s->records, s->n);
	s->n = 0;
	buf_reset(&s->bytes);
	return r;
}

/* Values that point to copies. The buffer never moves: it was reserved whole. */
static int keep(struct restore *s, const struct store_record *record)
{
	size_t len = 0, n;
	(void)store_columns(record->table, &n);
	for (size_t i = 0; i < n; i++)
		len += record->values[i].len;
	if (s->n == BATCH_RECORDS || (s->n > 0 && len > BATCH_BYTES - s->bytes.len)) {
		int r = flush(s);
		if (r < 0)
			return r;
	}
	if (len > BATCH_BYTES) /* alone, from where it lies */
		return store_restore(s->store, record, 1);
	struct store_record *copy = &s->records[s->n++];
	*copy = *record;
	for (size_t i = 0; i < n; i++) {
		if (copy->values[i].type != STORE_BYTES && copy->values[i].type != STORE_TEXT)
			continue;
		copy->values[i].data = s->bytes.data + s->bytes.len;
		if (copy->values[i].len > 0 && buf_append(&s->bytes, record->values[i].data, record->values[i].len) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int write_sealing(struct restore *s, const struct store_record *record)
{
	const struct store_value *v = record->values;
	int r = flush(s); /* the host is there then */
	if (r < 0 || v[1].integer == INT64_MIN)
		return r;
	struct store_row latest = {.agent_us = v[2].integer, .received_us = v[3].integer};
	bool has_latest = v[2].type != STORE_NULL && v[4].type == STORE_BYTES && v[5].type == STORE_BYTES;
	if (has_latest) {
		memcpy(latest.descriptor_hash, v[4].data, sizeof(latest.descriptor_hash));
		latest.payload = v[5].data;
		latest.len = v[5].len;
	}
	return store_seal(s->store, v[0].data, INT64_MIN, v[1].integer, 0, has_latest ? &latest : NULL, NULL, 0);
}

static int write_chunk(struct restore *s, const struct archive_record *record)
{
	const uint8_t *host_id;
	struct store_chunk chunk;
	int r = record_take_chunk(record->data, record->len, &host_id, &chunk);
	if (r == 0)
		r = flush(s);
	if (r == 0)
		r = store_replace(s->store, host_id, NULL, 0, &chunk, 1);
	s->counts.chunks += r == 0;
	return r;
}

static int write_row(struct restore *s, const struct archive_record *record)
{
	const uint8_t *host_id;
	struct store_row row;
	int r = record_take_row(record->data, record->len, &host_id, &row);
	if (r == 0)
		r = flush(s);
	if (r < 0)
		return r;
	struct store_snapshot snapshot = {
		.sequence = row.sequence,
		.agent_us = row.agent_us,
		.boottime_us = row.boottime_us,
		.received_us = row.received_us,
		.payload = row.payload,
		.len = row.len,
	};
	memcpy(snapshot.descriptor_hash, row.descriptor_hash, sizeof(snapshot.descriptor_hash));
	s->counts.rows++;
	return appender_put(&s->appender, host_id, row.instance, &snapshot);
}

static int write_one(struct restore *s, const struct archive_record *record)
{
	struct store_record values;
	if (record->type == RECORD_ABOUT)
		return 0;
	if (record->type == RECORD_ROW)
		return write_row(s, record);
	if (record->type == RECORD_CHUNK)
		return write_chunk(s, record);
	int r = record_take_values((enum store_table)record->type, record->data, record->len, &values);
	if (r < 0)
		return r;
	s->counts.hosts += record->type == STORE_HOSTS;
	if (record->type == STORE_STREAMS) {
		r = appender_drain(&s->appender);
		if (r < 0)
			return r;
	}
	return record->type == STORE_SEALING ? write_sealing(s, &values) : keep(s, &values);
}

static int write_all(struct restore *s, char *error)
{
	struct archive_record record;
	char what[ARCHIVE_ERROR_SIZE];
	int n, r = archive_rewind(s->archive);
	if (r == 0)
		r = buf_reserve(&s->bytes, BATCH_BYTES + 1);
	while (r == 0 && (n = archive_next(s->archive, &record, what)) != 0) {
		if (n < 0) {
			snprintf(error, BACKUP_ERROR_SIZE, "%s", what);
			return n;
		}
		r = write_one(s, &record);
		progress_show(&s->progress, archive_position(s->archive), archive_size(s->archive), " bytes");
	}
	if (r == 0)
		r = flush(s);
	if (r == 0)
		r = appender_drain(&s->appender);
	/* What is there twice belongs to an archive that nobody's backup made. */
	if (r == 0 && appender_counts(&s->appender).accepted != s->counts.rows)
		r = -EBADMSG;
	if (r == 0)
		r = store_restore_end(s->store);
	if (r < 0)
		snprintf(error, BACKUP_ERROR_SIZE,
			 "the store cannot be written: %s; it is half restored now and cannot be used: delete it and "
			 "restore "
			 "again",
			 strerror(-r));
	return r;
}

static int restore(struct restore *s, const char *path, char *error)
{
	char what[ARCHIVE_ERROR_SIZE];
	int r = archive_open(path, &s->archive, what);
	if (r < 0) {
		snprintf(error, BACKUP_ERROR_SIZE, "%.200s: %s", path, what);
		return r;
	}
	s->progress = progress_begin("checking");
	r = verify(s, error);
	progress_end(&s->progress);
	if (r < 0)
		return r;
	r = store_restore_begin(s->store);
	if (r < 0) {
		snprintf(error, BACKUP_ERROR_SIZE, "%s",
			 r == -EEXIST ? "this store is not empty: restore into a new one, then point --store at it"
				      : strerror(-r));
		return r;
	}
	s->progress = progress_begin("restore");
	r = write_all(s, error);
	progress_end(&s->progress);
	return r;
}

int backup_restore(struct store *store, const char *path, struct backup_counts *ret, char error[BACKUP_ERROR_SIZE])
{
	struct restore *s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(error, BACKUP_ERROR_SIZE, "out of memory");
		return -ENOMEM;
	}
	s->store = store;
	s->bytes = BUF_INIT(BATCH_BYTES + 1);
	int r = appender_init(&s->appender, store);
	if (r == 0)
		r = restore(s, path, error);
	else
		snprintf(error, BACKUP_ERROR_SIZE, "out of memory");
	appender_free(&s->appender);
	if (r == 0) {
		*ret = s->counts;
		ret->bytes = archive_size(s->archive);
	}
	archive_reader_close(s->archive);
	buf_free(&s->bytes);
	free(s);
	return r;
}
