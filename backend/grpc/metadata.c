/* What travels beside the messages, both ways. The request's headers and each kind of the reply's are one buffer of
 * "name NUL value NUL ...": values can hold no NUL in HTTP/2, and bytes are base64 here. */
#include "backend/grpc/internal.h"
#include "common/encoding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool metadata_next(const struct buf *list, size_t *at, const char **ret_name, const char **ret_value)
{
	if (*at >= list->len)
		return false;
	*ret_name = (const char *)list->data + *at;
	*ret_value = *ret_name + strlen(*ret_name) + 1;
	*at = (size_t)(*ret_value + strlen(*ret_value) + 1 - (const char *)list->data);
	return true;
}

const char *grpc_call_metadata_next(struct grpc_call *call, const char *name, const char *previous)
{
	size_t at = previous ? (size_t)(previous + strlen(previous) + 1 - (const char *)call->headers.data) : 0;
	for (const char *key, *value; metadata_next(&call->headers, &at, &key, &value);) {
		if (strcmp(key, name) == 0)
			return value;
	}
	return NULL;
}

const char *grpc_call_metadata(struct grpc_call *call, const char *name)
{
	return grpc_call_metadata_next(call, name, NULL);
}

int grpc_call_metadata_bytes(struct grpc_call *call, const char *name, struct buf *ret)
{
	const char *text = grpc_call_metadata(call, name);
	if (!text)
		return -ENOENT;
	size_t len = strcspn(text, ","), got;
	int r = buf_reserve(ret, len / 4 * 3 + 2);
	if (r == 0)
		r = encoding_unbase64(text, len, ret->data + ret->len, &got);
	if (r == 0)
		ret->len += got;
	return r;
}

static bool name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.");
	return n > 0 && name[n] == '\0' && strncmp(name, "grpc-", 5) != 0;
}

/* HTTP/2 refuses a value with white space at an end. */
static bool text_ok(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (value[i] < ' ' || value[i] > '~')
			return false;
	}
	return len == 0 || (value[0] != ' ' && value[len - 1] != ' ');
}

static int append(struct buf *list, const char *name, const void *value, size_t len)
{
	size_t before = list->len;
	int r = buf_append(list, name, strlen(name) + 1);
	if (r == 0)
		r = buf_append(list, value, len);
	if (r == 0)
		r = buf_append(list, "", 1);
	if (r < 0)
		list->len = before;
	return r;
}

int metadata_add_bytes(struct buf *list, const char *name, const void *value, size_t len)
{
	char *text = malloc(ENCODING_BASE64_SIZE(len));
	if (!text)
		return -ENOMEM;
	int r = append(list, name, text, encoding_base64(value, len, text));
	free(text);
	return r;
}

static int add(struct grpc_call *call, struct buf *list, const char *name, const void *value, size_t len)
{
	size_t n = strlen(name);
	if (call->over || !call->conn)
		return -ECANCELED;
	if (!name_ok(name))
		return -EINVAL;
	if (len > GRPC_HEADER_LIST_BYTES)
		return -EMSGSIZE;
	if (n >= 4 && strcmp(name + n - 4, "-bin") == 0)
		return metadata_add_bytes(list, name, value, len);
	return text_ok(value, len) ? append(list, name, value, len) : -EINVAL;
}

int grpc_call_add_initial(struct grpc_call *call, const char *name, const void *value, size_t len)
{
	if (call->responded && !call->over)
		return -EALREADY;
	return add(call, &call->initial, name, value, len);
}

int grpc_call_add_trailing(struct grpc_call *call, const char *name, const void *value, size_t len)
{
	return add(call, &call->trailing, name, value, len);
}
