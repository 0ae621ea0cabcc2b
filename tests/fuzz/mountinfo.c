#include "agent/collectors/mount_table.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mount mount;
	const char *text = (const char *)data;
	if (mounts_find(text, size, "/var/lib/images/a disk.img", &mount) == 0 &&
	    (mount.type.text < text || mount.type.text + mount.type.len > text + size))
		abort();
	struct mounts_reader reader = mounts_reader(text, size);
	while (mounts_next(&reader, &mount) > 0) {
		char point[64];
		int len = mount_unescape(mount.point, point, sizeof(point));
		if (len >= (int)sizeof(point) || (len >= 0 && point[len] != '\0') ||
		    mount.source.text + mount.source.len > text + size)
			abort();
	}
	struct mount_table table;
	if (mount_table_choose(text, size, 8, &table) == 0) {
		for (size_t i = 0; i < table.n; i++) {
			if (i >= 8 || table.mounts[i].point.text + table.mounts[i].point.len > text + size)
				abort();
		}
		mount_table_free(&table);
	}
	return 0;
}
