#include "agent/collectors/proc_loadavg.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_loadavg load;
	if (proc_loadavg_parse((const char *)data, size, &load) == 0 && !(load.load1 >= 0 && load.load15 >= 0))
		abort();
	return 0;
}
