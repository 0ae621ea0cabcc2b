/* What the agent may do beyond an ordinary user: which capabilities it can use, what the lack of each costs, and giving
 * up all others. Capabilities belong to threads; those started later inherit what the first one kept.
 *
 * What is kept is permitted and not effective: a thread raises what a collector declares around that collector's calls,
 * so that the parsers of everything else run as an ordinary user's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPABILITIES_MAX 8

struct capability {
	const char *name; /* "CAP_BPF" */
	const char *cost; /* what is missing without it */
	bool held;	  /* permitted, or CAP_SYS_ADMIN is, which stands for it */
};

/* Those the agent has a use for on this kernel. Returns how many; 0 when its own cannot be read. */
size_t capabilities_used(struct capability ret[CAPABILITIES_MAX]) __attribute__((nonnull));
/* Whether counters may be read of all processes: CAP_PERFMON, or CAP_SYS_ADMIN, which includes it. */
bool capabilities_has_perfmon(void);

/* Those the agent could use on this kernel and has not. Returns how many. */
size_t capabilities_lacking(struct capability ret[CAPABILITIES_MAX]) __attribute__((nonnull));

/* What a collector or a job of the lane may declare: bits of a mask. */
enum {
	CAPABILITY_BPF = 1 << 0,     /* CAP_SYS_ADMIN and CAP_SYS_RESOURCE before Linux 5.8 */
	CAPABILITY_PERFMON = 1 << 1, /* CAP_SYS_ADMIN before Linux 5.8 */
	CAPABILITY_SYS_PTRACE = 1 << 2,
	CAPABILITY_DAC_READ_SEARCH = 1 << 3,
	CAPABILITY_SYSLOG = 1 << 4,
};

/* Of one thread: what it has at rest, and now. */
struct capabilities_thread {
	uint32_t rest[2], effective[2], permitted[2], inheritable[2];
	bool known;
};

/* As the calling thread has them: what is effective now is what it has at rest. */
void capabilities_of_thread(struct capabilities_thread *ret) __attribute__((nonnull));
/* Before a call that declares the mask: what the thread has at rest and at least the mask is effective, as far as it is
 * permitted; for an empty mask nothing else is. What a call before it raised stays as long as calls declare some,
 * because a change is a system call of a microsecond. What is not permitted then fails by itself. Of the thread itself.
 */
void capabilities_switch(struct capabilities_thread *thread, uint32_t mask) __attribute__((nonnull));
/* At rest none is effective from here on; all stay permitted. For a thread that may have been started while something
 * was raised: it is born with that. */
void capabilities_lower_all(struct capabilities_thread *thread) __attribute__((nonnull));

/* Gives up all that no collector uses, for good, and lowers the rest; CAP_SYS_ADMIN stays where it was given instead of
 * CAP_BPF or CAP_PERFMON. Before threads start, after what is needed once
 * was done. 0 or negative errno. */
int capabilities_keep_used(void) __attribute__((warn_unused_result));
/* Gives up everything, for the calling thread only: for one that talks to the network. 0 or negative errno. */
int capabilities_drop_all(void) __attribute__((warn_unused_result));
