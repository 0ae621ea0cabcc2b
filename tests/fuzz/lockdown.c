/* A word comes back, terminated and within its room, or nothing was written. */
#include "agent/doctor/kernel.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char mode[16];
	memset(mode, 'x', sizeof(mode));
	int len = kernel_lockdown_parse((const char *)data, size, mode, sizeof(mode));
	if (len == 0 || len >= (int)sizeof(mode) || (len > 0 && mode[len] != '\0') || (len < 0 && mode[0] != 'x'))
		abort();
	return 0;
}
