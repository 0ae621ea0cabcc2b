/* A table of fixed size, one place a key by its hash: two keys that share a place take turns, which costs a read. */
#include "backend/ingest/keys.h"

#include "common/clock.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_PLACES 1024

struct place {
	uint8_t hash[crypto_hash_sha256_BYTES];
	uint64_t until_ns; /* 0: empty */
	struct store_key key;
};

struct keys {
	struct auth *auth;
	pthread_mutex_t lock;
	struct place places[KEYS_PLACES];
};

struct keys *keys_new(struct auth *auth)
{
	struct keys *keys = calloc(1, sizeof(*keys));
	if (!keys || pthread_mutex_init(&keys->lock, NULL) != 0) {
		free(keys);
		return NULL;
	}
	keys->auth = auth;
	return keys;
}

void keys_free(struct keys *keys)
{
	if (!keys)
		return;
	pthread_mutex_destroy(&keys->lock);
	free(keys);
}

int keys_check(struct keys *keys, const char *text, struct store_key *ret)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
	struct place *place = &keys->places[(hash[0] | (size_t)hash[1] << 8) % KEYS_PLACES];
	uint64_t now = clock_monotonic_ns();

	pthread_mutex_lock(&keys->lock);
	bool hit = place->until_ns > now && memcmp(place->hash, hash, sizeof(hash)) == 0;
	if (hit)
		*ret = place->key;
	pthread_mutex_unlock(&keys->lock);
	if (hit)
		return 0;

	int r = auth_check_key(keys->auth, text, ret);
	if (r < 0)
		return r;
	pthread_mutex_lock(&keys->lock);
	memcpy(place->hash, hash, sizeof(hash));
	place->until_ns = now + KEYS_VALID_NS;
	place->key = *ret;
	pthread_mutex_unlock(&keys->lock);
	return 0;
}
