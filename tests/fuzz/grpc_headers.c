/* The texts of gRPC's headers: what is accepted obeys its grammar, what is encoded decodes to what it was. */
#include "backend/grpc/compression.h"
#include "backend/grpc/status.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned digit(char c)
{
	return c >= 'A' ? (unsigned)(c - 'A' + 10) : (unsigned)(c - '0');
}

static void encode_and_decode(const char *text, size_t size)
{
	char encoded[GRPC_MESSAGE_ENCODED_SIZE];
	size_t n = grpc_message_encode(text, size, encoded), decoded = 0;
	assert(n < sizeof(encoded) && strlen(encoded) == n);
	for (size_t i = 0; i < n; i++, decoded++) {
		char c = encoded[i];
		assert(c >= 0x20 && c <= 0x7e);
		if (c == '%') {
			c = (char)(digit(encoded[i + 1]) << 4 | digit(encoded[i + 2]));
			i += 2;
		}
		assert(decoded < size && c == text[decoded]);
	}
	assert(decoded == size || (size > GRPC_MESSAGE_MAX && decoded + 3 >= GRPC_MESSAGE_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	uint64_t ns = 42;
	int r = grpc_timeout_parse(text, size, &ns);
	if (r == 0)
		assert(size >= 2 && size <= 9 && strchr("HMSmun", text[size - 1]));
	else
		assert(ns == 42);
	encode_and_decode(text, size);

	char *terminated = strndup(text, size);
	if (!terminated)
		abort();
	if (grpc_content_type_ok(terminated))
		assert(strncmp(terminated, "application/grpc", 16) == 0);
	free(terminated);

	struct buf plain = BUF_INIT(1 << 16);
	r = grpc_gunzip(data, size, &plain);
	assert(plain.len <= plain.max && r <= 0);
	buf_free(&plain);
	return 0;
}
