/* The HTTP wire: REST, the React build and the WebSocket /api/ws/metrics, on libwebsockets with one service thread. */
#pragma once

#include "backend/api/api.h"
#include "backend/auth/auth.h"
#include "backend/hub/hub.h"

#include <stdint.h>

struct web;

struct web_options {
	const char *address;
	uint16_t port;	      /* 0 picks one */
	const char *web_root; /* the React build; NULL or missing serves a page that says how to build it */
};

/* Borrows api, auth and hub. On failure *ret_error gets a malloc'd line for people (port taken: by whom to ask, which
 * flag). 0 or negative errno. */
int web_start(const struct web_options *options, struct api *api, struct auth *auth, struct hub *hub, struct web **ret,
	      char **ret_error) __attribute__((nonnull, warn_unused_result));
uint16_t web_port(const struct web *web);
uint32_t web_live_clients(void *web); /* for api_set_live_clients() */
void web_stop(struct web *web);	      /* closes WebSockets with 1001, joins; accepts NULL */
