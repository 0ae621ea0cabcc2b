#include "agent/host/facts.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char value[32];
	int n = facts_os_release((const char *)data, size, "PRETTY_NAME", value, sizeof(value));
	if (n >= (int)sizeof(value))
		abort();
	n = facts_cpu_model((const char *)data, size, value, sizeof(value));
	if (n >= (int)sizeof(value))
		abort();
	return 0;
}
