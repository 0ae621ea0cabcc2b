#include "agent/extras.h"

#include <errno.h>
#include <string.h>

static const char *const names[EXTRAS] = {
	[EXTRA_OFF_CPU] = "off_cpu",
	[EXTRA_RUN_QUEUE_CGROUPS] = "run_queue_cgroups",
	[EXTRA_TCP_RTT] = "tcp_rtt",
	[EXTRA_BLOCK_IO_TAG_WAIT] = "block_io_tag_wait",
	[EXTRA_PROCESS_NETWORK] = "process_network",
};

const char *extra_name(enum extra extra)
{
	return names[extra];
}

int extra_find(const char *name, size_t len)
{
	for (int i = 0; i < EXTRAS; i++) {
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	}
	return -ENOENT;
}
