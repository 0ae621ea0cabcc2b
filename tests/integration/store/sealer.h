/* Keeps house as a backend does, only faster and with chunks whose contents a test can count: their bytes are the
 * sequences of the rows they were made of, 8 bytes each, little-endian. */
#pragma once

#include <stdbool.h>

struct sealer {
	const char *url;
	unsigned seed;
	volatile bool stop;
	unsigned long sealed, stale, compacted, dropped;
};

/* A thread's function: with a store of its own seals what is older than a moment, puts chunks together, and forgets
 * those of processes, until `stop` is set. Whatever fails is tried again: servers may be killed meanwhile. */
void *sealer_run(void *arg);
