/* Descriptor sets of the agents whose snapshots are in the spool, beside it: "spool-set-HASH" each. After an upgrade
 * the backend may never have seen the one the waiting snapshots were made with. */
#pragma once

#include "agent/delivery/queue.h"
#include "common/buf.h"

#include <stddef.h>
#include <stdint.h>

#define DESCRIPTOR_SET_MAX (1u << 20)

/* Writes the set unless it is there. 0 or negative errno. */
int descriptor_sets_keep(const char *dir, const uint8_t hash[32], const void *set, size_t len)
	__attribute__((nonnull, warn_unused_result));
/* 0, -ENOENT, -EMSGSIZE, other negative errno. */
int descriptor_sets_read(const char *dir, const uint8_t hash[32], struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* Deletes those that nothing in the queue needs, but for our own. */
void descriptor_sets_prune(const char *dir, const uint8_t own_hash[32], struct queue *queue) __attribute__((nonnull));
