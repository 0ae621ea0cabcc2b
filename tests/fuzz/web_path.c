/* Paths to files: whatever is accepted stays below the root and can be judged further. */
#include "backend/web/static_path.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[STATIC_PATH_MAX];
	(void)static_path_is_view((const char *)data, size);
	if (static_path_resolve((const char *)data, size, path) < 0)
		return 0;
	if (path[0] == '/' || path[0] == '.' || strstr(path, "/.") || strstr(path, "//") || strchr(path, '\\'))
		abort();
	(void)static_path_type(path);
	(void)static_path_is_hashed(path);
	return 0;
}
