/* Who answers what. Paths below /api, and the few beside it, never fall through to files. */
#include "backend/web/server.h"

#include <string.h>

static bool path_is(const struct request *request, const char *path)
{
	return request->path_len == strlen(path) && memcmp(request->path, path, request->path_len) == 0;
}

static void only_post(struct request *request, void (*handle)(struct request *request))
{
	if (strcmp(request->method, "POST") == 0) {
		handle(request);
		return;
	}
	request_answer(request, 405, "application/json");
	request_header(request, "allow", "POST");
	request_send_error(request, "method_not_allowed", "this path takes POST only");
}

void http_dispatch(struct request *request)
{
	if (path_is(request, "/token")) {
		only_post(request, login_token);
	} else if (path_is(request, "/api/logout")) {
		only_post(request, login_logout);
	} else if (path_is(request, "/api/ws/metrics")) {
		request_answer(request, 426, "application/json");
		request_header(request, "upgrade", "websocket");
		request_send_error(request, "upgrade_required", "connect here with a WebSocket");
	} else if (path_is(request, "/health")) {
		/* The short name that load balancers and container probes expect. */
		static const char api_health[] = "/api/health";
		memcpy(request->path, api_health, sizeof(api_health));
		request->path_len = sizeof(api_health) - 1;
		rest_handle(request);
	} else if (path_is(request, "/metrics") || path_is(request, "/openapi.json") || path_is(request, "/api") ||
		   (request->path_len > 5 && memcmp(request->path, "/api/", 5) == 0)) {
		rest_handle(request);
	} else if (strcmp(request->method, "GET") == 0 || request->head) {
		static_serve(request);
	} else {
		request_answer(request, 405, "application/json");
		request_header(request, "allow", "GET, HEAD");
		request_send_error(request, "method_not_allowed", "files are read with GET");
	}
}
