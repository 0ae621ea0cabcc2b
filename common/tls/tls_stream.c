/* Bytes. OpenSSL reads and writes through a BIO of ours, whose send() does not raise SIGPIPE. Its error queue is the
 * thread's, so it is emptied before each call. */
#include "common/tls/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- the socket ----------------------------------------------------------------------------------------------------
 */

static int socket_fd(BIO *bio)
{
	const struct tls_stream *stream = BIO_get_data(bio);
	return stream->fd;
}

static int settle(BIO *bio, ssize_t n, int retry)
{
	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	return (int)n;
}

static int socket_write(BIO *bio, const char *data, int len)
{
	return settle(bio, send(socket_fd(bio), data, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT), BIO_FLAGS_WRITE);
}

static int socket_read(BIO *bio, char *data, int len)
{
	return settle(bio, recv(socket_fd(bio), data, (size_t)len, MSG_DONTWAIT), BIO_FLAGS_READ);
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_socket_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sonde socket");
	if (method && (BIO_meth_set_write(method, socket_write) != 1 || BIO_meth_set_read(method, socket_read) != 1 ||
		       BIO_meth_set_ctrl(method, socket_control) != 1)) {
		BIO_meth_free(method);
		return NULL;
	}
	return method;
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static int expect_host(SSL *ssl, const char *host)
{
	uint8_t binary[16];
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	if (inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? 0 : -ENOMEM;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1 ? 0 : -ENOMEM;
}

int tls_stream_new(struct tls_context *context, int fd, const char *host, struct tls_stream **ret)
{
	struct tls_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->context = tls_context_ref(context);
	s->fd = fd;
	s->ssl = SSL_new(context->ssl);
	BIO *bio = s->ssl ? BIO_new(context->socket) : NULL;
	if (!bio) {
		tls_stream_free(s);
		return -ENOMEM;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, s);
	if (host && expect_host(s->ssl, host) < 0) {
		tls_stream_free(s);
		return -ENOMEM;
	}
	if (host)
		SSL_set_connect_state(s->ssl);
	else
		SSL_set_accept_state(s->ssl);
	*ret = s;
	return 0;
}

void tls_stream_free(struct tls_stream *s)
{
	if (!s)
		return;
	if (s->ssl)
		tls_stream_end(s);
	SSL_free(s->ssl);
	X509_free(s->pinned);
	tls_context_unref(s->context);
	free(s);
}

/* --- errors --------------------------------------------------------------------------------------------------------
 */

static void describe(struct tls_stream *s)
{
	long verified = SSL_get_verify_result(s->ssl);
	if (s->advice) {
		ERR_clear_error();
		snprintf(s->error, sizeof(s->error), "%s", s->advice);
	} else if (verified != X509_V_OK) {
		ERR_clear_error();
		snprintf(s->error, sizeof(s->error), "the certificate is refused: %s",
			 X509_verify_cert_error_string(verified));
	} else {
		char reason[160];
		tls_library_error(reason, sizeof(reason));
		snprintf(s->error, sizeof(s->error), "TLS: %s", reason);
	}
}

/* Negative errno for what SSL_...() gave; 0 for an end that was said. */
static int translate(struct tls_stream *s, int result, int error)
{
	s->wants = SSL_get_error(s->ssl, result);
	switch (s->wants) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		s->broken = true;
		return error > 0 ? -error : -ECONNRESET;
	default:
		s->broken = true;
		describe(s);
		return -EPROTO;
	}
}

static void prepare(void)
{
	ERR_clear_error();
	errno = 0;
}

int tls_stream_handshake(struct tls_stream *s)
{
	const unsigned char *protocol;
	unsigned len;
	if (s->agreed)
		return 0;
	prepare();
	int n = SSL_do_handshake(s->ssl);
	if (n != 1) {
		int r = translate(s, n, errno);
		return r == 0 ? -ECONNRESET : r;
	}
	SSL_get0_alpn_selected(s->ssl, &protocol, &len);
	if (len != 2 || memcmp(protocol, "h2", 2) != 0) {
		snprintf(s->error, sizeof(s->error), "the peer does not speak HTTP/2 over TLS (ALPN h2)");
		return -EPROTO;
	}
	s->agreed = true;
	return 0;
}

ssize_t tls_stream_read(struct tls_stream *s, void *data, size_t len)
{
	prepare();
	int n = SSL_read(s->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
	return n > 0 ? n : translate(s, n, errno);
}

bool tls_stream_pending(const struct tls_stream *s)
{
	return SSL_pending(s->ssl) > 0 || SSL_has_pending(s->ssl);
}

ssize_t tls_stream_write(struct tls_stream *s, const void *data, size_t len)
{
	prepare();
	int n = SSL_write(s->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
	if (n > 0)
		return n;
	int r = translate(s, n, errno);
	return r == 0 ? -ECONNRESET : r;
}

bool tls_stream_wants_write(const struct tls_stream *s)
{
	return s->wants == SSL_ERROR_WANT_WRITE;
}

void tls_stream_end(struct tls_stream *s)
{
	if (!s->agreed || s->broken)
		return;
	prepare();
	/* Whether it fits or not: the socket is shut down next. */
	int r = SSL_shutdown(s->ssl);
	(void)r;
	ERR_clear_error();
	s->broken = true;
}

const char *tls_stream_error(const struct tls_stream *s)
{
	return s->error;
}

const char *tls_stream_version(const struct tls_stream *s)
{
	return SSL_get_version(s->ssl);
}

int tls_stream_pinned(const struct tls_stream *s, struct buf *ret)
{
	char *text;
	if (!s->pinned || !s->agreed)
		return -ENOENT;
	BIO *out = BIO_new(BIO_s_mem());
	int r = out && PEM_write_bio_X509(out, s->pinned) == 1 ? 0 : -ENOMEM;
	long len = r == 0 ? BIO_get_mem_data(out, &text) : 0;
	if (r == 0)
		r = buf_append(ret, text, (size_t)len);
	BIO_free(out);
	return r;
}
