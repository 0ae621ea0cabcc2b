/* Minutes that are stored, and those that are made for an answer: of what came late to a window of which nothing else
 * is left. When it is put together with them the stored ones stay, for a late reading is not all there was of its
 * minute (backend/history/compact.c); so they do here. */
#include "backend/query/source_plan.h"

#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a statistic says of the time of a cluster: the one chunk that there is, or all of them merged. */
struct minute_piece {
	struct source_piece piece;
	struct source_merging merging;
	bool there;
};

/* What was gathered, if that went well. */
static int merge(int r, struct minute_piece *ret)
{
	ret->there = ret->merging.n > 0;
	if (r == 0 && ret->there)
		r = source_merging_run(&ret->merging);
	if (r == 0 && ret->there)
		ret->piece = source_piece_memory(&ret->merging.parts[0]);
	return r;
}

static int gather(struct source_plan *plan, const struct source_list *list, int64_t first_us, int64_t last_us,
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
	/* What is merged is not kept. */
	for (size_t i = 0; r == 0 && i < list->n && !plan->reading.range->ahead; i++) {
		if (list->chunks[i].last_us >= first_us && list->chunks[i].first_us <= last_us)
			r = source_merging_add_stored(&ret->merging, &plan->reading, &list->chunks[i]);
	}
	return merge(r, ret);
}

static int tell_minutes_of(struct source_plan *plan, const struct source_list lists[QUERY_STATISTICS],
			   const struct source_cluster *cluster, int64_t from_us, int64_t to_us)
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
		source_merging_free(&of[i].merging);
	free(of);
	return r;
}

/* Which statistics are wanted follows from the kind, which of a custom metric is in its chunks alone. */
static int probe_minutes(struct source_plan *plan, int64_t from_us, int64_t to_us)
{
	struct source_list list = {.n = 0};
	if (plan->reading.has_statistics)
		return 0;
	int r = source_list_read(plan, STORE_TIER_MINUTE, QUERY_LAST + 1, from_us, to_us, &list);
	for (size_t i = 0; r == 0 && i < list.n && !plan->reading.has_statistics; i++) {
		struct source_piece piece = source_piece_stored(plan->reading.view, &list.chunks[i]);
		r = source_probe(&plan->reading, &piece);
	}
	source_list_free(&list);
	return r;
}

/* [from_us, to_us) out of minutes. Of the wanted statistics the first says which minutes there are. */
int source_minutes_tell(struct source_plan *plan, int64_t from_us, int64_t to_us)
{
	struct source_list lists[QUERY_STATISTICS] = {{.n = 0}};
	const struct source_list *first = NULL;
	if (!plan->has_minutes || from_us >= to_us)
		return 0;
	int r = probe_minutes(plan, from_us, to_us - 1);
	/* Without a series of it in the minutes their ticks are told for what they say of gaps. */
	if (r == 0 && !plan->reading.has_statistics)
		plan->reading.statistics = 1u << QUERY_LAST;
	for (unsigned i = 0; r == 0 && i < QUERY_STATISTICS; i++) {
		if (!(plan->reading.statistics & 1u << i))
			continue;
		r = source_list_read(plan, STORE_TIER_MINUTE, i + 1, from_us, to_us - 1, &lists[i]);
		if (r == 0 && !first)
			first = &lists[i];
	}
	for (size_t i = 0; r == 0 && first && i < first->n_clusters; i++) {
		plan->reading.left = first->n_clusters - i - 1;
		r = tell_minutes_of(plan, lists, &first->clusters[i], from_us, to_us - 1);
	}
	for (size_t i = 0; i < QUERY_STATISTICS; i++)
		source_list_free(&lists[i]);
	return r;
}

/* --- windows of which minutes are left --------------------------------------------------------------------------- */

/* What is asked for of the thin windows. */
static void bounds_of(const struct source_plan *plan, int64_t *from_us, int64_t *to_us)
{
	const struct query_range *range = plan->reading.range;
	*from_us = plan->thin_us > range->from_us ? plan->thin_us : range->from_us;
	*to_us = plan->thin_to_us - 1 < range->to_us ? plan->thin_to_us - 1 : range->to_us;
}

/* 1 when of windows, which something raw lies in, only minutes are left but for that. Not of what is not over: its
 * minutes are not made yet. */
static int is_thin(struct source_plan *plan, int64_t from_us, int64_t to_us)
{
	struct source_list list = {.n = 0};
	bool whole = false, minutes = false;
	if (!plan->by_minutes || !plan->has_minutes || to_us > clock_wall_us())
		return 0;
	int r = source_list_read(plan, plan->tier, 0, from_us, to_us - 1, &list);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		whole |= list.chunks[i].compacted;
	source_list_free(&list);
	if (r < 0 || whole)
		return r;
	list = (struct source_list){.n = 0};
	r = source_list_read(plan, STORE_TIER_MINUTE, QUERY_LAST + 1, from_us, to_us - 1, &list);
	minutes = list.n > 0;
	source_list_free(&list);
	return r < 0 ? r : minutes;
}

/* The rows at hand are of a thin window: they wait until it is over. */
int source_thin_keep(struct source_plan *plan)
{
	int r = source_plan_keep_rows(plan);
	for (size_t i = 0; r >= 0 && i < plan->n_kept; i++)
		r = source_merging_add(&plan->late, &plan->kept[i]);
	source_plan_forget_rows(plan);
	return r;
}

/* The minutes of a statistic: those that are stored are right, where they are. */
static int gather_thin(struct source_plan *plan, unsigned statistic, struct buf *late, struct minute_piece *ret)
{
	struct source_list list = {.n = 0};
	int64_t from_us, to_us;
	bounds_of(plan, &from_us, &to_us);
	int r = source_merging_add(&ret->merging, late);
	if (r == 0)
		r = source_list_read(plan, STORE_TIER_MINUTE, statistic + 1, from_us, to_us, &list);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = source_merging_add_stored(&ret->merging, &plan->reading, &list.chunks[i]);
	source_list_free(&list);
	return merge(r, ret);
}

static int tell_thin_of(struct source_plan *plan, struct buf late[ROLLUP_END])
{
	struct minute_piece *of = calloc(QUERY_STATISTICS, sizeof(*of));
	struct source_piece *pieces[QUERY_STATISTICS] = {NULL};
	const struct query_sink *sink = plan->reading.sink;
	bool damaged = plan->late.damaged;
	int64_t from_us, to_us;
	int r = of ? 0 : -ENOMEM;
	bounds_of(plan, &from_us, &to_us);
	for (unsigned i = 0; r == 0 && i < QUERY_STATISTICS; i++) {
		if (!(plan->reading.statistics & 1u << i))
			continue;
		r = gather_thin(plan, i, &late[i + 1], &of[i]);
		pieces[i] = of[i].there ? &of[i].piece : NULL;
		damaged |= of[i].merging.damaged;
	}
	if (r == 0)
		r = source_tell(&plan->reading, pieces, true, from_us, to_us);
	if (r == 0 && damaged)
		r = sink->damaged(sink->arg, from_us, to_us);
	for (size_t i = 0; of && i < QUERY_STATISTICS; i++)
		source_merging_free(&of[i].merging);
	free(of);
	return r;
}

/* What is asked of a custom metric is found in the minutes, or in what came late. */
static int probe_thin(struct source_plan *plan)
{
	int r = probe_minutes(plan, plan->thin_us, plan->thin_to_us - 1);
	if (r == 0 && !plan->reading.has_statistics && plan->late.n > 0) {
		struct source_piece piece = source_piece_memory(&plan->late.parts[0]);
		r = source_probe(&plan->reading, &piece);
	}
	if (r == 0 && !plan->reading.has_statistics)
		plan->reading.statistics = 1u << QUERY_LAST;
	return r;
}

/* The thin window at hand, if there is one, is over. */
int source_thin_tell(struct source_plan *plan)
{
	struct buf late[ROLLUP_END];
	if (plan->thin_us == INT64_MIN || plan->reading.range->ahead)
		return 0;
	for (size_t i = 0; i < ROLLUP_END; i++)
		late[i] = BUF_INIT(COLUMNS_MAX_SECTION);
	int r = source_rows_flush(&plan->rows);
	if (r == 0)
		r = source_thin_keep(plan);
	if (r == 0 && plan->late.n > 1)
		r = source_merging_run(&plan->late);
	if (r == 0)
		r = probe_thin(plan);
	if (r == 0 && plan->late.n > 0)
		r = source_merging_minutes(&plan->late, late);
	if (r == 0)
		r = tell_thin_of(plan, late);
	for (size_t i = 0; i < ROLLUP_END; i++)
		buf_free(&late[i]);
	source_merging_free(&plan->late);
	memset(&plan->late, 0, sizeof(plan->late));
	plan->thin_us = INT64_MIN;
	return r;
}

/* Whether what is raw of windows is told as it is, or waits. */
int source_thin_judge(struct source_plan *plan, int64_t from_us, int64_t to_us)
{
	if (plan->judged_us == from_us)
		return 0;
	plan->judged_us = from_us;
	int thin = is_thin(plan, from_us, to_us);
	plan->thin_us = thin > 0 ? from_us : INT64_MIN;
	plan->thin_to_us = to_us;
	return thin < 0 ? thin : 0;
}
