#include "agent/cgroups/name.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cgroup_name name;
	cgroup_name((const char *)data, size, &name);
	if (strnlen(name.name, sizeof(name.name)) == sizeof(name.name) || !name.manager ||
	    strnlen(name.container_id, sizeof(name.container_id)) == sizeof(name.container_id) ||
	    strnlen(name.pod_uid, sizeof(name.pod_uid)) == sizeof(name.pod_uid))
		abort();
	return 0;
}
