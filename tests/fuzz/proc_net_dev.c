#include "agent/collectors/proc_net_dev.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_net_dev_reader reader;
	struct net_dev_row row;
	const char *text = (const char *)data;
	if (proc_net_dev_reader(text, size, &reader) < 0)
		return 0;
	while (proc_net_dev_next(&reader, &row) > 0) {
		if (row.name < text || row.name + row.name_len > text + size || row.name_len > NET_DEV_NAME_MAX)
			abort();
	}
	return 0;
}
