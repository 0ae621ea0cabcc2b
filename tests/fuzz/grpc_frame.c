/* The first byte says how the rest is cut; every cut gives the same messages as feeding it whole. */
#include "common/grpc_frame.h"

#include <stdlib.h>

static int count(void *arg, const uint8_t *message, size_t len, bool compressed)
{
	size_t *sum = arg;
	*sum += len + 1;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grpc_deframer whole, cut;
	size_t a = 0, b = 0, step = size > 0 ? data[0] % 16 + 1 : 1;
	if (size == 0)
		return 0;
	grpc_deframer_init(&whole, 1000);
	grpc_deframer_init(&cut, 1000);
	int r = grpc_deframer_feed(&whole, data + 1, size - 1, count, &a), s = 0;
	for (size_t at = 1; at < size && s == 0; at += step)
		s = grpc_deframer_feed(&cut, data + at, step < size - at ? step : size - at, count, &b);
	if (r != s || a != b)
		abort();
	grpc_deframer_free(&whole);
	grpc_deframer_free(&cut);
	return 0;
}
