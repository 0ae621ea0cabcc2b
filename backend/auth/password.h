/* argon2id on a bounded pool: a verification takes a quarter of a second and 64 MiB, so two threads work and 32 tries
 * wait; who comes after that is told to come again. */
#pragma once

#include <sodium.h>
#include <stdbool.h>

#define PASSWORD_THREADS 2
#define PASSWORD_QUEUE 32
#define PASSWORD_MIN 8
#define PASSWORD_MAX 1024

struct password_pool;

/* NULL when out of memory or threads. */
struct password_pool *password_pool_new(void);
/* Finishes what waits. Accepts NULL. */
void password_pool_free(struct password_pool *pool);

/* hash is libsodium's string, copied; NULL is an unknown user: the same work is done and the answer is false. done runs
 * on the pool, exactly once. 0, -EAGAIN when too many wait, -EMSGSIZE for a password over PASSWORD_MAX, -ENOMEM: then
 * done is not called. */
int password_verify(struct password_pool *pool, const char *hash, const char *password,
		    void (*done)(void *arg, bool right), void *arg)
	__attribute__((nonnull(1, 3, 4), warn_unused_result));

/* 0, -EINVAL when it is shorter than PASSWORD_MIN or longer than PASSWORD_MAX, -ENOMEM. Blocks for the quarter of a
 * second. */
int password_hash(const char *password, char ret[crypto_pwhash_STRBYTES]) __attribute__((nonnull, warn_unused_result));
