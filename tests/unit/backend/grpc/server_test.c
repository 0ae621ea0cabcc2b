/* What a handler is promised, over loopback with a client of a few fixed frames. */
#include "backend/grpc/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
	atomic_int starts, messages, closes, posts_alive, posts_dead;
	atomic_int first_send, second_send, huge_send, late_send;
	_Atomic(struct grpc_call *) kept;
	atomic_bool missing_metadata, bad_metadata, wanted_at_close;
	atomic_int late_initial;
};

/* "x-key: value" and "x-bytes-bin: AQID" come with each request. */
static void check_metadata(struct grpc_call *call, struct seen *seen)
{
	BUF_CLEANUP struct buf bytes = BUF_INIT(64), small = BUF_INIT(2);
	char large[9000];
	memset(large, 'x', sizeof(large));
	bool good = grpc_call_metadata_bytes(call, "x-bytes-bin", &bytes) == 0 && bytes.len == 3 &&
		    memcmp(bytes.data, "\1\2\3", 3) == 0 &&
		    grpc_call_metadata_bytes(call, "x-bytes-bin", &small) == -EMSGSIZE &&
		    grpc_call_metadata_bytes(call, "x-none-bin", &bytes) == -ENOENT &&
		    grpc_call_metadata_bytes(call, "x-bad-bin", &bytes) == -EPROTO &&
		    !grpc_call_metadata_next(call, "x-key", grpc_call_metadata(call, "x-key"));
	static const char *const names[] = {"", "X-Upper", "a b", ":status", "grpc-status", "a\n"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		good = good && grpc_call_add_initial(call, names[i], "v", 1) == -EINVAL &&
		       grpc_call_add_trailing(call, names[i], "v", 1) == -EINVAL;
	good = good && grpc_call_add_trailing(call, "x", "a\nb", 3) == -EINVAL &&
	       grpc_call_add_trailing(call, "x", " a", 2) == -EINVAL &&
	       grpc_call_add_trailing(call, "x-bin", "\0\n", 2) == 0 &&
	       grpc_call_add_trailing(call, "x", large, sizeof(large)) == -EMSGSIZE &&
	       grpc_call_add_trailing(call, "x", large, 5000) == 0 &&
	       grpc_call_add_trailing(call, "y", large, 5000) == -EMSGSIZE && !grpc_call_compress(call, 0) &&
	       grpc_call_wanted(call);
	seen->bad_metadata = !good;
}

static void on_start(struct grpc_call *call, void *service)
{
	struct seen *seen = service;
	const char *key = grpc_call_metadata(call, "x-key");
	seen->missing_metadata = !key || strcmp(key, "value") != 0 || grpc_call_metadata(call, "x") != NULL ||
				 strncmp(grpc_call_peer(call), "127.0.0.1:", 10) != 0;
	check_metadata(call, seen);
	seen->kept = grpc_call_ref(call);
	grpc_call_set_data(call, seen);
	seen->starts++;
}

static void on_close(struct grpc_call *call, void *service)
{
	struct seen *seen = grpc_call_data(call);
	seen->late_send = grpc_call_send(call, "x", 1);
	seen->wanted_at_close = grpc_call_wanted(call);
	grpc_call_finish(call, GRPC_OK, NULL);
	seen->closes++;
}

static void send_twice(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct seen *seen = service;
	uint8_t *huge = calloc(1, (64u << 20) + 1);
	assert_non_null(huge);
	seen->messages++;
	seen->huge_send = grpc_call_send(call, huge, (64u << 20) + 1);
	seen->first_send = grpc_call_send(call, message, len);
	seen->late_initial = grpc_call_add_initial(call, "x-late", "v", 1);
	seen->second_send = grpc_call_send(call, message, len);
	free(huge);
	grpc_call_finish(call, GRPC_OK, NULL);
	grpc_call_finish(call, GRPC_INTERNAL, "harmless");
}

static void forget_to_reply(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void stay_open(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct seen *seen = service;
	seen->messages++;
}

static const struct grpc_method methods[] = {
	{.path = "/t/Twice", .on_start = on_start, .on_message = send_twice, .on_close = on_close, .unary = true},
	{.path = "/t/None", .on_start = on_start, .on_message = forget_to_reply, .on_close = on_close, .unary = true},
	{.path = "/t/Open", .on_start = on_start, .on_message = stay_open, .on_close = on_close},
};

static struct grpc_server *start(struct seen *seen, size_t max_connections)
{
	/* Static: it must outlive the server. */
	static struct grpc_service service;
	service = (struct grpc_service){.name = "t", .methods = methods, .n_methods = 3, .service = seen};
	const struct grpc_server_options options = {.address = "127.0.0.1", .max_connections = max_connections};
	struct grpc_server *server;
	char *error = NULL;
	assert_int_equal(grpc_server_start(&options, &service, 1, &server, &error), 0);
	return server;
}

static int dial(const struct grpc_server *server)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(grpc_server_port(server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static size_t put(uint8_t *out, const char *name, const char *value)
{
	size_t n = 0, name_len = strlen(name), value_len = strlen(value);
	out[n++] = 0;
	out[n++] = (uint8_t)name_len;
	memcpy(out + n, name, name_len);
	n += name_len;
	out[n++] = (uint8_t)value_len;
	memcpy(out + n, value, value_len);
	return n + value_len;
}

/* Stream 1, one message "ping"; half-closed or not. */
static void ask(int fd, const char *path, bool end)
{
	uint8_t out[512] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	size_t n = 24 + 9, head = n;
	n += 9;
	n += put(out + n, ":method", "POST");
	n += put(out + n, ":scheme", "http");
	n += put(out + n, ":path", path);
	n += put(out + n, ":authority", "test");
	n += put(out + n, "content-type", "application/grpc");
	n += put(out + n, "x-key", "value");
	n += put(out + n, "x-bytes-bin", "AQID,BAUG");
	n += put(out + n, "x-bad-bin", "A");
	memcpy(out + head, (uint8_t[]){0, 0, (uint8_t)(n - head - 9), 1, 4, 0, 0, 0, 1}, 9);
	memcpy(out + n, (uint8_t[]){0, 0, 9, 0, end ? 1 : 0, 0, 0, 0, 1, 0, 0, 0, 0, 4, 'p', 'i', 'n', 'g'}, 18);
	n += 18;
	assert_int_equal(write(fd, out, n), n);
}

static void wait_for(atomic_int *value, int at_least)
{
	for (int i = 0; i < 1000 && *value < at_least; i++)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	assert_true(*value >= at_least);
}

static void a_unary_method_replies_once(void **state)
{
	struct seen seen = {0};
	struct grpc_server *server = start(&seen, 0);
	int fd = dial(server);
	ask(fd, "/t/Twice", true);
	wait_for(&seen.closes, 1);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.messages, 1);
	assert_false(seen.missing_metadata);
	assert_false(seen.bad_metadata);
	assert_false(seen.wanted_at_close);
	assert_int_equal(seen.late_initial, -EALREADY);
	assert_int_equal(seen.huge_send, -EMSGSIZE);
	assert_int_equal(seen.first_send, 0);
	assert_int_equal(seen.second_send, -EINVAL);
	assert_int_equal(seen.late_send, -ECANCELED);
	grpc_call_unref(seen.kept);
	close(fd);
	grpc_server_stop(server, 0);
}

/* The value of grpc-status travels as its length and digits. */
static void a_unary_method_without_reply_is_an_internal_error(void **state)
{
	struct seen seen = {0};
	struct grpc_server *server = start(&seen, 0);
	int fd = dial(server);
	uint8_t in[2000];
	size_t n = 0;
	ask(fd, "/t/None", true);
	wait_for(&seen.closes, 1);
	grpc_server_stop(server, 0);
	for (ssize_t r; n < sizeof(in) && (r = read(fd, in + n, sizeof(in) - n)) > 0;)
		n += (size_t)r;
	assert_non_null(memmem(in, n,
			       "\x02"
			       "13",
			       3));
	grpc_call_unref(seen.kept);
	close(fd);
}

static void count_post(struct grpc_call *call, bool alive, void *arg)
{
	struct seen *seen = arg;
	if (alive)
		seen->posts_alive++;
	else
		seen->posts_dead++;
}

static void posts_run_while_alive_and_are_told_when_not(void **state)
{
	struct seen seen = {0};
	struct grpc_server *server = start(&seen, 0);
	int fd = dial(server);
	ask(fd, "/t/Open", false);
	wait_for(&seen.messages, 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(grpc_call_post(seen.kept, count_post, &seen), 0);
	wait_for(&seen.posts_alive, 100);
	assert_int_equal(grpc_server_stats(server).calls_active, 1);
	close(fd);
	wait_for(&seen.closes, 1);
	assert_int_equal(grpc_call_post(seen.kept, count_post, &seen), 0);
	wait_for(&seen.posts_dead, 1);
	grpc_server_stop(server, 0);
	/* A reference may outlive the server. */
	assert_int_equal(grpc_call_post(seen.kept, count_post, &seen), -ESHUTDOWN);
	assert_int_equal(seen.posts_alive + seen.posts_dead, 101);
	grpc_call_unref(seen.kept);
}

static void *post_for_ever(void *arg)
{
	struct seen *seen = arg;
	struct grpc_call *call = seen->kept;
	intptr_t accepted = 0;
	for (int r; (r = grpc_call_post(call, count_post, seen)) != -ESHUTDOWN; accepted += r == 0)
		sched_yield();
	return (void *)accepted;
}

static void every_accepted_post_runs_even_while_stopping(void **state)
{
	struct seen seen = {0};
	struct grpc_server *server = start(&seen, 0);
	int fd = dial(server);
	pthread_t threads[2];
	intptr_t total = 0;
	ask(fd, "/t/Open", false);
	wait_for(&seen.messages, 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_for_ever, &seen), 0);
	wait_for(&seen.posts_alive, 100);
	grpc_server_stop(server, 20);
	for (int i = 0; i < 2; i++) {
		void *accepted;
		pthread_join(threads[i], &accepted);
		total += (intptr_t)accepted;
	}
	assert_int_equal(seen.posts_alive + seen.posts_dead, total);
	assert_int_equal(seen.closes, 1);
	grpc_call_unref(seen.kept);
	close(fd);
}

static void connections_over_the_limit_are_hung_up_on(void **state)
{
	struct seen seen = {0};
	struct grpc_server *server = start(&seen, 2);
	int fds[4];
	char byte;
	for (int i = 0; i < 4; i++)
		fds[i] = dial(server);
	assert_int_equal(read(fds[2], &byte, 1), 0);
	assert_int_equal(read(fds[3], &byte, 1), 0);
	assert_int_equal(read(fds[0], &byte, 1), 1); /* its SETTINGS */
	assert_int_equal(grpc_server_stats(server).connections, 2);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	grpc_server_stop(server, 0);
	grpc_server_stop(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unary_method_replies_once),
		cmocka_unit_test(a_unary_method_without_reply_is_an_internal_error),
		cmocka_unit_test(posts_run_while_alive_and_are_told_when_not),
		cmocka_unit_test(every_accepted_post_runs_even_while_stopping),
		cmocka_unit_test(connections_over_the_limit_are_hung_up_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
