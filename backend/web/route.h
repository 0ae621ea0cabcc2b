/* From an HTTP request to an operation of the API and its request message: path templates and query parameters become
 * fields, with the types that the services' descriptor set gives them. Pure; a table is immutable once made. */
#pragma once

#include "backend/api/api.h"
#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUTE_MAX_PARAMETERS 4
#define ROUTE_MAX_ARGUMENTS 64
#define ROUTE_MAX_REQUEST (64u << 10)

struct route_table;

/* Compiles the operations that have an http_path. `set` is the serialised FileDescriptorSet that holds their request
 * types; ops are borrowed. 0, -EPROTO (not a descriptor set), -ENOENT (a request type or a template's field that it
 * does not have), -ENOMEM. */
int route_table_new(const struct api_operation *ops, size_t n_ops, const uint8_t *set, size_t len,
		    struct route_table **ret) __attribute__((nonnull, warn_unused_result));
void route_table_free(struct route_table *table); /* accepts NULL */

struct route_text {
	const char *text; /* decoded; may hold any byte */
	size_t len;
};

struct route_match {
	const struct api_operation *op;
	size_t index; /* private: of the route in the table */
	size_t n_parameters;
	struct route_text parameters[ROUTE_MAX_PARAMETERS]; /* into the path */
	char allow[64];					    /* ROUTE_WRONG_METHOD: for the Allow header */
};

enum route_result { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_WRONG_METHOD };

/* method is "GET", ...; HEAD finds what GET does. */
enum route_result route_find(const struct route_table *table, const char *method, const char *path, size_t len,
			     struct route_match *ret) __attribute__((nonnull));

/* Appends the request message's bytes. Each argument is "name=value". 0; -EINVAL with a sentence that names the
 * parameter (unknown, given twice, not a number, ...); -EMSGSIZE, -ENOMEM. */
int route_request(const struct route_table *table, const struct route_match *match, const struct route_text *arguments,
		  size_t n_arguments, struct buf *out, char *error, size_t error_size)
	__attribute__((nonnull(1, 2, 5, 6), warn_unused_result));
