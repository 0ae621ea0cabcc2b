/* A delay within its bounds, or nothing was written. */
#include "agent/delivery/retry_info.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t ms = UINT64_MAX;
	int r = retry_info_parse((const char *)data, size, &ms);
	if (r == 0 ? ms > RETRY_INFO_MAX_MS : ms != UINT64_MAX)
		abort();
	return 0;
}
