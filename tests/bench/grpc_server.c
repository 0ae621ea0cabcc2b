/* bench_grpc_server [--workers N] [--reply BYTES] [--certificate FILE]: the server library and nothing else, for
 * tests/bench/grpc_calls. Prints "PORT n"; ends at the end of standard input. /bench/Unary answers any message with as
 * many zeros; /bench/Stream takes messages and stays open. */
#include "backend/grpc/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX (1u << 20)

struct bench {
	uint8_t *reply;
	size_t len;
};

static void unary(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	const struct bench *bench = service;
	int r = grpc_call_send(call, bench->reply, bench->len);
	grpc_call_finish(call, r == 0 ? GRPC_OK : GRPC_INTERNAL, NULL);
}

static void take(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
}

static void end(struct grpc_call *call, void *service)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
	{.path = "/bench/Unary", .on_message = unary, .unary = true},
	{.path = "/bench/Stream", .on_message = take, .on_half_close = end},
};

static int serve(const struct grpc_server_options *options, struct bench *bench)
{
	const struct grpc_service service = {.name = "bench", .methods = methods, .n_methods = 2, .service = bench};
	struct grpc_server *server;
	char *error = NULL, line[16];
	if (grpc_server_start(options, &service, 1, &server, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error ? error : "the server does not start");
		free(error);
		return 1;
	}
	printf("PORT %u\n", grpc_server_port(server));
	if (fflush(stdout) == 0) {
		while (fgets(line, sizeof(line), stdin))
			;
	}
	grpc_server_stop(server, 0);
	return 0;
}

int main(int argc, char **argv)
{
	struct grpc_server_options options = {.address = "127.0.0.1", .max_connections = 100000};
	struct tls_server_options files = {0};
	struct bench bench = {.len = 100};
	char error[TLS_ERROR_SIZE];
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--workers") == 0)
			options.workers = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--reply") == 0)
			bench.len = strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--certificate") == 0)
			files.certificate = argv[i + 1];
	}
	if (bench.len > REPLY_MAX || (files.certificate && tls_context_server(&files, &options.tls, error) < 0)) {
		(void)fprintf(stderr, "%s\n", files.certificate ? error : "--reply is too large");
		return 1;
	}
	bench.reply = calloc(1, bench.len + 1);
	int r = bench.reply ? serve(&options, &bench) : 1;
	tls_context_unref(options.tls);
	free(bench.reply);
	return r;
}
