/* Few messages of few fields: written with common/wire.h, so that no generated code of a foreign schema is carried. */
#include "backend/grpc/error_details.h"

#include "common/wire.h"

#include <string.h>

#define TYPE(name) ("type.googleapis.com/google.rpc." name)

/* One Any in Status.details (field 3). */
static int put_any(struct buf *details, const char *type, const struct buf *value)
{
	BUF_CLEANUP struct buf any = BUF_INIT(ERROR_DETAILS_MAX);
	int r = wire_put_bytes(&any, 1, type, strlen(type));
	if (r == 0)
		r = wire_put_bytes(&any, 2, value->data, value->len);
	return r < 0 ? r : wire_put_bytes(details, 3, any.data, any.len);
}

static int put_text(struct buf *b, uint32_t number, const char *text)
{
	return wire_put_bytes(b, number, text, strlen(text));
}

int error_details_retry(struct buf *details, uint64_t delay_ms)
{
	BUF_CLEANUP struct buf duration = BUF_INIT(32), info = BUF_INIT(64);
	int r = delay_ms >= 1000 ? wire_put_uint(&duration, 1, delay_ms / 1000) : 0;
	if (r == 0 && delay_ms % 1000 != 0)
		r = wire_put_uint(&duration, 2, delay_ms % 1000 * 1000000);
	if (r == 0)
		r = wire_put_bytes(&info, 1, duration.data, duration.len);
	return r < 0 ? r : put_any(details, TYPE("RetryInfo"), &info);
}

int error_details_bad_field(struct buf *details, const char *field, const char *description)
{
	BUF_CLEANUP struct buf violation = BUF_INIT(ERROR_DETAILS_MAX), request = BUF_INIT(ERROR_DETAILS_MAX);
	int r = put_text(&violation, 1, field);
	if (r == 0)
		r = put_text(&violation, 2, description);
	if (r == 0)
		r = wire_put_bytes(&request, 1, violation.data, violation.len);
	return r < 0 ? r : put_any(details, TYPE("BadRequest"), &request);
}

int error_details_reason(struct buf *details, const char *reason, const char *domain)
{
	BUF_CLEANUP struct buf info = BUF_INIT(ERROR_DETAILS_MAX);
	int r = put_text(&info, 1, reason);
	if (r == 0)
		r = put_text(&info, 2, domain);
	return r < 0 ? r : put_any(details, TYPE("ErrorInfo"), &info);
}

int error_details_resource(struct buf *details, const char *type, const char *name, const char *description)
{
	BUF_CLEANUP struct buf info = BUF_INIT(ERROR_DETAILS_MAX);
	int r = put_text(&info, 1, type);
	if (r == 0)
		r = put_text(&info, 2, name);
	if (r == 0)
		r = put_text(&info, 4, description);
	return r < 0 ? r : put_any(details, TYPE("ResourceInfo"), &info);
}

int error_details_status(unsigned code, const char *message, const struct buf *details, struct buf *out)
{
	int r = wire_put_uint(out, 1, code);
	if (r == 0 && message)
		r = put_text(out, 2, message);
	return r < 0 ? r : buf_append(out, details->data, details->len);
}
