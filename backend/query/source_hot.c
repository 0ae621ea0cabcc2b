/* Of each payload only the fields on the way to the metric are read; what lies beside it is skipped by its length. */
#include "backend/query/query_source.h"

#include "backend/registry/schemas.h"
#include "backend/store/store.h"
#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <string.h>

#define CUSTOM_SECTION 26

struct reading {
	struct schemas *schemas;
	const char *metric;
	const struct query_sink *sink;
	struct schema *schema; /* of the rows at hand; referenced */
	uint8_t hash[32];
	const struct schema_metric *row; /* of its catalogue; NULL: it has none such */
	struct query_tick tick;
	uint64_t snapshots;
	bool known;
};

static int take_schema(struct reading *reading, const uint8_t hash[32])
{
	struct schema *schema;
	if (reading->schema && memcmp(reading->hash, hash, sizeof(reading->hash)) == 0)
		return 0;
	int r = schemas_get(reading->schemas, hash, &schema);
	if (r < 0 && r != -EPROTO && r != -ENOENT && r != -EMSGSIZE)
		return r;
	/* A set that is lost or damaged: ours reads what it knows. */
	if (r <= 0)
		schema = schema_ref(schemas_own(reading->schemas));
	schema_unref(reading->schema);
	reading->schema = schema;
	memcpy(reading->hash, hash, sizeof(reading->hash));
	reading->row = schema_find(schema, reading->metric);
	return 0;
}

static int on_sample(void *arg, const struct schema_sample *sample)
{
	struct reading *reading = arg;
	if (sample->metric->n_numbers == 0 && strcmp(sample->metric->path, reading->metric) != 0 &&
	    strcmp(sample->metric->name, reading->metric) != 0)
		return 0;
	reading->known = true;
	return reading->sink->sample(reading->sink->arg, &reading->tick, sample);
}

/* Of custom metrics nobody knows the names but the rows. */
static int read_custom(struct reading *reading, const struct store_row *row, const struct snapshot_index *index)
{
	for (uint32_t i = 0; i < index->n_sections; i++) {
		const struct snapshot_slice *slice = &index->sections[i];
		if (slice->number == CUSTOM_SECTION)
			return schema_walk(reading->schema, row->payload + slice->offset, slice->len, on_sample,
					   reading);
	}
	return 0;
}

static int on_row(void *arg, const struct store_row *row)
{
	struct reading *reading = arg;
	struct snapshot_index index;
	if (snapshot_index_parse(row->payload, row->len, &index) < 0)
		return 0; /* one damaged row costs itself */
	int r = take_schema(reading, row->descriptor_hash);
	if (r < 0)
		return r;
	reading->snapshots++;
	reading->tick = (struct query_tick){
		.time_us = row->agent_us, .interval_ms = index.interval_ms, .sequence = row->sequence};
	memcpy(reading->tick.instance, row->instance, sizeof(reading->tick.instance));
	memcpy(reading->tick.boot_id, index.boot_id, sizeof(reading->tick.boot_id));
	r = reading->sink->tick(reading->sink->arg, &reading->tick);
	if (r != 0)
		return r;
	if (reading->row) {
		reading->known = true;
		r = schema_walk_metric(reading->schema, reading->row, row->payload, row->len, on_sample, reading);
	} else {
		r = read_custom(reading, row, &index);
	}
	return r == -EPROTO ? 0 : r;
}

static int read_hot(void *source, const uint8_t host_id[16], int64_t from_us, int64_t to_us, const char *metric,
		    const struct query_sink *sink)
{
	const struct query_hot *hot = source;
	struct reading reading = {.schemas = hot->schemas, .metric = metric, .sink = sink};
	int r = store_snapshots_between(hot->store, host_id, from_us, to_us, false, on_row, &reading);
	schema_unref(reading.schema);
	return r == 0 && reading.snapshots > 0 && !reading.known ? -ENODATA : r;
}

struct query_source query_source_hot(struct query_hot *hot)
{
	return (struct query_source){.read = read_hot, .source = hot};
}
