/* The section `custom`: what programs and scripts leave in a directory as Prometheus text ("*.prom"), the convention of
 * the textfile collector. A file that cannot be taken is named and taken not at all; the others stand. On the slow
 * lane: the directory may lie on any file system. */
#pragma once

#include "agent/collector.h"

#define CUSTOM_MAX_FILES 256
#define CUSTOM_MAX_FILE_BYTES ((size_t)1 << 20)
#define CUSTOM_MAX_SERIES 10000
/* Of the packed section: a snapshot that grows past what the backend takes would be lost whole. */
#define CUSTOM_MAX_BYTES ((size_t)1 << 20)

extern const struct collector collector_custom;
