/* A CA and a server certificate of the backend's own, for hosts that nobody gave any: made at first start, the
 * certificate again whenever it comes near its end or the host got other names. EC P-256. In the directory are then
 *   ca.pem      the CA's certificate, for clients (0644)
 *   ca.key      its key (0600)
 *   server.pem  key, certificate and CA in one file (0600), so that they cannot fall apart.
 * Reads and writes files: at start, at reload and once a day only. */
#pragma once

#include "common/tls/tls.h"

#include <stddef.h>
#include <stdint.h>

#define OWN_CERTIFICATE_DAYS 90
#define OWN_RENEW_DAYS 30 /* before the end */
#define OWN_CA_DAYS 3650
#define OWN_NAMES_MAX 64
#define OWN_NAME_SIZE 256
#define OWN_PATH_SIZE 4096

struct own_names {
	char names[OWN_NAMES_MAX][OWN_NAME_SIZE];
	size_t n;
};

/* Adds a host name or address, once; what is no such, or too much, is left out. */
void own_names_add(struct own_names *names, const char *name);
/* This host's name, localhost, and the addresses of its interfaces that other hosts could reach. */
void own_names_of_host(struct own_names *names);

struct own_files {
	char ca[OWN_PATH_SIZE];
	char server[OWN_PATH_SIZE];
	uint64_t renew_at_s; /* wall clock */
	bool made;	     /* server.pem is new */
};

/* Makes what is missing or due. Creates the directory (0700), not its parents. 0 or negative errno with a line for
 * people in error. */
int own_files_ensure(const char *directory, const struct own_names *names, uint64_t now_s, struct own_files *ret,
		     char error[TLS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));

/* SHA-256 of the last certificate of a PEM file if that is self-signed: what an agent may pin. -ENOENT when it is not,
 * -EBADMSG when the file holds none. */
int own_fingerprint(const char *file, uint8_t ret[TLS_FINGERPRINT_BYTES]) __attribute__((nonnull, warn_unused_result));
