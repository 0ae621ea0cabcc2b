/* A list: there are as many watchers as open browsers. Ingest asks once a batch and host, so that nobody watching, the
 * usual case, must cost no lock. */
#include "backend/hub/watches.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct watch {
	struct watch *next;
	const void *owner;
	int64_t tenant_id;
	size_t n_hosts, n_sections;
	char **hosts;
	char (*sections)[WATCHES_SECTION_MAX];
};

struct watches {
	pthread_mutex_t lock;
	struct watch *first;
	_Atomic size_t n;
};

struct watches *watches_new(void)
{
	struct watches *watches = calloc(1, sizeof(*watches));
	if (watches)
		pthread_mutex_init(&watches->lock, NULL);
	return watches;
}

static void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->n_hosts; i++)
		free(watch->hosts[i]);
	free(watch->hosts);
	free(watch->sections);
	free(watch);
}

void watches_free(struct watches *watches)
{
	if (!watches)
		return;
	while (watches->first) {
		struct watch *next = watches->first->next;
		watch_free(watches->first);
		watches->first = next;
	}
	pthread_mutex_destroy(&watches->lock);
	free(watches);
}

static struct watch *watch_new(const void *owner, int64_t tenant_id, char *const *hosts, size_t n_hosts,
			       const char (*sections)[WATCHES_SECTION_MAX], size_t n_sections)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	watch->owner = owner;
	watch->tenant_id = tenant_id;
	watch->hosts = calloc(n_hosts, sizeof(char *));
	watch->sections = calloc(n_sections, sizeof(*watch->sections));
	while (watch->hosts && watch->n_hosts < n_hosts) {
		watch->hosts[watch->n_hosts] = strdup(hosts[watch->n_hosts]);
		if (!watch->hosts[watch->n_hosts])
			break;
		watch->n_hosts++;
	}
	if (!watch->sections || watch->n_hosts < n_hosts) {
		watch_free(watch);
		return NULL;
	}
	memcpy(watch->sections, sections, n_sections * sizeof(*sections));
	watch->n_sections = n_sections;
	return watch;
}

int watches_set(struct watches *watches, const void *owner, int64_t tenant_id, char *const *hosts, size_t n_hosts,
		const char (*sections)[WATCHES_SECTION_MAX], size_t n_sections)
{
	bool nothing = n_hosts == 0 || n_sections == 0;
	struct watch *watch = nothing ? NULL : watch_new(owner, tenant_id, hosts, n_hosts, sections, n_sections);
	struct watch *old = NULL;
	int r = nothing || watch ? 0 : -ENOMEM;
	pthread_mutex_lock(&watches->lock);
	for (struct watch **link = &watches->first; *link; link = &(*link)->next) {
		if ((*link)->owner != owner)
			continue;
		old = *link;
		*link = old->next;
		watches->n--;
		break;
	}
	if (watch && watches->n < WATCHES_MAX) {
		watch->next = watches->first;
		watches->first = watch;
		watches->n++;
		watch = NULL;
	} else if (watch) {
		r = -ENOSPC;
	}
	pthread_mutex_unlock(&watches->lock);
	watch_free(old);
	watch_free(watch);
	return r;
}

static bool is_of(const struct watch *watch, const char *host_id, const char *hostname)
{
	for (size_t i = 0; i < watch->n_hosts; i++) {
		if (strcmp(watch->hosts[i], host_id) == 0 || strcmp(watch->hosts[i], hostname) == 0)
			return true;
	}
	return false;
}

static void add(struct watched *watched, const char *section)
{
	for (size_t i = 0; i < watched->n; i++) {
		if (strcmp(watched->sections[i], section) == 0)
			return;
	}
	if (watched->n < WATCHES_MAX_SECTIONS)
		memcpy(watched->sections[watched->n++], section, WATCHES_SECTION_MAX);
}

void watches_find(struct watches *watches, int64_t tenant_id, const char *host_id, const char *hostname,
		  struct watched *ret)
{
	ret->n = 0;
	if (watches->n == 0)
		return;
	pthread_mutex_lock(&watches->lock);
	for (const struct watch *watch = watches->first; watch; watch = watch->next) {
		if (watch->tenant_id != tenant_id || !is_of(watch, host_id, hostname))
			continue;
		for (size_t i = 0; i < watch->n_sections; i++)
			add(ret, watch->sections[i]);
	}
	pthread_mutex_unlock(&watches->lock);
}
