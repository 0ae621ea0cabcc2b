/* Chooses the engine by the URL's scheme and puts the writer in front of it. */
#include "backend/store/store.h"

#include "backend/store/store_ops.h"
#include "backend/store/usage_look.h"
#include "backend/store/writer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A server's engine wants the URL whole. */
static const struct {
	const char *scheme;
	const struct store_ops *ops;
	bool whole;
} engines[] = {
	{"sqlite:", &store_sqlite, false},
	{"postgresql:", &store_postgres, true},
	{"postgres:", &store_postgres, true},
};

struct store {
	const struct store_ops *ops;
	void *engine;
	struct writer *writer;
	struct usage_look look;
};

int store_refuse(int error, char **ret_error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return error;
}

struct store_view {
	const struct store_ops *ops;
	void *view;
};

static const struct store_ops *find_engine(const char *url, const char **ret_location)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		size_t len = strlen(engines[i].scheme);
		if (strncmp(url, engines[i].scheme, len) == 0) {
			*ret_location = engines[i].whole ? url : url + len;
			return engines[i].ops;
		}
	}
	return NULL;
}

/* What was half restored looks whole to whoever reads it. */
static int check_whole(const struct store *s, char **ret_error)
{
	char value[16];
	int r = s->ops->setting_get(s->engine, STORE_HALF_RESTORED, value, sizeof(value));
	if (r == 0)
		return 0;
	if (r < 0 && r != -EMSGSIZE)
		return store_refuse(r, ret_error, "the database's settings cannot be read: %s", strerror(-r));
	return store_refuse(
		-EUCLEAN, ret_error,
		"a backup is being restored into this store, or that was interrupted: if it does not run any "
		"more, delete the database (the file, or the schema sonde) and restore it again");
}

static int open_store(const char *url, bool to_read, struct store **ret, char **ret_error)
{
	const char *location;
	const struct store_ops *ops = find_engine(url, &location);
	if (!ops) {
		/* A URL may carry a password, and this line is logged: it is not repeated. */
		*ret_error = strdup("--store names no database this build knows: use --store sqlite:PATH or --store "
				    "postgresql://USER@HOST/DATABASE");
		return -EPROTONOSUPPORT;
	}
	struct store *s = calloc(1, sizeof(*s));
	if (!s) {
		*ret_error = NULL;
		return -ENOMEM;
	}
	s->ops = ops;
	int r = (to_read ? ops->open_to_read : ops->open)(location, &s->engine, ret_error);
	if (r < 0) {
		free(s);
		return r;
	}
	r = check_whole(s, ret_error);
	if (r == 0 && !to_read) {
		r = writer_start(ops, s->engine, &s->writer);
		if (r < 0)
			*ret_error = strdup("the database's writer thread cannot be started");
	}
	if (r < 0) {
		ops->close(s->engine);
		free(s);
		return r;
	}
	usage_look_init(&s->look);
	*ret = s;
	return 0;
}

int store_open(const char *url, struct store **ret, char **ret_error)
{
	return open_store(url, false, ret, ret_error);
}

int store_open_to_read(const char *url, struct store **ret, char **ret_error)
{
	return open_store(url, true, ret, ret_error);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->writer)
		writer_stop(s->writer);
	s->ops->close(s->engine);
	usage_look_destroy(&s->look);
	free(s);
}

void store_status(struct store *s, char *text, size_t size)
{
	if (s->writer)
		writer_status(s->writer, text, size);
	else
		snprintf(text, size, "ok");
}

int store_append(struct store *s, const uint8_t host_id[16], const uint8_t instance[16],
		 const struct store_snapshot *snapshots, size_t n, store_append_fn done, void *arg)
{
	return store_append_known(s, host_id, instance, snapshots, n, store_is_late(snapshots, n), done, arg);
}

int store_append_known(struct store *s, const uint8_t host_id[16], const uint8_t instance[16],
		       const struct store_snapshot *snapshots, size_t n, bool late, store_append_fn done, void *arg)
{
	return !s->writer ? -EROFS : writer_append(s->writer, host_id, instance, snapshots, n, late, done, arg);
}

int store_durable(struct store *s, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		  size_t *ret_n)
{
	return s->ops->durable(s->engine, host_id, instance, ret, ret_n);
}

int store_latest(struct store *s, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len,
		 uint8_t ret_hash[32], int64_t *ret_received_us)
{
	return s->ops->latest(s->engine, host_id, ret_payload, ret_len, ret_hash, ret_received_us);
}

static int open_view(struct store *s, bool wait, struct store_view **ret)
{
	struct store_view *view = calloc(1, sizeof(*view));
	if (!view)
		return -ENOMEM;
	view->ops = s->ops;
	int r = s->ops->view_open(s->engine, wait, &view->view);
	if (r < 0) {
		free(view);
		return r;
	}
	*ret = view;
	return 0;
}

int store_view_open(struct store *s, struct store_view **ret)
{
	return open_view(s, true, ret);
}

int store_view_try(struct store *s, struct store_view **ret)
{
	return open_view(s, false, ret);
}

bool store_views_are_cheap(const struct store *s)
{
	return s->ops->cheap_views;
}

void store_view_close(struct store_view *view)
{
	if (!view)
		return;
	view->ops->view_close(view->view);
	free(view);
}

int store_view_rows(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		    store_row_fn fn, void *arg)
{
	return view->ops->view_rows(view->view, host_id, from_us, to_us, backwards, fn, arg);
}

int store_view_row_heads(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
			 size_t head, store_row_fn fn, void *arg)
{
	return view->ops->view_row_heads(view->view, host_id, from_us, to_us, head, fn, arg);
}

int store_view_chunks(struct store_view *view, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic,
		      int64_t from_us, int64_t to_us, struct store_chunk **ret, size_t *ret_n)
{
	return view->ops->view_chunks(view->view, host_id, tier, statistic, from_us, to_us, ret, ret_n);
}

int store_view_read(struct store_view *view, const struct store_chunk *chunk, uint64_t offset, size_t len,
		    uint8_t *data)
{
	return chunk->damaged ? -EUCLEAN : view->ops->view_read(view->view, chunk, offset, len, data);
}

int store_snapshots_between(struct store *s, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
			    store_row_fn fn, void *arg)
{
	struct store_view *view;
	int r = store_view_open(s, &view);
	if (r < 0)
		return r;
	r = store_view_rows(view, host_id, from_us, to_us, backwards, fn, arg);
	store_view_close(view);
	return r;
}

int store_view_records(struct store_view *view, enum store_table table, store_record_fn fn, void *arg)
{
	return view->ops->view_records(view->view, table, fn, arg);
}

int store_restore_begin(struct store *s)
{
	struct store_host *hosts = NULL;
	size_t n = 0;
	int64_t users = store_user_count(s), keys = store_key_count(s);
	int r = store_hosts(s, &hosts, &n);
	store_hosts_free(hosts, n);
	r = r < 0 ? r : users < 0 ? (int)users : keys < 0 ? (int)keys : 0;
	if (r < 0)
		return r;
	if (n > 0 || users > 0 || keys > 0)
		return -EEXIST;
	return store_setting_put(s, STORE_HALF_RESTORED, "1", 1);
}

int store_restore(struct store *s, const struct store_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!store_record_fits(&records[i]))
			return -EINVAL;
	}
	return n == 0 ? 0 : s->ops->restore(s->engine, records, n);
}

int store_restore_end(struct store *s)
{
	return s->ops->restore_end(s->engine);
}

int store_unsealed(struct store *s, struct store_unsealed **ret, size_t *ret_n)
{
	return s->ops->unsealed(s->engine, ret, ret_n);
}

int store_seal(struct store *s, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
	       const struct store_row *latest, const struct store_chunk *chunks, size_t n)
{
	return s->ops->seal(s->engine, host_id, was_us, upto_us, rows, latest, chunks, n);
}

/* Where compacted chunks are in another table they have to go there. */
static int keep_anew(struct store *s, const uint8_t host_id[16], const struct store_chunk *chunks, size_t n)
{
	struct store_chunk *kept = calloc(n + 1, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		kept[i] = chunks[i];
		kept[i].compacted = true;
	}
	int r = store_replace(s, host_id, chunks, n, kept, n);
	free(kept);
	return r;
}

int store_keep(struct store *s, const uint8_t host_id[16], const struct store_chunk *chunks, size_t n)
{
	return s->ops->keep ? s->ops->keep(s->engine, host_id, chunks, n) : keep_anew(s, host_id, chunks, n);
}

int store_replace(struct store *s, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		  const struct store_chunk *chunks, size_t n)
{
	return s->ops->replace(s->engine, host_id, old, n_old, chunks, n);
}

int store_windows(struct store *s, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		  struct store_window **ret, size_t *ret_n)
{
	return s->ops->windows(s->engine, tier, before_us, quiet_us, limit, ret, ret_n);
}

int store_drop(struct store *s, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes)
{
	return s->ops->drop(s->engine, tier, before_us, bytes, ret_bytes);
}

int store_settle(struct store *s)
{
	return s->ops->settle ? s->ops->settle(s->engine) : 0;
}

int store_usage(struct store *s, struct store_usage *ret)
{
	return usage_look_now(&s->look, s->ops->usage, s->engine, ret);
}

int store_usage_lately(struct store *s, struct store_usage *ret, int64_t *ret_looked_us)
{
	return usage_look_lately(&s->look, s->ops->usage, s->engine, ret, ret_looked_us);
}

int store_lead(struct store *s)
{
	return s->ops->lead(s->engine);
}

int store_host_register(struct store *s, struct store_host *host)
{
	return s->ops->host_register(s->engine, host);
}

int store_hosts(struct store *s, struct store_host **ret, size_t *ret_n)
{
	return s->ops->hosts(s->engine, ret, ret_n);
}

void store_hosts_free(struct store_host *hosts, size_t n)
{
	for (size_t i = 0; hosts && i < n; i++)
		free(hosts[i].facts);
	free(hosts);
}

int store_host_seen(struct store *s, const uint8_t host_id[16], int64_t last_seen_us)
{
	return s->ops->host_seen(s->engine, host_id, last_seen_us);
}

int store_descriptors_put(struct store *s, const uint8_t hash[32], const uint8_t *set, size_t len)
{
	return s->ops->descriptors_put(s->engine, hash, set, len);
}

int store_descriptors_get(struct store *s, const uint8_t hash[32], uint8_t **ret, size_t *ret_len)
{
	return s->ops->descriptors_get(s->engine, hash, ret, ret_len);
}

int store_user_get(struct store *s, const char *username, struct store_user *ret)
{
	return s->ops->user_get(s->engine, username, ret);
}

int store_user_put(struct store *s, struct store_user *user)
{
	return s->ops->user_put(s->engine, user);
}

int64_t store_user_count(struct store *s)
{
	return s->ops->user_count(s->engine);
}

int store_key_get(struct store *s, const uint8_t hash[32], struct store_key *ret)
{
	return s->ops->key_get(s->engine, hash, ret);
}

int store_key_put(struct store *s, struct store_key *key)
{
	return s->ops->key_put(s->engine, key);
}

int64_t store_key_count(struct store *s)
{
	return s->ops->key_count(s->engine);
}

int store_setting_get(struct store *s, const char *name, void *value, size_t size)
{
	return s->ops->setting_get(s->engine, name, value, size);
}

int store_setting_put(struct store *s, const char *name, const void *value, size_t len)
{
	return s->ops->setting_put(s->engine, name, value, len);
}
