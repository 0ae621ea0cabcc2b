#include "agent/collectors/sys_cpu_list.h"

#include <stdint.h>
#include <stdlib.h>

#define MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t numbers[MAX], count;
	if (sys_cpu_list_parse((const char *)data, size, numbers, MAX, &count) < 0)
		return 0;
	for (uint32_t i = 1; i < count && i < MAX; i++) {
		if (numbers[i] <= numbers[i - 1])
			abort();
	}
	return 0;
}
