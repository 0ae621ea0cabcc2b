/* Who looks at which sections of which hosts, so that the agents of those hosts can send them whole and at every tick
 * (sonde.v1.Watch). A live client that names both hosts and sections is somebody who looks; one that wants everything
 * is not. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WATCHES_SECTION_MAX 64	/* bytes of a name, terminated */
#define WATCHES_MAX_SECTIONS 32 /* that are told of one host */
#define WATCHES_MAX 4096	/* watchers; more are not counted */

struct watches;

/* The sections of one host that somebody looks at, each once. */
struct watched {
	size_t n;
	char sections[WATCHES_MAX_SECTIONS][WATCHES_SECTION_MAX];
};

struct watches *watches_new(void);	    /* NULL when out of memory */
void watches_free(struct watches *watches); /* accepts NULL */

/* What `owner` looks at from now on; replaces what it looked at. Hosts are hostnames or ids; nothing of either is
 * nothing at all. Copies. 0, -ENOMEM (then it looks at nothing), -ENOSPC. */
int watches_set(struct watches *watches, const void *owner, int64_t tenant_id, char *const *hosts, size_t n_hosts,
		const char (*sections)[WATCHES_SECTION_MAX], size_t n_sections) __attribute__((nonnull(1, 2)));

void watches_find(struct watches *watches, int64_t tenant_id, const char *host_id, const char *hostname,
		  struct watched *ret) __attribute__((nonnull));
