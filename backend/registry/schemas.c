#include "backend/registry/schemas.h"

#include "common/wire.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_TYPE "sonde.v1.Snapshot"

enum { SET_FILE = 1, FILE_NAME = 1 };

struct entry {
	uint8_t hash[32];
	struct schema *schema; /* NULL: free */
	uint64_t used;
};

struct schemas {
	struct store *store;
	struct schema *own;
	uint8_t own_hash[32];
	pthread_mutex_t lock; /* what follows */
	uint64_t clock;
	struct entry entries[SCHEMAS_MAX_CACHED];
};

/* The name of a FileDescriptorProto. 0 or -EPROTO. */
static int file_name(const uint8_t *file, size_t len, struct wire_field *ret)
{
	struct wire_reader reader = wire_reader(file, len);
	struct wire_field field;
	int n;
	while ((n = wire_next(&reader, &field)) == 1) {
		if (field.number == FILE_NAME && field.type == WIRE_BYTES) {
			*ret = field;
			return 0;
		}
	}
	return -EPROTO;
}

/* 1 if the set has a file of that name, 0 if not, -EPROTO. */
static int has_file(const uint8_t *set, size_t len, const struct wire_field *name)
{
	struct wire_reader reader = wire_reader(set, len);
	struct wire_field file, other;
	int n;
	while ((n = wire_next(&reader, &file)) == 1) {
		if (file.number != SET_FILE || file.type != WIRE_BYTES)
			continue;
		if (file_name(file.data, file.len, &other) < 0)
			return -EPROTO;
		if (other.len == name->len && memcmp(other.data, name->data, name->len) == 0)
			return 1;
	}
	return n;
}

static int is_service_file(const struct wire_field *name)
{
	struct descriptor_blob snapshot = descriptors_snapshot(), services = descriptors_services();
	int r = has_file(snapshot.data, snapshot.len, name);
	if (r != 0)
		return r < 0 ? r : 0;
	return has_file(services.data, services.len, name);
}

/* Appends the files of a set that are (or are not) files of our services only. */
static int append_files(const uint8_t *set, size_t len, int service_files, struct buf *out)
{
	struct wire_reader reader = wire_reader(set, len);
	struct wire_field file, name;
	int n;
	while ((n = wire_next(&reader, &file)) == 1) {
		if (file.number != SET_FILE || file.type != WIRE_BYTES)
			continue;
		int r = file_name(file.data, file.len, &name);
		if (r == 0)
			r = is_service_file(&name);
		if (r < 0)
			return r;
		if (r == service_files && (r = wire_put_bytes(out, SET_FILE, file.data, file.len)) < 0)
			return r;
	}
	return n;
}

/* The agent's files say what a Snapshot is; ours say what a reply is, whatever the agent may call so. */
static int compile_merged(const uint8_t *set, size_t len, struct schema **ret)
{
	BUF_CLEANUP struct buf merged = BUF_INIT(SCHEMA_MAX_SET);
	struct descriptor_blob services = descriptors_services();
	int r = append_files(set, len, 0, &merged);
	if (r == 0)
		r = append_files(services.data, services.len, 1, &merged);
	if (r == 0 && schema_compile(merged.data, merged.len, SNAPSHOT_TYPE, ret) == 0)
		return 0;
	/* A schema too far from ours to share our replies can still be read by itself. */
	return schema_compile(set, len, SNAPSHOT_TYPE, ret);
}

int schemas_open(struct store *store, struct schemas **ret)
{
	struct descriptor_blob services = descriptors_services();
	struct schemas *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	if (pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return -ENOMEM;
	}
	s->store = store;
	memcpy(s->own_hash, descriptors_snapshot().sha256, sizeof(s->own_hash));
	int r = schema_compile(services.data, services.len, SNAPSHOT_TYPE, &s->own);
	if (r < 0) {
		schemas_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void schemas_close(struct schemas *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SCHEMAS_MAX_CACHED; i++)
		schema_unref(s->entries[i].schema);
	schema_unref(s->own);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct schema *schemas_own(struct schemas *s)
{
	return s->own;
}

static struct schema *cached(struct schemas *s, const uint8_t hash[32])
{
	struct schema *found = NULL;
	if (memcmp(hash, s->own_hash, sizeof(s->own_hash)) == 0)
		return schema_ref(s->own);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SCHEMAS_MAX_CACHED && !found; i++) {
		struct entry *e = &s->entries[i];
		if (e->schema && memcmp(e->hash, hash, sizeof(e->hash)) == 0) {
			e->used = ++s->clock;
			found = schema_ref(e->schema);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void remember(struct schemas *s, const uint8_t hash[32], struct schema *schema)
{
	pthread_mutex_lock(&s->lock);
	struct entry *oldest = &s->entries[0];
	for (size_t i = 0; i < SCHEMAS_MAX_CACHED; i++) {
		struct entry *e = &s->entries[i];
		if (e->schema && memcmp(e->hash, hash, sizeof(e->hash)) == 0) {
			oldest = e;
			break;
		}
		if ((e->schema ? e->used : 0) < (oldest->schema ? oldest->used : 0))
			oldest = e;
	}
	schema_unref(oldest->schema);
	oldest->schema = schema_ref(schema);
	oldest->used = ++s->clock;
	memcpy(oldest->hash, hash, sizeof(oldest->hash));
	pthread_mutex_unlock(&s->lock);
}

int schemas_get(struct schemas *s, const uint8_t hash[32], struct schema **ret)
{
	struct schema *schema = cached(s, hash);
	if (schema) {
		*ret = schema;
		return 1;
	}
	uint8_t *set;
	size_t len;
	int r = store_descriptors_get(s->store, hash, &set, &len);
	if (r <= 0)
		return r;
	r = compile_merged(set, len, &schema);
	free(set);
	if (r < 0)
		return r;
	remember(s, hash, schema);
	*ret = schema;
	return 1;
}

int schemas_get_or_own(struct schemas *s, const uint8_t hash[32], struct schema **ret)
{
	int r = schemas_get(s, hash, ret);
	if (r < 0 && r != -EPROTO && r != -ENOENT && r != -EMSGSIZE)
		return r;
	if (r <= 0)
		*ret = schema_ref(schemas_own(s));
	return 0;
}

int schemas_put(struct schemas *s, const uint8_t hash[32], const uint8_t *set, size_t len, struct schema **ret)
{
	uint8_t actual[crypto_hash_sha256_BYTES];
	if (len > SCHEMA_MAX_SET)
		return -EMSGSIZE;
	crypto_hash_sha256(actual, set, len);
	if (memcmp(actual, hash, sizeof(actual)) != 0)
		return -EBADMSG;
	struct schema *schema = cached(s, hash);
	if (!schema) {
		int r = compile_merged(set, len, &schema);
		if (r < 0)
			return r;
		r = store_descriptors_put(s->store, hash, set, len);
		if (r < 0) {
			schema_unref(schema);
			return r;
		}
		remember(s, hash, schema);
	}
	*ret = schema;
	return 0;
}
