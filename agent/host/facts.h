/* What hardly changes while the agent runs: sent once per stream in Hello. */
#pragma once

#include "agent/host/root.h"

#include <stdint.h>

/* Empty strings and zeros where the host does not say. */
struct facts {
	char hostname[256];
	char kernel[128];      /* uname -r */
	char architecture[64]; /* uname -m */
	char os[256];	       /* PRETTY_NAME of os-release */
	char cpu_model[256];
	uint32_t cpus; /* online */
	uint64_t memory_bytes;
};

void facts_read(const struct root *root, struct facts *ret) __attribute__((nonnull));

/* The value of KEY=value in os-release text, quotes and backslashes undone as a shell would. Length, or -ENOENT; cut at
 * size. */
int facts_os_release(const char *text, size_t len, const char *key, char *ret, size_t size)
	__attribute__((nonnull, warn_unused_result));
/* The model's name in /proc/cpuinfo text, whose field differs between architectures. Length or -ENOENT. */
int facts_cpu_model(const char *text, size_t len, char *ret, size_t size) __attribute__((nonnull, warn_unused_result));
