#include "agent/collectors/proc_vmstat.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Sonde__V1__Vmstat vmstat = SONDE__V1__VMSTAT__INIT;
	if (proc_vmstat_parse((const char *)data, size, 4096, &vmstat) == 0 && !vmstat.has_page_faults)
		abort();
	return 0;
}
