/* Accounts are kept as keyed hashes of their names: an entry has one size whatever is sent, and nobody can aim at a
 * slot. Two names with one hash would share a wait, which at 64 bits nobody will see. */
#include "backend/auth/throttle.h"

#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint64_t hash; /* 0 is free */
	uint64_t last_s;
	uint32_t failures;
};

struct throttle {
	pthread_mutex_t lock;
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct entry entries[THROTTLE_ACCOUNTS];
};

struct throttle *throttle_new(void)
{
	struct throttle *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	crypto_shorthash_keygen(t->key);
	return t;
}

void throttle_free(struct throttle *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static uint64_t account_hash(struct throttle *t, const char *account)
{
	uint8_t bytes[crypto_shorthash_BYTES];
	uint64_t hash;
	crypto_shorthash(bytes, (const uint8_t *)account, strlen(account), t->key);
	memcpy(&hash, bytes, sizeof(hash));
	return hash ? hash : 1;
}

/* True when a makes room before b: a free one, then the one with the fewest failures, then the quietest. By age alone,
 * a spray of invented names would push out the account under attack and give its guesser five free tries again. */
static bool goes_before(const struct entry *a, const struct entry *b)
{
	if (a->hash == 0 || b->hash == 0)
		return a->hash == 0 && b->hash != 0;
	return a->failures != b->failures ? a->failures < b->failures : a->last_s < b->last_s;
}

static struct entry *find(struct throttle *t, uint64_t hash, struct entry **ret_victim)
{
	struct entry *victim = &t->entries[0];
	for (size_t i = 0; i < THROTTLE_ACCOUNTS; i++) {
		struct entry *e = &t->entries[i];
		if (e->hash == hash)
			return e;
		if (goes_before(e, victim))
			victim = e;
	}
	*ret_victim = victim;
	return NULL;
}

static uint32_t wait_s(uint32_t failures)
{
	uint32_t wait = 1;
	if (failures < THROTTLE_FREE_FAILURES)
		return 0;
	for (uint32_t i = THROTTLE_FREE_FAILURES; i < failures && wait < THROTTLE_LONGEST_S; i++)
		wait *= 2;
	return wait < THROTTLE_LONGEST_S ? wait : THROTTLE_LONGEST_S;
}

uint32_t throttle_try(struct throttle *t, const char *account, uint64_t now_s)
{
	uint64_t hash = account_hash(t, account);
	uint32_t left = 0;
	struct entry *victim = NULL;
	pthread_mutex_lock(&t->lock);
	struct entry *e = find(t, hash, &victim);
	if (!e) {
		e = victim;
		*e = (struct entry){.hash = hash};
	}
	uint64_t until = e->last_s + wait_s(e->failures);
	if (e->failures >= THROTTLE_FREE_FAILURES && now_s < until) {
		left = (uint32_t)(until - now_s);
	} else {
		/* A day of quiet forgets. */
		e->failures = now_s - e->last_s > 86400 ? 1 : e->failures + 1;
		e->last_s = now_s;
	}
	pthread_mutex_unlock(&t->lock);
	return left;
}

void throttle_success(struct throttle *t, const char *account)
{
	uint64_t hash = account_hash(t, account);
	struct entry *victim;
	pthread_mutex_lock(&t->lock);
	struct entry *e = find(t, hash, &victim);
	if (e)
		*e = (struct entry){.hash = 0};
	pthread_mutex_unlock(&t->lock);
}

void throttle_undo(struct throttle *t, const char *account)
{
	uint64_t hash = account_hash(t, account);
	struct entry *victim;
	pthread_mutex_lock(&t->lock);
	struct entry *e = find(t, hash, &victim);
	if (e && e->failures > 0)
		e->failures--;
	pthread_mutex_unlock(&t->lock);
}
