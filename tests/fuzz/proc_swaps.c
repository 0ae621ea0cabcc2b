#include "agent/collectors/proc_swaps.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_swaps_reader reader;
	struct swap_row row;
	const char *text = (const char *)data;
	if (proc_swaps_reader(text, size, &reader) < 0)
		return 0;
	while (proc_swaps_next(&reader, &row) > 0) {
		if (row.device.len == 0 || row.device.text < text || row.device.text + row.device.len > text + size)
			abort();
	}
	return 0;
}
