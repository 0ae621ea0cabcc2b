/* What is stored of a metric, in the order of time: chunks and rows of windows that are read raw, minutes of the
 * others.
 *
 *     windows     |   clean    |   clean    |   dirty    |  rows      |
 *     told        |  minutes (or raw)       | raw chunks | raw chunks, rows
 *
 * A window is dirty while it has rows or chunks that were not put together: its minutes are not there, or not the last
 * word. Chunks that lie apart are read as they are. Those that overlap, late data among what was there, are merged by
 * generation, the one section of them; rows that lie among chunks are made one, of the last generation. */
#include "backend/columns/chunk_merge.h"
#include "backend/history/tiers.h"
#include "backend/query/source_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MERGE_AT_ONCE 64

/* Chunks that overlap, and nothing beside them does. */
struct cluster {
	size_t first, n; /* of chunks */
	int64_t first_us, last_us;
	bool raw; /* its window is read raw */
};

struct list {
	struct store_chunk *chunks;
	size_t n;
	struct cluster *clusters;
	size_t n_clusters;
};

struct plan {
	struct source_reading reading;
	struct source_rows rows;
	enum store_tier tier;
	bool by_minutes, has_minutes;
	struct list list;
	size_t next;	       /* cluster */
	int64_t minutes_us;    /* up to here all is told; behind it minutes may come until something raw does */
	int64_t row_window_us; /* of the rows at hand; INT64_MIN: none yet */
	struct buf kept[MERGE_AT_ONCE]; /* rows among the chunks of the next cluster */
	size_t n_kept;
};

static void list_free(struct list *list)
{
	free(list->chunks);
	free(list->clusters);
}

static int by_generation(const void *a, const void *b)
{
	const struct store_chunk *x = a, *y = b;
	return (x->generation > y->generation) - (x->generation < y->generation);
}

static int read_list(struct plan *plan, enum store_tier tier, uint32_t statistic, int64_t from_us, int64_t to_us,
		     struct list *ret)
{
	struct list list = {.n = 0};
	int r = store_view_chunks(plan->reading.view, plan->reading.range->host_id, tier, statistic, from_us, to_us,
				  &list.chunks, &list.n);
	if (r < 0)
		return r;
	list.clusters = calloc(list.n + 1, sizeof(*list.clusters));
	if (!list.clusters) {
		list_free(&list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < list.n; i++) {
		const struct store_chunk *chunk = &list.chunks[i];
		struct cluster *last = list.n_clusters > 0 ? &list.clusters[list.n_clusters - 1] : NULL;
		if (!last || chunk->first_us > last->last_us) {
			list.clusters[list.n_clusters++] = (struct cluster){
				.first = i, .n = 1, .first_us = chunk->first_us, .last_us = chunk->last_us};
			continue;
		}
		last->n++;
		if (chunk->last_us > last->last_us)
			last->last_us = chunk->last_us;
	}
	for (size_t i = 0; i < list.n_clusters; i++)
		qsort(list.chunks + list.clusters[i].first, list.clusters[i].n, sizeof(*list.chunks), by_generation);
	*ret = list;
	return 0;
}

/* --- merging ----------------------------------------------------------------------------------------------------- */

/* Chunks that wait to become one, in the order of their generations. */
struct merging {
	struct buf parts[MERGE_AT_ONCE];
	uint32_t n;
	bool damaged;
};

static void merging_free(struct merging *m)
{
	for (size_t i = 0; i < MERGE_AT_ONCE; i++)
		buf_free(&m->parts[i]);
}

/* All parts become the first. */
static int merge(struct merging *m)
{
	struct chunk_bytes bytes[MERGE_AT_ONCE];
	struct chunk_merge_result result;
	struct buf out = BUF_INIT(COLUMNS_MAX_SECTION);
	uint32_t bad;
	for (uint32_t i = 0; i < m->n; i++)
		bytes[i] = (struct chunk_bytes){.data = m->parts[i].data, .len = m->parts[i].len};
	int r = chunk_merge(bytes, m->n, INT64_MIN, INT64_MAX, &out, &result, &bad);
	if (r < 0) {
		buf_free(&out);
		return r;
	}
	m->damaged |= result.damaged_sections > 0 || result.damaged_series > 0;
	merging_free(m);
	memset(m->parts, 0, sizeof(m->parts));
	m->parts[0] = out;
	m->n = 1;
	return 0;
}

/* A chunk of the last generation yet. Its bytes move. */
static int merging_add(struct merging *m, struct buf *chunk)
{
	int r = m->n == MERGE_AT_ONCE ? merge(m) : 0;
	if (r == 0 && chunk->len > 0) {
		m->parts[m->n++] = *chunk;
		*chunk = BUF_INIT(0);
	}
	return r;
}

static int merging_add_stored(struct plan *plan, struct merging *m, const struct store_chunk *chunk)
{
	struct buf copy BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	struct source_piece piece = source_piece_stored(plan->reading.view, chunk);
	const struct query_sink *sink = plan->reading.sink;
	int r = source_piece_open(&piece);
	if (r == 0)
		r = source_piece_copy(&piece, plan->reading.section, &copy);
	if (r < 0 && source_is_damage(r))
		return sink->damaged(sink->arg, chunk->first_us, chunk->last_us);
	return r < 0 ? r : merging_add(m, &copy);
}

static int merge_cluster(struct plan *plan, const struct list *list, const struct cluster *cluster, struct merging *m)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < cluster->n; i++)
		r = merging_add_stored(plan, m, &list->chunks[cluster->first + i]);
	return r;
}

/* --- raw --------------------------------------------------------------------------------------------------------- */

static int tell_merged(struct plan *plan, const struct cluster *cluster)
{
	const struct query_range *range = plan->reading.range;
	const struct query_sink *sink = plan->reading.sink;
	struct merging m = {.n = 0};
	int r = merge_cluster(plan, &plan->list, cluster, &m);
	for (size_t i = 0; r == 0 && i < plan->n_kept; i++)
		r = merging_add(&m, &plan->kept[i]);
	if (r == 0 && m.n > 0)
		r = merge(&m);
	if (r == 0 && m.n > 0) {
		struct source_piece piece = source_piece_memory(&m.parts[0]);
		struct source_piece *const pieces[QUERY_STATISTICS] = {[QUERY_LAST] = &piece};
		r = source_tell(&plan->reading, pieces, false, range->from_us, range->to_us);
	}
	if (r == 0 && m.damaged)
		r = sink->damaged(sink->arg, cluster->first_us, cluster->last_us);
	merging_free(&m);
	return r;
}

static int keep_rows(struct plan *plan)
{
	int r = 1;
	while (r == 1) {
		struct buf *kept = &plan->kept[plan->n_kept];
		if (plan->n_kept == MERGE_AT_ONCE)
			return -EMSGSIZE;
		*kept = BUF_INIT(COLUMNS_MAX_SECTION);
		r = source_rows_chunk(&plan->rows, kept);
		plan->n_kept += r >= 0 && kept->len > 0;
	}
	return r;
}

static void forget_rows(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_kept; i++)
		buf_free(&plan->kept[i]);
	plan->n_kept = 0;
}

static int tell_raw(struct plan *plan, const struct cluster *cluster)
{
	const struct query_range *range = plan->reading.range;
	int r = source_rows_flush(&plan->rows);
	if (r == 0)
		r = keep_rows(plan);
	if (r == 0 && (cluster->n > 1 || plan->n_kept > 0)) {
		r = tell_merged(plan, cluster);
	} else if (r == 0) {
		struct source_piece piece = source_piece_stored(plan->reading.view, &plan->list.chunks[cluster->first]);
		struct source_piece *const pieces[QUERY_STATISTICS] = {[QUERY_LAST] = &piece};
		r = source_tell(&plan->reading, pieces, false, range->from_us, range->to_us);
	}
	forget_rows(plan);
	return r;
}

/* --- minutes ----------------------------------------------------------------------------------------------------- */

/* What a statistic says of the time of a cluster: the one chunk that there is, or all of them merged. */
struct minute_piece {
	struct source_piece piece;
	struct merging merging;
	bool there;
};

static int gather(struct plan *plan, const struct list *list, int64_t first_us, int64_t last_us,
		  struct minute_piece *ret)
{
	const struct store_chunk *only = NULL;
	size_t n = 0;
	int r = 0;
	for (size_t i = 0; i < list->n; i++) {
		if (list->chunks[i].last_us >= first_us && list->chunks[i].first_us <= last_us) {
			only = &list->chunks[i];
			n++;
		}
	}
	ret->there = n > 0;
	if (n == 1)
		ret->piece = source_piece_stored(plan->reading.view, only);
	if (n <= 1)
		return 0;
	for (size_t i = 0; r == 0 && i < list->n; i++) {
		if (list->chunks[i].last_us >= first_us && list->chunks[i].first_us <= last_us)
			r = merging_add_stored(plan, &ret->merging, &list->chunks[i]);
	}
	ret->there = ret->merging.n > 0;
	if (r == 0 && ret->there)
		r = merge(&ret->merging);
	if (r == 0 && ret->there)
		ret->piece = source_piece_memory(&ret->merging.parts[0]);
	return r;
}

static int tell_minutes_of(struct plan *plan, const struct list lists[QUERY_STATISTICS], const struct cluster *cluster,
			   int64_t from_us, int64_t to_us)
{
	struct minute_piece *of = calloc(QUERY_STATISTICS, sizeof(*of));
	struct source_piece *pieces[QUERY_STATISTICS] = {NULL};
	const struct query_sink *sink = plan->reading.sink;
	bool damaged = false;
	int r = of ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < QUERY_STATISTICS; i++) {
		if (!(plan->reading.statistics & 1u << i))
			continue;
		r = gather(plan, &lists[i], cluster->first_us, cluster->last_us, &of[i]);
		pieces[i] = of[i].there ? &of[i].piece : NULL;
		damaged |= of[i].merging.damaged;
	}
	if (r == 0)
		r = source_tell(&plan->reading, pieces, true, from_us, to_us);
	if (r == 0 && damaged)
		r = sink->damaged(sink->arg, cluster->first_us, cluster->last_us);
	for (size_t i = 0; of && i < QUERY_STATISTICS; i++)
		merging_free(&of[i].merging);
	free(of);
	return r;
}

/* Which statistics are wanted follows from the kind, which of a custom metric is in its chunks alone. */
static int probe_minutes(struct plan *plan, int64_t from_us, int64_t to_us)
{
	struct list list = {.n = 0};
	if (plan->reading.has_statistics)
		return 0;
	int r = read_list(plan, STORE_TIER_MINUTE, QUERY_LAST + 1, from_us, to_us, &list);
	for (size_t i = 0; r == 0 && i < list.n && !plan->reading.has_statistics; i++) {
		struct source_piece piece = source_piece_stored(plan->reading.view, &list.chunks[i]);
		r = source_probe(&plan->reading, &piece);
	}
	list_free(&list);
	return r;
}

/* [from_us, to_us) out of minutes. Of the wanted statistics the first says which minutes there are. */
static int tell_minutes(struct plan *plan, int64_t from_us, int64_t to_us)
{
	struct list lists[QUERY_STATISTICS] = {{.n = 0}};
	const struct list *first = NULL;
	if (!plan->has_minutes || from_us >= to_us)
		return 0;
	int r = probe_minutes(plan, from_us, to_us - 1);
	/* Without a series of it in the minutes their ticks are told for what they say of gaps. */
	if (r == 0 && !plan->reading.has_statistics)
		plan->reading.statistics = 1u << QUERY_LAST;
	for (unsigned i = 0; r == 0 && i < QUERY_STATISTICS; i++) {
		if (!(plan->reading.statistics & 1u << i))
			continue;
		r = read_list(plan, STORE_TIER_MINUTE, i + 1, from_us, to_us - 1, &lists[i]);
		if (r == 0 && !first)
			first = &lists[i];
	}
	for (size_t i = 0; r == 0 && first && i < first->n_clusters; i++)
		r = tell_minutes_of(plan, lists, &first->clusters[i], from_us, to_us - 1);
	for (size_t i = 0; i < QUERY_STATISTICS; i++)
		list_free(&lists[i]);
	return r;
}

/* --- the order of time ------------------------------------------------------------------------------------------- */

static int64_t window_of(int64_t time_us)
{
	return tiers_window_of(STORE_TIER_RAW, time_us);
}

static int64_t window_end(int64_t window_us)
{
	return window_us + tiers_window_us(STORE_TIER_RAW);
}

/* Something raw begins here: what lies before its window and was not told is told by minutes. */
static int tell_until(struct plan *plan, int64_t window_us)
{
	int r = 0;
	if (plan->minutes_us < window_us) {
		r = source_rows_flush(&plan->rows);
		if (r == 0)
			r = tell_minutes(plan, plan->minutes_us, window_us);
	}
	if (plan->minutes_us < window_end(window_us))
		plan->minutes_us = window_end(window_us);
	return r;
}

/* All clusters that end before this moment. */
static int tell_clusters(struct plan *plan, int64_t before_us)
{
	int r = 0;
	for (; r == 0 && plan->next < plan->list.n_clusters; plan->next++) {
		struct cluster *cluster = &plan->list.clusters[plan->next];
		int64_t window_us = window_of(cluster->first_us);
		if (cluster->last_us >= before_us)
			break;
		if (!cluster->raw && window_us != plan->row_window_us)
			continue;
		r = tell_until(plan, window_us);
		if (r == 0)
			r = tell_raw(plan, cluster);
	}
	return r;
}

static int on_row(void *arg, const struct store_row *row)
{
	struct plan *plan = arg;
	int64_t window_us = window_of(row->agent_us);
	int r = 0;
	if (window_us != plan->row_window_us) {
		r = tell_clusters(plan, window_us);
		plan->row_window_us = window_us;
		if (r == 0)
			r = tell_until(plan, window_us);
	}
	if (r == 0)
		r = tell_clusters(plan, row->agent_us);
	if (r < 0)
		return r;
	if (plan->next == plan->list.n_clusters || plan->list.clusters[plan->next].first_us > row->agent_us)
		return source_rows_add(&plan->rows, row);
	r = source_rows_keep(&plan->rows, row);
	if (r != -EMSGSIZE)
		return r;
	r = keep_rows(plan);
	return r < 0 ? r : source_rows_keep(&plan->rows, row);
}

/* --- what is asked ----------------------------------------------------------------------------------------------- */

/* A fleet asks for one metric again and again. */
static const struct schema_metric *find_own(struct query_store *from, struct schema *own, const char *metric)
{
	const struct schema_metric *found = from->found;
	if (!found || (strcmp(found->path, metric) != 0 && strcmp(found->name, metric) != 0))
		from->found = schema_find(own, metric);
	return from->found;
}

/* Our own schema, or that of the host's agent if it is newer. Field numbers never change, so that any schema which has
 * the name reads all chunks. */
static int find_metric(struct plan *plan, struct query_store *from)
{
	struct source_reading *reading = &plan->reading;
	uint8_t hash[32], *payload = NULL;
	int64_t received_us;
	size_t len;
	reading->schema = schema_ref(schemas_own(reading->schemas));
	reading->row = find_own(from, reading->schema, reading->range->metric);
	if (!reading->row &&
	    store_latest(from->store, reading->range->host_id, &payload, &len, hash, &received_us) == 1) {
		struct schema *schema;
		free(payload);
		if (schemas_get(reading->schemas, hash, &schema) == 1) {
			schema_unref(reading->schema);
			reading->schema = schema;
			reading->row = schema_find(schema, reading->range->metric);
		}
	}
	reading->section = reading->row ? reading->row->numbers[0] : COLUMNS_CUSTOM_SECTION;
	bool processes = tiers_of_section(reading->section) == STORE_TIER_PROCESSES;
	plan->tier = processes ? STORE_TIER_PROCESSES : STORE_TIER_RAW;
	plan->has_minutes = !processes;
	plan->by_minutes = !processes && query_by_minutes(reading->range->step_us);
	return reading->row ? source_ask(reading, reading->row->kind, reading->row->unit) : 0;
}

/* Minutes may have been forgotten before what they were made of, as their retention says. */
static bool has_minutes(const struct list *minutes, const struct cluster *cluster)
{
	for (size_t i = 0; i < minutes->n; i++) {
		if (minutes->chunks[i].first_us <= cluster->last_us &&
		    minutes->chunks[i].last_us >= cluster->first_us - QUERY_MINUTE_US)
			return true;
	}
	return false;
}

/* A window with a chunk that was not put together with the others is read raw, all of it. */
static void mark_raw(struct plan *plan, const struct list *minutes)
{
	const struct list *list = &plan->list;
	for (size_t i = 0, end; i < list->n_clusters; i = end) {
		int64_t window_us = window_of(list->clusters[i].first_us);
		bool raw = !plan->by_minutes;
		for (end = i; end < list->n_clusters && window_of(list->clusters[end].first_us) == window_us; end++) {
			const struct cluster *cluster = &list->clusters[end];
			raw |= !has_minutes(minutes, cluster);
			for (size_t k = 0; k < cluster->n; k++)
				raw |= !list->chunks[cluster->first + k].compacted;
		}
		for (size_t k = i; k < end; k++)
			list->clusters[k].raw = raw;
	}
}

static int run(struct plan *plan)
{
	const struct query_range *range = plan->reading.range;
	struct list minutes = {.n = 0};
	int r = read_list(plan, plan->tier, 0, range->from_us, range->to_us, &plan->list);
	if (r < 0)
		return r;
	if (plan->by_minutes && plan->list.n > 0)
		r = read_list(plan, STORE_TIER_MINUTE, QUERY_LAST + 1, range->from_us - QUERY_MINUTE_US, range->to_us,
			      &minutes);
	if (r < 0)
		return r;
	mark_raw(plan, &minutes);
	list_free(&minutes);
	plan->minutes_us = range->from_us;
	plan->row_window_us = INT64_MIN;
	r = store_view_row_heads(plan->reading.view, range->host_id, range->from_us, range->to_us, 0, on_row, plan);
	if (r == 0)
		r = tell_clusters(plan, INT64_MAX);
	if (r == 0)
		r = source_rows_flush(&plan->rows);
	return r == 0 ? tell_minutes(plan, plan->minutes_us, range->to_us + 1) : r;
}

static int read_store(void *source, const struct query_range *range, const struct query_sink *sink)
{
	struct query_store *from = source;
	struct plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return -ENOMEM;
	plan->reading =
		(struct source_reading){.schemas = from->schemas, .cache = from->cache, .range = range, .sink = sink};
	int r = source_rows_init(&plan->rows, &plan->reading);
	if (r == 0)
		r = find_metric(plan, from);
	plan->reading.view = from->view;
	if (r == 0 && !from->view)
		r = store_view_open(from->store, &plan->reading.view);
	if (r == 0)
		r = run(plan);
	if (r == 0 && plan->reading.any && !plan->reading.known)
		r = -ENODATA;
	source_rows_free(&plan->rows);
	forget_rows(plan);
	list_free(&plan->list);
	if (!from->view)
		store_view_close(plan->reading.view);
	schema_unref(plan->reading.schema);
	for (size_t i = 0; i < QUERY_STATISTICS; i++)
		columns_values_free(&plan->reading.values[i]);
	free(plan);
	return r;
}

/* Another thread's: the same, of a picture of its own. */
static int open_another(void *source, void **ret)
{
	const struct query_store *from = source;
	struct query_store *another = malloc(sizeof(*another));
	if (!another)
		return -ENOMEM;
	*another = *from;
	another->view = NULL;
	int r = from->view ? store_view_open(from->store, &another->view) : 0;
	if (r < 0) {
		free(another);
		return r;
	}
	*ret = another;
	return 0;
}

static void close_another(void *source)
{
	struct query_store *another = source;
	store_view_close(another->view);
	free(another);
}

struct query_source query_source_store(struct query_store *store)
{
	return (struct query_source){.read = read_store,
				     .source = store,
				     .threads = store->threads,
				     .open = open_another,
				     .close = close_another};
}
