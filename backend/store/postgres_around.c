/* Reading around what is damaged. A statement that meets a page which cannot be read fails as a whole, and whether it
 * meets one depends on its plan. So it is tried by the index alone, which touches the pages of what is asked for and no
 * others, and by the table alone, for then it is the index that may be damaged.
 *
 * When neither can, what is asked for is halved until the parts that cannot be read are as small as they get, a window
 * and a number. Parts without rows on such a page do not fail however large they are, so that this takes some twenty
 * steps for each row that is lost, less when they lie together. The largest parts come first: when there is no end of
 * it (pages of the index and of the table are damaged), what was not looked at by then is told as damaged, and most
 * was. */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBES_MAX 4000
#define HOUR_US 3600000000ll /* windows begin at full hours: less is not halved */

/* Settings until the next return to the savepoint; a plan that was made before is not used. */
static const char *const by[] = {
	"ROLLBACK TO SAVEPOINT state; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off;"
	" SET LOCAL enable_bitmapscan = off",
	"ROLLBACK TO SAVEPOINT state; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_indexscan = off;"
	" SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off",
};
static const char back[] = "ROLLBACK TO SAVEPOINT state";
enum { BY_INDEX, BY_TABLE, WAYS };

/* `result` unless the connection cannot go on from it. */
static int go(struct postgres_link *link, const char *sql, int result)
{
	int r = link->conn ? postgres_exec(link, sql, NULL) : -ENOTCONN;
	if (r < 0)
		postgres_disconnect(link);
	return r < 0 ? r : result;
}

int postgres_by_index_begin(struct postgres_link *link)
{
	int r = postgres_exec(link,
			      "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off;"
			      " SET enable_bitmapscan = off",
			      NULL);
	return r < 0 ? r : 0;
}

void postgres_by_index_end(struct postgres_link *link)
{
	/* The settings of every session (postgres_link.c). */
	static const char usual[] = "SET plan_cache_mode = force_generic_plan; RESET enable_seqscan;"
				    " RESET enable_bitmapscan";
	if (!link->conn)
		return;
	bool open = PQtransactionStatus(link->conn) != PQTRANS_IDLE;
	if ((open && postgres_exec(link, "ROLLBACK", NULL) < 0) || postgres_exec(link, usual, NULL) < 0)
		postgres_disconnect(link);
}

int postgres_run_around(struct postgres_link *link, enum postgres_statement which, const struct postgres_parameters *p,
			PGresult **ret)
{
	int rows = postgres_run(link, which, p, ret);
	if (rows != -EUCLEAN)
		return rows;
	for (int way = 0; way < WAYS && rows == -EUCLEAN; way++) {
		rows = go(link, by[way], 0);
		if (rows == 0)
			rows = postgres_run(link, which, p, ret);
	}
	PGresult *result = rows >= 0 ? *ret : NULL;
	if (rows >= 0) {
		int r = go(link, back, rows);
		if (r < 0)
			PQclear(result);
		rows = r;
	}
	return rows;
}

/* --- halving ----------------------------------------------------------------------------------------------------- */

struct part {
	int64_t low_window, high_window, low_id, high_id;
};

struct halving {
	struct postgres_link *link;
	const struct postgres_around *around;
	struct postgres_lost *lost;
	size_t n_lost, lost_cap;
	struct part *parts; /* a queue */
	size_t next, n, cap;
	unsigned probes;
};

static int ask_part(struct halving *h, const struct part *part, PGresult **ret)
{
	const struct postgres_around *a = h->around;
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, a->host_id, 16);
	postgres_add_int(&p, a->statistic);
	postgres_add_int(&p, a->from_us);
	postgres_add_int(&p, a->to_us);
	postgres_add_int(&p, part->low_window);
	postgres_add_int(&p, part->high_window);
	postgres_add_int(&p, part->low_id);
	postgres_add_int(&p, part->high_id);
	h->probes++;
	return postgres_run(h->link, (enum postgres_statement)(PG_CHUNK_LIST + a->table), &p, ret);
}

static void *slot(void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	size_t wanted = *cap ? *cap * 2 : 64;
	void *more = reallocarray(items, wanted, size);
	if (more)
		*cap = wanted;
	return more;
}

static int queue(struct halving *h, const struct part *part)
{
	void *parts = slot(h->parts, h->n, &h->cap, sizeof(*part));
	if (!parts)
		return -ENOMEM;
	h->parts = parts;
	h->parts[h->n++] = *part;
	return 0;
}

/* Of one window it is said once. */
static int lose(struct halving *h, const struct part *part)
{
	int64_t last_window_us = part->high_window;
	if (last_window_us >= INT64_MIN + HOUR_US && last_window_us - HOUR_US + 1 > part->low_window)
		last_window_us -= HOUR_US - 1;
	else
		last_window_us = part->low_window;
	for (size_t i = 0; i < h->n_lost; i++) {
		if (h->lost[i].first_window_us == part->low_window && h->lost[i].last_window_us == last_window_us)
			return 0;
	}
	void *lost = slot(h->lost, h->n_lost, &h->lost_cap, sizeof(*h->lost));
	if (!lost)
		return -ENOMEM;
	h->lost = lost;
	h->lost[h->n_lost++] = (struct postgres_lost){
		.first_window_us = part->low_window, .last_window_us = last_window_us, .first_id = part->low_id};
	return 0;
}

static int64_t middle(int64_t low, int64_t high)
{
	return low + (int64_t)(((uint64_t)high - (uint64_t)low) / 2);
}

/* The last moment of the hour. */
static int64_t end_of_hour(int64_t us)
{
	int64_t within = us % HOUR_US + (us % HOUR_US < 0 ? HOUR_US : 0), left = HOUR_US - 1 - within;
	return us > INT64_MAX - left ? INT64_MAX : us + left;
}

static int halve(struct halving *h, const struct part *part)
{
	struct part lower = *part, upper = *part;
	if (end_of_hour(part->low_window) < part->high_window) {
		int64_t end = end_of_hour(middle(part->low_window, part->high_window));
		lower.high_window = end < part->high_window ? end : end_of_hour(part->low_window);
		upper.low_window = lower.high_window + 1;
	} else if (part->low_id < part->high_id) {
		lower.high_id = middle(part->low_id, part->high_id);
		upper.low_id = lower.high_id + 1;
	} else {
		return lose(h, part);
	}
	int r = queue(h, &lower);
	return r < 0 ? r : queue(h, &upper);
}

static int look_at(struct halving *h, const struct part *part)
{
	PGresult *result = NULL;
	if (h->probes >= PROBES_MAX)
		return lose(h, part);
	int rows = ask_part(h, part, &result);
	if (rows == -EUCLEAN) {
		int r = go(h->link, by[BY_INDEX], 0);
		return r < 0 ? r : halve(h, part);
	}
	if (rows < 0)
		return rows;
	int r = h->around->take(h->around->arg, result, (size_t)rows);
	PQclear(result);
	return r;
}

/* The table alone, all at once. -EUCLEAN when that is damaged. */
static int walk(struct halving *h, const struct part *all)
{
	PGresult *result = NULL;
	int r = go(h->link, by[BY_TABLE], 0);
	int rows = r < 0 ? r : ask_part(h, all, &result);
	if (rows < 0)
		return rows;
	r = h->around->take(h->around->arg, result, (size_t)rows);
	PQclear(result);
	return r;
}

/* Ids end where the next begin. */
static int64_t last_id(struct postgres_link *link)
{
	PGresult *result = NULL;
	int64_t last = INT64_MAX;
	if (postgres_exec(link, "SELECT last_value FROM chunk_ids", &result) > 0)
		last = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return last;
}

int postgres_list_around(struct postgres_link *link, const struct postgres_around *around, struct postgres_lost **ret,
			 size_t *ret_n)
{
	struct halving h = {.link = link, .around = around};
	int r = go(link, back, 0);
	struct part all = {around->first_window_us, around->to_us, 0, r < 0 ? INT64_MAX : last_id(link)};
	if (r == 0)
		r = walk(&h, &all);
	if (r == -EUCLEAN) {
		r = go(link, by[BY_INDEX], 0);
		if (r == 0)
			r = queue(&h, &all);
		for (; r == 0 && h.next < h.n; h.next++)
			r = look_at(&h, &(struct part){h.parts[h.next].low_window, h.parts[h.next].high_window,
						       h.parts[h.next].low_id, h.parts[h.next].high_id});
	}
	free(h.parts);
	r = go(link, back, r);
	if (r < 0) {
		free(h.lost);
		return r;
	}
	*ret = h.lost;
	*ret_n = h.n_lost;
	return 0;
}
