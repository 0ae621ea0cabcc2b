#include "agent/collectors/sys_node.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Sonde__V1__MemoryNode node = SONDE__V1__MEMORY_NODE__INIT;
	if (sys_node_meminfo_parse((const char *)data, size, &node) == 0 && (!node.has_node || !node.has_total_bytes))
		abort();
	if (sys_node_numastat_parse((const char *)data, size, &node) == 0 && !node.has_pages_hit)
		abort();
	return 0;
}
