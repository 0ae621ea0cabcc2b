#include "agent/collectors/dram_domains.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t value = 42;
	int r = resctrl_value_parse((const char *)data, size, &value);
	if (r != 0 && ((r != -ENODATA && r != -EPROTO) || value != 42))
		abort();
	return 0;
}
