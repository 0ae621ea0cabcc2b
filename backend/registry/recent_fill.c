#include "backend/registry/recent_fill.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 10
#define BACK_US (15 * 60 * 1000000ll)
#define HEAD 3072 /* of a row: where the sections are that are kept */

struct recent_fill {
	struct store *store;
	struct recent *recent;
	pthread_t thread;
	atomic_bool stop;
	const uint8_t *host_id; /* that is being read */
};

static int on_row(void *arg, const struct store_row *row)
{
	struct recent_fill *fill = arg;
	recent_add_row(fill->recent, fill->host_id, row);
	return atomic_load_explicit(&fill->stop, memory_order_relaxed) ? -ECANCELED : 0;
}

static int fill_host(struct recent_fill *fill, const uint8_t host_id[16], int64_t from_us)
{
	struct store_view *view;
	int r = store_view_open(fill->store, &view);
	if (r < 0)
		return r;
	fill->host_id = host_id;
	r = store_view_row_heads(view, host_id, from_us, INT64_MAX, HEAD, on_row, fill);
	store_view_close(view);
	return r;
}

/* What of one host cannot be read is for who asks for it. */
static int fill_all(struct recent_fill *fill, int64_t from_us)
{
	struct store_unsealed *hosts;
	size_t n;
	int r = store_unsealed(fill->store, &hosts, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r != -ECANCELED; i++)
		r = fill_host(fill, hosts[i].host_id, from_us);
	free(hosts);
	return r == -ECANCELED ? r : (int)n;
}

int recent_fill_now(struct store *store, struct recent *recent, int64_t from_us)
{
	struct recent_fill fill = {.store = store, .recent = recent};
	return fill_all(&fill, from_us);
}

static void *run(void *arg)
{
	struct recent_fill *fill = arg;
	if (setpriority(PRIO_PROCESS, (id_t)gettid(), NICE) < 0)
		log_debug("reading what hosts said lately keeps its priority", LOG_ERR(errno));
	int r = fill_all(fill, clock_wall_us() - BACK_US);
	if (r < 0 && r != -ECANCELED)
		log_debug("what hosts said lately is not read", LOG_ERR(r),
			  LOG_STR("then", "it is read when it is asked for"));
	return NULL;
}

int recent_fill_start(struct store *store, struct recent *recent, struct recent_fill **ret)
{
	struct recent_fill *fill = calloc(1, sizeof(*fill));
	if (!fill)
		return -ENOMEM;
	fill->store = store;
	fill->recent = recent;
	int r = -pthread_create(&fill->thread, NULL, run, fill);
	if (r < 0) {
		free(fill);
		return r;
	}
	*ret = fill;
	return 0;
}

void recent_fill_stop(struct recent_fill *fill)
{
	if (!fill)
		return;
	atomic_store(&fill->stop, true);
	pthread_join(fill->thread, NULL);
	free(fill);
}
