/* What can be measured or left alone, because it costs something at each of very many events: names for the key `extra`
 * and for the backend's AgentConfig. tcp_rtt costs little (bpf/README.md) and is on where nobody says otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum extra {
	EXTRA_OFF_CPU,		 /* scheduler: how long tasks were off the CPU, and why */
	EXTRA_RUN_QUEUE_CGROUPS, /* scheduler: both kinds of waiting by cgroup */
	EXTRA_TCP_RTT,		 /* tcp: round-trip times of connections while they are open */
	EXTRA_BLOCK_IO_TAG_WAIT, /* block_io: how long requests waited for a tag */
	EXTRA_PROCESS_NETWORK,	 /* processes: bytes of socket calls, by process and by cgroup */
	EXTRAS,
};

const char *extra_name(enum extra extra);
/* The extra of that name, or -ENOENT. */
int extra_find(const char *name, size_t len) __attribute__((nonnull));

static inline bool extra_wanted(size_t extras, enum extra extra)
{
	return extras >> extra & 1;
}
