/* Keys and trust. The ciphers of TLS 1.2 are those HTTP/2 allows (RFC 9113, 9.2.2). Sessions are not resumed: an agent
 * connects once in days, and a cache or tickets cost every connection memory. */
#include "common/tls/internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

static const unsigned char alpn[] = {2, 'h', '2'};

void tls_library_error(char *out, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 && !ERR_SYSTEM_ERROR(code) ? ERR_reason_error_string(code) : NULL;
	snprintf(out, size, "%s",
		 reason	     ? reason
		 : code != 0 ? strerrordesc_np(ERR_GET_REASON(code))
			     : "unknown error");
	ERR_clear_error();
}

static int complain(char error[TLS_ERROR_SIZE], const char *file, const char *what)
{
	char reason[160];
	tls_library_error(reason, sizeof(reason));
	snprintf(error, TLS_ERROR_SIZE, "%.200s %s: %s", file, what, reason);
	return -EBADMSG;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
			   unsigned in_len, void *arg)
{
	unsigned char *selected;
	if (SSL_select_next_proto(&selected, out_len, alpn, sizeof(alpn), in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = selected;
	return SSL_TLSEXT_ERR_OK;
}

static int no_passphrase(char *out, int size, int write, void *arg)
{
	return -1;
}

static int common_settings(SSL_CTX *ssl)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
					 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	/* Nobody is there to be asked. */
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	bool ok = SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
		  SSL_CTX_set_cipher_list(ssl, TLS12_CIPHERS) == 1 && SSL_CTX_set_num_tickets(ssl, 0) == 1;
	return ok ? 0 : -ENOMEM;
}

static int context_new(bool server, struct tls_context **ret, char error[TLS_ERROR_SIZE])
{
	int r = tls_library_load();
	if (r < 0) {
		snprintf(error, TLS_ERROR_SIZE, "TLS needs OpenSSL 3 (libssl.so.3), which is not installed here");
		return -EBADMSG;
	}
	snprintf(error, TLS_ERROR_SIZE, "out of memory");
	struct tls_context *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	atomic_init(&c->refs, 1);
	c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	c->socket = tls_socket_method();
	if (!c->ssl || !c->socket || common_settings(c->ssl) < 0) {
		tls_context_unref(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

static int use_certificate(SSL_CTX *ssl, const char *certificate, const char *key, char error[TLS_ERROR_SIZE])
{
	if (!key)
		key = certificate;
	if (SSL_CTX_use_certificate_chain_file(ssl, certificate) != 1)
		return complain(error, certificate, "holds no certificate that can be used");
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return complain(error, key, "holds no private key for the certificate");
	return 0;
}

int tls_context_server(const struct tls_server_options *options, struct tls_context **ret, char error[TLS_ERROR_SIZE])
{
	struct tls_context *c;
	int r = context_new(true, &c, error);
	if (r < 0)
		return r;
	/* Fewer system calls for who reads much. A client must not: what it took from the socket while it shook hands,
	 * nobody would tell it of. */
	SSL_CTX_set_read_ahead(c->ssl, 1);
	SSL_CTX_set_alpn_select_cb(c->ssl, choose_protocol, NULL);
	r = use_certificate(c->ssl, options->certificate, options->key, error);
	if (r == 0 && options->client_ca) {
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->client_ca);
		if (!names || SSL_CTX_load_verify_locations(c->ssl, options->client_ca, NULL) != 1)
			r = complain(error, options->client_ca, "holds no CA certificate");
		SSL_CTX_set_client_CA_list(c->ssl, names);
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	if (r < 0) {
		tls_context_unref(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* All certificates of a file that may be missing. */
static int load_kept(struct tls_context *c, const char *file)
{
	c->kept = sk_X509_new_null();
	if (!c->kept)
		return -ENOMEM;
	BIO *in = file ? BIO_new_file(file, "r") : NULL;
	X509 *certificate;
	while (in && (certificate = PEM_read_bio_X509(in, NULL, no_passphrase, NULL))) {
		if (sk_X509_push(c->kept, certificate) == 0)
			X509_free(certificate);
	}
	BIO_free(in);
	ERR_clear_error();
	return 0;
}

static int set_trust(struct tls_context *c, const struct tls_client_options *options, char error[TLS_ERROR_SIZE])
{
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	if (options->fingerprint) {
		c->pinned = true;
		memcpy(c->fingerprint, options->fingerprint, sizeof(c->fingerprint));
		SSL_CTX_set_cert_verify_callback(c->ssl, tls_verify_pinned, c);
		return load_kept(c, options->ca_file);
	}
	if (options->ca_file)
		return SSL_CTX_load_verify_locations(c->ssl, options->ca_file, NULL) == 1
			       ? 0
			       : complain(error, options->ca_file, "holds no CA certificate");
	return SSL_CTX_set_default_verify_paths(c->ssl) == 1 ? 0 : complain(error, "the system", "has no CAs");
}

int tls_context_client(const struct tls_client_options *options, struct tls_context **ret, char error[TLS_ERROR_SIZE])
{
	struct tls_context *c;
	int r = context_new(false, &c, error);
	if (r < 0)
		return r;
	r = SSL_CTX_set_alpn_protos(c->ssl, alpn, sizeof(alpn)) == 0 ? 0 : -ENOMEM;
	if (r == 0)
		r = set_trust(c, options, error);
	if (r == 0 && options->certificate)
		r = use_certificate(c->ssl, options->certificate, options->key, error);
	if (r < 0) {
		tls_context_unref(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	atomic_fetch_add(&context->refs, 1);
	return context;
}

void tls_context_unref(struct tls_context *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	SSL_CTX_free(c->ssl);
	BIO_meth_free(c->socket);
	sk_X509_pop_free(c->kept, X509_free);
	free(c);
}

/* --- pinning -------------------------------------------------------------------------------------------------------
 */

static X509 *find_pinned(const struct tls_context *c, STACK_OF(X509) * certificates)
{
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		uint8_t digest[EVP_MAX_MD_SIZE];
		unsigned len = 0;
		X509 *certificate = sk_X509_value(certificates, i);
		if (X509_digest(certificate, EVP_sha256(), digest, &len) == 1 && len == sizeof(c->fingerprint) &&
		    memcmp(digest, c->fingerprint, len) == 0)
			return certificate;
	}
	return NULL;
}

int tls_verify_pinned(X509_STORE_CTX *store, void *arg)
{
	const struct tls_context *c = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_stream *stream = ssl ? SSL_get_app_data(ssl) : NULL;
	X509 *anchor = find_pinned(c, X509_STORE_CTX_get0_untrusted(store));
	if (!anchor)
		anchor = find_pinned(c, c->kept);
	if (!anchor || !stream) {
		if (stream)
			stream->advice = "the certificate is not of the CA that the agent key names: check that "
					 "--backend leads to the backend that made the key";
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	STACK_OF(X509) *trusted = sk_X509_new_null();
	if (!trusted || sk_X509_push(trusted, anchor) == 0) {
		sk_X509_free(trusted);
		X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
		return 0;
	}
	X509_STORE_CTX_set0_trusted_stack(store, trusted);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(store), X509_V_FLAG_PARTIAL_CHAIN);
	int r = X509_verify_cert(store);
	sk_X509_free(trusted);
	if (r == 1 && !stream->pinned && X509_up_ref(anchor) == 1)
		stream->pinned = anchor;
	return r;
}
