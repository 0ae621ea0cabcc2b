#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot_index index;
	BUF_CLEANUP struct buf copy = BUF_INIT(1 << 20);
	struct snapshot_index head;
	size_t len = size / 2, need = 0;
	int r;
	/* What a beginning says lies in it, and more is always wanted by at least a byte. */
	while ((r = snapshot_index_head(data, len, size, 12, &head, &need)) == -EAGAIN) {
		if (need <= len || need > size)
			abort();
		len = need;
	}
	if (r == 0 && head.n_sections > 0 && (uint64_t)head.sections[0].offset + head.sections[0].len > len)
		abort();
	if (snapshot_index_beginning(data, size / 2, size, &head, &need) == 0) {
		if (need > size / 2)
			abort();
		for (uint32_t i = 0; i < head.n_sections; i++) {
			if ((uint64_t)head.sections[i].offset + head.sections[i].len > need)
				abort();
		}
	}
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
