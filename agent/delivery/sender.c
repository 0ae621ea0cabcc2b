/* The thread that keeps the stream alive: dial, poll, pump, and when it breaks wait and dial again. All waiting is in
 * two poll(2) calls, both of which the stop descriptor ends. The log has one line per change: connected, lost and why;
 * retries that fail for the same reason are silent. */
#include "agent/delivery/sender.h"

#include "agent/delivery/backlog.h"
#include "agent/delivery/backoff.h"
#include "agent/delivery/channel.h"
#include "agent/delivery/dial.h"
#include "agent/delivery/stream.h"
#include "agent/delivery/throttle.h"
#include "agent/delivery/transport.h"
#include "agent/host/capabilities.h"
#include "common/clock.h"
#include "common/encoding.h"
#include "common/grpc_frame.h"
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DIAL_TIMEOUT_MS 5000
#define LAST_DIAL_MS 1000
#define SILENCE_MS 10000 /* a ping after this long without a frame, the end after as long again */
#define WELCOME_MS 30000 /* from dialling to Welcome: a backend that hangs still answers pings */
#define DRAIN_MS 10000	 /* from our half-close to the end of the call, when the backend wants us gone */
#define FAREWELL_MS 200	 /* the same when we stop: nothing is waited for but politeness */
#define MAX_REPLY (1u << 20)
#define PATH "/sonde.v1.Ingest/Stream"

struct sender {
	struct sender_options options;
	char *host, *key, *state_dir;
	char authority[DIAL_AUTHORITY_SIZE];
	char *ca_file, *certificate, *certificate_key, *ca_dir;
	struct transport_options transport;
	uint8_t *hello;
	struct queue *queue;
	struct backlog backlog;
	struct throttle throttle;
	struct hold hold;
	pthread_t thread;
	int stop_fd;
	atomic_uint_fast64_t stop_deadline_ns; /* 0 while running */
	atomic_int link;
	atomic_uint_fast64_t connects;
	uint32_t failures;
	char last_reason[320];
};

static bool stopping(struct sender *s)
{
	return atomic_load(&s->stop_deadline_ns) != 0;
}

static bool stop_now(struct sender *s)
{
	uint64_t deadline = atomic_load(&s->stop_deadline_ns);
	return deadline != 0 && (clock_monotonic_ns() >= deadline || queue_stats(s->queue).own == 0);
}

/* Takes what woke us off an eventfd. */
static void drain_event(int fd)
{
	uint64_t n;
	ssize_t r = read(fd, &n, sizeof(n));
	(void)r; /* non-blocking: nothing there is fine */
}

static const char *status_advice(int status, const char *text)
{
	if (status == GRPC_UNAUTHENTICATED)
		return CALL_UNKNOWN_KEY;
	return text[0] != '\0' ? text : "the backend ended the stream";
}

static void describe(char *reason, size_t size, int error)
{
	if (error == -EPROTO)
		snprintf(reason, size, "%s", CALL_NOT_GRPC);
	else if (error == -ENOENT)
		snprintf(reason, size, "the name does not resolve: check --backend");
	else if (error == -ETIMEDOUT)
		snprintf(reason, size, "no answer in time");
	else
		snprintf(reason, size, "%s", log_strerror(error));
}

struct watch {
	uint64_t begin_ns;
	uint64_t half_closed_ns; /* 0 while we may still send */
	uint64_t received;	 /* frames at the last look */
	uint64_t since_ns;	 /* when that number last moved */
	bool pinged;
};

static bool elapsed(uint64_t since_ns, uint64_t ms)
{
	return clock_monotonic_ns() - since_ns >= ms * 1000000u;
}

/* Finds a peer that is gone without a word, or is there and does nothing. 0, -ETIMEDOUT or -ENOMEM. */
static int check_alive(const struct stream *stream, struct channel *channel, struct watch *w)
{
	uint64_t now = clock_monotonic_ns(), received = channel_received(channel);
	if (!stream->welcomed && elapsed(w->begin_ns, WELCOME_MS))
		return -ETIMEDOUT;
	if (received != w->received) {
		w->received = received;
		w->since_ns = now;
		w->pinged = false;
		return 0;
	}
	uint64_t silent_ms = (now - w->since_ns) / 1000000;
	if (silent_ms > 2 * SILENCE_MS)
		return -ETIMEDOUT;
	if (silent_ms > SILENCE_MS && !w->pinged) {
		w->pinged = true;
		return channel_ping(channel);
	}
	return 0;
}

/* How long a turn may wait when nothing happens. */
static int turn_ms(struct sender *s)
{
	uint64_t left_ms = throttle_left_ms(&s->throttle);
	if (stopping(s))
		return 20;
	return left_ms > 0 && left_ms < 1000 ? (int)left_ms : 1000;
}

/* One turn of a live stream. 0 goes on, 1 the call has ended, negative errno the connection is lost. */
static int turn(struct sender *s, struct channel *channel, struct stream *stream, struct watch *watch)
{
	bool finish = channel_draining(channel) || stop_now(s);
	if (finish && watch->half_closed_ns == 0) {
		watch->half_closed_ns = clock_monotonic_ns();
		call_half_close(stream->call);
	}
	int r = watch->half_closed_ns != 0 ? 0 : stream_pump(stream);
	/* The backend has seen what is live before it is told of the past. */
	if (r == 0)
		r = backlog_pump(&s->backlog, stream->acknowledged && !finish && !stopping(s));
	if (r == 0)
		r = channel_write(channel);
	if (r < 0)
		return r;

	struct pollfd fds[] = {
		{.fd = channel_fd(channel), .events = (short)(POLLIN | (channel_wants_write(channel) ? POLLOUT : 0))},
		{.fd = queue_wake_fd(s->queue), .events = POLLIN},
		{.fd = stopping(s) ? -1 : s->stop_fd, .events = POLLIN},
	};
	if (poll(fds, 3, turn_ms(s)) < 0 && errno != EINTR)
		return -errno;
	if (fds[1].revents)
		drain_event(fds[1].fd);
	/* The answer to a refused call often comes together with the end of the connection: frames are read first. */
	int read_error = fds[0].revents ? channel_read(channel) : 0;
	bool was_welcomed = atomic_load(&s->link) == SENDER_STREAMING;
	if (stream->welcomed && !was_welcomed) {
		atomic_store(&s->link, SENDER_STREAMING);
		atomic_fetch_add(&s->connects, 1);
		s->failures = 0;
		s->last_reason[0] = '\0';
	}
	int status;
	const char *text;
	if (call_ended(stream->call, &status, &text))
		return 1;
	if (read_error < 0)
		return read_error;
	if (stream->error < 0)
		return stream->error;
	/* The backend ends the call once it has answered what it has; one that does not is left. */
	if (watch->half_closed_ns != 0 && elapsed(watch->half_closed_ns, stop_now(s) ? FAREWELL_MS : DRAIN_MS))
		return 1;
	return check_alive(stream, channel, watch);
}

/* The stream, and the backlog beside it, until the stream ends. */
static bool run_calls(struct sender *s, struct channel *channel, char *reason, size_t size)
{
	struct stream stream = {.options = &s->options, .queue = s->queue, .throttle = &s->throttle, .hold = &s->hold};
	const struct call_options options = {
		.path = PATH,
		.max_message = MAX_REPLY,
		.vital = true,
		.on_message = stream_on_message,
		.arg = &stream,
	};
	uint64_t now = clock_monotonic_ns();
	struct watch watch = {.begin_ns = now, .since_ns = now};
	s->backlog.channel = channel;
	int r = call_begin(channel, &options, &stream.call);
	if (r == 0)
		r = stream_begin(&stream);
	while (r == 0)
		r = turn(s, channel, &stream, &watch);

	int status = -1;
	const char *text = "";
	bool ended = stream.call && call_ended(stream.call, &status, &text);
	const char *complaint = channel_complaint(channel);
	if (complaint)
		snprintf(reason, size, "%s", complaint);
	else if (ended)
		snprintf(reason, size, "%s", status_advice(status, text));
	else if (r < 0)
		describe(reason, size, r);
	if (ended)
		throttle_ask(&s->throttle, call_retry_ms(stream.call), reason);
	backlog_disconnect(&s->backlog);
	hold_forget(&s->hold);
	call_close(stream.call);
	return watch.half_closed_ns != 0 && (r == 1 || r == -ECONNRESET);
}

static void keep_ca(void *arg, const struct tls_stream *stream)
{
	const struct sender *s = arg;
	int r = transport_keep(&s->transport, stream);
	if (r < 0)
		log_warn("the backend's CA cannot be kept", LOG_STR("directory", s->ca_dir), LOG_ERR(r),
			 LOG_STR("then", "the backend must go on sending it"));
}

/* Takes the context. */
static bool run_on(struct sender *s, struct transport *transport, struct tls_context *tls, char *reason, size_t size)
{
	bool last = stopping(s);
	int fd = dial(s->options.host, s->options.port, last ? LAST_DIAL_MS : DIAL_TIMEOUT_MS, last ? -1 : s->stop_fd);
	struct channel *channel;
	const struct channel_options options = {
		.authority = s->authority,
		.key = transport->bearer,
		.tls = tls,
		.host = s->options.host,
		.on_secure = keep_ca,
		.arg = s,
	};
	int r = fd < 0 ? fd : channel_open(fd, &options, &channel);
	tls_context_unref(tls);
	if (r < 0) {
		describe(reason, size, r);
		return false;
	}
	bool clean = run_calls(s, channel, reason, size);
	channel_close(channel);
	return clean;
}

/* One connection from dial to its end; reason is why it ended. True when it ended as it should (drain, stop). The files
 * of certificates are read for each: they may have been renewed. */
static bool run_connection(struct sender *s, char *reason, size_t size)
{
	struct transport transport;
	struct tls_context *tls;
	char error[TLS_ERROR_SIZE];
	atomic_store(&s->link, SENDER_CONNECTING);
	int r = transport_choose(&s->transport, &transport);
	if (r < 0) {
		snprintf(reason, size, "the agent key is not one that sonde-backend key create makes");
		return false;
	}
	r = transport_context(&transport, &s->transport, &tls, error);
	bool clean = false;
	if (r < 0)
		snprintf(reason, size, "%.300s", error);
	else
		clean = run_on(s, &transport, tls, reason, size);
	explicit_bzero(transport.bearer, sizeof(transport.bearer));
	return clean;
}

static void wait_before_retry(struct sender *s)
{
	uint32_t random;
	encoding_random(&random, sizeof(random));
	atomic_store(&s->link, SENDER_WAITING);
	uint64_t wait_ms = backoff_ms(++s->failures, random), asked_ms = throttle_left_ms(&s->throttle);
	uint64_t until = clock_monotonic_ns() + (asked_ms > wait_ms ? asked_ms : wait_ms) * 1000000u;
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= until || stopping(s))
			return;
		struct pollfd fd = {.fd = s->stop_fd, .events = POLLIN};
		if (poll(&fd, 1, (int)((until - now) / 1000000u) + 1) < 0 && errno != EINTR)
			return;
	}
}

static void *run(void *arg)
{
	struct sender *s = arg;
	/* What reads the network needs no rights over the host. */
	int dropped = capabilities_drop_all();
	if (dropped < 0)
		log_warn("the sender cannot give up its capabilities", LOG_ERR(dropped),
			 LOG_STR("then", "it goes on with them"));
	while (!stopping(s)) {
		char reason[320] = "the connection ended";
		bool clean = run_connection(s, reason, sizeof(reason));
		if (stopping(s))
			break;
		if (strcmp(reason, s->last_reason) != 0) {
			log_warn("no connection to the backend", LOG_STR("backend", s->authority),
				 LOG_STR("reason", reason),
				 LOG_STR("then", "snapshots are kept, newest first to stay; trying again"));
			memcpy(s->last_reason, reason, sizeof(reason));
		}
		if (clean)
			s->failures = 0;
		wait_before_retry(s);
	}
	/* Told to stop while there was no stream, or lost it then: what is queued gets one more try. */
	char reason[320];
	if (!stop_now(s))
		(void)run_connection(s, reason, sizeof(reason));
	return NULL;
}

static void free_sender(struct sender *s)
{
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	free(s->host);
	free(s->key);
	free(s->hello);
	free(s->state_dir);
	free(s->ca_file);
	free(s->certificate);
	free(s->certificate_key);
	free(s->ca_dir);
	free(s);
}

/* False without memory. */
static bool copy_text(char **to, const char *from)
{
	*to = strdup(from ? from : "");
	return *to != NULL;
}

static int copy_transport(struct sender *s, const struct sender_options *options)
{
	if (!copy_text(&s->ca_file, options->ca_file) || !copy_text(&s->certificate, options->certificate) ||
	    !copy_text(&s->certificate_key, options->certificate_key) || !copy_text(&s->ca_dir, options->ca_dir))
		return -ENOMEM;
	s->transport = (struct transport_options){
		.token = s->key,
		.ca_file = s->ca_file,
		.certificate = s->certificate,
		.certificate_key = s->certificate_key,
		.state_dir = s->ca_dir,
		.plaintext_allowed = options->plaintext_allowed,
	};
	return 0;
}

static int copy_options(struct sender *s, const struct sender_options *options)
{
	s->options = *options;
	s->host = strdup(options->host);
	s->key = strdup(options->key);
	s->hello = malloc(options->hello_len > 0 ? options->hello_len : 1);
	dial_authority(options->host, options->port, s->authority);
	s->state_dir = options->state_dir ? strdup(options->state_dir) : NULL;
	if (!s->host || !s->key || !s->hello || (options->state_dir && !s->state_dir))
		return -ENOMEM;
	memcpy(s->hello, options->hello, options->hello_len);
	s->options.host = s->host;
	s->options.key = s->key;
	s->options.hello = s->hello;
	s->options.state_dir = s->state_dir;
	return copy_transport(s, options);
}

int sender_start(const struct sender_options *options, struct queue *queue, struct sender **ret)
{
	struct sender *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->queue = queue;
	s->backlog =
		(struct backlog){.options = &s->options, .queue = queue, .throttle = &s->throttle, .hold = &s->hold};
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = s->stop_fd < 0 ? -errno : copy_options(s, options);
	if (r == 0)
		r = -pthread_create(&s->thread, NULL, run, s);
	if (r < 0) {
		free_sender(s);
		return r;
	}
	*ret = s;
	return 0;
}

void sender_stop(struct sender *s, uint32_t grace_ms)
{
	if (!s)
		return;
	uint64_t one = 1;
	atomic_store(&s->stop_deadline_ns, clock_monotonic_ns() + (uint64_t)grace_ms * 1000000u + 1);
	ssize_t written = write(s->stop_fd, &one, sizeof(one));
	(void)written; /* an eventfd at its limit is readable as well */
	pthread_join(s->thread, NULL);
	free_sender(s);
}

struct sender_stats sender_stats(struct sender *s)
{
	struct throttle_stats throttle = throttle_stats(&s->throttle);
	return (struct sender_stats){
		.link = (enum sender_link)atomic_load(&s->link),
		.connects = atomic_load(&s->connects),
		.throttles = throttle.asked,
		.throttled_ms = throttle.asked_ms,
		.holds = hold_count(&s->hold),
	};
}
