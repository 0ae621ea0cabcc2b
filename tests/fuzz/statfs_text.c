#include "agent/collectors/statfs_text.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct statfs_reader reader = statfs_reader(text, size);
	struct statfs_row row;
	while (statfs_next(&reader, &row) > 0) {
		if (row.point.text < text || row.point.text + row.point.len > text + size || row.point.len == 0)
			abort();
	}
	return 0;
}
