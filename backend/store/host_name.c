#include "backend/store/host_name.h"

#include <errno.h>
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
