/* Over tmpfs: below it nothing is counted. */
#include "tests/integration/bpf/block_io_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void transfer(int fd, bool is_write, size_t bytes, unsigned n)
{
	void *buffer = aligned_alloc(4096, bytes);
	assert_non_null(buffer);
	memset(buffer, 0x5a, bytes);
	for (unsigned i = 0; i < n; i++) {
		off_t at = (off_t)((i * 2 * bytes) % (DEVICE_BYTES - bytes));
		ssize_t r = is_write ? pwrite(fd, buffer, bytes, at) : pread(fd, buffer, bytes, at);
		assert_int_equal(r, bytes);
	}
	free(buffer);
}

struct loop_device attach_loop(void)
{
	struct loop_device loop;
	assert_int_equal(loop_device_open(&loop, "/dev/shm", DEVICE_BYTES, LOOP_DEVICE_FREE), 0);
	transfer(loop.direct_fd, false, 4096, 1); /* the partition table is looked for now, not in the middle */
	return loop;
}
