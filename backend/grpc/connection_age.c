/* A connection's end in good time, so that peers come to know of other addresses and new certificates: GOAWAY with the
 * largest stream id, then with the real one, then calls that outlast the grace are aborted, then it is cut. The age is
 * drawn, or 10,000 agents that came at once would all come back at once. */
#include "backend/grpc/internal.h"
#include "common/clock.h"
#include "common/encoding.h"

static void age_step(struct timer *timer)
{
	struct connection *conn = (struct connection *)((char *)timer - offsetof(struct connection, age_timer));
	const struct grpc_server *server = conn->worker->server;
	uint64_t grace = server->max_age_grace_ns, notice = drain_notice_ns(grace), next = 0;
	conn->age++;
	switch (conn->age) {
	case AGE_NOTICE:
		atomic_fetch_add(&conn->worker->server->aged, 1);
		connection_drain_notice(conn);
		next = notice;
		break;
	case AGE_DRAIN:
		connection_drain(conn);
		next = grace - notice;
		break;
	case AGE_ABORT:
		connection_abort_calls(conn, "the connection has reached its largest age");
		next = DRAIN_FLUSH_NS;
		break;
	default:
		connection_kill(conn, "its largest age");
		return;
	}
	timers_set(&conn->worker->timers, timer, clock_monotonic_ns() + next);
}

int connection_age_begin(struct connection *conn)
{
	uint64_t age = conn->worker->server->max_age_ns;
	uint32_t random;
	if (age == 0)
		return 0;
	int r = timers_reserve(&conn->worker->timers);
	if (r < 0)
		return r;
	encoding_random(&random, sizeof(random));
	conn->age_timer.fn = age_step;
	timers_set(&conn->worker->timers, &conn->age_timer,
		   clock_monotonic_ns() + age - age / 10 + random % (age / 5 + 1));
	return 0;
}

void connection_age_end(struct connection *conn)
{
	if (conn->age_timer.fn)
		timers_release(&conn->worker->timers, &conn->age_timer);
	conn->age_timer.fn = NULL;
}
