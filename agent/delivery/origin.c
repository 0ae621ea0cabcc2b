#include "agent/delivery/origin.h"

#include "common/encoding.h"
#include "common/wire.h"

#include <errno.h>
#include <string.h>

enum { HELLO_HOST_ID = 1, HELLO_INSTANCE = 3, HELLO_BOOT_ID = 4, HELLO_DESCRIPTOR_HASH = 5 };

static int take(const struct wire_field *f, uint8_t *to, size_t len)
{
	if (f->type != WIRE_BYTES || f->len != len)
		return -EPROTO;
	memcpy(to, f->data, len);
	return 0;
}

int origin_of_hello(const uint8_t *hello, size_t len, struct origin *ret, uint8_t ret_host_id[16])
{
	struct wire_reader reader = wire_reader(hello, len);
	struct wire_field f;
	struct origin origin;
	uint8_t host_id[16];
	unsigned seen = 0;
	int n, r = 0;
	while ((n = wire_next(&reader, &f)) == 1 && r == 0) {
		if (f.number == HELLO_HOST_ID)
			r = f.type == WIRE_BYTES ? encoding_uuid_parse((const char *)f.data, f.len, host_id) : -EPROTO;
		else if (f.number == HELLO_INSTANCE)
			r = take(&f, origin.instance, sizeof(origin.instance));
		else if (f.number == HELLO_BOOT_ID)
			r = take(&f, origin.boot_id, sizeof(origin.boot_id));
		else if (f.number == HELLO_DESCRIPTOR_HASH)
			r = take(&f, origin.descriptor_hash, sizeof(origin.descriptor_hash));
		else
			continue;
		seen |= 1u << f.number;
	}
	const unsigned all =
		1u << HELLO_HOST_ID | 1u << HELLO_INSTANCE | 1u << HELLO_BOOT_ID | 1u << HELLO_DESCRIPTOR_HASH;
	if (r < 0 || n < 0 || seen != all)
		return -EPROTO;
	*ret = origin;
	memcpy(ret_host_id, host_id, sizeof(host_id));
	return 0;
}

int origin_put_hello(const uint8_t *hello, size_t len, const struct origin *origin, struct buf *out)
{
	struct wire_reader reader = wire_reader(hello, len);
	struct wire_field f;
	size_t before = out->len;
	int n, r = 0;
	while (r == 0 && (n = wire_next(&reader, &f)) == 1) {
		if (f.number < HELLO_INSTANCE || f.number > HELLO_DESCRIPTOR_HASH)
			r = buf_append(out, f.begin, (size_t)(reader.p - f.begin));
	}
	if (r == 0)
		r = n;
	if (r == 0)
		r = wire_put_bytes(out, HELLO_INSTANCE, origin->instance, sizeof(origin->instance));
	if (r == 0)
		r = wire_put_bytes(out, HELLO_BOOT_ID, origin->boot_id, sizeof(origin->boot_id));
	if (r == 0)
		r = wire_put_bytes(out, HELLO_DESCRIPTOR_HASH, origin->descriptor_hash,
				   sizeof(origin->descriptor_hash));
	if (r < 0)
		out->len = before;
	return r;
}
