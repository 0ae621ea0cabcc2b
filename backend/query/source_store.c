/* What is stored of a metric, in the order of time: chunks and rows of windows that are read raw, minutes of the
 * others.
 *
 *     windows     |   clean    |   clean    |   dirty    |  rows      |
 *     told        |  minutes (or raw)       | raw chunks | raw chunks, rows
 *
 * A window is dirty while it has rows or chunks that were not put together: its minutes are not there, or not the last
 * word. Where what they were made of is gone, though, they are the first word: what came late since then is made
 * minutes too, and says those that they do not, as it will when it is put together with them. Chunks that lie apart are
 * read as they are. Those that overlap, late data among what was there, are merged by generation, the one section of
 * them; rows that lie among chunks are made one, of the last generation. */
#include "backend/query/source_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void source_list_free(struct source_list *list)
{
	free(list->chunks);
	free(list->clusters);
}

static int by_generation(const void *a, const void *b)
{
	const struct store_chunk *x = a, *y = b;
	return (x->generation > y->generation) - (x->generation < y->generation);
}

int source_list_read(struct source_plan *plan, enum store_tier tier, uint32_t statistic, int64_t from_us, int64_t to_us,
		     struct source_list *ret)
{
	struct source_list list = {.n = 0};
	int r = store_view_chunks(plan->reading.view, plan->reading.range->host_id, tier, statistic, from_us, to_us,
				  &list.chunks, &list.n);
	if (r < 0)
		return r;
	list.clusters = calloc(list.n + 1, sizeof(*list.clusters));
	if (!list.clusters) {
		source_list_free(&list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < list.n; i++) {
		const struct store_chunk *chunk = &list.chunks[i];
		struct source_cluster *last = list.n_clusters > 0 ? &list.clusters[list.n_clusters - 1] : NULL;
		if (!last || chunk->first_us > last->last_us) {
			list.clusters[list.n_clusters++] = (struct source_cluster){
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

static int merge_cluster(struct source_plan *plan, const struct source_list *list, const struct source_cluster *cluster,
			 struct source_merging *m)
{
	int r = 0;
	/* What is merged is not kept. */
	for (size_t i = 0; r == 0 && i < cluster->n && !plan->reading.range->ahead; i++)
		r = source_merging_add_stored(m, &plan->reading, &list->chunks[cluster->first + i]);
	return r;
}

/* --- raw --------------------------------------------------------------------------------------------------------- */

static int tell_merged(struct source_plan *plan, const struct source_cluster *cluster)
{
	const struct query_range *range = plan->reading.range;
	const struct query_sink *sink = plan->reading.sink;
	struct source_merging m = {.n = 0};
	int r = merge_cluster(plan, &plan->list, cluster, &m);
	for (size_t i = 0; r == 0 && i < plan->n_kept; i++)
		r = source_merging_add(&m, &plan->kept[i]);
	if (r == 0 && m.n > 0)
		r = source_merging_run(&m);
	if (r == 0 && m.n > 0) {
		struct source_piece piece = source_piece_memory(&m.parts[0]);
		struct source_piece *const pieces[QUERY_STATISTICS] = {[QUERY_LAST] = &piece};
		r = source_tell(&plan->reading, pieces, false, range->from_us, range->to_us);
	}
	if (r == 0 && m.damaged)
		r = sink->damaged(sink->arg, cluster->first_us, cluster->last_us);
	source_merging_free(&m);
	return r;
}

int source_plan_keep_rows(struct source_plan *plan)
{
	int r = 1;
	while (r == 1) {
		struct buf *kept = &plan->kept[plan->n_kept];
		if (plan->n_kept == SOURCE_MERGE_AT_ONCE)
			return -EMSGSIZE;
		*kept = BUF_INIT(COLUMNS_MAX_SECTION);
		r = source_rows_chunk(&plan->rows, kept);
		plan->n_kept += r >= 0 && kept->len > 0;
	}
	return r;
}

void source_plan_forget_rows(struct source_plan *plan)
{
	for (size_t i = 0; i < plan->n_kept; i++)
		buf_free(&plan->kept[i]);
	plan->n_kept = 0;
}

static int tell_raw(struct source_plan *plan, const struct source_cluster *cluster)
{
	const struct query_range *range = plan->reading.range;
	int r = source_rows_flush(&plan->rows);
	if (r == 0)
		r = source_plan_keep_rows(plan);
	if (r == 0 && (cluster->n > 1 || plan->n_kept > 0)) {
		r = tell_merged(plan, cluster);
	} else if (r == 0) {
		struct source_piece piece = source_piece_stored(plan->reading.view, &plan->list.chunks[cluster->first]);
		struct source_piece *const pieces[QUERY_STATISTICS] = {[QUERY_LAST] = &piece};
		plan->reading.left = plan->list.n_clusters - plan->next - 1;
		r = source_tell(&plan->reading, pieces, false, range->from_us, range->to_us);
	}
	source_plan_forget_rows(plan);
	return r;
}

/* --- the order of time ------------------------------------------------------------------------------------------- */

/* Windows [from_us, to_us) have something raw: what lies before them and was not told is told by minutes. */
static int tell_until(struct source_plan *plan, int64_t from_us, int64_t to_us)
{
	int r = from_us != plan->thin_us ? source_thin_tell(plan) : 0;
	if (r == 0 && plan->minutes_us < from_us) {
		r = source_rows_flush(&plan->rows);
		if (r == 0)
			r = source_minutes_tell(plan, plan->minutes_us, from_us);
	}
	if (plan->minutes_us < to_us)
		plan->minutes_us = to_us;
	return r < 0 ? r : source_thin_judge(plan, from_us, to_us);
}

/* All clusters that end before this moment. */
static int tell_clusters(struct source_plan *plan, int64_t before_us)
{
	int r = 0;
	for (; r == 0 && plan->next < plan->list.n_clusters; plan->next++) {
		struct source_cluster *cluster = &plan->list.clusters[plan->next];
		if (cluster->last_us >= before_us)
			break;
		if (!cluster->raw && cluster->from_us != plan->rows_from_us)
			continue;
		r = tell_until(plan, cluster->from_us, cluster->to_us);
		if (r == 0)
			r = cluster->from_us == plan->thin_us ? merge_cluster(plan, &plan->list, cluster, &plan->late)
							      : tell_raw(plan, cluster);
	}
	return r;
}

/* The window of a row, with those that the clusters in it reach into. */
static int enter_windows(struct source_plan *plan, int64_t time_us)
{
	int64_t from_us = source_window_of(time_us), to_us = source_window_end(time_us);
	const struct source_list *list = &plan->list;
	for (size_t i = 0; i < list->n_clusters && list->clusters[i].from_us <= time_us; i++) {
		if (time_us >= list->clusters[i].to_us)
			continue;
		from_us = list->clusters[i].from_us;
		to_us = list->clusters[i].to_us;
	}
	int r = tell_clusters(plan, from_us);
	plan->rows_from_us = from_us;
	plan->rows_to_us = to_us;
	return r < 0 ? r : tell_until(plan, from_us, to_us);
}

static int on_row(void *arg, const struct store_row *row)
{
	struct source_plan *plan = arg;
	int r = row->agent_us >= plan->rows_to_us ? enter_windows(plan, row->agent_us) : 0;
	if (r == 0)
		r = tell_clusters(plan, row->agent_us);
	if (r < 0)
		return r;
	bool apart = plan->next == plan->list.n_clusters || plan->list.clusters[plan->next].first_us > row->agent_us;
	bool thin = plan->rows_from_us == plan->thin_us;
	if (apart && !thin)
		return source_rows_add(&plan->rows, row);
	if (row->lost)
		return plan->reading.sink->damaged(plan->reading.sink->arg, row->agent_us, row->agent_us + 1);
	r = source_rows_keep(&plan->rows, row);
	if (r != -EMSGSIZE)
		return r;
	r = thin ? source_thin_keep(plan) : source_plan_keep_rows(plan);
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
static int find_metric(struct source_plan *plan, struct query_store *from)
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
static bool has_minutes(const struct source_list *minutes, const struct source_cluster *cluster)
{
	for (size_t i = 0; i < minutes->n; i++) {
		if (minutes->chunks[i].first_us <= cluster->last_us &&
		    minutes->chunks[i].last_us >= cluster->first_us - QUERY_MINUTE_US)
			return true;
	}
	return false;
}

/* A window with a chunk that was not put together with the others is read raw, all of it. Windows may have been longer
 * when a chunk was written: then all those of now that it reaches into are one. */
static void mark_raw(struct source_plan *plan, const struct source_list *minutes)
{
	const struct source_list *list = &plan->list;
	for (size_t i = 0, end; i < list->n_clusters; i = end) {
		int64_t from_us = source_window_of(list->clusters[i].first_us), to_us = from_us;
		bool raw = !plan->by_minutes;
		for (end = i; end < list->n_clusters && (end == i || list->clusters[end].first_us < to_us); end++) {
			const struct source_cluster *cluster = &list->clusters[end];
			if (cluster->last_us >= to_us)
				to_us = source_window_end(cluster->last_us);
			raw |= !has_minutes(minutes, cluster);
			for (size_t k = 0; k < cluster->n; k++)
				raw |= !list->chunks[cluster->first + k].compacted;
		}
		for (size_t k = i; k < end; k++) {
			list->clusters[k].raw = raw;
			list->clusters[k].from_us = from_us;
			list->clusters[k].to_us = to_us;
		}
	}
}

static int run(struct source_plan *plan)
{
	const struct query_range *range = plan->reading.range;
	struct source_list minutes = {.n = 0};
	int r = source_list_read(plan, plan->tier, 0, range->from_us, range->to_us, &plan->list);
	if (r < 0)
		return r;
	if (plan->by_minutes && plan->list.n > 0)
		r = source_list_read(plan, STORE_TIER_MINUTE, QUERY_LAST + 1, range->from_us - QUERY_MINUTE_US,
				     range->to_us, &minutes);
	if (r < 0)
		return r;
	mark_raw(plan, &minutes);
	source_list_free(&minutes);
	plan->minutes_us = range->from_us;
	plan->rows_from_us = plan->rows_to_us = plan->thin_us = plan->judged_us = INT64_MIN;
	if (!range->ahead)
		r = store_view_row_heads(plan->reading.view, range->host_id, range->from_us, range->to_us, 0, on_row,
					 plan);
	if (r == 0)
		r = tell_clusters(plan, INT64_MAX);
	if (r == 0)
		r = source_thin_tell(plan);
	if (r == 0)
		r = source_rows_flush(&plan->rows);
	return r == 0 ? source_minutes_tell(plan, plan->minutes_us, range->to_us + 1) : r;
}

static int read_store(void *source, const struct query_range *range, const struct query_sink *sink)
{
	struct query_store *from = source;
	struct source_plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return -ENOMEM;
	plan->reading = (struct source_reading){
		.schemas = from->schemas, .cache = from->cache, .recent = from->recent, .range = range, .sink = sink};
	int r = source_rows_init(&plan->rows, &plan->reading);
	plan->rows.head = from->row_head;
	if (r == 0)
		r = find_metric(plan, from);
	plan->reading.view = from->view;
	if (r == 0 && !from->view)
		r = store_view_open(from->store, &plan->reading.view);
	if (r == 0)
		r = run(plan);
	if (r == 0 && plan->reading.any && !plan->reading.known)
		r = -ENODATA;
	from->row_head = plan->rows.head;
	source_rows_free(&plan->rows);
	source_plan_forget_rows(plan);
	source_merging_free(&plan->late);
	source_list_free(&plan->list);
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
	/* What is private is written while this is copied. */
	*another = (struct query_store){.store = from->store,
					.schemas = from->schemas,
					.cache = from->cache,
					.recent = from->recent,
					.threads = from->threads};
	int r = from->view ? store_view_try(from->store, &another->view) : 0;
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
				     .threads_ahead = store_views_are_cheap(store->store) ? store->threads : 0,
				     .open = open_another,
				     .close = close_another};
}
