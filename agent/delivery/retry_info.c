/* Three messages around one number, read from the wire: no code is generated of a schema that is not ours. */
#include "agent/delivery/retry_info.h"

#include "common/encoding.h"
#include "common/wire.h"

#include <errno.h>
#include <string.h>

#define TYPE_URL "type.googleapis.com/google.rpc.RetryInfo"
#define VALUE_MAX 8192

enum { STATUS_DETAILS = 3, ANY_TYPE_URL = 1, ANY_VALUE = 2, RETRY_DELAY = 1, DURATION_SECONDS = 1, DURATION_NANOS = 2 };

/* The last bytes field of that number: *ret_len stays 0 when there is none. */
static int find_bytes(const uint8_t *data, size_t len, uint32_t number, const uint8_t **ret, size_t *ret_len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	int r;
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number != number || f.type != WIRE_BYTES)
			continue;
		*ret = f.data;
		*ret_len = f.len;
	}
	return r;
}

static int read_duration(const uint8_t *data, size_t len, uint64_t *ret_ms)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	uint64_t seconds = 0, nanos = 0;
	int r;
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.type != WIRE_VARINT)
			continue;
		if (f.number == DURATION_SECONDS)
			seconds = f.value;
		else if (f.number == DURATION_NANOS)
			nanos = f.value;
	}
	/* Negative ones are large here. */
	if (r < 0 || seconds > INT64_MAX || nanos > 999999999)
		return -EPROTO;
	*ret_ms = seconds >= RETRY_INFO_MAX_MS / 1000 ? RETRY_INFO_MAX_MS : seconds * 1000 + (nanos + 999999) / 1000000;
	return 0;
}

/* One Any: -ENOENT when it is of another type. */
static int read_detail(const uint8_t *data, size_t len, uint64_t *ret_ms)
{
	const uint8_t *type = NULL, *value = NULL, *delay = NULL;
	size_t type_len = 0, value_len = 0, delay_len = 0;
	if (find_bytes(data, len, ANY_TYPE_URL, &type, &type_len) < 0 ||
	    find_bytes(data, len, ANY_VALUE, &value, &value_len) < 0)
		return -EPROTO;
	if (type_len != strlen(TYPE_URL) || memcmp(type, TYPE_URL, type_len) != 0)
		return -ENOENT;
	if (find_bytes(value, value_len, RETRY_DELAY, &delay, &delay_len) < 0)
		return -EPROTO;
	return read_duration(delay, delay_len, ret_ms);
}

int retry_info_parse(const char *value, size_t len, uint64_t *ret_ms)
{
	uint8_t status[VALUE_MAX / 4 * 3 + 2];
	size_t status_len;
	struct wire_field f;
	int r;
	if (len > VALUE_MAX)
		return -EMSGSIZE;
	if (encoding_unbase64(value, len, status, &status_len) < 0)
		return -EPROTO;
	struct wire_reader reader = wire_reader(status, status_len);
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number != STATUS_DETAILS || f.type != WIRE_BYTES)
			continue;
		r = read_detail(f.data, f.len, ret_ms);
		if (r != -ENOENT)
			return r;
	}
	return r < 0 ? r : -ENOENT;
}
