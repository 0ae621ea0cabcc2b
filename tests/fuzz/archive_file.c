/* A backup of anybody's: read to its end or to what is wrong, twice. */
#include "backend/archive/archive_file.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct archive_reader *archive;
	struct archive_record record;
	char path[64], error[ARCHIVE_ERROR_SIZE];
	int fd = memfd_create("archive", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (archive_open(path, &archive, error) == 0) {
		for (int round = 0; round < 2; round++) {
			while (archive_next(archive, &record, error) == 1)
				;
			if (archive_rewind(archive) < 0)
				break;
		}
		archive_reader_close(archive);
	}
	close(fd);
	return 0;
}
