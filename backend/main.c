/* Starts the parts in the order of their dependencies and stops them in reverse. A part that does not start says why in
 * one line, and what had started is stopped again. */
#include "backend/api/api.h"
#include "backend/commands.h"
#include "backend/first_start.h"
#include "backend/grpc/health.h"
#include "backend/grpc/reflection.h"
#include "backend/history/keeper.h"
#include "backend/ingest/ingest.h"
#include "backend/registry/recent_fill.h"
#include "backend/server_tls.h"
#include "backend/web/web.h"
#include "common/clock.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define GRACE_MS 3000
#define TRIM_SECONDS 30
#define N_SERVICES 5
#define PROBES_MAX 100
#define PROBES_MAX_AGE_MS (10 * 60 * 1000)

extern char **environ;

struct program {
	struct options options;
	int signal_fd, timer_fd;
	struct store *store;
	struct auth *auth;
	struct hub *hub;
	struct registry *registry;
	struct recent_fill *fill;
	struct keeper *keeper;
	struct ingest *ingest;
	struct api *api;
	struct health *health;
	struct reflection *reflection;
	struct grpc_service services[N_SERVICES];
	struct server_tls *tls;
	struct grpc_server *grpc;
	struct grpc_server *probes; /* health on a port of its own */
	struct web *web;
};

/* A failure that comes with a malloc'd line for people, or without. */
static int fail_with(const char *what, int r, char *line)
{
	if (line)
		fail_start("%s", line);
	else
		fail_start("%s: %s", what, strerror(-r));
	free(line);
	return -1;
}

static uint32_t agents_connected(void *arg)
{
	return ingest_connected(arg);
}

static int start_signals(struct program *p)
{
	sigset_t set;
	struct itimerspec every_second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
	struct rlimit files;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	/* Before any thread: all inherit it. */
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return fail_with("cannot block signals", -EINVAL, NULL);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (p->signal_fd < 0 || p->timer_fd < 0 || timerfd_settime(p->timer_fd, 0, &every_second, NULL) < 0)
		return fail_with("cannot set up signals and timer", -errno, NULL);
	/* An agent and a browser are a file each. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			log_warn("the limit of open files stays low", LOG_ERR(errno));
	}
	return 0;
}

static int start_keeper(struct program *p)
{
	const struct options *o = &p->options;
	const struct keeper_options options = {
		.seal_every_us = o->seal_every_us,
		.retention = {.keep_us = {[STORE_TIER_RAW] = o->keep_raw_us,
					  [STORE_TIER_PROCESSES] = o->keep_processes_us,
					  [STORE_TIER_MINUTE] = o->keep_minute_us},
			      .max_bytes = {[STORE_TIER_RAW] = o->max_raw_bytes,
					    [STORE_TIER_PROCESSES] = o->max_processes_bytes,
					    [STORE_TIER_MINUTE] = o->max_minute_bytes},
			      .max_total_bytes = o->max_store_bytes},
	};
	int r = keeper_start(p->store, registry_schemas(p->registry), &options, &p->keeper);
	return r < 0 ? fail_with("cannot keep history", r, NULL) : 0;
}

static int start_state(struct program *p)
{
	char *error = NULL;
	int r = store_open(p->options.store, &p->store, &error);
	if (r < 0)
		return fail_with("cannot open the database", r, error);
	if (first_start_open_auth(&p->options, p->store, server_tls_suffix(p->tls), &p->auth) < 0)
		return -1;
	p->hub = hub_new();
	if (!p->hub)
		return fail_with("cannot start", -ENOMEM, NULL);
	r = registry_open(p->store, p->hub, &p->registry);
	if (r < 0)
		return fail_with("cannot load the hosts", r, NULL);
	r = recent_fill_start(p->store, registry_recent(p->registry), &p->fill);
	if (r < 0)
		return fail_with("cannot read what hosts said lately", r, NULL);
	if (start_keeper(p) < 0)
		return -1;
	const struct ingest_limits limits = {
		.key = {.snapshots = p->options.key_max_snapshots, .bytes = p->options.key_max_bytes},
		.host_rows = p->options.host_max_rows,
	};
	r = ingest_open(p->store, p->auth, p->registry, p->hub, &limits, &p->ingest);
	if (r < 0)
		return fail_with("cannot start ingest", r, NULL);
	struct api_sources sources = {
		.store = p->store,
		.auth = p->auth,
		.registry = p->registry,
		.hub = p->hub,
		.ingest = p->ingest,
		.keeper = p->keeper,
		.agents_connected = agents_connected,
		.agents_arg = p->ingest,
	};
	r = api_open(&sources, &p->api);
	return r < 0 ? fail_with("cannot start the API", r, NULL) : 0;
}

/* Orchestrators' probes speak plaintext. */
static int start_probes(struct program *p)
{
	char *error = NULL;
	const struct options_address *at = &p->options.health;
	if (at->host[0] == '\0')
		return 0;
	const struct grpc_server_options options = {
		.address = at->host, .port = at->port, .max_connections = PROBES_MAX, .max_age_ms = PROBES_MAX_AGE_MS};
	int r = grpc_server_start(&options, &p->services[2], 1, &p->probes, &error);
	return r < 0 ? fail_with("cannot serve health", r, error) : 0;
}

static int start_grpc(struct program *p)
{
	struct descriptor_blob services = descriptors_services();
	char *error = NULL;
	p->health = health_new();
	int r = p->health ? reflection_new(services.data, services.len, &p->reflection) : -ENOMEM;
	if (r < 0)
		return fail_with("cannot start health and reflection", r, NULL);
	p->services[0] = *ingest_service(p->ingest);
	p->services[1] = *api_grpc_service(p->api);
	p->services[2] = health_service(p->health);
	p->services[3] = reflection_service_v1(p->reflection);
	p->services[4] = reflection_service_v1alpha(p->reflection);
	reflection_set_services(p->reflection, p->services, N_SERVICES);
	struct grpc_server_options options = {
		.address = p->options.grpc.host,
		.port = p->options.grpc.port,
		.workers = p->options.grpc_workers,
		.max_age_ms = p->options.grpc_max_age_s * 1000,
		.tls = server_tls_context(p->tls),
	};
	r = grpc_server_start(&options, p->services, N_SERVICES, &p->grpc, &error);
	return r < 0 ? fail_with("cannot serve gRPC", r, error) : start_probes(p);
}

static int start_web(struct program *p)
{
	char *error = NULL;
	struct web_options options = {
		.address = p->options.http.host,
		.port = p->options.http.port,
		.web_root = p->options.web_root,
	};
	int r = web_start(&options, p->api, p->auth, p->hub, &p->web, &error);
	if (r < 0)
		return fail_with("cannot serve HTTP", r, error);
	api_set_live_clients(p->api, web_live_clients, p->web);
	return 0;
}

static int set_health(struct program *p, enum health_status status)
{
	static const char *const names[] = {"", "sonde.v1.Ingest", "sonde.v1.Query"};
	int r = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && r == 0; i++)
		r = health_set(p->health, names[i], status);
	return r;
}

static int start(struct program *p)
{
	if (start_signals(p) < 0 || server_tls_open(&p->options, &p->tls) < 0 || start_state(p) < 0 ||
	    start_grpc(p) < 0 || start_web(p) < 0)
		return -1;
	int r = set_health(p, HEALTH_SERVING);
	return r < 0 ? fail_with("cannot report health", r, NULL) : 0;
}

static void log_started(const struct program *p)
{
	char http[OPTIONS_HOST_SIZE + 16], grpc[OPTIONS_HOST_SIZE + 16];
	const struct options *o = &p->options;
	snprintf(http, sizeof(http), strchr(o->http.host, ':') ? "[%s]:%u" : "%s:%u", o->http.host, web_port(p->web));
	snprintf(grpc, sizeof(grpc), strchr(o->grpc.host, ':') ? "[%s]:%u" : "%s:%u", o->grpc.host,
		 grpc_server_port(p->grpc));
	log_info("started", LOG_STR("version", SONDE_VERSION), LOG_STR("http", http), LOG_STR("grpc", grpc),
		 LOG_STR("grpc_transport", p->tls ? "tls" : "plaintext"),
		 LOG_UINT("hosts", registry_count(p->registry)));
}

/* Connections that are there keep the certificate they were made with. */
static void renew_certificate(struct program *p)
{
	char error[TLS_ERROR_SIZE];
	if (!p->tls)
		return;
	if (server_tls_reload(p->tls, error) < 0) {
		log_error("the certificate stays the old one", LOG_STR("error", error));
		return;
	}
	grpc_server_set_tls(p->grpc, server_tls_context(p->tls));
	log_info("certificate read again");
}

/* False when it is to stop. */
static bool take_signal(struct program *p)
{
	struct signalfd_siginfo signal;
	if (read(p->signal_fd, &signal, sizeof(signal)) != (ssize_t)sizeof(signal))
		return true;
	if (signal.ssi_signo != SIGHUP)
		return false;
	renew_certificate(p);
	return true;
}

/* What a burst took (a backlog, a long query) lies free in the middle of many threads' arenas, and the allocator gives
 * back what is free at their ends alone. */
static void give_memory_back(uint64_t ticks, uint64_t *since)
{
	*since += ticks;
	if (*since < TRIM_SECONDS)
		return;
	*since = 0;
	(void)malloc_trim(0); /* whether there was any */
}

/* Returns when SIGINT or SIGTERM came. */
static void run(struct program *p)
{
	struct pollfd fds[] = {{.fd = p->signal_fd, .events = POLLIN}, {.fd = p->timer_fd, .events = POLLIN}};
	uint64_t ticks, untrimmed = 0;
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			log_error("cannot wait for signals", LOG_ERR(errno), LOG_STR("then", "the backend stops"));
			return;
		}
		if (fds[0].revents && !take_signal(p))
			return;
		if (fds[1].revents && read(p->timer_fd, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks)) {
			registry_tick(p->registry, clock_wall_us());
			ingest_hold_backfill(p->ingest, keeper_is_flooded(p->keeper));
			ingest_tick(p->ingest);
			if (server_tls_due(p->tls, clock_wall_us() / 1000000))
				renew_certificate(p);
			give_memory_back(ticks, &untrimmed);
		}
	}
}

static void stop(struct program *p)
{
	if (p->web) {
		/* Probes hear of it first; without memory for that they notice by themselves. */
		if (set_health(p, HEALTH_NOT_SERVING) < 0)
			log_debug("health could not be told");
		api_set_live_clients(p->api, NULL, NULL);
	}
	web_stop(p->web);
	if (p->grpc)
		ingest_drain(p->ingest);
	grpc_server_stop(p->grpc, GRACE_MS);
	grpc_server_stop(p->probes, 0);
	server_tls_close(p->tls);
	reflection_free(p->reflection);
	health_free(p->health);
	api_close(p->api);
	ingest_close(p->ingest);
	recent_fill_stop(p->fill);
	keeper_stop(p->keeper);
	registry_close(p->registry);
	/* The writer's last callbacks find ingest closed, and nothing else. */
	auth_close(p->auth);
	store_close(p->store);
	hub_free(p->hub);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	if (p->signal_fd >= 0)
		close(p->signal_fd);
}

static int serve(const struct options *options)
{
	struct program p = {.options = *options, .signal_fd = -1, .timer_fd = -1};
	log_configure(options->log_level, options->log_format);
	int r = start(&p);
	if (r == 0) {
		log_started(&p);
		run(&p);
		log_info("stopping");
	}
	stop(&p);
	if (r == 0)
		log_info("stopped");
	return r == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options options;
	char error[OPTIONS_ERROR_SIZE];
	int r = options_read(argc, argv, environ, &options, error);
	if (r < 0) {
		fail_start("%s", error);
		return r == -EINVAL ? 2 : 1;
	}
	switch (options.action) {
	case OPTIONS_HELP:
		options_print_help(stdout);
		return 0;
	case OPTIONS_VERSION:
		printf("sonde-backend %s\n", SONDE_VERSION);
		return 0;
	case OPTIONS_KEY_CREATE:
		return command_key_create(&options);
	case OPTIONS_USER_SET_PASSWORD:
		return command_user_set_password(&options);
	case OPTIONS_BACKUP:
		return command_backup(&options);
	case OPTIONS_RESTORE:
		return command_restore(&options);
	case OPTIONS_EXPORT:
		return command_export(&options);
	case OPTIONS_IMPORT:
		return command_import(&options);
	case OPTIONS_SERVE:
		return serve(&options);
	}
	return 2;
}
