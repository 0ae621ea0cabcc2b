/* What agents send, taken apart on the wire: messages are borrowed slices, snapshots are never unpacked. Pure functions
 * of (bytes, length). */
#pragma once

#include "common/encoding.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_HOSTNAME_MAX 253
#define HELLO_FACTS_MAX (16u << 10)

/* Numbers as in AgentMessage's oneof. */
enum envelope_kind {
	ENVELOPE_NONE, /* empty, or something a newer agent says */
	ENVELOPE_HELLO,
	ENVELOPE_BATCH,
	ENVELOPE_DESCRIPTOR_SET,
	ENVELOPE_CONFIG_STATUS,
};

struct envelope {
	enum envelope_kind kind;
	const uint8_t *data;
	size_t len;
};

/* 0; -EPROTO for malformed bytes or more than one message in the oneof. */
int envelope_parse(const uint8_t *data, size_t len, struct envelope *ret)
	__attribute__((nonnull(3), warn_unused_result));

struct hello {
	uint8_t host_id[16];
	char host_id_text[UUID_TEXT_SIZE];
	char hostname[HELLO_HOSTNAME_MAX + 1];
	uint8_t instance[16];
	uint8_t boot_id[16];
	uint8_t descriptor_hash[32];
	const uint8_t *facts; /* serialised HostFacts, borrowed; its contents are not checked here */
	size_t facts_len;
	bool takes_hold; /* it knows BackendMessage.hold */
};

/* Whether a host may be called so: 1 to 253 bytes of printable UTF-8. */
bool hello_hostname_ok(const void *name, size_t len);
/* 0, or -EPROTO and a sentence that names the field. */
int hello_parse(const uint8_t *data, size_t len, struct hello *ret, const char **ret_problem)
	__attribute__((nonnull(3, 4), warn_unused_result));

/* PushRequest: both parts must be there. 0 or -EPROTO. */
int push_parse(const uint8_t *data, size_t len, struct envelope *ret_hello, struct envelope *ret_batch)
	__attribute__((nonnull(3, 4), warn_unused_result));

/* The bytes of a DescriptorSet message's one field (empty if absent). 0 or -EPROTO. */
int descriptor_set_parse(const uint8_t *data, size_t len, struct envelope *ret)
	__attribute__((nonnull(3), warn_unused_result));

/* The next Snapshot of a Batch: 1, 0 at the end, -EPROTO. */
int batch_next(struct wire_reader *reader, struct wire_field *ret) __attribute__((nonnull, warn_unused_result));
/* How many there are, or -EPROTO. */
int batch_count(const uint8_t *data, size_t len) __attribute__((warn_unused_result));
