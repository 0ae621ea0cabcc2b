#include "agent/collectors/proc_diskstats.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_diskstats_reader reader = proc_diskstats_reader((const char *)data, size);
	struct diskstats_row row;
	while (proc_diskstats_next(&reader, &row) > 0) {
		const char *text = (const char *)data;
		if (row.name < text || row.name + row.name_len > text + size || row.name_len > DISKSTATS_NAME_MAX)
			abort();
	}
	return 0;
}
