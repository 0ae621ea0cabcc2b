#include "agent/host/mounts.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mount mount;
	const char *text = (const char *)data;
	if (mounts_find(text, size, "/var/lib/images/a disk.img", &mount) == 0 &&
	    (mount.type < text || mount.type + mount.type_len > text + size))
		abort();
	return 0;
}
