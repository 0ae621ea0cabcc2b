/* Connections. While the server is away, questions fail at once between tries that are further and further apart: live
 * view and web go on, and nobody waits for a connection that does not come. */
#include "backend/store/postgres_engine.h"

#include "common/clock.h"
#include "common/condition.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_LARGEST_MS 5000
#define WAIT_FOR_LINK_S 10

static int connect_checked(struct postgres_link *link)
{
	int r = postgres_connect(link);
	if (r == 0)
		r = postgres_schema_check(link);
	if (r < 0)
		postgres_disconnect(link);
	return r;
}

/* The lock is not held. */
int postgres_reconnect(struct postgres_engine *e, struct postgres_link *link)
{
	pthread_mutex_lock(&e->lock);
	int r = clock_monotonic_ns() < e->refuse_until_ns ? e->refuse_error : 0;
	pthread_mutex_unlock(&e->lock);
	if (r < 0)
		return r;
	r = connect_checked(link);
	pthread_mutex_lock(&e->lock);
	if (r == 0) {
		e->backoff_ms = 0;
		e->refuse_until_ns = 0;
	} else {
		uint32_t next = e->backoff_ms ? e->backoff_ms * 2 : BACKOFF_FIRST_MS;
		e->backoff_ms = next > BACKOFF_LARGEST_MS ? BACKOFF_LARGEST_MS : next;
		e->refuse_until_ns = clock_monotonic_ns() + e->backoff_ms * 1000000ull;
		e->refuse_error = r;
	}
	pthread_mutex_unlock(&e->lock);
	return r;
}

/* A free link of those from `first` to `end`, rather one that is connected. The lock is held; -1: none is free. */
static int find_free(const struct postgres_engine *e, int first, int end)
{
	int found = -1;
	for (int i = first; i < end; i++) {
		if (!e->lent[i] && (found < 0 || (e->links[i].conn && !e->links[found].conn)))
			found = i;
	}
	return found;
}

static struct postgres_link *take(struct postgres_engine *e, bool wait, int first, int end)
{
	const struct timespec until = condition_in_ms(WAIT_FOR_LINK_S * 1000);
	int found, error = 0;
	pthread_mutex_lock(&e->lock);
	while ((found = find_free(e, first, end)) < 0 && wait && error == 0)
		error = pthread_cond_timedwait(&e->returned, &e->lock, &until);
	if (found >= 0)
		e->lent[found] = true;
	pthread_mutex_unlock(&e->lock);
	return found < 0 ? NULL : &e->links[found];
}

void postgres_return(struct postgres_engine *e, struct postgres_link *link)
{
	/* What was left in the middle of something is not lent again. */
	if (link->conn && PQtransactionStatus(link->conn) != PQTRANS_IDLE)
		postgres_disconnect(link);
	pthread_mutex_lock(&e->lock);
	e->lent[link - e->links] = false;
	pthread_cond_broadcast(&e->returned); /* who waits for a view's link cannot take another */
	pthread_mutex_unlock(&e->lock);
}

static int borrow(struct postgres_engine *e, bool wait, int first, int end, struct postgres_link **ret)
{
	struct postgres_link *link = take(e, wait, first, end);
	if (!link)
		return -EBUSY;
	int r = link->conn ? 0 : postgres_reconnect(e, link);
	if (r < 0) {
		postgres_return(e, link);
		return r;
	}
	*ret = link;
	return 0;
}

int postgres_borrow(struct postgres_engine *e, struct postgres_link **ret)
{
	return borrow(e, true, POSTGRES_VIEWS, POSTGRES_LINKS, ret);
}

int postgres_borrow_view(struct postgres_engine *e, bool wait, struct postgres_link **ret)
{
	return borrow(e, wait, 0, POSTGRES_VIEWS, ret);
}

int postgres_ask(struct postgres_engine *e, enum postgres_statement which, const struct postgres_parameters *p,
		 PGresult **ret)
{
	struct postgres_link *link;
	int r = postgres_borrow(e, &link);
	if (r < 0)
		return r;
	r = postgres_run(link, which, p, ret);
	if (r == -ENOTCONN) {
		/* The server was restarted since: the others are dead as well, but are found so one by one. */
		r = postgres_reconnect(e, link);
		if (r == 0)
			r = postgres_run(link, which, p, ret);
	}
	postgres_return(e, link);
	return r;
}

int postgres_writer_link(struct postgres_engine *e)
{
	if (e->write.conn)
		return 0;
	int r = connect_checked(&e->write);
	if (r < 0 && !e->write_failing)
		log_warn("PostgreSQL cannot be used", LOG_STR("database", e->url.shown),
			 LOG_STR("error", e->write.message), LOG_STR("then", "tried again at least every 5 s"));
	else if (r == 0 && e->write_failing)
		log_info("PostgreSQL is connected again", LOG_STR("database", e->url.shown));
	e->write_failing = r < 0;
	if (r == 0)
		postgres_parts_forget(e);
	return r;
}
