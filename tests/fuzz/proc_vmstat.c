#include "agent/collectors/proc_vmstat.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Sonde__V1__Vmstat vmstat = SONDE__V1__VMSTAT__INIT;
	static struct proc_vmstat_memo kept; /* of the input before */
	static const struct proc_vmstat_memo empty;
	struct proc_vmstat_memo fresh = empty;
	Sonde__V1__Vmstat again = SONDE__V1__VMSTAT__INIT;
	int r = proc_vmstat_parse((const char *)data, size, 4096, &fresh, &vmstat);
	if (r == 0 && !vmstat.has_page_faults)
		abort();
	if (proc_vmstat_parse((const char *)data, size, 4096, &kept, &again) != r ||
	    memcmp(&vmstat, &again, sizeof(vmstat)) != 0)
		abort();
	return 0;
}
