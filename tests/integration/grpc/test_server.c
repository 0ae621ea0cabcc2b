/* The server library as a program, for clients of other languages. Prints "PORT n"; then obeys lines on standard input:
 *   serving NAME | not_serving NAME    the health of a service ("-" is the whole server)
 *   stats                              prints "STATS connections calls active open"
 *   stop MS                            stops with that grace and exits 0; end of file is "stop 0". */
#include "backend/grpc/server.h"
#include "common/log.h"
#include "tests/integration/grpc/echo_service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_stats(struct grpc_server *server, struct echo *echo)
{
	struct grpc_server_stats s = grpc_server_stats(server);
	printf("STATS %" PRIu64 " %" PRIu64 " %" PRIu64 " %d\n", s.connections, s.calls, s.calls_active,
	       echo_open_calls(echo));
}

static uint32_t obey(struct grpc_server *server, struct echo *echo)
{
	char line[256];
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "stats") == 0)
			print_stats(server, echo);
		else if (strncmp(line, "stop ", 5) == 0)
			return (uint32_t)strtoul(line + 5, NULL, 10);
		else
			printf("ERROR unknown command\n");
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct grpc_server_options options = {.address = "127.0.0.1", .workers = 2};
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--workers") == 0)
			options.workers = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--address") == 0)
			options.address = argv[i + 1];
		else if (strcmp(argv[i], "--port") == 0)
			options.port = (uint16_t)strtoul(argv[i + 1], NULL, 10);
	}
	if (getenv("ECHO_DEBUG"))
		log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);

	struct echo *echo = echo_new();
	if (!echo)
		return 1;
	struct grpc_service services[] = {echo_service(echo)};
	struct grpc_server *server = NULL;
	char *error = NULL;
	int r = grpc_server_start(&options, services, sizeof(services) / sizeof(services[0]), &server, &error);
	if (r < 0) {
		fprintf(stderr, "%s\n", error ? error : strerror(-r));
		free(error);
		echo_free(echo);
		return 1;
	}
	printf("PORT %u\n", grpc_server_port(server));
	fflush(stdout);
	uint32_t grace_ms = obey(server, echo);
	grpc_server_stop(server, grace_ms);
	int open_calls = echo_open_calls(echo);
	echo_free(echo);
	if (open_calls != 0)
		fprintf(stderr, "%d calls had no on_close\n", open_calls);
	return open_calls != 0;
}
