/* Agent keys that were found good a short while ago, so that a Push a second does not cost a look into the database a
 * second. A revoked key stays good for at most KEYS_VALID_NS. Thread-safe. */
#pragma once

#include "backend/auth/auth.h"

struct keys;

#define KEYS_VALID_NS (60ull * 1000000000ull)

struct keys *keys_new(struct auth *auth); /* NULL when out of memory */
void keys_free(struct keys *keys);	  /* accepts NULL */
/* As auth_check_key(). May read the store. */
int keys_check(struct keys *keys, const char *text, struct store_key *ret) __attribute__((nonnull, warn_unused_result));
