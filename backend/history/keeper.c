/* Work is done in pieces (a host's rows, a window's chunks), each a transaction: whoever is killed in between has lost
 * nothing and doubled nothing, and what is to be done next is asked of the store every time. Sealing comes before
 * compacting, because rows are what is large. */
#include "backend/history/keeper.h"

#include "backend/history/compact.h"
#include "backend/history/seal.h"
#include "backend/history/skips.h"
#include "backend/history/tiers.h"
#include "common/clock.h"
#include "common/condition.h"
#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NICE 10
#define LONGEST_WAIT_MS 10000
#define SHORTEST_WAIT_MS 200
#define LEAST_ROWS 16		       /* sealed at a time, on a disk that has room for no more */
#define EARLY_ROWS 1500		       /* a host with more is sealed before its turn */
#define COMPACT_SLICE_NS 2000000000ull /* then sealing is looked at again */
#define LOOK_EVERY_NS 5000000000ull    /* how many rows there are, while they are sealed */
#define ROW_BYTES 8192		       /* as long as nobody has looked */
#define WINDOWS_AT_A_TIME 2048
#define DROPS_AT_A_TIME 16
#define FULL_AGAIN_NS 10000000000ull /* on a disk nobody knows how full it is, until it is seen what a drop did */
#define RETENTION_EVERY_NS 60000000000ull

/* What is told once, until it works again. */
enum trouble { TROUBLE_LEADING, TROUBLE_SEALING, TROUBLE_COMPACTING, TROUBLE_FORGETTING, TROUBLES };

struct keeper {
	struct store *store;
	struct schemas *schemas;
	struct keeper_options options;
	pthread_t thread;
	atomic_bool stop, flooded;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct keeper_counters counters; /* guarded by lock */
	/* The thread's own. */
	int told[TROUBLES];
	struct skips skips;
	uint64_t kept_ns;	       /* when retention was last looked at */
	bool full;		       /* the disk said so */
	uint64_t freed_ns;	       /* when something was dropped for that */
	unsigned max_rows;	       /* sealed at a time */
	struct chunk_builder *builder; /* as long as there is something to seal in each round */
	bool low;		       /* told that it is as good as full */
	int64_t caught_up_us;
	int64_t bad_told_us;
};

static bool stopping(const struct keeper *k)
{
	return atomic_load_explicit(&k->stop, memory_order_relaxed);
}

/* 0 and what is no trouble end what was told. Whether the round should go on is the caller's. */
static void tell(struct keeper *k, enum trouble trouble, int error)
{
	static const char *const whats[] = {
		[TROUBLE_LEADING] = "who keeps house cannot be found out",
		[TROUBLE_SEALING] = "rows cannot be sealed",
		[TROUBLE_COMPACTING] = "chunks cannot be compacted",
		[TROUBLE_FORGETTING] = "old history cannot be deleted",
	};
	if (error == -ENOSPC)
		k->full = true;
	if (error == -ESTALE || error == -EAGAIN || error == -ECANCELED)
		return;
	if (error < 0) {
		pthread_mutex_lock(&k->lock);
		k->counters.errors++;
		pthread_mutex_unlock(&k->lock);
	}
	if (error < 0 && error != k->told[trouble])
		log_warn(whats[trouble], LOG_ERR(error), LOG_STR("then", "it is tried again; nothing is lost"));
	k->told[trouble] = error;
}

/* Errors of the whole database, not of one host or window. */
static bool concerns_all(int error)
{
	switch (error) {
	case -EBUSY:
	case -ENOSPC:
	case -EIO:
	case -EROFS:
	case -EACCES:
	case -ENOTCONN:
	case -ETIMEDOUT:
	case -EUSERS:
	case -ENOTSUP:
	case -ENOMEM:
	case -ESHUTDOWN:
		return true;
	default:
		return false;
	}
}

/* --- sealing --- */

static void count_seal(struct keeper *k, const struct seal_result *r, int64_t now_us)
{
	pthread_mutex_lock(&k->lock);
	struct keeper_counters *c = &k->counters;
	c->sealed_rows += r->rows;
	c->sealed_samples += r->samples;
	c->sealed_chunks += r->chunks;
	c->sealed_bytes += r->bytes;
	c->bad_rows += r->bad_rows;
	c->duplicate_rows += r->duplicates;
	pthread_mutex_unlock(&k->lock);
	if (r->bad_rows > 0 && now_us - k->bad_told_us > 60000000) {
		k->bad_told_us = now_us;
		log_warn("snapshots that are stored cannot be read whole", LOG_UINT("snapshots", r->bad_rows),
			 LOG_STR("then", "the rest of them is kept"));
	}
}

/* Up to when: its turn, or at once when there is much. A clock that went back stands behind what was sealed; rows come
 * just above that then. */
static int64_t seal_upto(const struct keeper *k, const struct store_unsealed *host, int64_t now_us)
{
	int64_t grace = k->options.seal_every_us / 20,
		upto = seal_due_us(host->host_id, now_us - grace, k->options.seal_every_us);
	if (host->rows > EARLY_ROWS)
		upto = now_us - grace > host->sealed_us ? now_us - grace : host->sealed_us + 1;
	return upto > host->sealed_us ? upto : INT64_MIN;
}

static int seal_one(struct keeper *k, struct store_unsealed *host, int64_t upto_us, bool *more)
{
	struct seal_result result = {0};
	const struct seal_job job = {.store = k->store,
				     .schemas = k->schemas,
				     .host = host,
				     .upto_us = upto_us,
				     .max_rows = k->max_rows,
				     .now_us = clock_wall_us(),
				     .stop = &k->stop,
				     .builder = &k->builder};
	int r = seal_host(&job, &result);
	if (r == 0)
		count_seal(k, &result, job.now_us);
	/* What is sealed needs room before its rows give theirs back: little by little it fits. */
	if (r == -ENOSPC)
		k->max_rows = k->max_rows / 4 > LEAST_ROWS ? k->max_rows / 4 : LEAST_ROWS;
	else if (r == 0 && k->max_rows < SEAL_MAX_ROWS)
		k->max_rows += k->max_rows / 4;
	*more |= r == 0 && result.more;
	return r;
}

/* Rows that are not sealed; what is sealed and not freed yet counts as it was when usage was last looked at. */
static void look_at_rows(struct keeper *k, const struct store_unsealed *hosts, size_t n)
{
	uint64_t rows = 0;
	for (size_t i = 0; i < n; i++)
		rows += hosts[i].rows;
	pthread_mutex_lock(&k->lock);
	const struct store_usage *usage = &k->counters.usage;
	uint64_t each = usage->rows > 0 ? usage->row_bytes / usage->rows : ROW_BYTES;
	uint64_t max = usage->total_bytes > 0 ? retention_row_bytes(&k->options.retention, usage) : UINT64_MAX;
	uint64_t bytes = rows * each > usage->row_bytes ? rows * each : usage->row_bytes;
	pthread_mutex_unlock(&k->lock);
	bool was = atomic_load(&k->flooded), is = bytes > (was ? max / 4 * 3 : max);
	if (is)
		k->kept_ns = 0; /* usage is looked at again soon */
	if (is == was)
		return;
	atomic_store(&k->flooded, is);
	if (is)
		log_warn("more snapshots wait to become columns than should", LOG_UINT("bytes", bytes),
			 LOG_UINT("limit_bytes", max),
			 LOG_STR("then", "agents keep what is older than ten minutes until it is less"));
	else
		log_info("snapshots that wait to become columns are few again", LOG_UINT("bytes", bytes));
}

static int by_sealed(const void *a, const void *b)
{
	const struct store_unsealed *x = a, *y = b;
	return x->sealed_us < y->sealed_us ? -1 : x->sealed_us > y->sealed_us;
}

/* All hosts whose turn it is, one piece each. True when there is more to do at once. */
static bool seal_round(struct keeper *k)
{
	struct store_unsealed *hosts = NULL;
	size_t n = 0;
	bool more = false, any = false;
	int64_t now_us = clock_wall_us();
	uint64_t begin_ns = clock_monotonic_ns();
	int r = store_unsealed(k->store, &hosts, &n), first = r;
	if (r == 0)
		look_at_rows(k, hosts, n);
	if (r == 0 && n > 0)
		qsort(hosts, n, sizeof(*hosts), by_sealed);
	for (size_t i = 0; r == 0 && i < n && !stopping(k); i++) {
		/* The list is taken anew now and then: who was sealed longest ago comes first in it. */
		if (clock_monotonic_ns() - begin_ns > LOOK_EVERY_NS) {
			more = true;
			break;
		}
		int64_t upto = seal_upto(k, &hosts[i], now_us);
		any |= upto > INT64_MIN;
		int one = upto > INT64_MIN ? seal_one(k, &hosts[i], upto, &more) : 0;
		first = first < 0 && first != -ESTALE ? first : one;
		r = concerns_all(one) ? one : 0;
	}
	if (!any) {
		chunk_builder_free(k->builder);
		k->builder = NULL;
	}
	if (first == 0 && !more)
		k->caught_up_us = now_us;
	if (!stopping(k))
		tell(k, TROUBLE_SEALING, first);
	free(hosts);
	return more && r == 0;
}

/* --- compacting --- */

static void count_compaction(struct keeper *k, const struct compact_result *r)
{
	pthread_mutex_lock(&k->lock);
	struct keeper_counters *c = &k->counters;
	c->compacted_chunks += r->chunks_before;
	c->compacted_samples += r->samples;
	c->compacted_bytes += r->bytes_before;
	c->made_bytes += r->bytes_after;
	c->minute_chunks += r->minute_chunks;
	c->minute_bytes += r->minute_bytes;
	c->left_chunks += r->left;
	c->damaged_chunks += r->damaged + r->unreadable;
	pthread_mutex_unlock(&k->lock);
}

static void tell_window(const char *what, int error, enum store_tier tier, const struct store_window *window)
{
	char host[33];
	for (size_t i = 0; i < 16; i++)
		snprintf(host + 2 * i, 3, "%02x", window->host_id[i]);
	log_warn(what, LOG_ERR(error), LOG_STR("host", host), LOG_UINT("tier", tier),
		 LOG_INT("window_us", window->window_us), LOG_STR("then", "it stays as it is; the rest is served"));
}

static int compact_one(struct keeper *k, enum store_tier tier, const struct store_window *window, bool *did)
{
	struct compact_result result = {0};
	const struct compact_job job = {.store = k->store,
					.tier = tier,
					.window = window,
					.now_us = clock_wall_us(),
					.late_quiet_us = 3 * k->options.seal_every_us,
					.stop = &k->stop};
	int r = compact_window(&job, &result);
	if (r == 0)
		count_compaction(k, &result);
	if (r == 0 && result.damaged > 0)
		tell_window("a chunk is damaged", -EUCLEAN, tier, window);
	if (r == -EUCLEAN || r == -EMSGSIZE || r == -EPROTO || r == -EINVAL || (r == 0 && result.unreadable > 0)) {
		tell_window("a window cannot be compacted", r < 0 ? r : -EUCLEAN, tier, window);
		skips_add(&k->skips, tier, window);
		r = 0;
	} else if (r == 0) {
		*did |= result.chunks_after + result.left + result.damaged > 0;
	}
	return r;
}

static int compact_tier(struct keeper *k, enum store_tier tier, uint64_t deadline_ns, bool *did)
{
	int64_t now_us = clock_wall_us(), period = k->options.seal_every_us;
	struct store_window *windows;
	size_t n;
	int r = store_windows(k->store, tier, now_us - tiers_window_us(tier) - 2 * period, now_us - period,
			      WINDOWS_AT_A_TIME + k->skips.n, &windows, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n && !stopping(k) && clock_monotonic_ns() < deadline_ns; i++) {
		int one = skips_has(&k->skips, tier, &windows[i]) ? 0 : compact_one(k, tier, &windows[i], did);
		r = one == -EAGAIN || one == -ESTALE ? 0 : one;
	}
	free(windows);
	return r;
}

/* True when there may be more to do at once. */
static bool compact_round(struct keeper *k)
{
	uint64_t deadline_ns = clock_monotonic_ns() + COMPACT_SLICE_NS;
	bool did = false;
	int r = 0;
	for (enum store_tier tier = STORE_TIER_RAW; r == 0 && tier < STORE_TIER_END; tier++)
		r = compact_tier(k, tier, deadline_ns, &did);
	if (!stopping(k))
		tell(k, TROUBLE_COMPACTING, r);
	return did && r == 0;
}

/* --- forgetting --- */

static int drop(struct keeper *k, const struct retention_drop *what, uint64_t *ret_bytes)
{
	*ret_bytes = 0;
	int r = store_drop(k->store, what->tier, what->before_us, what->bytes, ret_bytes);
	pthread_mutex_lock(&k->lock);
	k->counters.dropped_bytes += r == 0 ? *ret_bytes : 0;
	pthread_mutex_unlock(&k->lock);
	return r;
}

/* What comes when its time is long over (a backlog, an import) is not forgotten before minutes were made of it, unless
 * that has not come about for a day. */
static int spare_what_came_late(struct keeper *k, struct retention_drop *what)
{
	struct store_window *windows;
	size_t n;
	int64_t day_ago_us = clock_wall_us() - 24 * TIERS_HOUR_US;
	int r = store_windows(k->store, what->tier, what->before_us, INT64_MAX, WINDOWS_AT_A_TIME + k->skips.n,
			      &windows, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (windows[i].newest_us < day_ago_us || skips_has(&k->skips, what->tier, &windows[i]))
			continue;
		what->before_us = windows[i].window_us; /* the oldest comes first */
		break;
	}
	free(windows);
	return 0;
}

static int forget_by_age(struct keeper *k)
{
	struct retention_drop what;
	uint64_t bytes;
	int r = 0;
	for (enum store_tier tier = STORE_TIER_RAW; r == 0 && tier < STORE_TIER_END && !stopping(k); tier++) {
		if (!retention_by_age(&k->options.retention, tier, clock_wall_us(), &what))
			continue;
		if (tier == STORE_TIER_RAW)
			r = spare_what_came_late(k, &what);
		if (r == 0)
			r = drop(k, &what, &bytes);
	}
	return r;
}

static void tell_low(struct keeper *k, const struct store_usage *usage)
{
	bool low = usage->disk_free_bytes < retention_low_bytes(usage);
	if (low && !k->low)
		log_warn("the disk is nearly full", LOG_UINT("free_bytes", usage->disk_free_bytes),
			 LOG_STR("then", "the oldest history is deleted: free space or set --store-max-bytes"));
	k->low = low;
}

/* A full disk without anything to drop: all the same the store may have room that it can give back. */
static int give_back(struct keeper *k)
{
	const struct retention_drop nothing = {.tier = STORE_TIER_RAW, .before_us = INT64_MIN};
	uint64_t bytes;
	return drop(k, &nothing, &bytes);
}

static int forget_by_bytes(struct keeper *k)
{
	struct store_usage usage;
	struct retention_drop what;
	unsigned spent = 0;
	int r = store_usage(k->store, &usage);
	if (r < 0)
		return r;
	tell_low(k, &usage);
	bool known = usage.disk_free_bytes != UINT64_MAX;
	bool full = k->full && (known || clock_monotonic_ns() - k->freed_ns > FULL_AGAIN_NS);
	if (k->full)
		r = give_back(k);
	r = r == -ENOSPC ? 0 : r; /* then something has to go */
	for (unsigned i = 0; r == 0 && i < DROPS_AT_A_TIME && !stopping(k); i++) {
		uint64_t bytes;
		if (i > 0 || k->full)
			r = store_usage(k->store, &usage);
		if (r < 0 || !retention_by_bytes(&k->options.retention, &usage, clock_wall_us(), full, spent, &what))
			break;
		r = drop(k, &what, &bytes);
		if (bytes == 0)
			spent |= 1u << what.tier;
		else if (!known)
			full = false;
	}
	k->freed_ns = k->full && full ? clock_monotonic_ns() : k->freed_ns;
	k->full = r < 0 && k->full; /* it says so again if it is */
	pthread_mutex_lock(&k->lock);
	k->counters.usage = usage;
	pthread_mutex_unlock(&k->lock);
	return r;
}

static void forget(struct keeper *k)
{
	uint64_t now_ns = clock_monotonic_ns(), every = RETENTION_EVERY_NS;
	char status[256];
	/* Who seals little may not notice that who writes much cannot. */
	store_status(k->store, status, sizeof(status));
	if (strstr(status, "disk is full"))
		k->full = true;
	if ((uint64_t)k->options.seal_every_us * 1000 < every)
		every = (uint64_t)k->options.seal_every_us * 1000;
	if (!k->full && k->kept_ns != 0 && now_ns - k->kept_ns < every)
		return;
	k->kept_ns = now_ns;
	int r = forget_by_age(k);
	if (r == 0)
		r = forget_by_bytes(k);
	if (!stopping(k))
		tell(k, TROUBLE_FORGETTING, r);
}

/* --- the thread --- */

static void measure(struct keeper *k, bool leads)
{
	struct timespec cpu;
	uint64_t cpu_ns = 0;
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0)
		cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
	int64_t behind = leads ? clock_wall_us() - k->caught_up_us : 0;
	pthread_mutex_lock(&k->lock);
	k->counters.cpu_ns = cpu_ns;
	k->counters.behind_us = behind > 0 ? (uint64_t)behind : 0;
	k->counters.leads = leads;
	pthread_mutex_unlock(&k->lock);
}

/* True when it is to go on without a wait. */
static bool keep(struct keeper *k)
{
	int leads = store_lead(k->store);
	tell(k, TROUBLE_LEADING, leads < 0 ? leads : 0);
	bool more = false;
	if (leads == 1) {
		forget(k);
		more = seal_round(k);
		more |= !stopping(k) && compact_round(k);
	} else {
		k->caught_up_us = clock_wall_us();
	}
	measure(k, leads == 1);
	return more;
}

static void wait(struct keeper *k)
{
	int64_t ms = k->options.seal_every_us / 60000;
	if (k->full)
		ms = SHORTEST_WAIT_MS;
	ms = ms < SHORTEST_WAIT_MS ? SHORTEST_WAIT_MS : ms > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : ms;
	const struct timespec until = condition_in_ms((uint64_t)ms);
	pthread_mutex_lock(&k->lock);
	while (!stopping(k) && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
		;
	pthread_mutex_unlock(&k->lock);
}

static void *run(void *arg)
{
	struct keeper *k = arg;
	/* Ingest and queries come first. On Linux a thread has a niceness of its own. */
	if (setpriority(PRIO_PROCESS, (id_t)gettid(), NICE) < 0)
		log_debug("history keeps its priority", LOG_ERR(errno));
	k->caught_up_us = clock_wall_us();
	while (!stopping(k)) {
		if (!keep(k) && !stopping(k))
			wait(k);
	}
	return NULL;
}

static void keeper_free(struct keeper *k)
{
	skips_free(&k->skips);
	chunk_builder_free(k->builder);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

int keeper_start(struct store *store, struct schemas *schemas, const struct keeper_options *options,
		 struct keeper **ret)
{
	if (options->seal_every_us < 1000000)
		return -EINVAL;
	struct keeper *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->store = store;
	k->schemas = schemas;
	k->options = *options;
	k->max_rows = SEAL_MAX_ROWS;
	pthread_mutex_init(&k->lock, NULL);
	condition_init(&k->wake);
	int r = -pthread_create(&k->thread, NULL, run, k);
	if (r < 0) {
		keeper_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void keeper_stop(struct keeper *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	atomic_store(&k->stop, true);
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	keeper_free(k);
}

bool keeper_is_flooded(const struct keeper *k)
{
	return atomic_load_explicit(&k->flooded, memory_order_relaxed);
}

const struct keeper_options *keeper_options(const struct keeper *k)
{
	return &k->options;
}

void keeper_get(struct keeper *k, struct keeper_counters *ret)
{
	pthread_mutex_lock(&k->lock);
	*ret = k->counters;
	pthread_mutex_unlock(&k->lock);
}
