/* Health and reflection, v1 and v1alpha: every message they take, in a call of a session without sockets. The first
 * byte chooses the method and how the message travels; what follows is the message, or several, each behind its length.
 */
#include "backend/grpc/health.h"
#include "backend/grpc/internal.h"
#include "backend/grpc/reflection.h"
#include "proto/descriptors.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_METHODS 5

static struct grpc_service services[3];

static struct worker *fuzz_worker(void)
{
	static struct worker *worker;
	static struct method_entry entries[N_METHODS];
	static struct grpc_server server = {.services = services,
					    .n_services = 3,
					    .methods = entries,
					    .max_connections = 1,
					    .keepalive_ns = NS_PER_SECOND,
					    .keepalive_answer_ns = NS_PER_SECOND,
					    .ping_interval_ns = NS_PER_SECOND};
	if (worker)
		return worker;
	struct descriptor_blob descriptors = descriptors_services();
	struct health *health = health_new();
	struct reflection *reflection;
	if (!health || reflection_new(descriptors.data, descriptors.len, &reflection) < 0 ||
	    health_set(health, "a.Service", HEALTH_SERVING) < 0)
		abort();
	services[0] = health_service(health);
	services[1] = reflection_service_v1(reflection);
	services[2] = reflection_service_v1alpha(reflection);
	reflection_set_services(reflection, services, 3);
	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < services[i].n_methods; j++)
			entries[server.n_methods++] =
				(struct method_entry){&services[i].methods[j], services[i].service};
	}
	/* By path, as bsearch() wants them: they are few. */
	for (size_t i = 0; i < server.n_methods; i++) {
		for (size_t j = i + 1; j < server.n_methods; j++) {
			if (strcmp(entries[i].method->path, entries[j].method->path) > 0) {
				struct method_entry other = entries[i];
				entries[i] = entries[j];
				entries[j] = other;
			}
		}
	}
	if (server.n_methods != N_METHODS || worker_new(&server, -1, &worker) < 0)
		abort();
	return worker;
}

static size_t put(uint8_t *out, const char *name, const char *value)
{
	size_t n = 0;
	out[n++] = 0;
	out[n++] = (uint8_t)strlen(name);
	memcpy(out + n, name, strlen(name));
	n += strlen(name);
	out[n++] = (uint8_t)strlen(value);
	memcpy(out + n, value, strlen(value));
	return n + strlen(value);
}

static size_t put_frame(uint8_t *out, size_t len, uint8_t type, uint8_t flags)
{
	memcpy(out, (uint8_t[]){(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, 1}, 9);
	return 9;
}

static void begin_call(struct connection *conn, const struct method_entry *entry, bool gzip)
{
	static const uint8_t greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	uint8_t out[512];
	size_t n = 9;
	connection_input(conn, greeting, sizeof(greeting));
	n += put(out + n, ":method", "POST");
	n += put(out + n, ":scheme", "http");
	n += put(out + n, ":path", entry->method->path);
	n += put(out + n, ":authority", "fuzz");
	n += put(out + n, "content-type", "application/grpc");
	if (gzip)
		n += put(out + n, "grpc-accept-encoding", "gzip");
	put_frame(out, n - 9, 1, 4);
	connection_input(conn, out, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker *worker = fuzz_worker();
	struct connection *conn;
	if (size == 0 || size > 16000)
		return 0;
	if (connection_new(worker, -1, "fuzz", &conn) < 0)
		abort();
	begin_call(conn, &worker->server->methods[data[0] % N_METHODS], data[0] & 0x80);
	worker_settle(worker);
	size_t at = 1;
	do {
		/* One message, of a length that is said, or all there is. */
		size_t len = (data[0] & 0x40) && at < size ? data[at++] : size - at;
		uint8_t out[16384];
		if (len > size - at)
			len = size - at;
		size_t n = put_frame(out, len + GRPC_FRAME_HEADER, 0, at + len >= size ? 1 : 0);
		grpc_frame_header(out + n, len);
		memcpy(out + n + GRPC_FRAME_HEADER, data + at, len);
		if (worker->connections)
			connection_input(conn, out, n + GRPC_FRAME_HEADER + len);
		worker_run_posts(worker);
		worker_settle(worker);
		at += len;
	} while (at < size && worker->connections);
	if (worker->connections)
		connection_kill(conn, "end of input");
	worker_settle(worker);
	worker_run_posts(worker);
	assert(!worker->connections && worker->buffered == 0 && worker->timers.n == 0);
	return 0;
}
