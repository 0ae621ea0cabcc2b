/* Client and server of one thread over a socket pair. Certificates are the backend's own. */
#include "backend/tls/own.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#define DAY 86400

struct fixture {
	char directory[32], other_directory[64];
	struct own_files files, other;
	uint8_t fingerprint[TLS_FINGERPRINT_BYTES];
};

struct pair {
	int fds[2];
	struct tls_context *contexts[2];
	struct tls_stream *client, *server;
};

static void make(const char *directory, uint64_t now, struct own_files *ret)
{
	struct own_names names = {0};
	char error[TLS_ERROR_SIZE];
	own_names_add(&names, "host.example");
	own_names_add(&names, "192.0.2.7");
	assert_int_equal(own_files_ensure(directory, &names, now, ret, error), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->directory, "/tmp/sonde-tls-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->other_directory, sizeof(f->other_directory), "%s/other", f->directory);
	make(f->directory, (uint64_t)time(NULL), &f->files);
	make(f->other_directory, (uint64_t)time(NULL), &f->other);
	*state = f;
	return own_fingerprint(f->files.ca, f->fingerprint);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", f->directory);
	int r = system(command);
	free(f);
	return r;
}

static struct pair connected(const struct tls_server_options *server, const struct tls_client_options *client,
			     const char *host)
{
	struct pair p = {0};
	char error[TLS_ERROR_SIZE];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p.fds), 0);
	assert_int_equal(tls_context_client(client, &p.contexts[0], error), 0);
	assert_int_equal(tls_context_server(server, &p.contexts[1], error), 0);
	assert_int_equal(tls_stream_new(p.contexts[0], p.fds[0], host, &p.client), 0);
	assert_int_equal(tls_stream_new(p.contexts[1], p.fds[1], NULL, &p.server), 0);
	return p;
}

static void disconnect(struct pair *p)
{
	tls_stream_free(p->client);
	tls_stream_free(p->server);
	for (int i = 0; i < 2; i++) {
		tls_context_unref(p->contexts[i]);
		close(p->fds[i]);
	}
}

/* What the client's side ends with; the server's goes to *ret_server. */
static int shake(struct pair *p, int *ret_server)
{
	int client = -EAGAIN, server = -EAGAIN;
	for (int i = 0; i < 100 && (client == -EAGAIN || server == -EAGAIN); i++) {
		if (client == -EAGAIN)
			client = tls_stream_handshake(p->client);
		if (server == -EAGAIN)
			server = tls_stream_handshake(p->server);
		/* Who gave up says no more. */
		if ((client < 0 && client != -EAGAIN) || (server < 0 && server != -EAGAIN))
			break;
	}
	*ret_server = server;
	return client;
}

static void bytes_travel_both_ways(void **state)
{
	struct fixture *f = *state;
	const struct tls_server_options server = {.certificate = f->files.server};
	const struct tls_client_options client = {.ca_file = f->files.ca};
	struct pair p = connected(&server, &client, "host.example");
	int other;
	static uint8_t sent[200000], got[200000];
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7);
	assert_int_equal(shake(&p, &other), 0);
	assert_int_equal(other, 0);
	assert_string_equal(tls_stream_version(p.client), "TLSv1.3");
	assert_int_equal(tls_stream_read(p.server, got, sizeof(got)), -EAGAIN);
	struct tls_stream *const ends[][2] = {{p.client, p.server}, {p.server, p.client}};
	for (int way = 0; way < 2; way++) {
		size_t in = 0, out = 0;
		memset(got, 0, sizeof(got));
		while (in < sizeof(got)) {
			ssize_t n =
				out < sizeof(sent) ? tls_stream_write(ends[way][0], sent + out, sizeof(sent) - out) : 0;
			assert_true(n >= 0 || n == -EAGAIN);
			out += n > 0 ? (size_t)n : 0;
			do {
				n = tls_stream_read(ends[way][1], got + in,
						    sizeof(got) - in < 5000 ? sizeof(got) - in : 5000);
				assert_true(n > 0 || n == -EAGAIN);
				in += n > 0 ? (size_t)n : 0;
			} while (n > 0 && tls_stream_pending(ends[way][1]));
		}
		assert_memory_equal(sent, got, sizeof(sent));
	}
	tls_stream_end(p.client);
	assert_int_equal(tls_stream_read(p.server, got, 1), 0);
	disconnect(&p);
}

static void a_peer_that_is_gone_raises_no_signal(void **state)
{
	struct fixture *f = *state;
	const struct tls_server_options server = {.certificate = f->files.server};
	const struct tls_client_options client = {.ca_file = f->files.ca};
	struct pair p = connected(&server, &client, "host.example");
	int other;
	assert_int_equal(shake(&p, &other), 0);
	shutdown(p.fds[1], SHUT_RDWR);
	signal(SIGPIPE, SIG_DFL);
	ssize_t n = 0;
	for (int i = 0; i < 3 && n >= 0; i++)
		n = tls_stream_write(p.client, "x", 1);
	assert_true(n < 0 && n != -EAGAIN);
	disconnect(&p);
}

/* The client's verdict for trust and host; 0 is trusted. */
static int verdict(struct fixture *f, const struct tls_client_options *client, const char *host, char text[256])
{
	const struct tls_server_options server = {.certificate = f->files.server};
	struct pair p = connected(&server, client, host);
	int other, r = shake(&p, &other);
	snprintf(text, 256, "%s", tls_stream_error(p.client));
	disconnect(&p);
	return r;
}

static void names_are_verified(void **state)
{
	struct fixture *f = *state;
	char text[256];
	const struct tls_client_options by_ca = {.ca_file = f->files.ca}, by_key = {.fingerprint = f->fingerprint};
	const struct tls_client_options *const ways[] = {&by_ca, &by_key};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(verdict(f, ways[i], "host.example", text), 0);
		assert_int_equal(verdict(f, ways[i], "HOST.example", text), 0);
		assert_int_equal(verdict(f, ways[i], "192.0.2.7", text), 0);
		assert_int_equal(verdict(f, ways[i], "other.example", text), -EPROTO);
		assert_non_null(strstr(text, "ostname mismatch"));
		assert_int_equal(verdict(f, ways[i], "192.0.2.8", text), -EPROTO);
		assert_non_null(strstr(text, "IP address mismatch"));
	}
}

static void strangers_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[256];
	uint8_t wrong[TLS_FINGERPRINT_BYTES];
	memcpy(wrong, f->fingerprint, sizeof(wrong));
	wrong[31] ^= 1;
	const struct tls_client_options other_ca = {.ca_file = f->other.ca}, other_key = {.fingerprint = wrong},
					system = {0};
	assert_int_equal(verdict(f, &other_ca, "host.example", text), -EPROTO);
	assert_int_equal(verdict(f, &other_key, "host.example", text), -EPROTO);
	assert_non_null(strstr(text, "not of the CA that the agent key names"));
	assert_int_equal(verdict(f, &system, "host.example", text), -EPROTO);
}

/* The server sends the leaf alone: the CA must have been kept. */
static void a_kept_ca_serves_where_the_server_does_not_send_it(void **state)
{
	struct fixture *f = *state;
	char leaf[128], command[1024];
	snprintf(leaf, sizeof(leaf), "%s/leaf.pem", f->directory);
	snprintf(command, sizeof(command), "openssl pkey -in %.80s > %s && openssl x509 -in %.80s >> %s",
		 f->files.server, leaf, f->files.server, leaf);
	if (system(command) != 0)
		skip();
	const struct tls_server_options server = {.certificate = leaf};
	const struct tls_client_options without = {.fingerprint = f->fingerprint},
					with = {.fingerprint = f->fingerprint, .ca_file = f->files.ca},
					missing = {.fingerprint = f->fingerprint, .ca_file = "/no/such/file"};
	const struct tls_client_options *const ways[] = {&without, &missing, &with};
	for (int i = 0; i < 3; i++) {
		struct pair p = connected(&server, ways[i], "host.example");
		int other;
		assert_int_equal(shake(&p, &other), i == 2 ? 0 : -EPROTO);
		disconnect(&p);
	}
}

static void what_is_pinned_can_be_kept(void **state)
{
	struct fixture *f = *state;
	const struct tls_server_options server = {.certificate = f->files.server};
	const struct tls_client_options pinned = {.fingerprint = f->fingerprint}, trusted = {.ca_file = f->files.ca};
	BUF_CLEANUP struct buf pem = BUF_INIT(4096), tight = BUF_INIT(10);
	struct pair p = connected(&server, &pinned, "host.example");
	int other;
	assert_int_equal(tls_stream_pinned(p.client, &pem), -ENOENT);
	assert_int_equal(shake(&p, &other), 0);
	assert_int_equal(tls_stream_pinned(p.client, &tight), -EMSGSIZE);
	assert_int_equal(tls_stream_pinned(p.client, &pem), 0);
	disconnect(&p);
	char text[4096];
	FILE *in = fopen(f->files.ca, "r");
	size_t n = fread(text, 1, sizeof(text), in);
	fclose(in);
	assert_int_equal(pem.len, n);
	assert_memory_equal(pem.data, text, n);
	p = connected(&server, &trusted, "host.example");
	assert_int_equal(shake(&p, &other), 0);
	assert_int_equal(tls_stream_pinned(p.client, &pem), -ENOENT);
	disconnect(&p);
}

static void expired_certificates_are_refused(void **state)
{
	struct fixture *f = *state;
	char directory[64], text[256];
	uint8_t fingerprint[TLS_FINGERPRINT_BYTES];
	snprintf(directory, sizeof(directory), "%s/old", f->directory);
	make(directory, (uint64_t)time(NULL) - 91 * DAY, &f->files);
	assert_int_equal(own_fingerprint(f->files.ca, fingerprint), 0);
	const struct tls_client_options client = {.fingerprint = fingerprint};
	assert_int_equal(verdict(f, &client, "host.example", text), -EPROTO);
	assert_non_null(strstr(text, "expired"));
}

static void clients_without_a_certificate_are_refused_when_one_is_wanted(void **state)
{
	struct fixture *f = *state;
	const struct tls_server_options server = {.certificate = f->files.server, .client_ca = f->other.ca};
	struct tls_client_options client = {.ca_file = f->files.ca};
	struct pair p = connected(&server, &client, "host.example");
	int other;
	(void)shake(&p, &other);
	assert_int_equal(other, -EPROTO);
	disconnect(&p);
	/* A certificate for servers is none for clients; one for both is. */
	client.certificate = f->other.server;
	p = connected(&server, &client, "host.example");
	(void)shake(&p, &other);
	assert_int_equal(other, -EPROTO);
	disconnect(&p);
}

static void what_is_not_tls_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct tls_server_options server = {.certificate = f->files.server};
	const struct tls_client_options client = {.ca_file = f->files.ca};
	static const char *const garbage[] = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
					      "\x16\x03\x01\xff\xff\xff"};
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		struct pair p = connected(&server, &client, "host.example");
		assert_int_equal(send(p.fds[0], garbage[i], strlen(garbage[i]), 0), strlen(garbage[i]));
		shutdown(p.fds[0], SHUT_WR);
		int r = tls_stream_handshake(p.server);
		assert_true(r < 0 && r != -EAGAIN);
		disconnect(&p);
	}
}

/* Clients of other settings, by OpenSSL's own interface. */
static int serve_client(struct fixture *f, int max_version, bool alpn)
{
	const struct tls_server_options server = {.certificate = f->files.server};
	struct tls_context *context;
	struct tls_stream *stream;
	char error[TLS_ERROR_SIZE];
	int fds[2], r = -EAGAIN;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(tls_context_server(&server, &context, error), 0);
	assert_int_equal(tls_stream_new(context, fds[1], NULL, &stream), 0);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_max_proto_version(ctx, max_version);
	SSL *ssl = SSL_new(ctx);
	if (alpn)
		SSL_set_alpn_protos(ssl, (const uint8_t *)"\2h2", 3);
	SSL_set_fd(ssl, fds[0]);
	for (int i = 0; i < 20 && r == -EAGAIN; i++) {
		(void)SSL_connect(ssl);
		r = tls_stream_handshake(stream);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	tls_stream_free(stream);
	tls_context_unref(context);
	close(fds[0]);
	close(fds[1]);
	return r;
}

static void versions_and_protocols(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(serve_client(f, TLS1_3_VERSION, true), 0);
	assert_int_equal(serve_client(f, TLS1_2_VERSION, true), 0);
	assert_int_equal(serve_client(f, TLS1_1_VERSION, true), -EPROTO);
	assert_int_equal(serve_client(f, TLS1_3_VERSION, false), -EPROTO);
}

static void files_that_cannot_be_used_are_named(void **state)
{
	struct fixture *f = *state;
	struct tls_context *context = NULL;
	char error[TLS_ERROR_SIZE];
	const struct tls_server_options missing = {.certificate = "/no/such.pem"},
					wrong_key = {.certificate = f->files.server, .key = f->files.ca},
					wrong_ca = {.certificate = f->files.server, .client_ca = "/no/ca.pem"};
	const struct tls_client_options no_ca = {.ca_file = "/no/ca.pem"};
	assert_int_equal(tls_context_server(&missing, &context, error), -EBADMSG);
	assert_non_null(strstr(error, "/no/such.pem"));
	assert_int_equal(tls_context_server(&wrong_key, &context, error), -EBADMSG);
	assert_non_null(strstr(error, "ca.pem holds no private key"));
	assert_int_equal(tls_context_server(&wrong_ca, &context, error), -EBADMSG);
	assert_int_equal(tls_context_client(&no_ca, &context, error), -EBADMSG);
	assert_null(context);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(bytes_travel_both_ways),
		TEST(a_peer_that_is_gone_raises_no_signal),
		TEST(names_are_verified),
		TEST(strangers_are_refused),
		TEST(a_kept_ca_serves_where_the_server_does_not_send_it),
		TEST(what_is_pinned_can_be_kept),
		TEST(expired_certificates_are_refused),
		TEST(clients_without_a_certificate_are_refused_when_one_is_wanted),
		TEST(what_is_not_tls_is_refused),
		TEST(versions_and_protocols),
		TEST(files_that_cannot_be_used_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
