/* Which custom metrics a host has had: nothing but what is stored knows them. */
#pragma once

#include "backend/registry/schemas.h"
#include "backend/store/store.h"

/* Made up for the call: path ("custom.NAME", the name as it was sent), kind and unit. The same may come again and
 * again. Anything but 0 stops. */
typedef int (*custom_name_fn)(void *arg, const struct schema_metric *metric);

/* Of rows and chunks that have to do with [from_us, to_us]; what is damaged is passed over. 0, fn's value, or negative
 * errno. */
int custom_names(struct store *store, struct schemas *schemas, const uint8_t host_id[16], int64_t from_us,
		 int64_t to_us, custom_name_fn fn, void *arg) __attribute__((warn_unused_result));
