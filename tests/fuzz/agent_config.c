#include "agent/options.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"cpu", "memory", NULL};
	struct options options;
	char error[OPTIONS_ERROR_SIZE] = "";
	options_defaults(&options);
	int r = options_read_yaml((const char *)data, size, "agent.yaml", names, &options, error);
	if (r < 0 && (error[0] == '\0' || strchr(error, '\n')))
		abort();
	if (r == 0 && (options.interval_ms < 100 || options.interval_ms > 3600000))
		abort();
	return 0;
}
