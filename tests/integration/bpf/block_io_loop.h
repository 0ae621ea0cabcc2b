/* A loop device over memory that a test may do with as it likes. Asserts by cmocka. */
#pragma once

#include "tests/integration/bpf/loop_device.h"

#include <stdbool.h>
#include <stddef.h>

#define MIB ((size_t)1 << 20)
#define DEVICE_BYTES (32 * MIB)

/* Of DEVICE_BYTES; the partition table has been looked for. */
struct loop_device attach_loop(void);
/* n times `bytes`, none beside another, so that nothing is merged. */
void transfer(int fd, bool is_write, size_t bytes, unsigned n);
