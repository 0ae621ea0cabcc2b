/* Rows on a page of the table that cannot be read. The index still says when they were, but only to whoever follows it
 * there, and fails: so it is asked whether what lies up to some moment can be read, first a second on, then twice as
 * far, and between the last answer and the failure by halving. Some thirty questions find a row to the microsecond, and
 * all before it can be read as ever.
 *
 * When there is no end of them (a page of an index is lost as well, or a thousand rows are) halving ends: what lies
 * behind the last answer is lost, up to where the failure was, and if the next question fails too, twice as much. */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <string.h>

#define FIRST_STEP_US 1000000u
#define PROBES_MAX 8000 /* then it is told as roughly as it was found */

int postgres_go_on(struct postgres_link *link, enum postgres_way way)
{
	/* No plan but by the index that has the order: another one leads to more rows than are asked for. */
	static const char *const ways[] = {
		[POSTGRES_USUAL] = "ROLLBACK TO SAVEPOINT state",
		[POSTGRES_BY_INDEX] = "ROLLBACK TO SAVEPOINT state; SET LOCAL plan_cache_mode = force_custom_plan;"
				      " SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
				      " SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off",
		[POSTGRES_BY_TABLE] = "ROLLBACK TO SAVEPOINT state; SET LOCAL plan_cache_mode = force_custom_plan;"
				      " SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;"
				      " SET LOCAL enable_bitmapscan = off",
	};
	int r = postgres_exec(link, ways[way], NULL);
	if (r < 0)
		postgres_disconnect(link);
	return r < 0 ? r : 0;
}

/* Behind `from`, in the order of reading, up to so many microseconds on. */
struct stretch {
	struct postgres_link *link;
	const uint8_t *host_id;
	const struct postgres_place *from;
	struct postgres_losing *losing;
	uint64_t longest_us;
};

static int64_t moment(const struct stretch *s, uint64_t distance_us)
{
	uint64_t from = (uint64_t)s->from->agent_us;
	return (int64_t)(s->losing->backwards ? from - distance_us : from + distance_us);
}

/* 1 when all up to there can be read, 0 when something cannot. */
static int is_sound(const struct stretch *s, uint64_t distance_us)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, s->host_id, 16);
	postgres_add_int(&p, s->from->agent_us);
	postgres_add_int(&p, s->from->sequence);
	postgres_add_bytes(&p, s->from->instance, 16);
	postgres_add_int(&p, moment(s, distance_us));
	postgres_add_int(&p, INT64_MAX);
	s->losing->probes++;
	int r = postgres_run(s->link, s->losing->backwards ? PG_ROW_TEST_BACKWARDS : PG_ROW_TEST, &p, NULL);
	if (r != -EUCLEAN)
		return r < 0 ? r : 1;
	r = postgres_go_on(s->link, POSTGRES_BY_INDEX);
	return r < 0 ? r : 0;
}

static uint64_t within(const struct stretch *s, uint64_t distance_us)
{
	return distance_us < s->longest_us ? distance_us : s->longest_us;
}

/* The first distance, of steps that double, up to which something cannot be read: 1; 0 when all can. *ret_sound are
 * the distances below which all can. */
static int find_failure(const struct stretch *s, uint64_t *ret_sound, uint64_t *ret_failure)
{
	uint64_t step = s->losing->step_us > FIRST_STEP_US ? s->losing->step_us : FIRST_STEP_US;
	uint64_t distance = within(s, step);
	int r;
	*ret_sound = 0;
	while ((r = is_sound(s, distance)) == 1) {
		if (distance == s->longest_us)
			return 0;
		*ret_sound = distance + 1;
		step = step < UINT64_MAX / 2 ? step * 2 : UINT64_MAX;
		distance = within(s, distance < UINT64_MAX - step ? distance + step : UINT64_MAX);
	}
	*ret_failure = distance;
	return r < 0 ? r : 1;
}

static int halve(const struct stretch *s, uint64_t *sound, uint64_t *failure)
{
	while (*sound < *failure) {
		uint64_t middle = *sound + (*failure - *sound) / 2;
		int r = is_sound(s, middle);
		if (r < 0)
			return r;
		if (r == 1)
			*sound = middle + 1;
		else
			*failure = middle;
	}
	return 0;
}

int postgres_lose_rows(struct postgres_link *link, const uint8_t host_id[16], const struct postgres_place *from,
		       int64_t end_us, struct postgres_losing *losing, struct postgres_lost_rows *ret)
{
	uint64_t begin = (uint64_t)from->agent_us, end = (uint64_t)end_us, sound, failure;
	struct stretch s = {.link = link,
			    .host_id = host_id,
			    .from = from,
			    .losing = losing,
			    .longest_us = losing->backwards ? begin - end : end - begin};
	int r = find_failure(&s, &sound, &failure);
	if (r <= 0)
		return r;
	bool exact = losing->probes < PROBES_MAX;
	if (exact)
		r = halve(&s, &sound, &failure);
	else
		losing->step_us = sound == 0 ? (losing->step_us < UINT64_MAX / 2 ? losing->step_us * 2 : UINT64_MAX)
					     : FIRST_STEP_US;
	if (r < 0)
		return r;
	*ret = (struct postgres_lost_rows){.first_us = moment(&s, sound), .last_us = moment(&s, failure)};
	return 1;
}
