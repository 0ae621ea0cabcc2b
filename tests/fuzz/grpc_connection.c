/* A server-side session without sockets: the input is what a peer sends after its preface and SETTINGS. The first byte
 * says in how large pieces it comes. The handler pauses, resumes, replies and finishes by the messages it gets. */
#include "backend/grpc/error_details.h"
#include "backend/grpc/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_calls;

static void on_start(struct grpc_call *call, void *service)
{
	open_calls++;
	if (grpc_call_metadata(call, "x-refuse"))
		grpc_call_finish(call, GRPC_UNAUTHENTICATED, "x");
}

static void resume(struct grpc_call *call, bool alive, void *arg)
{
	if (alive)
		grpc_call_resume(call);
}

/* What goes beside the messages. */
static void decorate(struct grpc_call *call, uint8_t what, const uint8_t *message, size_t len)
{
	BUF_CLEANUP struct buf details = ERROR_DETAILS_INIT;
	int r = 0;
	if (what & 1)
		r = grpc_call_add_initial(call, "x-bytes-bin", message, len);
	if (what & 2)
		r = grpc_call_add_trailing(call, "x-text", message, len);
	if (what & 4)
		grpc_call_send_initial(call);
	if (what & 8)
		(void)grpc_call_compress(call, what & 16 ? 0 : SIZE_MAX);
	if ((what & 32) && error_details_retry(&details, len) == 0)
		grpc_call_finish_details(call, GRPC_UNAVAILABLE, "later", &details);
	(void)r;
}

static void on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	uint8_t what = len > 0 ? message[0] : 0;
	int r = 0;
	if (len > 1)
		decorate(call, message[1], message, len);
	if (what & 1)
		r = grpc_call_send(call, message, len);
	if (what & 2)
		grpc_call_pause(call);
	if (what & 4)
		r = grpc_call_post(call, resume, NULL);
	if (what & 8)
		grpc_call_resume(call);
	if ((what & 16) || r < 0)
		grpc_call_finish(call, (enum grpc_status)(what >> 5), "finished by a message \x01");
}

static void on_half_close(struct grpc_call *call, void *service)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_close(struct grpc_call *call, void *service)
{
	open_calls--;
}

static const struct grpc_method methods[] = {
	{.path = "/s",
	 .max_message = 4096,
	 .on_start = on_start,
	 .on_message = on_message,
	 .on_half_close = on_half_close,
	 .on_close = on_close},
	{.path = "/u",
	 .max_message = 4096,
	 .on_start = on_start,
	 .on_message = on_message,
	 .on_half_close = on_half_close,
	 .on_close = on_close,
	 .unary = true},
};

static struct worker *fuzz_worker(void)
{
	static struct worker *worker;
	static struct method_entry entries[] = {{&methods[0], NULL}, {&methods[1], NULL}};
	static const struct grpc_service service = {.name = "s", .methods = methods, .n_methods = 2};
	static struct grpc_server server = {.services = &service,
					    .n_services = 1,
					    .methods = entries,
					    .n_methods = 2,
					    .max_connections = 1,
					    .keepalive_ns = NS_PER_SECOND,
					    .keepalive_answer_ns = NS_PER_SECOND,
					    .ping_interval_ns = NS_PER_SECOND};
	if (!worker && worker_new(&server, -1, &worker) < 0)
		abort();
	return worker;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	struct worker *worker = fuzz_worker();
	struct connection *conn;
	if (size == 0)
		return 0;
	size_t step = data[0] ? data[0] * 16u : 1;
	if (connection_new(worker, -1, "fuzz", &conn) < 0)
		abort();
	connection_input(conn, greeting, sizeof(greeting));
	for (size_t at = 1; at < size && worker->connections; at += step) {
		connection_input(conn, data + at, size - at < step ? size - at : step);
		worker_run_posts(worker);
		worker_settle(worker);
	}
	if (worker->connections)
		connection_kill(conn, "end of input");
	worker_settle(worker);
	worker_run_posts(worker);
	assert(!worker->connections && open_calls == 0 && worker->buffered == 0 && worker->timers.n == 0);
	return 0;
}
