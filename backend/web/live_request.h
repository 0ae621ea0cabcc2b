/* What a live client says: a LiveRequest as protobuf or as JSON text. Pure functions. */
#pragma once

#include "backend/auth/auth.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIVE_REQUEST_MAX (64u << 10)
#define LIVE_MAX_HOSTS 1024
#define LIVE_MAX_SECTIONS 32
#define LIVE_SECTION_MAX 64

struct live_subscription {
	bool nothing;	/* no host at all */
	bool all_hosts; /* "*" */
	size_t n_hosts;
	char **hosts;	   /* hostnames or host ids */
	size_t n_sections; /* 0: all */
	char sections[LIVE_MAX_SECTIONS][LIVE_SECTION_MAX];
};
void live_subscription_free(struct live_subscription *subscription); /* accepts a zeroed one */

bool live_subscription_wants(const struct live_subscription *subscription, const char *host_id, const char *hostname)
	__attribute__((nonnull));

enum live_request_kind { LIVE_AUTHENTICATE, LIVE_SUBSCRIBE };
struct live_request {
	enum live_request_kind kind;
	char token[AUTH_TOKEN_MAX];
	struct live_subscription subscription;
};

/* 0; -EINVAL with a sentence in error: malformed, unknown type, wrong types, over the limits above; -ENOMEM. *ret is
 * filled only on success; release its subscription. */
int live_request_parse_wire(const uint8_t *data, size_t len, struct live_request *ret, char *error, size_t error_size)
	__attribute__((nonnull(3, 4), warn_unused_result));
int live_request_parse_json(const char *text, size_t len, struct live_request *ret, char *error, size_t error_size)
	__attribute__((nonnull(3, 4), warn_unused_result));
