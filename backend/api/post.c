/* POST /api/metrics: what a script or an agent of one's own sends goes the way of every agent's snapshots. */
#include "backend/api/internal.h"
#include "backend/ingest/envelope.h"
#include "backend/ingest/ingest.h"
#include "backend/store/host_name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POST_HOSTNAME = 1, POST_HOST_ID = 2, POST_SNAPSHOTS = 3 };
enum { BATCH_SNAPSHOTS = 1 };
enum { REPLY_HOST_ID = 1, REPLY_HOSTNAME = 2, REPLY_STORED = 3 };

struct post_request {
	char hostname[HELLO_HOSTNAME_MAX + 2], host_id[UUID_TEXT_SIZE + 1];
	struct buf batch;
};

static int take_post(const uint8_t *request, size_t len, struct post_request *ret, struct api_error *error)
{
	struct wire_reader reader = wire_reader(request, len);
	struct wire_field f;
	int n, r = 0;
	while (r == 0 && (n = wire_next(&reader, &f)) == 1) {
		if (f.number == POST_HOSTNAME)
			r = api_take_text(&f, "hostname", ret->hostname, sizeof(ret->hostname), error);
		else if (f.number == POST_HOST_ID)
			r = api_take_text(&f, "host_id", ret->host_id, sizeof(ret->host_id), error);
		else if (f.number == POST_SNAPSHOTS && f.type == WIRE_BYTES &&
			 wire_put_bytes(&ret->batch, BATCH_SNAPSHOTS, f.data, f.len) < 0)
			r = api_fail_internal(error, -ENOMEM);
	}
	if (r < 0)
		return r;
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "PostMetricsRequest is malformed");
	if (ret->batch.len == 0)
		return api_fail_field(error, "snapshots", "there is none in the body");
	if (ret->hostname[0] ? !hello_hostname_ok(ret->hostname, strlen(ret->hostname)) : !ret->host_id[0])
		return api_fail_field(error, "hostname",
				      "say whose snapshots they are: ?hostname=NAME, 1 to %d bytes "
				      "of printable UTF-8",
				      HELLO_HOSTNAME_MAX);
	return 0;
}

static int make_host(struct api *api, const struct auth_identity *who, const struct post_request *wish,
		     struct ingest_post *post, struct api_error *error)
{
	const struct store_key owner = {.key_id = who->key.key_id, .tenant_id = who->tenant_id};
	if (!wish->hostname[0])
		return api_fail(error, GRPC_NOT_FOUND,
				"no host has the id %s: say with ?hostname=NAME what it is called", wish->host_id);
	if (!wish->host_id[0])
		host_name_id(who->tenant_id, wish->hostname, post->host_id);
	else if (encoding_uuid_parse(wish->host_id, strlen(wish->host_id), post->host_id) < 0)
		return api_fail_field(error, "host_id", "not a UUID");
	int r = registry_hello(api->sources.registry, &owner, post->host_id, wish->hostname, NULL, 0, post->hostname);
	if (r == -EACCES)
		return api_fail(error, GRPC_PERMISSION_DENIED, "that host id is bound to another key");
	return r < 0 ? api_fail_internal(error, r) : 0;
}

/* Whose snapshots they are, made if it is new. */
static int find_host(struct api *api, const struct auth_identity *who, const struct post_request *wish,
		     struct ingest_post *post, struct api_error *error)
{
	struct registry_name *name;
	size_t n;
	int r = registry_names(api->sources.registry, who->tenant_id, wish->host_id[0] ? wish->host_id : wish->hostname,
			       &name, &n);
	if (r == -ENOENT)
		return make_host(api, who, wish, post, error);
	if (r < 0)
		return api_fail_internal(error, r);
	memcpy(post->host_id, name->host_id, sizeof(post->host_id));
	memcpy(post->hostname, name->hostname, sizeof(post->hostname));
	bool foreign = who->key.key_id != 0 && name->key_id != who->key.key_id;
	free(name);
	return foreign ? api_fail(error, GRPC_PERMISSION_DENIED,
				  "the host \"%.100s\" is bound to another agent key: send with that one, or as an "
				  "administrator",
				  post->hostname)
		       : 0;
}

static int fail_refused(struct api_error *error, const struct ingest_posted *posted)
{
	if (posted->verdict == VERDICT_WRONG_INSTANCE)
		return api_fail_field(error, "snapshots",
				      "snapshot %zu of %zu: send instance and sequence, or neither; nothing is stored",
				      posted->at, posted->n);
	return api_fail_field(error, "snapshots", "snapshot %zu of %zu: %s; nothing is stored", posted->at, posted->n,
			      verdict_detail(posted->verdict));
}

static int fail_post(struct api_error *error, int r, const struct ingest_posted *posted)
{
	error->retry_ms = (uint32_t)(posted->retry_ms < UINT32_MAX ? posted->retry_ms : UINT32_MAX);
	switch (r) {
	case -EINVAL:
		return fail_refused(error, posted);
	case -EPROTO:
		return api_fail_field(error, "snapshots", "sequences of an instance must ascend; nothing is stored");
	case -E2BIG:
		return api_fail_field(error, "snapshots", "at most %d, and of %d instances; nothing is stored",
				      INGEST_MAX_BATCH, INGEST_POST_MAX_INSTANCES);
	case -EEXIST:
		return api_fail(
			error, GRPC_ALREADY_EXISTS,
			"sequence %llu of that instance is stored with other contents, and stays so; the other %zu "
			"snapshots are stored: take a new instance (16 random bytes) at each start",
			(unsigned long long)posted->sequence, posted->stored);
	case -EAGAIN:
		return api_fail(error, GRPC_RESOURCE_EXHAUSTED, "above the limits of a key: send it again later");
	case -EBUSY:
		return api_fail(error, GRPC_UNAVAILABLE,
				"the database is too slow at present, and what came is not known to be stored: send it "
				"again");
	case -ESHUTDOWN:
		error->retry_ms = 1000;
		return api_fail(error, GRPC_UNAVAILABLE, "the backend is stopping: send it again");
	default:
		return api_fail_internal(error, r);
	}
}

static int post_metrics(struct api *api, const struct auth_identity *who, const struct post_request *wish,
			struct buf *reply, struct api_error *error)
{
	/* A person has limits too, apart from those of keys. */
	struct ingest_post post = {
		.key = {.key_id = who->key.key_id ? who->key.key_id : -who->user_id, .tenant_id = who->tenant_id},
		.batch = wish->batch.data,
		.len = wish->batch.len};
	struct ingest_posted posted;
	char id_text[UUID_TEXT_SIZE];
	if (find_host(api, who, wish, &post, error) < 0)
		return -1;
	int r = ingest_post(api->sources.ingest, &post, &posted);
	if (r < 0)
		return fail_post(error, r, &posted);
	encoding_uuid_format(post.host_id, id_text);
	r = api_put_text(reply, REPLY_HOST_ID, id_text);
	if (r == 0)
		r = api_put_text(reply, REPLY_HOSTNAME, post.hostname);
	if (r == 0)
		r = wire_put_uint(reply, REPLY_STORED, posted.stored);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

int api_post_metrics(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		     struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct post_request wish = {.batch = BUF_INIT(len)};
	*ret_schema = NULL;
	if (!api->sources.ingest)
		return api_fail(error, GRPC_UNIMPLEMENTED, "this backend takes no metrics");
	if (who->key.key_id == 0 && who->role != STORE_ROLE_ADMIN)
		return api_fail(error, GRPC_PERMISSION_DENIED, "only administrators and agent keys may send metrics");
	int r = take_post(request, len, &wish, error);
	if (r == 0)
		r = post_metrics(api, who, &wish, reply, error);
	buf_free(&wish.batch);
	return r;
}
