/* Which "*.prom" files a directory holds, and what is in one. */
#pragma once

#include "agent/custom/custom.h"

#include <limits.h>
#include <stddef.h>

struct prom_names {
	size_t n;
	size_t left_out;			    /* beyond CUSTOM_MAX_FILES: those whose names sort last */
	char names[CUSTOM_MAX_FILES][NAME_MAX + 1]; /* sorted */
};

/* Hidden files are not meant for readers. *ret_fd is the directory, to be closed. 0 or negative errno. */
int prom_names_list(const char *dir, struct prom_names *names, int *ret_fd)
	__attribute__((nonnull, warn_unused_result));

struct prom_file {
	char *text; /* the caller's buffer, of CUSTOM_MAX_FILE_BYTES + 1 */
	size_t len;
	double modified_seconds;
};

/* Never waits for a pipe. 0; -EMSGSIZE, -EINVAL for what is no file, or negative errno. */
int prom_file_read(int dir, const char *name, struct prom_file *file) __attribute__((nonnull, warn_unused_result));
