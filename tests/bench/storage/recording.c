#include "tests/bench/storage/recording.h"

#include "common/schema/snapshot_index.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	exit(1);
}

void recording_open(struct recording *rec, const char *path)
{
	FILE *f = fopen(path, "rb");
	struct descriptor_blob set = descriptors_snapshot();
	int r = f ? 0 : -errno;
	*rec = (struct recording){.bytes = BUF_INIT(1ull << 36)};
	while (r == 0 && !feof(f)) {
		r = ferror(f) ? -EIO : buf_reserve(&rec->bytes, 1 << 20);
		if (r == 0)
			rec->bytes.len += fread(rec->bytes.data + rec->bytes.len, 1, 1 << 20, f);
	}
	if (f)
		fclose(f);
	if (r == 0)
		r = schema_compile(set.data, set.len, "sonde.v1.Snapshot", &rec->schema);
	if (r < 0)
		die(path, r);
}

bool recording_next(struct recording *rec, struct columns_tick *tick, const uint8_t **payload, size_t *len)
{
	struct snapshot_index index;
	uint32_t size;
	if (rec->bytes.len - rec->at < RECORD_HEADER)
		return false;
	memcpy(&tick->received_us, rec->bytes.data + rec->at, 8);
	memcpy(&size, rec->bytes.data + rec->at + 8, 4);
	*payload = rec->bytes.data + rec->at + RECORD_HEADER;
	*len = size;
	rec->at += RECORD_HEADER + size;
	int r = rec->at > rec->bytes.len ? -EPROTO : snapshot_index_parse(*payload, *len, &index);
	if (r < 0)
		die("snapshot", r);
	tick->time_us = index.timestamp_us;
	tick->boottime_us = index.boottime_us;
	tick->sequence = index.sequence;
	tick->interval_ms = index.interval_ms;
	memcpy(tick->instance, index.instance, 16);
	memcpy(tick->boot_id, index.boot_id, 16);
	return true;
}

void recording_close(struct recording *rec)
{
	buf_free(&rec->bytes);
	schema_unref(rec->schema);
}
