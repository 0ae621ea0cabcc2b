/* The paths that are neither operations of the API nor files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct request;

struct http_route {
	const char *path;
	const char *method; /* NULL: the handler looks itself; "GET" is HEAD too */
	bool part;	    /* of another one: not for OpenAPI by itself */
	void (*handle)(struct request *request);
};
extern const struct http_route http_routes[];
extern const size_t http_n_routes;
