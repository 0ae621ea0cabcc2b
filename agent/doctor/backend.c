/* The backend checks a stream's key before it reads anything, so a call that is half closed at once says whether the
 * key is good: OK, or UNAUTHENTICATED. No Hello goes out, and the backend notes no host. */
#include "agent/doctor/backend.h"

#include "agent/delivery/call.h"
#include "agent/delivery/dial.h"
#include "agent/delivery/transport.h"
#include "agent/host/key_file.h"
#include "common/clock.h"
#include "common/grpc_frame.h"
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GROUP "backend"
#define DIAL_MS 3000
#define ANSWER_MS 5000
#define MAX_REPLY ((size_t)64 << 10)

static void on_message(void *arg, const uint8_t *message, size_t len)
{
	(void)arg;
	(void)message;
	(void)len;
}

/* Until the call has ended. 0, -ETIMEDOUT or what broke the connection. */
static int wait_for_end(struct channel *channel, struct call *call, int *ret_status, const char **ret_text)
{
	uint64_t until_ns = clock_monotonic_ns() + ANSWER_MS * 1000000ull;
	int r = 0;
	while (!call_ended(call, ret_status, ret_text)) {
		uint64_t now_ns = clock_monotonic_ns();
		if (r < 0)
			return r;
		if (now_ns >= until_ns)
			return -ETIMEDOUT;
		r = channel_write(channel);
		if (r < 0)
			continue;
		struct pollfd fd = {.fd = channel_fd(channel),
				    .events = (short)(POLLIN | (channel_wants_write(channel) ? POLLOUT : 0))};
		if (poll(&fd, 1, (int)((until_ns - now_ns) / 1000000) + 1) < 0 && errno != EINTR)
			return -errno;
		r = channel_read(channel);
	}
	return 0;
}

static void report_answer(int r, int status, const char *text, const char *complaint, struct report *report)
{
	bool good = r == 0 && status == GRPC_OK;
	struct finding *f = report_add(report, GROUP, good ? VERDICT_OK : VERDICT_FAILED, "key");
	if (good)
		finding_value(f, "the backend knows it");
	else if (complaint)
		finding_remedy(f, "not_trusted", "%.400s", complaint);
	else if (r == -EPROTO)
		finding_remedy(f, "not_grpc", CALL_NOT_GRPC);
	else if (r < 0)
		finding_remedy(f, "no_answer", "the connection was made, and then: %s", log_strerror(r));
	else if (status == GRPC_UNAUTHENTICATED)
		finding_remedy(f, "unknown_key", CALL_UNKNOWN_KEY);
	else
		finding_remedy(f, "refused", "the backend says: %.300s", text[0] != '\0' ? text : "nothing");
}

/* Takes the socket. */
static void try_key(int fd, const struct channel_options *options, struct report *report)
{
	const struct call_options call_options = {
		.path = "/sonde.v1.Ingest/Stream", .max_message = MAX_REPLY, .vital = true, .on_message = on_message};
	struct channel *channel;
	struct call *call = NULL;
	int status = -1;
	const char *text = "";
	int r = channel_open(fd, options, &channel);
	if (r < 0) {
		report_answer(r, status, text, NULL, report);
		return;
	}
	r = call_begin(channel, &call_options, &call);
	if (r == 0) {
		call_half_close(call);
		r = wait_for_end(channel, call, &status, &text);
	}
	report_answer(r, status, text, channel_complaint(channel), report);
	call_close(call);
	channel_close(channel);
}

/* Takes the socket. */
static void report_transport(const struct options *options, const char *authority, int fd, struct report *report)
{
	char key[KEY_FILE_KEY_SIZE], error[KEY_FILE_ERROR_SIZE], trouble[TLS_ERROR_SIZE] = "";
	bool exposed;
	/* Without a readable key, which "files" has said, the backend's refusal is an answer too. */
	if (options->key_file[0] == '\0' || key_file_read(options->key_file, key, &exposed, error) < 0)
		(void)snprintf(key, sizeof(key), "none");
	const struct transport_options wanted = {
		.token = key,
		.ca_file = options->ca_file,
		.certificate = options->tls_cert,
		.certificate_key = options->tls_key,
		.state_dir = options->state_dir,
		.plaintext_allowed = options->allow_plaintext || options_is_loopback(options->backend_host),
	};
	struct transport transport;
	struct tls_context *tls = NULL;
	int r = transport_choose(&wanted, &transport);
	if (r == 0)
		r = transport_context(&transport, &wanted, &tls, trouble);
	struct finding *f = report_add(report, GROUP, r < 0 ? VERDICT_FAILED : VERDICT_OK, "transport");
	if (r < 0) {
		finding_remedy(f, "certificates", "%.400s", trouble);
		close(fd);
	} else {
		finding_value(f, !tls ? "plaintext" : transport.pinned ? "TLS, the CA that the key names" : "TLS");
		const struct channel_options channel = {
			.authority = authority, .key = transport.bearer, .tls = tls, .host = options->backend_host};
		try_key(fd, &channel, report);
	}
	tls_context_unref(tls);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(&transport, sizeof(transport));
}

void backend_report(const struct options *options, struct report *report)
{
	if (options->backend_host[0] == '\0') {
		struct finding *f = report_add(report, GROUP, VERDICT_NOTE, "address");
		finding_value(f, "none is named");
		finding_remedy(f, "no_backend", "to send snapshots, give --backend HOST:PORT");
		return;
	}
	char authority[DIAL_AUTHORITY_SIZE];
	dial_authority(options->backend_host, options->backend_port, authority);
	int fd = dial(options->backend_host, options->backend_port, DIAL_MS, -1);
	struct finding *f = report_add(report, GROUP, fd < 0 ? VERDICT_FAILED : VERDICT_OK, "address");
	finding_value(f, "%.150s%s", authority, fd < 0 ? "" : " answers");
	if (fd == -ENOENT)
		finding_remedy(f, "no_such_name", "the name does not resolve: check --backend");
	else if (fd < 0)
		finding_remedy(f, "no_connection", "%s: is the backend running, and its port open?", log_strerror(fd));
	if (fd >= 0)
		report_transport(options, authority, fd, report);
}
