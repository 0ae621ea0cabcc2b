#include "agent/collectors/proc_net_sockstat.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Sonde__V1__NetworkSockets sockets;
	sonde__v1__network_sockets__init(&sockets);
	int r = proc_net_sockstat_parse((const char *)data, size, 4096, &sockets);
	if (r != 0 && r != -EPROTO)
		abort();
	return 0;
}
