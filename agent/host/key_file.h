/* The agent key: one line in a file that only the agent should be able to read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define KEY_FILE_KEY_SIZE 512
#define KEY_FILE_ERROR_SIZE 512

/* The key without white space around it. *ret_exposed: others than owner and group may read the file. 0, or negative
 * errno with a line in error (-EPROTO: empty, too long, or not one word of printable characters). */
int key_file_read(const char *path, char ret_key[KEY_FILE_KEY_SIZE], bool *ret_exposed, char error[KEY_FILE_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
