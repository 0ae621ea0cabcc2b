/* TLS 1.2 and 1.3 on a non-blocking socket, for both programs: the adapter to OpenSSL. HTTP/2 (ALPN "h2") is the only
 * protocol spoken over it, and a peer that does not agree to it is refused. No session is resumed, no renegotiation.
 *
 * A context is immutable and may be used by any thread; a stream belongs to one thread. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <sys/types.h>

#define TLS_ERROR_SIZE 512
#define TLS_FINGERPRINT_BYTES 32

struct tls_context;
struct tls_stream;

struct tls_server_options {
	const char *certificate; /* PEM file: the certificate, then what leads to its CA */
	const char *key;	 /* PEM file; NULL: it is in the file of the certificate */
	const char *client_ca;	 /* PEM file: clients must show a certificate of one of these; NULL: they need none */
};

struct tls_client_options {
	const char *ca_file; /* PEM file of trusted CAs; NULL: the system's, unless there is a fingerprint */
	/* SHA-256 of the one CA (or certificate) to trust; it is looked for in what the server sends and in ca_file,
	 * which then need not exist. NULL: none. */
	const uint8_t *fingerprint;
	const char *certificate, *key; /* for servers that want one; NULL: none. As above */
};

/* 0; -ENOMEM; -EBADMSG when a file cannot be used, with one line for people in error. */
int tls_context_server(const struct tls_server_options *options, struct tls_context **ret, char error[TLS_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
int tls_context_client(const struct tls_client_options *options, struct tls_context **ret, char error[TLS_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
struct tls_context *tls_context_ref(struct tls_context *context) __attribute__((nonnull));
/* Accepts NULL. */
void tls_context_unref(struct tls_context *context);

/* Borrows the socket, which must outlive the stream; refers to the context. host is the name or address that the
 * server's certificate must be for; NULL on the server's side. 0 or -ENOMEM. */
int tls_stream_new(struct tls_context *context, int fd, const char *host, struct tls_stream **ret)
	__attribute__((nonnull(1, 4), warn_unused_result));
/* Tells the peer goodbye if it can be done without waiting. Accepts NULL. */
void tls_stream_free(struct tls_stream *stream);

/* These give -EAGAIN when the socket must become readable, or writable if tls_stream_wants_write(), first; -EPROTO for
 * what is not (acceptable) TLS, with tls_stream_error(); another negative errno of the socket. */

/* 0 when peers are agreed and verified. */
int tls_stream_handshake(struct tls_stream *stream) __attribute__((nonnull, warn_unused_result));
/* Bytes, or 0 at the end. Call again while tls_stream_pending(): the socket does not tell of what is read already. */
ssize_t tls_stream_read(struct tls_stream *stream, void *data, size_t len) __attribute__((nonnull, warn_unused_result));
bool tls_stream_pending(const struct tls_stream *stream) __attribute__((nonnull));
/* Bytes taken: some of them at least. After -EAGAIN the same bytes must be offered again. */
ssize_t tls_stream_write(struct tls_stream *stream, const void *data, size_t len)
	__attribute__((nonnull, warn_unused_result));
bool tls_stream_wants_write(const struct tls_stream *stream) __attribute__((nonnull));
/* No more from us: the end is said to the peer, as far as the socket takes it now. */
void tls_stream_end(struct tls_stream *stream) __attribute__((nonnull));

/* What the last -EPROTO was, for people. Lives as long as the stream. */
const char *tls_stream_error(const struct tls_stream *stream) __attribute__((nonnull));
/* "TLSv1.3". */
const char *tls_stream_version(const struct tls_stream *stream) __attribute__((nonnull));
/* The certificate that the fingerprint named, as PEM: to be kept for servers that do not send it. -ENOENT without
 * fingerprint, or before the handshake; -ENOMEM, -EMSGSIZE. */
int tls_stream_pinned(const struct tls_stream *stream, struct buf *ret) __attribute__((nonnull, warn_unused_result));
