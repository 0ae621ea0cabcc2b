/* Who answers what. Paths below /api, and the few beside it, never fall through to files. */
#include "backend/web/http_routes.h"
#include "backend/web/server.h"

#include <stdio.h>
#include <string.h>

static void live_without_upgrade(struct request *request)
{
	request_answer(request, 426, "application/json");
	request_header(request, "upgrade", "websocket");
	request_send_error(request, "upgrade_required", "connect here with a WebSocket");
}

/* The short name that load balancers and container probes expect. */
static void health(struct request *request)
{
	static const char api_health[] = "/api/health";
	memcpy(request->path, api_health, sizeof(api_health));
	request->path_len = sizeof(api_health) - 1;
	rest_handle(request);
}

const struct http_route http_routes[] = {
	{.path = "/token", .method = "POST", .handle = login_token},
	{.path = "/api/logout", .method = "POST", .handle = login_logout},
	{.path = "/api/ws/metrics", .handle = live_without_upgrade},
	{.path = "/health", .handle = health},
	{.path = "/docs", .method = "GET", .handle = docs_page},
	{.path = "/docs/metrics", .method = "GET", .handle = docs_page},
	{.path = "/docs/docs.js", .method = "GET", .part = true, .handle = docs_script},
	{.path = "/api", .part = true, .handle = rest_handle},
	{.path = "/metrics", .part = true, .handle = rest_handle},
	{.path = "/openapi.json", .part = true, .handle = rest_handle},
};
const size_t http_n_routes = sizeof(http_routes) / sizeof(http_routes[0]);

static bool path_is(const struct request *request, const char *path)
{
	return request->path_len == strlen(path) && memcmp(request->path, path, request->path_len) == 0;
}

static void wrong_method(struct request *request, const char *method)
{
	char allow[32];
	bool reads = strcmp(method, "GET") == 0;
	(void)snprintf(allow, sizeof(allow), "%s%s", method, reads ? ", HEAD" : "");
	request_answer(request, 405, "application/json");
	request_header(request, "allow", allow);
	request_send_error(request, "method_not_allowed",
			   reads ? "files are read with GET" : "this path takes POST only");
}

static bool takes(const struct request *request, const char *method)
{
	return strcmp(request->method, method) == 0 || (request->head && strcmp(method, "GET") == 0);
}

void http_dispatch(struct request *request)
{
	for (size_t i = 0; i < http_n_routes; i++) {
		const struct http_route *route = &http_routes[i];
		if (!path_is(request, route->path))
			continue;
		if (route->method && !takes(request, route->method))
			wrong_method(request, route->method);
		else
			route->handle(request);
		return;
	}
	if (request->path_len > 5 && memcmp(request->path, "/api/", 5) == 0)
		rest_handle(request);
	else if (takes(request, "GET"))
		static_serve(request);
	else
		wrong_method(request, "GET");
}
