#include "agent/collectors/proc_net_softnet.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_net_softnet_reader reader = proc_net_softnet_reader((const char *)data, size);
	struct softnet_row row;
	while (proc_net_softnet_next(&reader, &row) > 0) {
		if (row.n_values < 9 || row.n_values > SOFTNET_COLUMNS)
			abort();
	}
	return 0;
}
