#include "agent/collectors/link_events.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_changes changes = {.n = 0};
	link_events_parse(data, size, &changes);
	if (changes.n > LINK_EVENTS_MAX)
		abort();
	return 0;
}
