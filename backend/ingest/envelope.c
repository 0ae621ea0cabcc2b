#include "backend/ingest/envelope.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum {
	HELLO_HOST_ID = 1,
	HELLO_HOSTNAME = 2,
	HELLO_INSTANCE = 3,
	HELLO_BOOT_ID = 4,
	HELLO_DESCRIPTOR_HASH = 5,
	HELLO_FACTS = 6,
	HELLO_TAKES_HOLD = 7,
};
enum { PUSH_HELLO = 1, PUSH_BATCH = 2, BATCH_SNAPSHOTS = 1, DESCRIPTOR_SET_BYTES = 1 };

int envelope_parse(const uint8_t *data, size_t len, struct envelope *ret)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	struct envelope found = {.kind = ENVELOPE_NONE};
	int n;
	while ((n = wire_next(&reader, &f)) == 1) {
		if (f.number < ENVELOPE_HELLO || f.number > ENVELOPE_CONFIG_STATUS)
			continue;
		if (f.type != WIRE_BYTES || found.kind != ENVELOPE_NONE)
			return -EPROTO;
		found = (struct envelope){.kind = (enum envelope_kind)f.number, .data = f.data, .len = f.len};
	}
	if (n == 0)
		*ret = found;
	return n;
}

/* Printable: no control character of C0, DEL or C1 (U+0080..U+009F, two bytes in UTF-8), which would garble terminals
 * and logs. */
static bool printable(const uint8_t *text, size_t len)
{
	if (!wire_utf8(text, len))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] == 0x7f)
			return false;
		if (text[i] == 0xc2 && text[i + 1] < 0xa0)
			return false;
	}
	return true;
}

bool hello_hostname_ok(const void *name, size_t len)
{
	return len > 0 && len <= HELLO_HOSTNAME_MAX && printable(name, len);
}

static bool take_exactly(const struct wire_field *f, uint8_t *out, size_t len)
{
	if (f->type != WIRE_BYTES || f->len != len)
		return false;
	memcpy(out, f->data, len);
	return true;
}

static const char *take_hello_field(const struct wire_field *f, struct hello *h)
{
	switch (f->number) {
	case HELLO_HOST_ID:
		if (f->type != WIRE_BYTES || f->len != UUID_TEXT_SIZE - 1 ||
		    encoding_uuid_parse((const char *)f->data, f->len, h->host_id) < 0)
			return "Hello.host_id must be a UUID in text form";
		encoding_uuid_format(h->host_id, h->host_id_text);
		break;
	case HELLO_HOSTNAME:
		if (f->type != WIRE_BYTES || !hello_hostname_ok(f->data, f->len))
			return "Hello.hostname must be 1 to 253 bytes of printable UTF-8";
		memcpy(h->hostname, f->data, f->len);
		h->hostname[f->len] = '\0';
		break;
	case HELLO_INSTANCE:
		return take_exactly(f, h->instance, 16) ? NULL : "Hello.instance must be 16 bytes";
	case HELLO_BOOT_ID:
		return take_exactly(f, h->boot_id, 16) ? NULL : "Hello.boot_id must be 16 bytes";
	case HELLO_DESCRIPTOR_HASH:
		return take_exactly(f, h->descriptor_hash, 32) ? NULL : "Hello.descriptor_hash must be 32 bytes";
	case HELLO_FACTS:
		if (f->type != WIRE_BYTES || f->len > HELLO_FACTS_MAX)
			return "Hello.facts must be a message of at most 16 KiB";
		h->facts = f->data;
		h->facts_len = f->len;
		break;
	case HELLO_TAKES_HOLD:
		if (f->type != WIRE_VARINT)
			return "Hello.takes_hold must be a bool";
		h->takes_hold = f->value != 0;
		break;
	default:
		break; /* a newer agent's */
	}
	return NULL;
}

static const char *missing(unsigned seen)
{
	static const char *const sentences[] = {
		[HELLO_HOST_ID] = "Hello.host_id is missing",
		[HELLO_HOSTNAME] = "Hello.hostname is missing",
		[HELLO_INSTANCE] = "Hello.instance is missing",
		[HELLO_BOOT_ID] = "Hello.boot_id is missing",
		[HELLO_DESCRIPTOR_HASH] = "Hello.descriptor_hash is missing",
	};
	for (unsigned i = HELLO_HOST_ID; i <= HELLO_DESCRIPTOR_HASH; i++) {
		if (!(seen & 1u << i))
			return sentences[i];
	}
	return NULL;
}

int hello_parse(const uint8_t *data, size_t len, struct hello *ret, const char **ret_problem)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	struct hello hello = {0};
	const char *problem = NULL;
	unsigned seen = 0;
	int n;
	while (!problem && (n = wire_next(&reader, &f)) == 1) {
		problem = take_hello_field(&f, &hello);
		if (f.number <= HELLO_FACTS)
			seen |= 1u << f.number;
	}
	if (!problem)
		problem = n < 0 ? "Hello is malformed" : missing(seen);
	if (problem) {
		*ret_problem = problem;
		return -EPROTO;
	}
	*ret = hello;
	return 0;
}

int push_parse(const uint8_t *data, size_t len, struct envelope *ret_hello, struct envelope *ret_batch)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	struct envelope parts[PUSH_BATCH + 1] = {0};
	int n;
	while ((n = wire_next(&reader, &f)) == 1) {
		if (f.number > PUSH_BATCH)
			continue;
		if (f.type != WIRE_BYTES || parts[f.number].kind != ENVELOPE_NONE)
			return -EPROTO;
		parts[f.number].kind = f.number == PUSH_HELLO ? ENVELOPE_HELLO : ENVELOPE_BATCH;
		parts[f.number].data = f.data;
		parts[f.number].len = f.len;
	}
	if (n < 0 || parts[PUSH_HELLO].kind == ENVELOPE_NONE || parts[PUSH_BATCH].kind == ENVELOPE_NONE)
		return -EPROTO;
	*ret_hello = parts[PUSH_HELLO];
	*ret_batch = parts[PUSH_BATCH];
	return 0;
}

int descriptor_set_parse(const uint8_t *data, size_t len, struct envelope *ret)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	struct envelope found = {.kind = ENVELOPE_DESCRIPTOR_SET};
	int n;
	while ((n = wire_next(&reader, &f)) == 1) {
		if (f.number != DESCRIPTOR_SET_BYTES)
			continue;
		if (f.type != WIRE_BYTES)
			return -EPROTO;
		found.data = f.data;
		found.len = f.len;
	}
	if (n == 0)
		*ret = found;
	return n;
}

int batch_next(struct wire_reader *reader, struct wire_field *ret)
{
	struct wire_field f;
	int n;
	while ((n = wire_next(reader, &f)) == 1) {
		if (f.number != BATCH_SNAPSHOTS)
			continue;
		if (f.type != WIRE_BYTES)
			return -EPROTO;
		*ret = f;
		return 1;
	}
	return n;
}

int batch_count(const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	int count = 0, n;
	while ((n = batch_next(&reader, &f)) == 1 && count < INT_MAX)
		count++;
	return n < 0 ? n : count;
}
