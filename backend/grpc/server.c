/* Start and stop. Every worker listens for itself (SO_REUSEPORT), so that connections need no hand-over between
 * threads; a socket without that option is bound first, because with it the kernel would let two servers share the port
 * silently. */
#include "backend/grpc/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define DEFAULT_MAX_CONNECTIONS 20000
#define MAX_WORKERS 256
#define MAX_AGE_GRACE_MS 10000
#define KEEPALIVE_MS 30000
#define KEEPALIVE_ANSWER_MS 20000
#define PING_INTERVAL_MS 10000

struct address {
	struct sockaddr_storage storage;
	socklen_t len;
};

static int parse_address(const char *text, uint16_t port, struct address *ret)
{
	struct sockaddr_in *in = (void *)&ret->storage;
	struct sockaddr_in6 *in6 = (void *)&ret->storage;
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		ret->len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		ret->len = sizeof(*in6);
		return 0;
	}
	return -EINVAL;
}

static int bound_socket(const struct address *address, bool shared)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, shared ? SO_REUSEPORT : SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0) ||
	    bind(fd, (const struct sockaddr *)&address->storage, address->len) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int listening_socket(const struct address *address, bool shared)
{
	int fd = bound_socket(address, shared);
	if (fd >= 0 && listen(fd, BACKLOG) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* Puts the port the kernel chose into the address, for the next worker's listener. */
static int learn_port(int fd, struct address *address, uint16_t *ret_port)
{
	socklen_t len = sizeof(address->storage);
	if (getsockname(fd, (struct sockaddr *)&address->storage, &len) < 0)
		return -errno;
	const struct sockaddr_in *in = (const void *)&address->storage;
	const struct sockaddr_in6 *in6 = (const void *)&address->storage;
	*ret_port = ntohs(address->storage.ss_family == AF_INET ? in->sin_port : in6->sin6_port);
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct method_entry *)a)->method->path, ((const struct method_entry *)b)->method->path);
}

static int collect_methods(struct grpc_server *server)
{
	size_t n = 0;
	for (size_t i = 0; i < server->n_services; i++)
		n += server->services[i].n_methods;
	server->methods = calloc(n ? n : 1, sizeof(*server->methods));
	if (!server->methods)
		return -ENOMEM;
	for (size_t i = 0; i < server->n_services; i++) {
		const struct grpc_service *s = &server->services[i];
		for (size_t j = 0; j < s->n_methods; j++)
			server->methods[server->n_methods++] =
				(struct method_entry){.method = &s->methods[j], .service = s->service};
	}
	qsort(server->methods, server->n_methods, sizeof(*server->methods), compare_entries);
	return 0;
}

static int add_worker(struct grpc_server *server, struct address *address, bool shared)
{
	int fd = listening_socket(address, shared);
	if (fd < 0)
		return fd;
	int r = learn_port(fd, address, &server->port);
	if (r < 0) {
		close(fd);
		return r;
	}
	struct worker *worker;
	r = worker_new(server, fd, &worker);
	if (r == 0)
		server->workers[server->n_workers++] = worker;
	return r;
}

/* Signals are the main thread's business. */
static int run_workers(struct grpc_server *server)
{
	sigset_t all, before;
	int r = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < server->n_workers && r == 0; i++)
		r = worker_run(server->workers[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int open_server(struct grpc_server *server, const struct grpc_server_options *options)
{
	struct address address;
	unsigned workers = options->workers ? options->workers : 1;
	int r = parse_address(options->address, options->port, &address);
	if (r == 0 && workers > MAX_WORKERS)
		r = -EINVAL;
	if (r == 0)
		r = collect_methods(server);
	if (r < 0)
		return r;
	server->workers = calloc(workers, sizeof(struct worker *));
	if (!server->workers)
		return -ENOMEM;
	if (options->port != 0 && workers > 1) {
		int fd = bound_socket(&address, false);
		if (fd < 0)
			return fd;
		close(fd);
	}
	for (unsigned i = 0; i < workers && r == 0; i++)
		r = add_worker(server, &address, workers > 1);
	return r == 0 ? run_workers(server) : r;
}

static uint64_t or_default_ns(uint32_t ms, uint32_t default_ms)
{
	return (ms ? ms : default_ms) * NS_PER_MS;
}

static void take_options(struct grpc_server *server, const struct grpc_server_options *options)
{
	pthread_mutex_init(&server->tls_lock, NULL);
	server->secure = options->tls != NULL;
	server->tls = options->tls ? tls_context_ref(options->tls) : NULL;
	server->max_connections = options->max_connections ? options->max_connections : DEFAULT_MAX_CONNECTIONS;
	server->max_age_ns = options->max_age_ms * NS_PER_MS;
	server->max_age_grace_ns = or_default_ns(options->max_age_grace_ms, MAX_AGE_GRACE_MS);
	server->keepalive_ns = or_default_ns(options->keepalive_ms, KEEPALIVE_MS);
	server->keepalive_answer_ns = or_default_ns(options->keepalive_answer_ms, KEEPALIVE_ANSWER_MS);
	server->ping_interval_ns = or_default_ns(options->ping_interval_ms, PING_INTERVAL_MS);
}

static char *explain(const struct grpc_server_options *options, int error)
{
	char *line = NULL;
	const char *a = options->address;
	bool v6 = strchr(a, ':');
	const char *open = v6 ? "[" : "", *close_ = v6 ? "]" : "";
	int n;
	if (error == -EADDRINUSE)
		n = asprintf(&line, "%s%s%s:%u is taken by another program; choose another --grpc-listen", open, a,
			     close_, options->port);
	else if (error == -EACCES)
		n = asprintf(&line,
			     "%s%s%s:%u: not allowed to listen there; ports below 1024 need CAP_NET_BIND_SERVICE", open,
			     a, close_, options->port);
	else if (error == -EADDRNOTAVAIL)
		n = asprintf(&line, "%s is no address of this host; choose another --grpc-listen", a);
	else if (error == -EINVAL)
		n = asprintf(&line, "\"%s\" is not an IPv4 or IPv6 address; see --grpc-listen", a);
	else
		n = asprintf(&line, "cannot listen for gRPC on %s%s%s:%u: %s", open, a, close_, options->port,
			     strerrordesc_np(-error));
	return n < 0 ? NULL : line;
}

int grpc_server_start(const struct grpc_server_options *options, const struct grpc_service *services, size_t n_services,
		      struct grpc_server **ret, char **ret_error)
{
	struct grpc_server *server = calloc(1, sizeof(*server));
	int r = -ENOMEM;
	if (server) {
		server->services = services;
		server->n_services = n_services;
		take_options(server, options);
		r = open_server(server, options);
	}
	if (r < 0) {
		grpc_server_stop(server, 0);
		*ret_error = explain(options, r);
		return r;
	}
	*ret = server;
	return 0;
}

void grpc_server_set_tls(struct grpc_server *server, struct tls_context *tls)
{
	pthread_mutex_lock(&server->tls_lock);
	struct tls_context *before = server->tls;
	server->tls = tls_context_ref(tls);
	pthread_mutex_unlock(&server->tls_lock);
	tls_context_unref(before);
}

uint16_t grpc_server_port(const struct grpc_server *server)
{
	return server->port;
}

void grpc_server_stop(struct grpc_server *server, uint32_t grace_ms)
{
	if (!server)
		return;
	atomic_store(&server->grace_ms, grace_ms);
	atomic_store(&server->stopping, true);
	for (unsigned i = 0; i < server->n_workers; i++)
		worker_wake(server->workers[i]);
	for (unsigned i = 0; i < server->n_workers; i++)
		worker_free(server->workers[i]);
	free(server->workers);
	free(server->methods);
	tls_context_unref(server->tls);
	pthread_mutex_destroy(&server->tls_lock);
	free(server);
}

struct grpc_server_stats grpc_server_stats(struct grpc_server *server)
{
	return (struct grpc_server_stats){
		.connections = atomic_load(&server->connections),
		.calls = atomic_load(&server->calls),
		.calls_active = atomic_load(&server->calls_active),
		.aged = atomic_load(&server->aged),
	};
}
