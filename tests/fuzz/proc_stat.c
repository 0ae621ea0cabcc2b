#include "agent/collectors/proc_stat.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_stat_cpu cpus[64];
	struct proc_stat stat;
	const char *text = (const char *)data;
	size_t n = proc_stat_count_cpus(text, size);
	if (proc_stat_parse(text, size, cpus, n < 64 ? n : 64, &stat) == 0 && stat.n_cpus > n)
		abort();
	return 0;
}
