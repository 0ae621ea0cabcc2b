/* One implementation for both versions: their messages differ in the package's name only, which is not on the wire. One
 * answer is made at a time; while a peer does not take it, no further question is read. */
#include "backend/grpc/reflection.h"

#include "backend/grpc/descriptor_index.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX_BYTES 16384
#define REPLY_MAX_BYTES (4u << 20)

struct reflection {
	struct descriptor_index *index;
	const struct grpc_service *services;
	size_t n_services;
};

/* The fields of ServerReflectionRequest and ServerReflectionResponse. */
enum { ASK_HOST = 1, ASK_FILE = 3, ASK_SYMBOL = 4, ASK_EXTENSION = 5, ASK_EXTENSION_NUMBERS = 6, ASK_SERVICES = 7 };
enum { SAY_HOST = 1, SAY_REQUEST = 2, SAY_FILES = 4, SAY_NUMBERS = 5, SAY_SERVICES = 6, SAY_ERROR = 7 };

int reflection_new(const uint8_t *descriptor_set, size_t len, struct reflection **ret)
{
	struct reflection *reflection = calloc(1, sizeof(*reflection));
	if (!reflection)
		return -ENOMEM;
	int r = descriptor_index_new(descriptor_set, len, &reflection->index);
	if (r < 0) {
		free(reflection);
		return r;
	}
	*ret = reflection;
	return 0;
}

void reflection_free(struct reflection *reflection)
{
	if (!reflection)
		return;
	descriptor_index_free(reflection->index);
	free(reflection);
}

void reflection_set_services(struct reflection *reflection, const struct grpc_service *services, size_t n)
{
	reflection->services = services;
	reflection->n_services = n;
}

/* --- answers -------------------------------------------------------------------------------------------------------
 */

static int put_error(struct buf *reply, enum grpc_status code, const char *text)
{
	BUF_CLEANUP struct buf error = BUF_INIT(256);
	int r = wire_put_uint(&error, 1, code);
	if (r == 0)
		r = wire_put_bytes(&error, 2, text, strlen(text));
	return r < 0 ? r : wire_put_bytes(reply, SAY_ERROR, error.data, error.len);
}

static int put_file(void *arg, const uint8_t *data, size_t len)
{
	return wire_put_bytes(arg, 1, data, len);
}

/* file is what a look-up gave. */
static int put_files(const struct reflection *reflection, struct buf *reply, int file, const char *missing)
{
	if (file < 0)
		return put_error(reply, GRPC_NOT_FOUND, missing);
	BUF_CLEANUP struct buf files = BUF_INIT(REPLY_MAX_BYTES);
	int r = descriptor_index_closure(reflection->index, file, put_file, &files);
	return r < 0 ? r : wire_put_bytes(reply, SAY_FILES, files.data, files.len);
}

static int put_services(const struct reflection *reflection, struct buf *reply)
{
	BUF_CLEANUP struct buf list = BUF_INIT(REPLY_MAX_BYTES);
	for (size_t i = 0; i < reflection->n_services; i++) {
		BUF_CLEANUP struct buf service = BUF_INIT(4096);
		const char *name = reflection->services[i].name;
		int r = wire_put_bytes(&service, 1, name, strlen(name));
		if (r == 0)
			r = wire_put_bytes(&list, 1, service.data, service.len);
		if (r < 0)
			return r;
	}
	return wire_put_bytes(reply, SAY_SERVICES, list.data, list.len);
}

static int put_number(void *arg, uint32_t number)
{
	return wire_put_varint(arg, number);
}

static int put_extension_numbers(const struct reflection *reflection, struct buf *reply, const struct wire_field *type)
{
	if (!descriptor_index_is_message(reflection->index, type->data, type->len))
		return put_error(reply, GRPC_NOT_FOUND, "no such message type");
	BUF_CLEANUP struct buf numbers = BUF_INIT(REPLY_MAX_BYTES);
	BUF_CLEANUP struct buf answer = BUF_INIT(REPLY_MAX_BYTES);
	int r = descriptor_index_extensions(reflection->index, type->data, type->len, put_number, &numbers);
	if (r == 0)
		r = wire_put_bytes(&answer, 1, type->data, type->len);
	if (r == 0)
		r = wire_put_bytes(&answer, 2, numbers.data, numbers.len); /* packed, as proto3 has it */
	return r < 0 ? r : wire_put_bytes(reply, SAY_NUMBERS, answer.data, answer.len);
}

static int put_extension(const struct reflection *reflection, struct buf *reply, const struct wire_field *request)
{
	struct wire_reader reader = wire_reader(request->data, request->len);
	struct wire_field f, type = {0};
	uint32_t number = 0;
	int n;
	while ((n = wire_next(&reader, &f)) > 0) {
		if (f.number == 1 && f.type == WIRE_BYTES)
			type = f;
		else if (f.number == 2 && f.type == WIRE_VARINT)
			number = (uint32_t)f.value;
	}
	if (n < 0)
		return n;
	return put_files(reflection, reply, descriptor_index_extension(reflection->index, type.data, type.len, number),
			 "no such extension");
}

static int put_answer(const struct reflection *reflection, struct buf *reply, const struct wire_field *ask)
{
	const struct descriptor_index *index = reflection->index;
	switch (ask->number) {
	case ASK_FILE:
		return put_files(reflection, reply, descriptor_index_file(index, ask->data, ask->len), "no such file");
	case ASK_SYMBOL:
		return put_files(reflection, reply, descriptor_index_symbol(index, ask->data, ask->len),
				 "no such symbol");
	case ASK_EXTENSION:
		return put_extension(reflection, reply, ask);
	case ASK_EXTENSION_NUMBERS:
		return put_extension_numbers(reflection, reply, ask);
	case ASK_SERVICES:
		return put_services(reflection, reply);
	default:
		return put_error(reply, GRPC_INVALID_ARGUMENT, "the request asks for nothing that is known here");
	}
}

/* -EPROTO when the request is malformed. */
static int answer(const struct reflection *reflection, const uint8_t *message, size_t len, struct buf *reply)
{
	struct wire_reader reader = wire_reader(message, len);
	struct wire_field f, host = {0}, ask = {0};
	int n;
	while ((n = wire_next(&reader, &f)) > 0) {
		if (f.type != WIRE_BYTES)
			continue;
		if (f.number != ASK_EXTENSION && !wire_utf8(f.data, f.len))
			return -EPROTO;
		if (f.number == ASK_HOST)
			host = f;
		else if (f.number >= ASK_FILE && f.number <= ASK_SERVICES)
			ask = f;
	}
	if (n < 0)
		return n;
	int r = host.len > 0 ? wire_put_bytes(reply, SAY_HOST, host.data, host.len) : 0;
	if (r == 0)
		r = wire_put_bytes(reply, SAY_REQUEST, message, len);
	return r < 0 ? r : put_answer(reflection, reply, &ask);
}

/* --- the call ------------------------------------------------------------------------------------------------------
 */

/* The answer that waits for room, if there is one, is the call's data. */
static void send_answer(struct grpc_call *call, struct buf *reply)
{
	int r = grpc_call_send(call, reply->data, reply->len);
	if (r == -EAGAIN && !grpc_call_data(call)) {
		struct buf *kept = malloc(sizeof(*kept));
		if (kept) {
			*kept = *reply;
			*reply = BUF_INIT(0);
			grpc_call_set_data(call, kept);
			grpc_call_pause(call);
			return;
		}
		r = -ENOMEM;
	}
	if (r < 0 && r != -EAGAIN)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

static void on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	BUF_CLEANUP struct buf reply = BUF_INIT(REPLY_MAX_BYTES);
	int r = answer(service, message, len, &reply);
	if (r == -EPROTO)
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "not a valid ServerReflectionRequest");
	else if (r < 0)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		send_answer(call, &reply);
}

static void drop_kept(struct grpc_call *call)
{
	struct buf *kept = grpc_call_data(call);
	buf_free(kept);
	free(kept);
	grpc_call_set_data(call, NULL);
}

static void on_writable(struct grpc_call *call, void *service)
{
	struct buf *kept = grpc_call_data(call);
	if (!kept)
		return;
	int r = grpc_call_send(call, kept->data, kept->len);
	if (r == -EAGAIN)
		return;
	drop_kept(call);
	if (r < 0)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		grpc_call_resume(call);
}

static void on_half_close(struct grpc_call *call, void *service)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_close(struct grpc_call *call, void *service)
{
	drop_kept(call);
}

#define METHOD(service)                                                                                                \
	{                                                                                                              \
		.path = "/" service "/ServerReflectionInfo", .max_message = REQUEST_MAX_BYTES, .compress_from = 1024,  \
		.on_message = on_message, .on_half_close = on_half_close, .on_close = on_close,                        \
		.on_writable = on_writable                                                                             \
	}

static const struct grpc_method methods_v1[] = {METHOD("grpc.reflection.v1.ServerReflection")};
static const struct grpc_method methods_v1alpha[] = {METHOD("grpc.reflection.v1alpha.ServerReflection")};

struct grpc_service reflection_service_v1(struct reflection *reflection)
{
	return (struct grpc_service){.name = "grpc.reflection.v1.ServerReflection",
				     .methods = methods_v1,
				     .n_methods = 1,
				     .service = reflection};
}

struct grpc_service reflection_service_v1alpha(struct reflection *reflection)
{
	return (struct grpc_service){.name = "grpc.reflection.v1alpha.ServerReflection",
				     .methods = methods_v1alpha,
				     .n_methods = 1,
				     .service = reflection};
}
