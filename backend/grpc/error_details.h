/* Details of an error as google.rpc has them: each function appends one entry of google.rpc.Status.details to a buffer
 * that goes to grpc_call_finish_details(). Strings must be UTF-8. Pure; thread-safe. All return 0, -ENOMEM or -EMSGSIZE
 * (the buffer's maximum). See https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto. */
#pragma once

#include "common/buf.h"

#define ERROR_DETAILS_MAX 4096

#define ERROR_DETAILS_INIT BUF_INIT(ERROR_DETAILS_MAX)

/* RetryInfo: try again after so long. */
int error_details_retry(struct buf *details, uint64_t delay_ms) __attribute__((nonnull, warn_unused_result));
/* BadRequest with one violation: "field" of the request, and what is wrong with it. */
int error_details_bad_field(struct buf *details, const char *field, const char *description)
	__attribute__((nonnull, warn_unused_result));
/* ErrorInfo: a REASON for programs, unique in the domain. */
int error_details_reason(struct buf *details, const char *reason, const char *domain)
	__attribute__((nonnull, warn_unused_result));
/* ResourceInfo: what was not found, or may not be touched. */
int error_details_resource(struct buf *details, const char *type, const char *name, const char *description)
	__attribute__((nonnull, warn_unused_result));

/* google.rpc.Status of it all: the bytes of grpc-status-details-bin. Appends to out. */
int error_details_status(unsigned code, const char *message, const struct buf *details, struct buf *out)
	__attribute__((nonnull(3, 4), warn_unused_result));
