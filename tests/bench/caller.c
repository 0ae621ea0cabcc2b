/* Hello is sent at once: the backend answers with Welcome when it has come that far, and nothing waits for it here. */
#include "tests/bench/caller.h"

#include "agent/delivery/dial.h"
#include "common/encoding.h"
#include "common/wire.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum { AGENT_HELLO = 1, AGENT_BATCH = 2, BACKEND_WELCOME = 1 };

#define MESSAGE_MAX (4u << 20)

void caller_die(const char *what, int error)
{
	(void)fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(-error));
	exit(1);
}

void caller_must(int r, const char *what)
{
	if (r < 0)
		caller_die(what, r);
}

static void send_field(struct caller *c, uint32_t number, const void *data, size_t len)
{
	struct buf message = BUF_INIT(MESSAGE_MAX);
	caller_must(wire_put_bytes(&message, number, data, len), "a message");
	caller_must(call_send(c->call, message.data, message.len), "sending");
	buf_free(&message);
}

void caller_send_batch(struct caller *c, const void *batch, size_t len)
{
	send_field(c, AGENT_BATCH, batch, len);
}

static void send_hello(struct caller *c)
{
	char text[UUID_TEXT_SIZE], name[64];
	struct buf hello = BUF_INIT(4096);
	struct descriptor_blob set = descriptors_snapshot();
	encoding_uuid_format(c->host_id, text);
	int len = snprintf(name, sizeof(name), "%s-%s", c->name, text);
	caller_must(wire_put_bytes(&hello, 1, text, strlen(text)), "Hello");
	caller_must(wire_put_bytes(&hello, 2, name, (size_t)len), "Hello");
	caller_must(wire_put_bytes(&hello, 3, c->instance, 16), "Hello");
	caller_must(wire_put_bytes(&hello, 4, c->host_id, 16), "Hello");
	caller_must(wire_put_bytes(&hello, 5, set.sha256, 32), "Hello");
	if (c->takes_hold)
		caller_must(wire_put_uint(&hello, 7, true), "Hello");
	send_field(c, AGENT_HELLO, hello.data, hello.len);
	buf_free(&hello);
}

static void on_message(void *arg, const uint8_t *message, size_t len)
{
	struct caller *c = arg;
	struct wire_reader reader = wire_reader(message, len);
	struct wire_field f;
	if (wire_next(&reader, &f) != 1)
		return;
	if (f.number == BACKEND_WELCOME)
		c->welcomed = true;
	else
		c->on_field(c->arg, f.number, f.data, f.len);
}

void caller_open(struct caller *c)
{
	int fd = dial("127.0.0.1", c->port, 5000, -1);
	const struct channel_options channel = {
		.authority = "localhost", .key = c->key, .host = "localhost", .tls = c->tls};
	const struct call_options call = {.path = "/sonde.v1.Ingest/Stream",
					  .max_message = 1u << 20,
					  .vital = true,
					  .on_message = on_message,
					  .arg = c};
	caller_must(fd, "connecting");
	caller_must(channel_open(fd, &channel, &c->channel), "a channel");
	caller_must(call_begin(c->channel, &call, &c->call), "a call");
	send_hello(c);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	caller_must(epoll_ctl(c->epoll, EPOLL_CTL_ADD, channel_fd(c->channel), &event) < 0 ? -errno : 0, "epoll");
	caller_flush(c);
}

/* What a peer that went away is told by; everything else is a bench's own mistake. */
static int lost_or(struct caller *c, int r)
{
	c->lost |= r == -ECONNRESET || r == -EPIPE || r == -ETIMEDOUT;
	return c->lost ? 0 : r;
}

void caller_flush(struct caller *c)
{
	caller_must(lost_or(c, channel_write(c->channel)), "writing");
	if (c->lost)
		return;
	bool writing = channel_wants_write(c->channel);
	if (writing == c->writing)
		return;
	struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
	caller_must(epoll_ctl(c->epoll, EPOLL_CTL_MOD, channel_fd(c->channel), &event) < 0 ? -errno : 0, "epoll");
	c->writing = writing;
}

bool caller_read(struct caller *c)
{
	int status;
	const char *text;
	caller_must(lost_or(c, channel_read(c->channel)), "reading");
	return !c->lost && !call_ended(c->call, &status, &text);
}

void caller_complain(const struct caller *c)
{
	int status = -1;
	const char *text = "because the connection is lost";
	(void)call_ended(c->call, &status, &text);
	(void)fprintf(stderr, "%s: the call ended with %d %s\n", program_invocation_short_name, status, text);
	exit(1);
}

void caller_close(struct caller *c)
{
	call_close(c->call);
	channel_close(c->channel);
	c->call = NULL;
	c->channel = NULL;
	c->welcomed = c->writing = c->lost = false;
}

void caller_take_key(const char *path, char key[CALLER_KEY_SIZE])
{
	FILE *f = fopen(path, "re");
	char line[CALLER_KEY_SIZE] = "";
	if (!f || !fgets(line, sizeof(line), f))
		caller_die("the key file", -ENOENT);
	(void)fclose(f);
	line[strcspn(line, "#\n")] = '\0';
	memcpy(key, line, sizeof(line));
}

void caller_more_files(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	caller_must(setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0, "more files");
}
