#include "agent/collectors/proc_net_conntrack.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_net_conntrack stat;
	int r = proc_net_conntrack_parse((const char *)data, size, &stat);
	if (r == 0 ? !stat.has[CONNTRACK_ENTRIES] : r != -EPROTO)
		abort();
	return 0;
}
