/* The server's frame: one libwebsockets context, one vhost, one service thread. Everything that touches a connection
 * runs on that thread; others hand things over through the completions and live's ring, and wake it. */
#include "backend/web/web.h"

#include "backend/web/server.h"
#include "common/log.h"
#include "proto/descriptors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS 2
#define WORKERS_QUEUE 128
#define WRITERS 4 /* a commit is shared by those that wait for it */
#define WRITERS_QUEUE 32
#define STOP_ROUNDS 20 /* of at most 50 ms */

/* The first serves HTTP and is never a WebSocket. A WebSocket without a subprotocol gets the second one. */
static const struct lws_protocols protocols[] = {
	{.name = "http", .callback = request_callback, .per_session_data_size = sizeof(void *)},
	{.name = "sonde.json.v1",
	 .callback = live_callback,
	 .per_session_data_size = sizeof(void *),
	 .rx_buffer_size = 4096},
	{.name = "sonde.v1",
	 .callback = live_callback,
	 .per_session_data_size = sizeof(void *),
	 .rx_buffer_size = 4096},
	{.name = NULL},
};
static const struct lws_protocol_vhost_options is_default = {.name = "default", .value = "1"};
static const struct lws_protocol_vhost_options default_protocol = {
	.name = "sonde.json.v1", .options = &is_default, .value = ""};
static const lws_retry_bo_t keepalive = {.secs_since_valid_ping = 20, .secs_since_valid_hangup = 40};

static void emit_log(int level, const char *line)
{
	char text[512];
	size_t len = strcspn(line, "\n");
	(void)snprintf(text, sizeof(text), "%.*s", (int)(len > 400 ? 400 : len), line);
	/* Whatever its level: any client can cause any of them, as often as it likes, and what fails at the start is
	 * said in our own words. */
	log_debug("web server", LOG_STR("detail", text));
}

/* Whether the address can be listened on, so that the reason is known: the library only says that it failed. */
static int probe(const struct web_options *options, char **ret_error)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(options->port)};
	const struct sockaddr *address = (struct sockaddr *)&v4;
	socklen_t len = sizeof(v4);
	char *error = NULL;
	int r = 0, on = 1;
	bool is_v6 = inet_pton(AF_INET6, options->address, &v6.sin6_addr) == 1;
	if (is_v6) {
		address = (struct sockaddr *)&v6;
		len = sizeof(v6);
	} else if (inet_pton(AF_INET, options->address, &v4.sin_addr) != 1) {
		if (asprintf(&error, "\"%s\" is not an IP address to listen on; choose another --http-listen",
			     options->address) < 0)
			return -ENOMEM;
		*ret_error = error;
		return -EINVAL;
	}
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, address, len) < 0 ||
	    listen(fd, 1) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r == 0)
		return 0;
	const char *open = is_v6 ? "[" : "", *shut = is_v6 ? "]" : "";
	const char *why = r == -EADDRINUSE ? "address already in use; stop the other program or" : log_strerror(r);
	if (asprintf(&error, "cannot listen on %s%s%s:%u: %s%s choose another --http-listen", open, options->address,
		     shut, options->port, why, r == -EADDRINUSE ? "" : ";") < 0)
		return -ENOMEM;
	*ret_error = error;
	return r;
}

static int create_context(struct web *web, const struct web_options *options)
{
	lws_set_log_level(LLL_ERR | LLL_WARN, emit_log);
	struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.user = web,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.max_http_header_data = 12288,
		.timeout_secs = 15,
		.server_string = "sonde",
		.retry_and_idle_policy = &keepalive,
	};
	web->context = lws_create_context(&info);
	if (!web->context)
		return -ENOMEM;
	struct lws_context_creation_info vhost = {
		.port = options->port,
		.iface = options->address,
		.protocols = protocols,
		.pvo = &default_protocol,
		.keepalive_timeout = 30,
		.timeout_secs = 15,
		.retry_and_idle_policy = &keepalive,
		.vhost_name = "sonde",
	};
	if (!strchr(options->address, ':'))
		vhost.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
	struct lws_vhost *created = lws_create_vhost(web->context, &vhost);
	if (!created)
		return -EADDRNOTAVAIL;
	int port = lws_get_vhost_listen_port(created);
	if (port <= 0)
		return -EADDRNOTAVAIL;
	web->port = (uint16_t)port;
	completions_attach(web->completions, web->context);
	return 0;
}

struct ticker {
	lws_sorted_usec_list_t timer; /* first */
	struct web *web;
};

static void on_tick(lws_sorted_usec_list_t *timer)
{
	struct ticker *ticker = (struct ticker *)timer;
	live_tick(ticker->web->live);
	lws_sul_schedule(ticker->web->context, 0, timer, on_tick, LWS_USEC_PER_SEC);
}

static void *serve(void *arg)
{
	struct web *web = arg;
	struct ticker ticker = {.web = web};
	lws_sul_schedule(web->context, 0, &ticker.timer, on_tick, LWS_USEC_PER_SEC);
	while (!atomic_load(&web->stopping)) {
		if (lws_service(web->context, 0) < 0)
			break;
	}
	lws_sul_cancel(&ticker.timer);
	live_close_all(web->live);
	for (int i = 0; i < STOP_ROUNDS && live_clients(web->live) > 0; i++) {
		/* A timer ends the poll: a client that does not answer must not hold the stop up. */
		struct ticker soon = {.web = web};
		lws_sul_schedule(web->context, 0, &soon.timer, on_tick, LWS_US_PER_MS * 50);
		int r = lws_service(web->context, 0);
		lws_sul_cancel(&soon.timer);
		if (r < 0)
			break;
	}
	return NULL;
}

static int start(struct web *web, const struct web_options *options)
{
	struct descriptor_blob services = descriptors_services();
	size_t n_ops;
	const struct api_operation *ops = api_operations(&n_ops);
	int r = route_table_new(ops, n_ops, services.data, services.len, &web->routes);
	if (r < 0)
		return r;
	web->completions = completions_new();
	web->live = live_new(web);
	if (options->web_root)
		web->web_root = strdup(options->web_root);
	if (!web->completions || !web->live || (options->web_root && !web->web_root))
		return -ENOMEM;
	r = workers_start(WORKERS, WORKERS_QUEUE, web->completions, &web->workers);
	if (r == 0)
		r = workers_start(WRITERS, WRITERS_QUEUE, web->completions, &web->writers);
	if (r == 0)
		r = create_context(web, options);
	if (r == 0)
		r = live_start(web->live);
	if (r == 0) {
		r = -pthread_create(&web->thread, NULL, serve, web);
		web->running = r == 0;
	}
	return r;
}

int web_start(const struct web_options *options, struct api *api, struct auth *auth, struct hub *hub, struct web **ret,
	      char **ret_error)
{
	int r = probe(options, ret_error);
	if (r < 0)
		return r;
	struct web *web = calloc(1, sizeof(*web));
	if (!web)
		return -ENOMEM;
	web->api = api;
	web->auth = auth;
	web->hub = hub;
	r = start(web, options);
	if (r < 0) {
		char *error = NULL;
		if (asprintf(&error, "the web server could not be started on %s:%u: %s", options->address,
			     options->port, log_strerror(r)) >= 0)
			*ret_error = error;
		web_stop(web);
		return r;
	}
	*ret = web;
	return 0;
}

uint16_t web_port(const struct web *web)
{
	return web->port;
}

uint32_t web_live_clients(void *web)
{
	return live_clients(((struct web *)web)->live);
}

void web_stop(struct web *web)
{
	if (!web)
		return;
	if (web->live)
		live_stop(web->live);
	atomic_store(&web->stopping, true);
	if (web->running) {
		lws_cancel_service(web->context);
		(void)pthread_join(web->thread, NULL);
	}
	workers_stop(web->workers);
	workers_stop(web->writers);
	if (web->completions)
		completions_attach(web->completions, NULL); /* logins may still post */
	if (web->context)
		lws_context_destroy(web->context);
	if (web->completions)
		completions_close(web->completions);
	completions_unref(web->completions);
	live_free(web->live);
	route_table_free(web->routes);
	free(web->web_root);
	free(web);
}
