#include "backend/ingest/ingest.h"

#include "backend/ingest/internal.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_REQUESTS 4096

static const struct grpc_method methods[] = {
	{
		.path = "/sonde.v1.Ingest/Stream",
		.max_message = INGEST_MAX_MESSAGE,
		.on_start = stream_on_start,
		.on_message = stream_on_message,
		.on_half_close = stream_on_half_close,
		.on_close = stream_close,
	},
	{
		.path = "/sonde.v1.Ingest/Push",
		.max_message = INGEST_MAX_MESSAGE,
		.on_start = push_on_start,
		.on_message = push_on_message,
		.on_close = stream_close,
		.unary = true,
	},
};

int ingest_open(struct store *store, struct auth *auth, struct registry *registry, struct hub *hub,
		const struct ingest_limits *limits, struct ingest **ret)
{
	struct ingest *ingest = calloc(1, sizeof(*ingest));
	if (!ingest)
		return -ENOMEM;
	(void)pthread_mutex_init(&ingest->numbering, NULL); /* cannot fail on Linux */
	if (pthread_mutex_init(&ingest->lock, NULL) != 0 || pthread_cond_init(&ingest->idle, NULL) != 0) {
		free(ingest);
		return -ENOMEM;
	}
	ingest->store = store;
	ingest->auth = auth;
	ingest->registry = registry;
	ingest->hub = hub;
	ingest->own = schema_ref(schemas_own(registry_schemas(registry)));
	ingest->service = (struct grpc_service){
		.name = "sonde.v1.Ingest",
		.methods = methods,
		.n_methods = sizeof(methods) / sizeof(methods[0]),
		.service = ingest,
	};
	atomic_init(&ingest->refs, 1);
	ingest->keys = keys_new(auth);
	ingest->rates = rates_new(limits->key);
	ingest->cardinality = cardinality_new(limits->host_rows);
	int r = ingest->keys && ingest->rates && ingest->cardinality ? jobs_new(1, MAX_REQUESTS, &ingest->jobs)
								     : -ENOMEM;
	if (r < 0) {
		ingest_close(ingest);
		return r;
	}
	*ret = ingest;
	return 0;
}

void ingest_unref(struct ingest *ingest)
{
	if (atomic_fetch_sub(&ingest->refs, 1) != 1)
		return;
	schema_unref(ingest->own);
	pthread_cond_destroy(&ingest->idle);
	pthread_mutex_destroy(&ingest->lock);
	pthread_mutex_destroy(&ingest->numbering);
	free(ingest);
}

/* Batches that a stalled database still holds keep the struct, and nothing that it borrows. */
void ingest_close(struct ingest *ingest)
{
	if (!ingest)
		return;
	jobs_free(ingest->jobs);
	pthread_mutex_lock(&ingest->lock);
	ingest->closed = true;
	while (ingest->running > 0)
		pthread_cond_wait(&ingest->idle, &ingest->lock);
	pthread_mutex_unlock(&ingest->lock);
	keys_free(ingest->keys);
	rates_free(ingest->rates);
	cardinality_free(ingest->cardinality);
	ingest_unref(ingest);
}

bool ingest_enter(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	bool open = !ingest->closed;
	if (open)
		ingest->running++;
	pthread_mutex_unlock(&ingest->lock);
	return open;
}

void ingest_leave(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	if (--ingest->running == 0)
		pthread_cond_broadcast(&ingest->idle);
	pthread_mutex_unlock(&ingest->lock);
}

const struct grpc_service *ingest_service(struct ingest *ingest)
{
	return &ingest->service;
}

uint32_t ingest_connected(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	uint32_t n = ingest->n_identified;
	pthread_mutex_unlock(&ingest->lock);
	return n;
}
