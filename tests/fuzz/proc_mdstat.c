#include "agent/collectors/proc_mdstat.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	struct proc_mdstat_reader reader = proc_mdstat_reader(text, size);
	struct mdstat_row row;
	while (proc_mdstat_next(&reader, &row) > 0) {
		if (row.name < text || row.name + row.name_len > end || row.name_len > MDSTAT_NAME_MAX ||
		    row.state + row.state_len > end || (row.level && row.level + row.level_len > end) ||
		    (row.action && row.action + row.action_len > end) || (row.has_progress && row.done > row.todo))
			abort();
	}
	return 0;
}
