#include "common/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader reader = wire_reader(data, size);
	struct wire_field f;
	while (wire_next(&reader, &f) == 1) {
		if (f.begin < data || reader.p > data + size || (f.type == WIRE_BYTES && f.data + f.len > data + size))
			abort();
		if (f.type == WIRE_BYTES)
			(void)wire_utf8(f.data, f.len);
	}
	return 0;
}
