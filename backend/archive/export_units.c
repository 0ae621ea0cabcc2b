#include "backend/archive/export_units.h"

#include "backend/query/custom_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_metric(struct export_metric *m)
{
	free(m->path);
	free(m->name);
	free(m->help);
}

void export_units_free(struct export_units *u)
{
	for (size_t i = 0; i < u->n_metrics; i++)
		free_metric(&u->metrics[i]);
	free(u->metrics);
	store_hosts_free(u->hosts, u->n_hosts);
	*u = (struct export_units){.n_metrics = 0};
}

/* Others give names that OpenMetrics has not. */
static void clean_name(char *name)
{
	for (char *p = name; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_' || *p == ':';
		if (!letter && (p == name || *p < '0' || *p > '9'))
			*p = '_';
	}
}

static int add(struct export_units *u, const struct schema_metric *metric)
{
	if (u->n_metrics == u->metrics_cap) {
		size_t cap = u->metrics_cap ? u->metrics_cap * 2 : 512;
		struct export_metric *more = realloc(u->metrics, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		u->metrics = more;
		u->metrics_cap = cap;
	}
	struct export_metric m = {
		.kind = metric->kind, .unit = metric->unit, .scale = metric->scale, .custom = metric->n_numbers == 0};
	m.path = strdup(metric->path);
	m.name = strdup(metric->name);
	m.help = strdup(metric->help ? metric->help : "");
	if (!m.path || !m.name || !m.help) {
		free_metric(&m);
		return -ENOMEM;
	}
	clean_name(m.name);
	u->metrics[u->n_metrics++] = m;
	return 0;
}

static bool is_wanted(const struct schema_metric *metric, const char *only)
{
	return !only || strcmp(metric->name, only) == 0 || (metric->path && strcmp(metric->path, only) == 0);
}

static int add_catalogue(struct export_units *u, const struct schema *schema, const char *only)
{
	size_t n;
	int r = 0;
	const struct schema_metric *metrics = schema_metrics(schema, &n);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (is_wanted(&metrics[i], only))
			r = add(u, &metrics[i]);
	}
	return r;
}

struct custom {
	struct export_units *units;
	const char *only;
	size_t first; /* of the host's custom metrics */
};

static int on_custom(void *arg, const struct schema_metric *metric)
{
	struct custom *c = arg;
	if (!is_wanted(metric, c->only))
		return 0;
	/* Chunk by chunk the same ones come again. */
	for (size_t i = c->units->n_metrics; i-- > c->first;) {
		if (strcmp(c->units->metrics[i].path, metric->path) == 0)
			return 0;
	}
	return add(c->units, metric);
}

static int by_path(const void *a, const void *b)
{
	const struct export_metric *x = a, *y = b;
	int order = x->custom - y->custom;
	return order ? order : strcmp(x->path, y->path);
}

static void drop_doubles(struct export_units *u)
{
	size_t n = 0;
	if (u->n_metrics > 0)
		qsort(u->metrics, u->n_metrics, sizeof(*u->metrics), by_path);
	for (size_t i = 0; i < u->n_metrics; i++) {
		if (n > 0 && by_path(&u->metrics[n - 1], &u->metrics[i]) == 0)
			free_metric(&u->metrics[i]);
		else
			u->metrics[n++] = u->metrics[i];
	}
	u->n_metrics = n;
}

/* What a host has that our schema does not know: of the schema of its newest snapshot, and custom metrics. */
static int add_host(struct export_units *u, const struct export_place *place, const char *only,
		    const struct store_host *host)
{
	struct schema *schema = NULL;
	uint8_t *payload, hash[32];
	int64_t received_us;
	size_t len;
	int r = store_latest(place->store, host->host_id, &payload, &len, hash, &received_us);
	if (r < 0)
		return r;
	if (r == 1) {
		free(payload);
		r = schemas_get(place->schemas, hash, &schema);
	}
	if (r == 1)
		r = schema == schemas_own(place->schemas) ? 0 : add_catalogue(u, schema, only);
	schema_unref(schema);
	drop_doubles(u);
	struct custom custom = {u, only, u->n_metrics};
	if (r == 0)
		r = custom_names(place->store, place->schemas, host->host_id, place->from_us, place->to_us - 1,
				 on_custom, &custom);
	drop_doubles(u);
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct store_host *x = a, *y = b;
	int order = strcmp(x->hostname, y->hostname);
	return order ? order : memcmp(x->host_id, y->host_id, sizeof(x->host_id));
}

static int list_hosts(struct store *store, const char *only, struct export_units *u)
{
	struct store_host *hosts = NULL;
	size_t n = 0, kept = 0;
	int r = store_hosts(store, &hosts, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (only && strcmp(hosts[i].hostname, only) != 0)
			free(hosts[i].facts);
		else
			hosts[kept++] = hosts[i];
	}
	if (kept > 0)
		qsort(hosts, kept, sizeof(*hosts), by_name);
	u->hosts = hosts;
	u->n_hosts = kept;
	return only && kept == 0 ? -ENOENT : 0;
}

/* Of a name that nobody has at present all is taken as it is found. */
static int add_unknown(struct export_units *u, const char *name)
{
	static const char prefix[] = "custom.";
	bool has_prefix = strncmp(name, prefix, strlen(prefix)) == 0;
	struct schema_metric metric = {.help = "", .kind = SCHEMA_KIND_GAUGE, .scale = 1};
	char *path = NULL;
	if (asprintf(&path, "%s%s", has_prefix ? "" : prefix, name) < 0)
		return -ENOMEM;
	metric.path = path;
	metric.name = path + strlen(prefix);
	int r = add(u, &metric);
	free(path);
	return r;
}

int export_units_list(const struct export_place *place, const char *only, const char *host, struct export_units *ret)
{
	struct export_units u = {.n_metrics = 0};
	int r = list_hosts(place->store, host, &u);
	if (r == 0)
		r = add_catalogue(&u, schemas_own(place->schemas), only);
	/* What is asked for by a name of ours need not be looked for. */
	for (size_t i = 0; i < u.n_hosts && r == 0 && !(only && u.n_metrics > 0); i++)
		r = add_host(&u, place, only, &u.hosts[i]);
	drop_doubles(&u);
	if (r == 0 && only && u.n_metrics == 0)
		r = add_unknown(&u, only);
	if (r < 0) {
		export_units_free(&u);
		return r;
	}
	*ret = u;
	return 0;
}
