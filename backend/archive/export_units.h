/* What there is to export: metrics by their paths, hosts by their names. Private to the export. */
#pragma once

#include "backend/archive/export_format.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"

struct export_units {
	struct export_metric *metrics;
	size_t n_metrics, metrics_cap;
	struct store_host *hosts;
	size_t n_hosts;
};

struct export_place {
	struct store *store;
	struct schemas *schemas;
	int64_t from_us, to_us;
};

/* `only`: a metric's path, exposition name or custom name, NULL for all; `host`: a hostname or NULL. 0; -ENOENT (no
 * such host); negative errno. */
int export_units_list(const struct export_place *place, const char *only, const char *host, struct export_units *ret)
	__attribute__((nonnull(1, 4), warn_unused_result));
void export_units_free(struct export_units *units); /* accepts a zeroed one */
