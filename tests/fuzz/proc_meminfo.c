#include "agent/collectors/proc_meminfo.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	if (proc_meminfo_parse((const char *)data, size, &memory) == 0 && !memory.has_total_bytes)
		abort();
	return 0;
}
