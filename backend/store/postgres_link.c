/* libpq without blocking calls: every wait is a poll(2) with an end, so that a frozen server holds up no thread for
 * long. After a wait that did not end well the connection is closed, for its answers would belong to other questions.
 */
#include "backend/store/postgres_link.h"

#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_BYTES (64u << 10)

static uint64_t deadline_in(unsigned ms)
{
	return clock_monotonic_ns() + ms * 1000000ull;
}

static uint64_t deadline_of(const struct postgres_link *link)
{
	return deadline_in(link->wait_ms ? link->wait_ms : POSTGRES_WAIT_MS);
}

static int fail(struct postgres_link *link, int error, const char *message)
{
	snprintf(link->message, sizeof(link->message), "%s", message ? message : "");
	postgres_url_redact(link->url, link->message);
	return error;
}

/* The connection is of no use any more. */
static int lose(struct postgres_link *link, int error, const char *message)
{
	int r = fail(link, error, message && message[0] ? message : "the connection to the server was lost");
	postgres_disconnect(link);
	return r;
}

/* SQLSTATE, or its class, as an errno. */
static int translate(const char *state)
{
	static const struct {
		const char *prefix;
		int error;
	} table[] = {
		{"57P", -ENOTCONN},						 /* shutting down, crashed, starting */
		{"08", -ENOTCONN},  {"57014", -ETIMEDOUT}, {"25P03", -ENOTCONN}, /* idle in a transaction for too long
										  */
		{"25006", -EROFS},  {"28", -EACCES},	   {"42501", -EACCES},	 {"3D000", -ENOENT},
		{"53100", -ENOSPC}, {"53200", -ENOMEM},	   {"53300", -EUSERS},	 {"53", -EBUSY},
		{"55P03", -EBUSY},  {"40", -EBUSY},	   {"23514", -EBUSY}, /* the partition was dropped meanwhile: it
										 is made again */
		{"23505", -EEXIST}, {"42P01", -ENXIO},	   {"XX001", -EUCLEAN},	 {"XX002", -EUCLEAN},
		{"22", -EINVAL},
	};
	for (size_t i = 0; state && i < sizeof(table) / sizeof(table[0]); i++) {
		if (strncmp(state, table[i].prefix, strlen(table[i].prefix)) == 0)
			return table[i].error;
	}
	return -EIO;
}

/* 0 or what a result says; the link is closed when the server ended it. */
static int judge(struct postgres_link *link, const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_PIPELINE_SYNC:
		return 0;
	case PGRES_PIPELINE_ABORTED:
		return -ECANCELED; /* something before it failed, and was told */
	default:
		break;
	}
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	if (PQstatus(link->conn) == CONNECTION_BAD)
		return lose(link, -ENOTCONN, primary ? primary : PQerrorMessage(link->conn));
	int error = fail(link, translate(PQresultErrorField(result, PG_DIAG_SQLSTATE)),
			 primary ? primary : PQresultErrorMessage(result));
	if (error == -EUCLEAN && link->damage)
		postgres_damage_met(link->damage, link->message);
	return error;
}

/* Waits until the socket is readable, or writable if asked for. */
static int wait_socket(struct postgres_link *link, bool write, uint64_t deadline)
{
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline)
			return lose(link, -ETIMEDOUT, "the server does not answer");
		struct pollfd fd = {.fd = PQsocket(link->conn), .events = (short)(POLLIN | (write ? POLLOUT : 0))};
		int n = poll(&fd, 1, (int)((deadline - now) / 1000000 + 1));
		if (n < 0 && errno != EINTR)
			return lose(link, -errno, "poll");
		if (n > 0)
			return fd.revents & POLLIN ? 1 : 0;
	}
}

/* Sends all that is queued; what comes meanwhile is taken in, or both sides would wait for each other. */
static int flush(struct postgres_link *link, uint64_t deadline)
{
	int more;
	while ((more = PQflush(link->conn)) == 1) {
		int readable = wait_socket(link, true, deadline);
		if (readable < 0)
			return readable;
		if (readable && !PQconsumeInput(link->conn))
			return lose(link, -ENOTCONN, PQerrorMessage(link->conn));
	}
	return more < 0 ? lose(link, -ENOTCONN, PQerrorMessage(link->conn)) : 0;
}

/* The next result, NULL at the end of a command's. */
static int next_result(struct postgres_link *link, uint64_t deadline, PGresult **ret)
{
	while (PQisBusy(link->conn)) {
		int r = wait_socket(link, false, deadline);
		if (r < 0)
			return r;
		if (!PQconsumeInput(link->conn))
			return lose(link, -ENOTCONN, PQerrorMessage(link->conn));
	}
	*ret = PQgetResult(link->conn);
	return 0;
}

/* Reads all results of what was sent; keeps the last good one, returns the first failure. */
static int finish(struct postgres_link *link, PGresult **ret)
{
	uint64_t deadline = deadline_of(link);
	PGresult *kept = NULL, *result = NULL;
	int first = flush(link, deadline);
	if (first < 0)
		return first;
	for (;;) {
		int r = next_result(link, deadline, &result);
		if (r < 0) {
			PQclear(kept);
			return first ? first : r;
		}
		if (!result)
			break;
		r = judge(link, result);
		first = first ? first : r;
		PQclear(kept);
		kept = result;
		if (!link->conn)
			break;
	}
	int rows = first ? first : PQntuples(kept);
	if (first == 0 && ret)
		*ret = kept;
	else
		PQclear(kept);
	return rows;
}

static void be_silent(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* Whoever asks for less than `on` would have snapshots acknowledged that a power failure takes back. Citus has to know
 * the host to find the server that has its rows, which a plan for any host does not tell. */
static const char session[] =
	"SET search_path = sonde; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '30s';"
	"SET jit = off; SET client_min_messages = warning;"
	"SELECT set_config('plan_cache_mode', CASE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
	" THEN 'force_custom_plan' ELSE 'force_generic_plan' END, false);"
	"SELECT set_config('synchronous_commit', 'on', false)"
	" WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";

/* libpq tells the reason of a refusal in words alone. */
static int connect_error(const PGconn *conn)
{
	const char *text = PQerrorMessage(conn);
	if (PQconnectionNeedsPassword(conn) || strstr(text, "authentication failed") || strstr(text, "pg_hba.conf") ||
	    (strstr(text, "role \"") && strstr(text, "does not exist")) || strstr(text, "permission denied"))
		return -EACCES;
	if (strstr(text, "database \"") && strstr(text, "does not exist"))
		return -ENOENT;
	if (strstr(text, "too many") || strstr(text, "remaining connection slots"))
		return -EUSERS;
	return -ENOTCONN;
}

static int await_connection(struct postgres_link *link)
{
	uint64_t deadline = deadline_in(POSTGRES_CONNECT_MS);
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	while (state != PGRES_POLLING_OK) {
		if (PQstatus(link->conn) == CONNECTION_BAD || state == PGRES_POLLING_FAILED)
			return lose(link, connect_error(link->conn), PQerrorMessage(link->conn));
		struct pollfd fd = {.fd = PQsocket(link->conn),
				    .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline)
			return lose(link, -ENOTCONN, "the server does not answer");
		if (poll(&fd, 1, (int)((deadline - now) / 1000000 + 1)) < 0 && errno != EINTR)
			return lose(link, -errno, "poll");
		if (fd.revents)
			state = PQconnectPoll(link->conn);
	}
	return 0;
}

int postgres_connect(struct postgres_link *link)
{
	/* What stands before dbname may be overruled by the URL, what stands behind it may not. */
	static const char *const keywords[] = {"keepalives_idle", "tcp_user_timeout", "fallback_application_name",
					       "dbname",	  "client_encoding",  NULL};
	const char *values[] = {"10", "10000", "sonde-backend", link->url->conninfo, "UTF8", NULL};
	postgres_disconnect(link);
	link->conn = PQconnectStartParams(keywords, values, 1);
	if (!link->conn)
		return fail(link, -ENOMEM, "out of memory");
	PQsetNoticeProcessor(link->conn, be_silent, NULL);
	int r = await_connection(link);
	if (r == 0 && PQsetnonblocking(link->conn, 1) < 0)
		r = lose(link, -ENOMEM, PQerrorMessage(link->conn));
	if (r == 0)
		r = postgres_exec(link, session, NULL);
	if (r < 0)
		postgres_disconnect(link);
	return r < 0 ? r : 0;
}

void postgres_disconnect(struct postgres_link *link)
{
	PQfinish(link->conn);
	link->conn = NULL;
	memset(link->prepared, 0, sizeof(link->prepared));
}

int postgres_exec(struct postgres_link *link, const char *sql, PGresult **ret)
{
	if (!link->conn)
		return -ENOTCONN;
	if (!PQsendQuery(link->conn, sql))
		return lose(link, -ENOTCONN, PQerrorMessage(link->conn));
	return finish(link, ret);
}

static void name_of(enum postgres_statement which, char name[16])
{
	snprintf(name, 16, "sonde_%d", (int)which);
}

int postgres_prepare(struct postgres_link *link, enum postgres_statement which)
{
	char name[16];
	if (!link->conn)
		return -ENOTCONN;
	if (link->prepared[which])
		return 0;
	name_of(which, name);
	if (!PQsendPrepare(link->conn, name, postgres_sql[which], 0, NULL))
		return lose(link, -ENOTCONN, PQerrorMessage(link->conn));
	int r = finish(link, NULL);
	if (r >= 0)
		link->prepared[which] = true;
	return r < 0 ? r : 0;
}

static int send(struct postgres_link *link, enum postgres_statement which, const struct postgres_parameters *p)
{
	static const struct postgres_parameters none;
	char name[16];
	name_of(which, name);
	p = p ? p : &none;
	if (!PQsendQueryPrepared(link->conn, name, p->n, p->values, p->lengths, p->formats, 1))
		return lose(link, -ENOTCONN, PQerrorMessage(link->conn));
	return 0;
}

int postgres_run(struct postgres_link *link, enum postgres_statement which, const struct postgres_parameters *p,
		 PGresult **ret)
{
	int r = postgres_prepare(link, which);
	if (r == 0)
		r = send(link, which, p);
	return r < 0 ? r : finish(link, ret);
}

int postgres_pipeline_begin(struct postgres_link *link)
{
	if (!link->conn)
		return -ENOTCONN;
	return PQenterPipelineMode(link->conn) ? 0 : lose(link, -EIO, PQerrorMessage(link->conn));
}

int postgres_pipeline_send(struct postgres_link *link, enum postgres_statement which,
			   const struct postgres_parameters *p)
{
	if (!link->conn)
		return -ENOTCONN;
	int r = send(link, which, p);
	size_t len = 0;
	for (int i = 0; p && i < p->n; i++)
		len += (size_t)p->lengths[i];
	/* libpq's buffer never shrinks: what is large goes out before more is put into it. */
	return r == 0 && len > FLUSH_BYTES ? flush(link, deadline_of(link)) : r;
}

int postgres_pipeline_flush(struct postgres_link *link)
{
	if (!link->conn)
		return -ENOTCONN;
	if (!PQpipelineSync(link->conn))
		return lose(link, -ENOTCONN, PQerrorMessage(link->conn));
	return flush(link, deadline_of(link));
}

int postgres_pipeline_result(struct postgres_link *link, PGresult **ret)
{
	PGresult *result = NULL, *end = NULL;
	if (!link->conn)
		return -ENOTCONN;
	uint64_t deadline = deadline_of(link);
	int r = next_result(link, deadline, &result);
	if (r < 0)
		return r;
	if (!result)
		return lose(link, -EIO, "the server answered out of order");
	r = judge(link, result);
	/* Behind each statement's result stands a NULL. */
	if (link->conn && next_result(link, deadline, &end) == 0 && end) {
		PQclear(end);
		r = lose(link, -EIO, "the server answered out of order");
	}
	int rows = r < 0 ? r : PQntuples(result);
	if (r == 0 && ret && link->conn)
		*ret = result;
	else
		PQclear(result);
	return link->conn || r < 0 ? rows : -ENOTCONN;
}

int postgres_pipeline_committed(struct postgres_link *link, int statements)
{
	PGresult *result = NULL;
	int r = 0;
	for (int i = 0; i < statements && r >= 0; i++)
		r = postgres_pipeline_result(link, NULL);
	if (r >= 0)
		r = postgres_pipeline_result(link, &result);
	/* A transaction that had failed answers a COMMIT with ROLLBACK. */
	if (r >= 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
		r = -EIO;
	PQclear(result);
	return r;
}

int postgres_pipeline_end(struct postgres_link *link)
{
	PGresult *result = NULL;
	if (!link->conn)
		return -ENOTCONN;
	int r = next_result(link, deadline_of(link), &result);
	if (r < 0)
		return r;
	bool is_sync = result && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
	PQclear(result);
	if (!is_sync || !PQexitPipelineMode(link->conn))
		return lose(link, -EIO, "the server answered out of order");
	return 0;
}
