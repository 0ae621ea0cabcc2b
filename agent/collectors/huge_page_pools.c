/* Sizes are those the processor knows, two to five of them, so the directory is listed at each reading. */
#include "agent/collectors/huge_page_pools.h"

#include "agent/collectors/aside.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_US 5000000
#define MAX_POOLS 16
#define DIRECTORY "sys/kernel/mm/hugepages"
#define PREFIX "hugepages-"
#define SUFFIX "kB"

struct pools {
	Sonde__V1__HugePagePool items[MAX_POOLS];
	size_t n;
};

struct huge_page_pools {
	struct aside aside; /* first */
	const struct root *root;
	struct pools fresh, shown;
};

/* hugepages-2048kB */
static bool parse_name(const char *name, uint64_t *ret_kib)
{
	size_t len = strlen(name);
	if (len <= strlen(PREFIX SUFFIX) || strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
	    strcmp(name + len - strlen(SUFFIX), SUFFIX) != 0)
		return false;
	return word_u64((struct word){name + strlen(PREFIX), len - strlen(PREFIX SUFFIX)}, ret_kib) == 0;
}

static void read_pool(const struct root *root, const char *name, Sonde__V1__HugePagePool *pool)
{
	const struct {
		const char *file;
		protobuf_c_boolean *has;
		uint64_t *value;
	} files[] = {
		{"nr_hugepages", &pool->has_pages, &pool->pages},
		{"free_hugepages", &pool->has_free, &pool->free},
		{"resv_hugepages", &pool->has_reserved, &pool->reserved},
		{"surplus_hugepages", &pool->has_surplus, &pool->surplus},
		{"nr_overcommit_hugepages", &pool->has_surplus_max, &pool->surplus_max},
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[384];
		unsigned long long value;
		int n = snprintf(path, sizeof(path), DIRECTORY "/%s/%s", name, files[i].file);
		if (n < 0 || (size_t)n >= sizeof(path) || root_read_u64(root, path, &value) < 0)
			continue;
		*files[i].value = value;
		*files[i].has = 1;
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = ((const Sonde__V1__HugePagePool *)a)->page_size_bytes;
	uint64_t y = ((const Sonde__V1__HugePagePool *)b)->page_size_bytes;
	return (x > y) - (x < y);
}

static void read_all(struct aside *aside)
{
	struct huge_page_pools *self = (struct huge_page_pools *)aside;
	struct pools *fresh = &self->fresh;
	struct root_dir dir;
	fresh->n = 0;
	if (root_dir_open(self->root, DIRECTORY, &dir) < 0)
		return;
	const char *name;
	while (fresh->n < MAX_POOLS && (name = root_dir_next(&dir))) {
		uint64_t kib;
		if (!parse_name(name, &kib))
			continue;
		Sonde__V1__HugePagePool *pool = &fresh->items[fresh->n++];
		sonde__v1__huge_page_pool__init(pool);
		SET(pool, page_size_bytes, scale_times(kib, 1024));
		read_pool(self->root, name, pool);
	}
	root_dir_close(&dir);
	qsort(fresh->items, fresh->n, sizeof(fresh->items[0]), by_size);
}

struct huge_page_pools *huge_page_pools_new(const struct collector_context *context)
{
	struct huge_page_pools *self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->root = context->root;
	aside_init(&self->aside, context, true, PERIOD_US, read_all);
	return self;
}

void huge_page_pools_free(struct huge_page_pools *self)
{
	free(self);
}

int huge_page_pools_fill(struct huge_page_pools *self, struct tick *tick, Sonde__V1__Memory *memory)
{
	if (aside_is_due(&self->aside, tick->boottime_us))
		aside_start(&self->aside, tick->boottime_us);
	if (aside_take(&self->aside))
		self->shown = self->fresh;
	if (self->shown.n == 0 || !aside_is_fresh(&self->aside, tick->boottime_us))
		return 0;
	memory->huge_page_pools = arena_messages(tick->arena, &sonde__v1__huge_page_pool__descriptor, self->shown.n);
	if (!memory->huge_page_pools)
		return source_no_room(tick->state);
	for (size_t i = 0; i < self->shown.n; i++)
		*memory->huge_page_pools[i] = self->shown.items[i];
	memory->n_huge_page_pools = self->shown.n;
	return 0;
}
