/* The small tables of a store row by row, whatever the engine: what a backup takes along besides rows and chunks, and
 * how a restored store comes by it. */
#pragma once

#include "backend/store/store.h"

/* A record's values, in this order; what a '?' follows may be NULL. Those above come before those that name them. */
enum store_table {
	STORE_TENANTS = 1,     /* tenant_id name */
	STORE_USERS = 2,       /* user_id tenant_id username password_hash role */
	STORE_KEYS = 3,	       /* key_id tenant_id name hash revoked */
	STORE_SETTINGS = 4,    /* name value */
	STORE_DESCRIPTORS = 5, /* hash set */
	STORE_HOSTS = 6,       /* host_id tenant_id key_id hostname first_seen_us last_seen_us facts? */
	STORE_SEALING = 7, /* host_id sealed_us, and of its newest sealed row: agent_us? received_us? descriptor_hash?
			    * payload? */
	STORE_STREAMS = 8, /* host_id instance first last, as signed numbers */
	STORE_TABLES,
};

#define STORE_VALUES_MAX 7

enum store_value_type { STORE_NULL, STORE_INTEGER, STORE_TEXT, STORE_BYTES };

struct store_value {
	enum store_value_type type;
	int64_t integer;
	const uint8_t *data; /* text is valid UTF-8, not terminated; never NULL for bytes and text */
	size_t len;
};

struct store_record {
	enum store_table table;
	struct store_value values[STORE_VALUES_MAX];
};

struct store_column {
	enum store_value_type type;
	bool may_be_null;
	size_t min, max; /* bytes */
};
/* What a table's records are made of. *ret_n is 0 for a number that is no table. */
const struct store_column *store_columns(unsigned table, size_t *ret_n) __attribute__((nonnull));
/* Whether the values are what the table takes. */
bool store_record_fits(const struct store_record *record) __attribute__((nonnull));

/* Opens what is there to read it, beside a backend that writes it: takes no lock, makes nothing, migrates nothing.
 * As store_open(), and -ENOENT, -ENOTSUP for an older schema too. Only store_view_*, store_hosts(), store_usage(),
 * store_latest() and store_..._get() may be called; what writes answers -EROFS. */
int store_open_to_read(const char *url, struct store **ret, char **ret_error)
	__attribute__((nonnull, warn_unused_result));

typedef int (*store_record_fn)(void *arg, const struct store_record *record);
/* The records of one table as the view has them, borrowed for the call. 0, fn's value, or negative errno. */
int store_view_records(struct store_view *view, enum store_table table, store_record_fn fn, void *arg)
	__attribute__((nonnull(1, 3), warn_unused_result));

/* From here to store_restore_end() the store is marked as half: nobody can open it. -EEXIST when it holds anything. */
int store_restore_begin(struct store *store) __attribute__((nonnull, warn_unused_result));
/* Records in one transaction; all of one table but STORE_SEALING, which is store_seal()'s. The streams come last and
 * take the place of what store_append() has noted of them. 0; -EINVAL for what does not fit (a host that nobody has
 * named); -EEXIST for what is there twice; negative errno. */
int store_restore(struct store *store, const struct store_record *records, size_t n)
	__attribute__((nonnull, warn_unused_result));
int store_restore_end(struct store *store) __attribute__((nonnull, warn_unused_result));
