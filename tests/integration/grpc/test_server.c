/* The server library as a program, for clients of other languages. Prints "PORT n"; then obeys lines on standard input:
 *   serving NAME | not_serving NAME    the health of a service ("-" is the whole server)
 *   stats                              prints "STATS connections calls active open aged"
 *   certificate FILE                   the certificate of connections to come
 *   stop MS                            stops with that grace and exits 0; end of file is "stop 0". */
#include "backend/grpc/health.h"
#include "backend/grpc/reflection.h"
#include "common/log.h"
#include "proto/descriptors.h"
#include "tests/integration/grpc/echo_service.h"
#include "tests/integration/grpc/interop_service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
	struct echo *echo;
	struct interop *interop;
	struct health *health;
	struct reflection *reflection;
	struct grpc_server *server;
};

static int open_calls(struct program *p)
{
	return echo_open_calls(p->echo) + interop_open_calls(p->interop);
}

static void print_stats(struct program *p)
{
	struct grpc_server_stats s = grpc_server_stats(p->server);
	printf("STATS %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %" PRIu64 "\n", s.connections, s.calls, s.calls_active,
	       open_calls(p), s.aged);
}

static void set_health(struct program *p, const char *name, enum health_status status)
{
	int r = health_set(p->health, strcmp(name, "-") == 0 ? "" : name, status);
	printf("HEALTH %d\n", r);
}

static void set_certificate(struct program *p, const char *file)
{
	const struct tls_server_options files = {.certificate = file};
	struct tls_context *context;
	char error[TLS_ERROR_SIZE];
	int r = tls_context_server(&files, &context, error);
	if (r == 0) {
		grpc_server_set_tls(p->server, context);
		tls_context_unref(context);
	}
	printf("CERTIFICATE %d\n", r);
}

/* The grace to stop with. */
static uint32_t obey(struct program *p)
{
	char line[256];
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "stats") == 0)
			print_stats(p);
		else if (strncmp(line, "serving ", 8) == 0)
			set_health(p, line + 8, HEALTH_SERVING);
		else if (strncmp(line, "not_serving ", 12) == 0)
			set_health(p, line + 12, HEALTH_NOT_SERVING);
		else if (strncmp(line, "certificate ", 12) == 0)
			set_certificate(p, line + 12);
		else if (strncmp(line, "stop ", 5) == 0)
			return (uint32_t)strtoul(line + 5, NULL, 10);
		else
			printf("ERROR unknown command\n");
		fflush(stdout);
	}
	return 0;
}

static struct grpc_server_options parse_options(int argc, char **argv, struct tls_server_options *files)
{
	struct grpc_server_options o = {.address = "127.0.0.1", .workers = 2};
	const struct {
		const char *flag;
		uint32_t *number;
	} numbers[] = {
		{"--workers", &o.workers},
		{"--max-age-ms", &o.max_age_ms},
		{"--max-age-grace-ms", &o.max_age_grace_ms},
		{"--keepalive-ms", &o.keepalive_ms},
		{"--keepalive-answer-ms", &o.keepalive_answer_ms},
		{"--ping-interval-ms", &o.ping_interval_ms},
	};
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--certificate") == 0)
			files->certificate = argv[i + 1];
		else if (strcmp(argv[i], "--client-ca") == 0)
			files->client_ca = argv[i + 1];
		else if (strcmp(argv[i], "--address") == 0)
			o.address = argv[i + 1];
		else if (strcmp(argv[i], "--port") == 0)
			o.port = (uint16_t)strtoul(argv[i + 1], NULL, 10);
		for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++) {
			if (strcmp(argv[i], numbers[j].flag) == 0)
				*numbers[j].number = (uint32_t)strtoul(argv[i + 1], NULL, 10);
		}
	}
	return o;
}

static int serve(struct program *p, const struct grpc_server_options *options)
{
	const struct grpc_service services[] = {echo_service(p->echo), interop_service(p->interop),
						health_service(p->health), reflection_service_v1(p->reflection),
						reflection_service_v1alpha(p->reflection)};
	size_t n = sizeof(services) / sizeof(services[0]);
	char *error = NULL;
	reflection_set_services(p->reflection, services, n);
	int r = grpc_server_start(options, services, n, &p->server, &error);
	if (r < 0) {
		fprintf(stderr, "%s\n", error ? error : strerror(-r));
		free(error);
		return r;
	}
	printf("PORT %u\n", grpc_server_port(p->server));
	fflush(stdout);
	uint32_t grace_ms = obey(p);
	grpc_server_stop(p->server, grace_ms);
	int left = open_calls(p);
	if (left != 0)
		fprintf(stderr, "%d calls had no on_close\n", left);
	return left;
}

int main(int argc, char **argv)
{
	struct tls_server_options files = {0};
	struct grpc_server_options options = parse_options(argc, argv, &files);
	char error[TLS_ERROR_SIZE];
	if (files.certificate && tls_context_server(&files, &options.tls, error) < 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	struct descriptor_blob descriptors = descriptors_services();
	struct program p = {.echo = echo_new(), .interop = interop_new(), .health = health_new()};
	if (getenv("ECHO_DEBUG"))
		log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
	int r = -1;
	if (p.echo && p.interop && p.health && reflection_new(descriptors.data, descriptors.len, &p.reflection) == 0)
		r = serve(&p, &options);
	tls_context_unref(options.tls);
	reflection_free(p.reflection);
	health_free(p.health);
	interop_free(p.interop);
	echo_free(p.echo);
	return r != 0;
}
