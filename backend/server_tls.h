/* What the gRPC port serves TLS with: the files that were given, or own ones (backend/tls/own.h), which are made and
 * renewed here. One thread. */
#pragma once

#include "backend/options.h"
#include "common/tls/tls.h"

struct server_tls;

/* "#sha256:" and 64 hex digits: what an agent key carries so that the agent knows this backend's CA at first contact.
 */
#define SERVER_TLS_SUFFIX_SIZE (8 + 2 * TLS_FINGERPRINT_BYTES + 1)

/* *ret is NULL when options->tls is not set. 0, or negative errno after a line on standard error. */
int server_tls_open(const struct options *options, struct server_tls **ret)
	__attribute__((nonnull, warn_unused_result));
/* Accepts NULL. */
void server_tls_close(struct server_tls *tls);

/* Of now; NULL without TLS. Borrowed until the next reload. Accepts NULL. */
struct tls_context *server_tls_context(struct server_tls *tls);
/* "" without TLS, or when no CA of the chain is known (agents then ask the system's, or their --ca-file). */
const char *server_tls_suffix(const struct server_tls *tls);

/* Reads the files again, making a certificate of our own when that is due. On failure the context stays as it was. 0 or
 * negative errno with a line in error. */
int server_tls_reload(struct server_tls *tls, char error[TLS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));
/* A certificate of our own is near its end. Accepts NULL. */
bool server_tls_due(const struct server_tls *tls, uint64_t now_s);
