#include "agent/cgroups/hierarchies.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cgroup_hierarchies h;
	if (cgroup_hierarchies_parse((const char *)data, size, &h) < 0)
		return 0;
	if (h.n > CGROUP_HIERARCHIES_MAX || (h.n > 0 && h.tree >= h.n) || (h.n == 0) != (h.layout == CGROUP_NONE))
		abort();
	for (size_t i = 0; i < h.n; i++) {
		if (strlen(h.list[i].dir) >= CGROUP_DIR_SIZE)
			abort();
	}
	return 0;
}
