/* A hostname belongs to whoever registered it first; a second claimant gets the next free suffix and keeps it for as
 * long as the name it asks for is taken. The same rule for every engine. */
#pragma once

#include "backend/store/store.h"

/* 1 if another host of the tenant has the name, 0 if not, negative errno. */
typedef int (*host_name_taken_fn)(void *arg, const struct store_host *host, const char *name);

/* Writes the name the host will have. current is the one it has, NULL for a new host. 1 if the name is not the one it
 * asks for, else 0; -EEXIST when every suffix is taken; what taken() fails with. */
int host_name_choose(const struct store_host *host, const char *current, host_name_taken_fn taken, void *arg,
		     char ret[STORE_HOSTNAME_MAX + 1]) __attribute__((nonnull(1, 3, 5), warn_unused_result));

/* The id of a host that nobody has told one of: the same for the same name, whoever speaks of it first. */
void host_name_id(int64_t tenant_id, const char *hostname, uint8_t ret[16]);
