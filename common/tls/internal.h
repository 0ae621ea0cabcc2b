/* What tls_context.c (keys and trust) and tls_stream.c (bytes) share. */
#pragma once

#include "common/tls/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

#ifdef SONDE_TLS_LATE
#include "common/tls/library.h"
#include "tls_library_names.h" /* behind all of OpenSSL's headers, which declare what it redirects */
#else
static inline int tls_library_load(void)
{
	return 0;
}
#endif

struct tls_context {
	atomic_uint refs;
	SSL_CTX *ssl;
	BIO_METHOD *socket; /* tls_stream.c's: OpenSSL's own would raise SIGPIPE */
	bool pinned;
	uint8_t fingerprint[TLS_FINGERPRINT_BYTES];
	STACK_OF(X509) * kept; /* where the pinned certificate may also be found */
};

struct tls_stream {
	struct tls_context *context;
	SSL *ssl;
	int fd;
	int wants;	    /* SSL_ERROR_WANT_... of the last call */
	bool agreed;	    /* the handshake is done */
	bool broken;	    /* no goodbye */
	X509 *pinned;	    /* what the fingerprint named */
	const char *advice; /* more than OpenSSL knows */
	char error[256];
};

BIO_METHOD *tls_socket_method(void);
/* The line of OpenSSL's newest error of this thread, without its codes. */
void tls_library_error(char *out, size_t size);
/* For SSL_CTX_set_cert_verify_callback(); arg is the context. */
int tls_verify_pinned(X509_STORE_CTX *store, void *arg);
