#include "agent/cgroups/files.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says which file it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct arena *arena = arena_new(1 << 20);
	if (!arena)
		return 0;
	struct cgroup_parsing parsing = {.arena = arena, .user_hz = 100};
	Sonde__V1__Cgroup out;
	sonde__v1__cgroup__init(&out);
	const struct cgroup_file *file = &cgroup_files[data[0] % CGROUP_FILES];
	int r = file->parse((const char *)data + 1, size - 1, &parsing, &out);
	if ((r != 0 && r != -EPROTO && r != -ENOMEM) || out.n_io > CGROUP_IO_MAX)
		abort();
	/* Whatever was taken can be packed. */
	uint8_t *packed = malloc(sonde__v1__cgroup__get_packed_size(&out) + 1);
	if (packed && r == 0)
		(void)sonde__v1__cgroup__pack(&out, packed);
	free(packed);
	arena_free(arena);
	return 0;
}
