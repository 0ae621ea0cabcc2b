#include "common/schema/snapshot_index.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot_index index;
	BUF_CLEANUP struct buf copy = BUF_INIT(1 << 20);
	if (snapshot_index_parse(data, size, &index) < 0)
		return 0;
	for (uint32_t i = 0; i < index.n_sections; i++) {
		if ((uint64_t)index.sections[i].offset + index.sections[i].len > size)
			abort();
	}
	if (snapshot_index_copy(data, size, ~0ull, &copy) == 0 && copy.len > size)
		abort();
	return 0;
}
