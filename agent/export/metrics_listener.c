/* The library's epoll runs inside this thread's poll(), so that the thread can give up its rights first and end
 * connections that take too long: the library's own timeout begins anew with each byte. The encoded text, the table of
 * connections and the responses belong to this thread alone. */
#include "agent/export/metrics_listener.h"

#include "agent/export/latest.h"
#include "agent/export/metrics_library.h"
#include "agent/host/capabilities.h"
#include "agent/options.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define TEXT_MAX ((size_t)16 << 20)
#define SCRAPED_NS (120 * NS_PER_S)
#define POLL_MS 1000
#define CONNECTION_MEMORY ((size_t)16 << 10)
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* One snapshot encoded, for as long as it is the newest or a response sends it. */
struct text {
	unsigned references;
	uint64_t number;
	struct buf bytes;
};

struct connection {
	int fd; /* -1: free */
	uint64_t since_ns;
};

struct metrics_listener {
	struct metrics_library library;
	struct MHD_Daemon *daemon;
	struct latest *latest;
	struct schema *schema;
	pthread_t thread;
	bool has_thread;
	int stop_fd;
	uint16_t port;
	_Atomic uint64_t scraped_ns;
	_Atomic bool stopping;
	struct text *text;
	struct connection connections[METRICS_CONNECTIONS];
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void text_unref(void *opaque)
{
	struct text *text = opaque;
	if (!text || --text->references > 0)
		return;
	buf_free(&text->bytes);
	free(text);
}

static struct text *encode(struct metrics_listener *listener, const struct latest_snapshot *snapshot)
{
	struct text *text = calloc(1, sizeof(*text));
	if (!text)
		return NULL;
	*text = (struct text){.references = 1, .number = snapshot->number, .bytes = BUF_INIT(TEXT_MAX)};
	int r = schema_exposition(listener->schema, snapshot->data, snapshot->len, NULL, &text->bytes);
	if (r < 0) {
		text_unref(text);
		return NULL;
	}
	return text;
}

/* The newest snapshot's, or NULL. The listener keeps a reference of its own. */
static struct text *newest_text(struct metrics_listener *listener)
{
	struct latest_snapshot snapshot = latest_get(listener->latest);
	if (snapshot.data && (!listener->text || listener->text->number != snapshot.number)) {
		text_unref(listener->text);
		listener->text = encode(listener, &snapshot);
	}
	latest_put(listener->latest);
	return snapshot.data ? listener->text : NULL;
}

static enum MHD_Result answer(struct metrics_listener *listener, struct MHD_Connection *connection, unsigned status,
			      const char *type, const void *body, size_t len, struct text *text)
{
	const struct metrics_library *library = &listener->library;
	struct MHD_Response *response = library->create_response(len, (void *)body, text ? text_unref : NULL, text);
	if (!response)
		return MHD_NO;
	if (text)
		text->references++;
	enum MHD_Result r = library->add_response_header(response, "Content-Type", type);
	if (r == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		r = library->add_response_header(response, "Allow", "GET, HEAD");
	if (r == MHD_YES)
		r = library->queue_response(connection, status, response);
	library->destroy_response(response);
	return r;
}

/* The line is a constant. */
static enum MHD_Result say(struct metrics_listener *listener, struct MHD_Connection *connection, unsigned status,
			   const char *line)
{
	return answer(listener, connection, status, "text/plain; charset=utf-8", line, strlen(line), NULL);
}

static enum MHD_Result answer_metrics(struct metrics_listener *listener, struct MHD_Connection *connection)
{
	atomic_store(&listener->scraped_ns, clock_monotonic_ns());
	struct text *text = newest_text(listener);
	if (!text)
		return say(listener, connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no snapshot yet\n");
	return answer(listener, connection, MHD_HTTP_OK, CONTENT_TYPE, text->bytes.data, text->bytes.len, text);
}

/* Three intervals without a snapshot, and three seconds at least. */
static bool is_healthy(struct metrics_listener *listener)
{
	struct latest_snapshot snapshot = latest_get(listener->latest);
	uint64_t allowed_ns = 3 * (snapshot.interval_ms > 1000 ? snapshot.interval_ms : 1000) * 1000000ull;
	bool healthy = snapshot.data && clock_monotonic_ns() - snapshot.taken_ns < allowed_ns;
	latest_put(listener->latest);
	return healthy;
}

static enum MHD_Result handle(void *opaque, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **request)
{
	struct metrics_listener *listener = opaque;
	(void)version, (void)upload;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(listener, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
	/* First with the head alone; then with what body there is, which nobody wants. */
	if (!*request) {
		*request = listener;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(url, "/metrics") == 0)
		return answer_metrics(listener, connection);
	if (strcmp(url, "/health") == 0)
		return is_healthy(listener) ? say(listener, connection, MHD_HTTP_OK, "ok\n")
					    : say(listener, connection, MHD_HTTP_SERVICE_UNAVAILABLE,
						  "no snapshot was taken for some time\n");
	return say(listener, connection, MHD_HTTP_NOT_FOUND, "there are /metrics and /health\n");
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static void note_connection(void *opaque, struct MHD_Connection *connection, void **context,
			    enum MHD_ConnectionNotificationCode code)
{
	struct metrics_listener *listener = opaque;
	struct connection *own = *context;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (own)
			own->fd = -1;
		return;
	}
	const union MHD_ConnectionInfo *info =
		listener->library.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (size_t i = 0; info && i < METRICS_CONNECTIONS; i++) {
		if (listener->connections[i].fd >= 0)
			continue;
		listener->connections[i] =
			(struct connection){.fd = info->connect_fd, .since_ns = clock_monotonic_ns()};
		*context = &listener->connections[i];
		return;
	}
}

static void note_completed(void *opaque, struct MHD_Connection *connection, void **request,
			   enum MHD_RequestTerminationCode code)
{
	struct metrics_listener *listener = opaque;
	(void)request, (void)code;
	const union MHD_ConnectionInfo *info =
		listener->library.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct connection *own = info ? info->socket_context : NULL;
	if (own)
		own->since_ns = clock_monotonic_ns();
}

/* The library then finds the end of the stream and closes it. */
static void end_slow(struct metrics_listener *listener)
{
	uint64_t now_ns = clock_monotonic_ns();
	for (size_t i = 0; i < METRICS_CONNECTIONS; i++) {
		const struct connection *connection = &listener->connections[i];
		if (connection->fd >= 0 && now_ns - connection->since_ns > METRICS_DEADLINE_S * NS_PER_S)
			(void)shutdown(connection->fd, SHUT_RDWR);
	}
}

static void *thread_main(void *arg)
{
	struct metrics_listener *listener = arg;
	int r = capabilities_drop_all();
	if (r < 0)
		log_warn("the metrics listener cannot give up its rights", LOG_ERR(r),
			 LOG_STR("then", "it goes on with them"));
	const union MHD_DaemonInfo *info =
		listener->library.get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	while (!atomic_load(&listener->stopping)) {
		MHD_UNSIGNED_LONG_LONG left_ms;
		int ms = POLL_MS;
		if (listener->library.get_timeout(listener->daemon, &left_ms) == MHD_YES && left_ms < POLL_MS)
			ms = (int)left_ms;
		struct pollfd fds[] = {{.fd = info->epoll_fd, .events = POLLIN},
				       {.fd = listener->stop_fd, .events = POLLIN}};
		(void)!poll(fds, 2, ms);
		(void)!listener->library.run(listener->daemon);
		end_slow(listener);
	}
	return NULL;
}

/* --- start and stop ---------------------------------------------------------------------------------------------- */

static int complain(char error[METRICS_ERROR_SIZE], const char *host, uint16_t port, const char *why)
{
	(void)snprintf(error, METRICS_ERROR_SIZE, "metrics cannot be served on %.100s port %u: %s", host, port, why);
	return -EINVAL;
}

static int bind_to(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, METRICS_CONNECTIONS) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char port[16];
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV) != 0)
		return 0;
	return (uint16_t)strtoul(port, NULL, 10);
}

/* The listening socket, or negative errno with error. */
static int open_socket(const char *host, uint16_t port, char error[METRICS_ERROR_SIZE])
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE}, *found;
	char service[16];
	(void)snprintf(service, sizeof(service), "%u", port);
	const char *numeric = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
	if (getaddrinfo(numeric, service, &hints, &found) != 0)
		return complain(error, host, port, "this is no address of a host");
	int fd = bind_to(found);
	freeaddrinfo(found);
	if (fd < 0)
		(void)complain(error, host, port, log_strerror(fd));
	return fd;
}

static int start_daemon(struct metrics_listener *listener, int fd)
{
	listener->daemon = listener->library.start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, handle, listener, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)METRICS_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)METRICS_DEADLINE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_CONNECTION, note_connection, listener, MHD_OPTION_NOTIFY_COMPLETED, note_completed,
		listener, MHD_OPTION_END);
	return listener->daemon ? 0 : -EIO;
}

static int prepare(struct metrics_listener *listener, const char *host, uint16_t port, char error[METRICS_ERROR_SIZE])
{
	struct descriptor_blob set = descriptors_snapshot();
	for (size_t i = 0; i < METRICS_CONNECTIONS; i++)
		listener->connections[i].fd = -1;
	listener->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	listener->latest = latest_new();
	if (listener->stop_fd < 0 || !listener->latest ||
	    schema_compile(set.data, set.len, "sonde.v1.Snapshot", &listener->schema) < 0)
		return complain(error, host, port, "out of memory or descriptors");
	if (metrics_library_load(&listener->library) < 0)
		return complain(error, host, port, "libmicrohttpd is not installed (Debian: libmicrohttpd12)");
	int fd = open_socket(host, port, error);
	if (fd < 0)
		return fd;
	listener->port = port_of(fd);
	if (start_daemon(listener, fd) < 0) {
		close(fd);
		return complain(error, host, port, "libmicrohttpd does not start");
	}
	if (pthread_create(&listener->thread, NULL, thread_main, listener) != 0)
		return complain(error, host, port, "no thread can be started");
	listener->has_thread = true;
	return 0;
}

int metrics_listener_start(const char *host, uint16_t port, struct metrics_listener **ret,
			   char error[METRICS_ERROR_SIZE])
{
	struct metrics_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return complain(error, host, port, "out of memory");
	int r = prepare(listener, host, port, error);
	if (r < 0) {
		metrics_listener_stop(listener);
		return r;
	}
	*ret = listener;
	return 0;
}

void metrics_listener_stop(struct metrics_listener *listener)
{
	if (!listener)
		return;
	if (listener->has_thread) {
		uint64_t one = 1;
		atomic_store(&listener->stopping, true);
		(void)!write(listener->stop_fd, &one, sizeof(one)); /* else within POLL_MS */
		pthread_join(listener->thread, NULL);
	}
	if (listener->daemon)
		listener->library.stop_daemon(listener->daemon);
	text_unref(listener->text);
	metrics_library_unload(&listener->library);
	schema_unref(listener->schema);
	latest_free(listener->latest);
	if (listener->stop_fd >= 0)
		close(listener->stop_fd);
	free(listener);
}

uint16_t metrics_listener_port(const struct metrics_listener *listener)
{
	return listener->port;
}

void metrics_listener_publish(void *opaque, const uint8_t *data, size_t len)
{
	struct metrics_listener *listener = opaque;
	int r = latest_publish(listener->latest, data, len);
	(void)r; /* /health says it when it lasts */
}

bool metrics_listener_is_scraped(void *opaque)
{
	struct metrics_listener *listener = opaque;
	uint64_t scraped_ns = atomic_load(&listener->scraped_ns);
	return scraped_ns > 0 && clock_monotonic_ns() - scraped_ns < SCRAPED_NS;
}
