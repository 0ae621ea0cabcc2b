/* Debian's biolatency (package libbpf-tools), run beside the probe: histograms of microseconds in powers of two, by
 * device and kind of request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BIOLATENCY_BUCKETS 32

struct biolatency {
	pid_t child;
	int terminal;
	char *text;
	size_t len;
};

bool biolatency_is_installed(void);
/* Returns when it is attached. 0 or negative errno. Devices must be there before. */
int biolatency_start(struct biolatency *biolatency);
/* Interrupts it and takes its output. 0 or negative errno. */
int biolatency_stop(struct biolatency *biolatency);
/* Adds up all histograms of the device whose flags end in `operation` ("Read", "Sync-Write"): those with flags but
 * the operation "Flush" are none. */
void biolatency_histogram(const struct biolatency *biolatency, const char *device, const char *operation,
			  uint64_t ret[BIOLATENCY_BUCKETS]);
void biolatency_free(struct biolatency *biolatency);
