/* What the agent may do beyond an ordinary user: which capabilities it can use, what the lack of each costs, and giving
 * up all others. Capabilities belong to threads; those started later inherit what the first one kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CAPABILITIES_MAX 8

struct capability {
	const char *name; /* "CAP_BPF" */
	const char *cost; /* what is missing without it */
};

/* Those the agent could use on this kernel and has not. Returns how many. */
size_t capabilities_lacking(struct capability ret[CAPABILITIES_MAX]) __attribute__((nonnull));

/* Gives up all that no collector uses, for good. Before threads start, after what is needed once was done. 0 or
 * negative errno. */
int capabilities_keep_used(void) __attribute__((warn_unused_result));
/* Gives up everything, for the calling thread only: for one that talks to the network. 0 or negative errno. */
int capabilities_drop_all(void) __attribute__((warn_unused_result));
