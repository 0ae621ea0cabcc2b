/* One event loop: a listener, its connections, their timers, and a queue for work from other threads. What a turn of
 * the loop leaves behind (bytes to write, calls to go on with, connections to bury) is done at its end, in
 * worker_settle(), so that no callback ever frees what its caller still uses. */
#include "backend/grpc/compression.h"
#include "backend/grpc/internal.h"
#include "common/clock.h"
#include "common/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 64
#define ACCEPTS_PER_TURN 32
#define ACCEPT_RETRY_NS NS_PER_SECOND

/* --- the post queue ------------------------------------------------------------------------------------------------
 */

static struct post_queue *post_queue_new(void)
{
	struct post_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake_fd < 0) {
		free(q);
		return NULL;
	}
	atomic_init(&q->refs, 1);
	pthread_mutex_init(&q->lock, NULL);
	q->tail = &q->head;
	return q;
}

void post_queue_unref(struct post_queue *q)
{
	if (!q || atomic_fetch_sub(&q->refs, 1) != 1)
		return;
	close(q->wake_fd);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void wake(const struct post_queue *q)
{
	/* Can only fail by being full, and then it is awake. */
	ssize_t n = write(q->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	(void)n;
}

void worker_wake(struct worker *worker)
{
	wake(worker->posts);
}

int grpc_call_post(struct grpc_call *call, void (*fn)(struct grpc_call *call, bool alive, void *arg), void *arg)
{
	struct post_queue *q = call->posts;
	struct post *post = malloc(sizeof(*post));
	if (!post)
		return -ENOMEM;
	*post = (struct post){.fn = fn, .call = call, .arg = arg};
	pthread_mutex_lock(&q->lock);
	bool closed = q->closed, was_empty = !q->head;
	if (!closed) {
		grpc_call_ref(call);
		*q->tail = post;
		q->tail = &post->next;
	}
	pthread_mutex_unlock(&q->lock);
	if (closed) {
		free(post);
		return -ESHUTDOWN;
	}
	if (was_empty)
		wake(q);
	return 0;
}

static void run_posts(struct post_queue *q, bool close_it)
{
	pthread_mutex_lock(&q->lock);
	struct post *post = q->head;
	q->head = NULL;
	q->tail = &q->head;
	q->closed = q->closed || close_it;
	pthread_mutex_unlock(&q->lock);
	while (post) {
		struct post *next = post->next;
		post->fn(post->call, !post->call->over, post->arg);
		grpc_call_unref(post->call);
		free(post);
		post = next;
	}
}

void worker_run_posts(struct worker *worker)
{
	run_posts(worker->posts, false);
}

/* --- accepting -----------------------------------------------------------------------------------------------------
 */

static void listen_again(struct timer *timer)
{
	struct worker *w = (struct worker *)((char *)timer - offsetof(struct worker, accept_timer));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &w->listen_fd};
	if (w->listen_fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->listen_fd, &event) < 0)
		timers_set(&w->timers, timer, clock_monotonic_ns() + ACCEPT_RETRY_NS);
}

/* Out of files or memory: the listener would be ready for ever, so it rests. */
static void rest_from_accepting(struct worker *w, int error)
{
	log_warn("cannot accept gRPC connections", LOG_ERR(error), LOG_STR("then", "trying again in a second"));
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->listen_fd, NULL) == 0)
		timers_set(&w->timers, &w->accept_timer, clock_monotonic_ns() + ACCEPT_RETRY_NS);
}

static void peer_name(const struct sockaddr_storage *address, char out[GRPC_PEER_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, GRPC_PEER_SIZE, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const void *)address;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, GRPC_PEER_SIZE, "%s:%u", host, ntohs(in->sin_port));
	}
}

static void welcome(struct worker *w, int fd, const struct sockaddr_storage *address)
{
	char peer[GRPC_PEER_SIZE];
	struct connection *conn;
	peer_name(address, peer);
	if (atomic_load(&w->server->connections) >= w->server->max_connections) {
		log_debug("gRPC connection refused: too many are open", LOG_STR("peer", peer));
		close(fd);
		return;
	}
	/* Latency only; the connection works without. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0)
		log_debug("no TCP_NODELAY", LOG_ERR(errno));
	int r = connection_new(w, fd, peer, &conn);
	if (r < 0)
		log_warn("a gRPC connection was dropped", LOG_STR("peer", peer), LOG_ERR(r));
}

static void accept_some(struct worker *w)
{
	for (int i = 0; i < ACCEPTS_PER_TURN && w->listen_fd >= 0; i++) {
		struct sockaddr_storage address = {0};
		socklen_t len = sizeof(address);
		int fd = accept4(w->listen_fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			welcome(w, fd, &address);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			rest_from_accepting(w, errno);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* --- draining ------------------------------------------------------------------------------------------------------
 */

static void stop_listening(struct worker *w)
{
	timers_cancel(&w->timers, &w->accept_timer);
	if (w->listen_fd >= 0)
		close(w->listen_fd);
	w->listen_fd = -1;
}

/* notice -> the last GOAWAY -> the grace ends, calls are aborted -> what is still open is cut. */
static void drain_step(struct timer *timer)
{
	struct worker *w = (struct worker *)((char *)timer - offsetof(struct worker, drain_timer));
	uint64_t now = clock_monotonic_ns(), grace = atomic_load(&w->server->grace_ms) * NS_PER_MS;
	uint64_t notice = drain_notice_ns(grace);
	w->drain++;
	for (struct connection *conn = w->connections; conn; conn = conn->next) {
		if (w->drain == DRAIN_NOTICE) {
			connection_drain_notice(conn);
		} else if (w->drain == DRAIN_KILL) {
			connection_kill(conn, "the server stops");
		} else {
			connection_drain(conn);
			if (w->drain == DRAIN_FLUSH)
				connection_abort_calls(conn, "the server is shutting down");
		}
	}
	if (w->drain == DRAIN_NOTICE)
		timers_set(&w->timers, timer, now + notice);
	else if (w->drain == DRAIN_CALLS)
		timers_set(&w->timers, timer, now + grace - notice);
	else if (w->drain == DRAIN_FLUSH)
		timers_set(&w->timers, timer, now + DRAIN_FLUSH_NS);
}

/* --- the loop ------------------------------------------------------------------------------------------------------
 */

static void settle_once(struct worker *w)
{
	struct grpc_call *call = w->resumed;
	w->resumed = NULL;
	while (call) {
		struct grpc_call *next = call->resumed_next;
		call_run_resumed(call);
		grpc_call_unref(call);
		call = next;
	}
	while (w->dirty) {
		struct connection *conn = w->dirty;
		w->dirty = conn->dirty_next;
		connection_flush(conn);
	}
	/* A connection that died stays in no other list: flushing it has just taken it from the dirty ones. */
	while (w->dead && !w->dirty) {
		struct connection *conn = w->dead;
		w->dead = conn->dead_next;
		connection_free(conn);
	}
}

void worker_settle(struct worker *w)
{
	while (w->resumed || w->dirty || w->dead)
		settle_once(w);
}

static void dispatch(struct worker *w, const struct epoll_event *event)
{
	if (event->data.ptr == w->posts) {
		uint64_t n;
		ssize_t r = read(w->posts->wake_fd, &n, sizeof(n));
		(void)r; /* EAGAIN: someone else's wake-up was taken with the last one */
		worker_run_posts(w);
	} else if (event->data.ptr == &w->listen_fd) {
		accept_some(w);
	} else {
		connection_event(event->data.ptr, event->events);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[EVENTS];
	while (w->drain == DRAIN_NOT || w->connections) {
		int n = epoll_wait(w->epoll_fd, events, EVENTS, timers_wait_ms(&w->timers, clock_monotonic_ns()));
		if (n < 0 && errno != EINTR) {
			log_error("the gRPC event loop failed", LOG_ERR(errno));
			break;
		}
		for (int i = 0; i < n; i++)
			dispatch(w, &events[i]);
		timers_run(&w->timers, clock_monotonic_ns());
		if (w->drain == DRAIN_NOT && atomic_load(&w->server->stopping)) {
			stop_listening(w);
			drain_step(&w->drain_timer);
		}
		worker_settle(w);
	}
	return NULL;
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static int open_loop(struct worker *w)
{
	w->posts = post_queue_new();
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!w->posts || w->epoll_fd < 0)
		return w->posts ? -errno : -ENOMEM;
	if (timers_reserve(&w->timers) < 0 || timers_reserve(&w->timers) < 0)
		return -ENOMEM;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = w->posts};
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->posts->wake_fd, &event) < 0)
		return -errno;
	event.data.ptr = &w->listen_fd;
	if (w->listen_fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->listen_fd, &event) < 0)
		return -errno;
	return 0;
}

int worker_new(struct grpc_server *server, int listen_fd, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w) {
		if (listen_fd >= 0)
			close(listen_fd);
		return -ENOMEM;
	}
	w->server = server;
	w->listen_fd = listen_fd;
	w->epoll_fd = -1;
	w->accept_timer.fn = listen_again;
	w->drain_timer.fn = drain_step;
	w->output = BUF_INIT(GRPC_OUTPUT_MAX);
	w->headers = BUF_INIT(2 * GRPC_HEADER_LIST_BYTES);
	int r = open_loop(w);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

int worker_run(struct worker *w)
{
	int r = pthread_create(&w->thread, NULL, worker_main, w);
	w->has_thread = r == 0;
	return -r;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	if (w->has_thread)
		pthread_join(w->thread, NULL);
	for (struct connection *conn = w->connections; conn; conn = conn->next)
		connection_kill(conn, "the server stops");
	worker_settle(w);
	if (w->posts)
		run_posts(w->posts, true);
	worker_settle(w);
	stop_listening(w);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	post_queue_unref(w->posts);
	timers_free(&w->timers);
	grpc_compressor_free(w->compressor);
	buf_free(&w->output);
	buf_free(&w->headers);
	free(w);
}
