/* A value that one group does not have makes the sum unknown: the field is absent then, for a sum without a part would
 * look like a counter that fell. */
#include "agent/collectors/dram_domains.h"

#include "agent/collectors/aside.h"
#include "agent/collectors/source.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ABSENT_PERIOD_US 60000000 /* it may be mounted later */
#define MAX_DOMAINS 256
#define MAX_GROUPS 1024
#define PATH_SIZE 512
#define DIRECTORY "sys/fs/resctrl"
#define PREFIX "mon_L3_"

enum { TRAFFIC, LOCAL_TRAFFIC, OCCUPANCY, VALUES };

static const char *const files[VALUES] = {
	[TRAFFIC] = "mbm_total_bytes",
	[LOCAL_TRAFFIC] = "mbm_local_bytes",
	[OCCUPANCY] = "llc_occupancy",
};

struct domain {
	uint32_t id;
	uint32_t n_groups[VALUES]; /* that had the value */
	uint64_t sums[VALUES];
};

struct domains {
	struct domain items[MAX_DOMAINS];
	size_t n;
	uint32_t n_groups;
	bool too_many;
};

struct dram_domains {
	struct aside aside; /* first */
	const struct root *root;
	struct domains reading; /* the aside's until it is taken, and then shown at once */
};

/* 18446744073709551615 */
int resctrl_value_parse(const char *text, size_t len, uint64_t *ret)
{
	static const char *const none[] = {"Unavailable", "Error", "Unassigned"};
	struct word word = {text, len};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (word_is(word, none[i]))
			return -ENODATA;
	}
	return word_u64(word, ret);
}

static struct domain *find(struct domains *domains, uint32_t id)
{
	for (size_t i = 0; i < domains->n; i++) {
		if (domains->items[i].id == id)
			return &domains->items[i];
	}
	if (domains->n == MAX_DOMAINS) {
		domains->too_many = true;
		return NULL;
	}
	struct domain *domain = &domains->items[domains->n++];
	*domain = (struct domain){.id = id};
	return domain;
}

static void add_value(const struct root *root, const char *path, int i, struct domain *domain)
{
	char text[32];
	uint64_t value, sum;
	int len = root_read_text(root, path, text, sizeof(text));
	if (len < 0 || resctrl_value_parse(text, (size_t)len, &value) < 0 ||
	    __builtin_add_overflow(domain->sums[i], value, &sum))
		return;
	domain->sums[i] = sum;
	domain->n_groups[i]++;
}

static void add_group(struct dram_domains *self, const char *group)
{
	char path[PATH_SIZE];
	struct root_dir dir;
	int n = snprintf(path, sizeof(path), "%s/mon_data", group);
	if (n < 0 || (size_t)n >= sizeof(path) || root_dir_open(self->root, path, &dir) < 0)
		return;
	self->reading.n_groups++;
	const char *name;
	while ((name = root_dir_next(&dir))) {
		uint64_t id;
		if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
		    word_u64((struct word){name + strlen(PREFIX), strlen(name) - strlen(PREFIX)}, &id) < 0 ||
		    id > UINT32_MAX)
			continue;
		struct domain *domain = find(&self->reading, (uint32_t)id);
		for (int i = 0; domain && i < VALUES; i++) {
			n = snprintf(path, sizeof(path), "%s/mon_data/%s/%s", group, name, files[i]);
			if (n > 0 && (size_t)n < sizeof(path))
				add_value(self->root, path, i, domain);
		}
	}
	root_dir_close(&dir);
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct domain *)a)->id, y = ((const struct domain *)b)->id;
	return (x > y) - (x < y);
}

/* The root of the tree is a group itself; below it are the others, and three directories that are none. */
static void read_all(struct aside *aside)
{
	static const char *const not_groups[] = {"info", "mon_data", "mon_groups"};
	struct dram_domains *self = (struct dram_domains *)aside;
	struct root_dir dir;
	self->reading.n = 0;
	self->reading.n_groups = 0;
	self->reading.too_many = false;
	add_group(self, DIRECTORY);
	if (self->reading.n == 0 || root_dir_open(self->root, DIRECTORY, &dir) < 0)
		return;
	const char *name;
	while ((name = root_dir_next(&dir))) {
		bool is_group = true;
		for (size_t i = 0; i < sizeof(not_groups) / sizeof(not_groups[0]); i++)
			is_group = is_group && strcmp(name, not_groups[i]) != 0;
		char path[PATH_SIZE];
		int n = snprintf(path, sizeof(path), DIRECTORY "/%s", name);
		if (!is_group || n < 0 || (size_t)n >= sizeof(path))
			continue;
		if (self->reading.n_groups == MAX_GROUPS) {
			self->reading.too_many = true;
			break;
		}
		add_group(self, path);
	}
	root_dir_close(&dir);
	qsort(self->reading.items, self->reading.n, sizeof(self->reading.items[0]), by_id);
}

struct dram_domains *dram_domains_new(const struct collector_context *context)
{
	struct dram_domains *self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->root = context->root;
	aside_init(&self->aside, context, true, 0, read_all);
	return self;
}

void dram_domains_free(struct dram_domains *self)
{
	free(self);
}

static void fill(const struct domain *from, uint32_t n_groups, Sonde__V1__DramDomain *to)
{
	SET(to, domain, from->id);
	if (from->n_groups[TRAFFIC] == n_groups)
		SET(to, traffic_bytes, from->sums[TRAFFIC]);
	if (from->n_groups[LOCAL_TRAFFIC] == n_groups)
		SET(to, local_traffic_bytes, from->sums[LOCAL_TRAFFIC]);
	if (from->n_groups[OCCUPANCY] == n_groups)
		SET(to, cache_occupancy_bytes, from->sums[OCCUPANCY]);
}

static int show(const struct dram_domains *self, struct tick *tick, Sonde__V1__Memory *memory)
{
	const struct domains *reading = &self->reading;
	if (reading->n == 0)
		return 0;
	if (reading->too_many) {
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_resctrl_groups",
				     "/sys/fs/resctrl has more than %d groups or %d domains: DRAM traffic is left out",
				     MAX_GROUPS, MAX_DOMAINS);
		return 0;
	}
	memory->dram_domains = arena_messages(tick->arena, &sonde__v1__dram_domain__descriptor, reading->n);
	if (!memory->dram_domains)
		return source_no_room(tick->state);
	for (size_t i = 0; i < reading->n; i++) {
		fill(&reading->items[i], reading->n_groups, memory->dram_domains[i]);
		SET(memory->dram_domains[i], collected_at_us, self->aside.taken_us);
	}
	memory->n_dram_domains = reading->n;
	return 0;
}

static int take(struct dram_domains *self, struct tick *tick, Sonde__V1__Memory *memory)
{
	if (!aside_take(&self->aside))
		return 0;
	self->aside.period_us = self->reading.n == 0 ? ABSENT_PERIOD_US : 0;
	return show(self, tick, memory);
}

/* What is done is shown before the next reading takes its place. */
int dram_domains_fill(struct dram_domains *self, struct tick *tick, Sonde__V1__Memory *memory)
{
	int r = take(self, tick, memory);
	if (r < 0 || !aside_is_due(&self->aside, tick->boottime_us))
		return r;
	aside_start(&self->aside, tick->boottime_us);
	return self->aside.lane ? 0 : take(self, tick, memory);
}
