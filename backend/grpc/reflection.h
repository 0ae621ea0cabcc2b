/* Server reflection, v1 and v1alpha (the same messages under two names), without credentials: what grpcurl, Postman and
 * their like ask. Answers from a serialised FileDescriptorSet; a file comes with everything it imports. */
#pragma once

#include "backend/grpc/server.h"

struct reflection;

/* Indexes the set (descriptors_services()), which is borrowed. 0, -ENOMEM, -EPROTO for what is no descriptor set. */
int reflection_new(const uint8_t *descriptor_set, size_t len, struct reflection **ret)
	__attribute__((nonnull, warn_unused_result));
/* After grpc_server_stop(). Accepts NULL. */
void reflection_free(struct reflection *reflection);

/* What list_services answers: usually the very array that grpc_server_start() gets, with reflection's own services in
 * it. Borrowed; before the server starts. */
void reflection_set_services(struct reflection *reflection, const struct grpc_service *services, size_t n);

struct grpc_service reflection_service_v1(struct reflection *reflection);
struct grpc_service reflection_service_v1alpha(struct reflection *reflection);
