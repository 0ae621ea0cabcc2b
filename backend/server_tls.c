#include "backend/server_tls.h"

#include "backend/first_start.h"
#include "backend/tls/own.h"
#include "common/clock.h"
#include "common/encoding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S 3600

struct server_tls {
	const struct options *options;
	struct tls_context *context;
	uint64_t renew_at_s; /* 0: the files are not ours */
	char suffix[SERVER_TLS_SUFFIX_SIZE];
};

static const char *or_null(const char *path)
{
	return path[0] != '\0' ? path : NULL;
}

/* What --tls-names and --grpc-listen add to what the host knows of itself. */
static void collect_names(const struct options *options, struct own_names *names)
{
	char list[sizeof(options->tls_names)], *rest = list;
	own_names_of_host(names);
	if (strcmp(options->grpc.host, "0.0.0.0") != 0 && strcmp(options->grpc.host, "::") != 0)
		own_names_add(names, options->grpc.host);
	memcpy(list, options->tls_names, sizeof(list));
	for (char *name; (name = strsep(&rest, ", "));)
		own_names_add(names, name);
}

/* The files to serve with: given ones, or ours, up to date. */
static int find_files(const struct options *options, struct own_files *own, struct tls_server_options *ret,
		      char error[TLS_ERROR_SIZE])
{
	ret->client_ca = or_null(options->tls_client_ca);
	if (options->tls_cert[0] != '\0') {
		ret->certificate = options->tls_cert;
		ret->key = or_null(options->tls_key);
		return 0;
	}
	struct own_names *names = calloc(1, sizeof(*names));
	if (!names) {
		snprintf(error, TLS_ERROR_SIZE, "out of memory");
		return -ENOMEM;
	}
	collect_names(options, names);
	int r = own_files_ensure(options->tls_dir, names, clock_wall_us() / 1000000, own, error);
	ret->certificate = own->server;
	ret->key = NULL;
	free(names);
	return r;
}

static void set_suffix(struct server_tls *tls, const char *certificate)
{
	static const char prefix[] = "#sha256:";
	uint8_t fingerprint[TLS_FINGERPRINT_BYTES];
	tls->suffix[0] = '\0';
	if (own_fingerprint(certificate, fingerprint) < 0)
		return;
	memcpy(tls->suffix, prefix, sizeof(prefix));
	encoding_hex(fingerprint, sizeof(fingerprint), tls->suffix + sizeof(prefix) - 1);
}

int server_tls_reload(struct server_tls *tls, char error[TLS_ERROR_SIZE])
{
	struct own_files *own = calloc(1, sizeof(*own));
	struct tls_server_options files = {0};
	struct tls_context *context = NULL;
	int r = -ENOMEM;
	if (own)
		r = find_files(tls->options, own, &files, error);
	else
		snprintf(error, TLS_ERROR_SIZE, "out of memory");
	if (r == 0)
		r = tls_context_server(&files, &context, error);
	if (r == 0) {
		set_suffix(tls, files.certificate);
		tls_context_unref(tls->context);
		tls->context = context;
		tls->renew_at_s = own->renew_at_s;
	} else if (tls->renew_at_s != 0) {
		/* Not at every tick. */
		tls->renew_at_s = clock_wall_us() / 1000000 + RETRY_S;
	}
	free(own);
	return r;
}

int server_tls_open(const struct options *options, struct server_tls **ret)
{
	char error[TLS_ERROR_SIZE];
	*ret = NULL;
	if (!options->tls)
		return 0;
	struct server_tls *tls = calloc(1, sizeof(*tls));
	if (!tls) {
		fail_start("cannot start TLS: out of memory");
		return -ENOMEM;
	}
	tls->options = options;
	int r = server_tls_reload(tls, error);
	if (r < 0) {
		fail_start("%s", error);
		free(tls);
		return r;
	}
	*ret = tls;
	return 0;
}

void server_tls_close(struct server_tls *tls)
{
	if (!tls)
		return;
	tls_context_unref(tls->context);
	free(tls);
}

struct tls_context *server_tls_context(struct server_tls *tls)
{
	return tls ? tls->context : NULL;
}

const char *server_tls_suffix(const struct server_tls *tls)
{
	return tls ? tls->suffix : "";
}

bool server_tls_due(const struct server_tls *tls, uint64_t now_s)
{
	return tls && tls->renew_at_s != 0 && now_s >= tls->renew_at_s;
}
