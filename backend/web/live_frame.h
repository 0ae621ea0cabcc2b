/* Hub frames as the messages of the two forms. Protobuf is spliced around the agent's bytes, never decoded. */
#pragma once

#include "backend/hub/hub.h"
#include "backend/web/live_queue.h"
#include "backend/web/live_request.h"

/* The sections that a subscription wants of a frame, by the schema of the agent that sent it; UINT64_MAX for all. */
uint64_t live_frame_mask(const struct hub_frame *frame, const struct live_subscription *subscription)
	__attribute__((nonnull));
/* A frame for clients of one form. `mask` chooses the sections of a snapshot, UINT64_MAX all. NULL when it cannot be
 * encoded; *ret_error is then a negative errno. */
struct live_message *live_frame_message(struct hub_frame *frame, bool binary, uint64_t mask, int *ret_error)
	__attribute__((nonnull));
/* LiveReady and LiveError. NULL when out of memory. */
struct live_message *live_frame_ready(bool binary, const char *username);
struct live_message *live_frame_error(bool binary, const char *code, const char *message);
