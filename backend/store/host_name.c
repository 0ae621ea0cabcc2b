#include "backend/store/host_name.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define MAX_SUFFIX 10000
#define SUFFIX_ROOM 11 /* "-" and the digits of any unsigned */

/* True for "web-2" when the wish is "web". */
static bool is_suffixed(const char *name, const char *wish)
{
	size_t len = strlen(wish);
	if (strncmp(name, wish, len) != 0 || name[len] != '-' || name[len + 1] == '\0')
		return false;
	return strspn(name + len + 1, "0123456789") == strlen(name + len + 1);
}

int host_name_choose(const struct store_host *host, const char *current, host_name_taken_fn taken, void *arg,
		     char ret[STORE_HOSTNAME_MAX + 1])
{
	int r = taken(arg, host, host->hostname);
	if (r <= 0) {
		if (r == 0)
			memcpy(ret, host->hostname, sizeof(host->hostname));
		return r;
	}
	if (current && is_suffixed(current, host->hostname)) {
		memcpy(ret, current, strlen(current) + 1);
		return 1;
	}
	/* A name of the largest length gives up its end for the suffix, whole characters of it. */
	int keep = (int)strnlen(host->hostname, STORE_HOSTNAME_MAX - SUFFIX_ROOM);
	while (keep > 0 && ((unsigned char)host->hostname[keep] & 0xc0) == 0x80)
		keep--;
	for (unsigned i = 2; i < MAX_SUFFIX; i++) {
		char name[STORE_HOSTNAME_MAX + 1];
		snprintf(name, sizeof(name), "%.*s-%u", keep, host->hostname, i);
		r = taken(arg, host, name);
		if (r < 0)
			return r;
		if (r == 0) {
			memcpy(ret, name, sizeof(name));
			return 1;
		}
	}
	return -EEXIST;
}

void host_name_id(int64_t tenant_id, const char *hostname, uint8_t ret[16])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char text[STORE_HOSTNAME_MAX + 64];
	int n = snprintf(text, sizeof(text), "sonde: the host of tenant %lld called %s", (long long)tenant_id,
			 hostname);
	crypto_hash_sha256(hash, (const uint8_t *)text, (size_t)n);
	memcpy(ret, hash, 16);
	ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x80); /* version 8: of one's own making */
	ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}
