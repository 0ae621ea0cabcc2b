/* The agent key: one line in a file that only the agent should be able to read. "#sha256:" and 64 hex digits may stand
 * behind it: the fingerprint of the backend's CA, by which the agent knows the backend at first contact. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_FILE_KEY_SIZE 512
#define KEY_FILE_ERROR_SIZE 512

#define KEY_FILE_FINGERPRINT_BYTES 32

/* The key alone, and the fingerprint: 1 when there is one, 0 when there is none, -EPROTO for what is no such token or
 * does not fit. Pure. */
int key_file_split(const char *token, char *ret_key, size_t size, uint8_t ret_fingerprint[KEY_FILE_FINGERPRINT_BYTES])
	__attribute__((nonnull, warn_unused_result));

/* The key, and the fingerprint if there is one, without white space around it. *ret_exposed: others than owner and
 * group may read the file. 0, or negative errno with a line in error (-EPROTO: empty, too long, or not one word of
 * printable characters). */
int key_file_read(const char *path, char ret_key[KEY_FILE_KEY_SIZE], bool *ret_exposed, char error[KEY_FILE_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
