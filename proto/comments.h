/* The files of sonde.v1 with their comments, embedded at build time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A serialised FileDescriptorSet without imports; *ret_len bytes. */
const uint8_t *comments_set(size_t *ret_len) __attribute__((nonnull));
