/* For benches, which end where they cannot go on: says of what, and why (negative errno). */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}
