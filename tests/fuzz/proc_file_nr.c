#include "agent/collectors/proc_file_nr.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_file_nr handles = {.used = 42};
	int r = proc_file_nr_parse((const char *)data, size, &handles);
	if (r != 0 && (r != -EPROTO || handles.used != 42))
		abort();
	return 0;
}
