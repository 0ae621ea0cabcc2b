/* Who this host and this run of the agent are. host_id is a UUID in the state directory, made once; boot_id is the
 * kernel's; the instance is random per start (encoding_random()). */
#pragma once

#include "agent/host/root.h"
#include "common/encoding.h"

#include <stdint.h>

#define IDENTITY_ERROR_SIZE 512

/* Reads STATE_DIR/host_id, or makes directory and file (0700, 0600), whole or not at all even if the machine dies or
 * another agent does the same meanwhile. A file that holds no UUID is never replaced: the host would come back as
 * another one and its history stay behind. 0, or negative errno (-EPROTO: not a UUID) with a line in error. */
int identity_host_id(const char *state_dir, char ret[UUID_TEXT_SIZE], char error[IDENTITY_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));

/* 0, -EPROTO or negative errno. */
int identity_boot_id(const struct root *root, uint8_t ret[16]) __attribute__((nonnull, warn_unused_result));
