/* bench_load RECORDING --store URL [--hosts N] [--hours H] [--every N] [--without SECTION]... [--end SECONDS]
 * [--keep-rows]
 *
 * Makes the database that a backend would have made of these snapshots: appended through the store's writer, sealed and
 * compacted by backend/history as its keeper does, with the time of the data as the clock; what was sealed goes before
 * the next comes. Without --keep-rows the end
 * is a day later: everything is sealed and compacted by then. Says on standard output what there is and what it cost.
 */
#include "backend/history/compact.h"
#include "backend/history/seal.h"
#include "backend/history/tiers.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"
#include "common/log.h"
#include "proto/descriptors.h"
#include "tests/bench/storage/wish.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_US 600000000ll
#define GRACE_US 30000000ll
#define IN_FLIGHT 400 /* snapshots; the writer frees sealed rows behind each group */
#define WINDOWS 4096

struct load {
	struct wish wish;
	struct warp *warp;
	struct store *store;
	struct schemas *schemas;
	uint8_t hash[32];
	uint64_t *next; /* of each host */
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned in_flight;
	int error;
	/* What came of it. */
	uint64_t snapshots, samples, payload_bytes;
	struct seal_result sealed;
	struct compact_result compacted[STORE_TIER_END];
	struct chunk_builder *builder;
	double seal_cpu, compact_cpu, seal_s, compact_s;
};

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench_load: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void host_id_of(uint32_t host, uint8_t id[16])
{
	/* Spread as random ones are, and the same in every run. */
	uint64_t x = (host + 1) * 0x9e3779b97f4a7c15ull, y = x * 0xbf58476d1ce4e5b9ull;
	memcpy(id, &x, 8);
	memcpy(id + 8, &y, 8);
}

/* --- appending --- */

static void appended(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct load *l = arg;
	pthread_mutex_lock(&l->lock);
	l->in_flight -= (unsigned)n;
	if (error < 0)
		l->error = error;
	for (size_t i = 0; fates && i < n; i++)
		l->error = fates[i] == STORE_ACCEPTED ? l->error : -EEXIST;
	pthread_cond_signal(&l->done);
	pthread_mutex_unlock(&l->lock);
}

static void settle(struct load *l, unsigned at_most)
{
	pthread_mutex_lock(&l->lock);
	while (l->in_flight > at_most)
		pthread_cond_wait(&l->done, &l->lock);
	pthread_mutex_unlock(&l->lock);
	must(l->error, "append");
}

static void append(struct load *l, uint32_t host, const struct columns_tick *tick, const uint8_t *payload, size_t len)
{
	uint8_t id[16];
	struct store_snapshot s = {.sequence = tick->sequence,
				   .agent_us = tick->time_us,
				   .boottime_us = tick->boottime_us,
				   .received_us = tick->received_us,
				   .payload = payload,
				   .len = len};
	int r;
	memcpy(s.descriptor_hash, l->hash, sizeof(l->hash));
	host_id_of(host, id);
	settle(l, IN_FLIGHT - 1);
	pthread_mutex_lock(&l->lock);
	l->in_flight++;
	pthread_mutex_unlock(&l->lock);
	while ((r = store_append(l->store, id, tick->instance, &s, 1, appended, l)) == -EAGAIN)
		usleep(1000);
	must(r, "append");
	l->snapshots++;
	l->payload_bytes += len;
}

static void append_until(struct load *l, int64_t until_us)
{
	for (uint32_t host = 0; host < l->wish.hosts; host++) {
		for (;; l->next[host]++) {
			struct columns_tick tick;
			const uint8_t *payload;
			size_t len;
			warp_snapshot(l->warp, host, l->next[host], wish_begin_us(&l->wish), &tick, &payload, &len);
			if (tick.time_us >= until_us)
				break;
			append(l, host, &tick, payload, len);
			l->samples += warp_samples(l->warp, host, l->next[host]);
		}
	}
	settle(l, 0);
}

/* --- keeping, as keeper.c --- */

static void seal(struct load *l, int64_t now_us, bool all)
{
	struct store_unsealed *hosts;
	size_t n;
	must(store_unsealed(l->store, &hosts, &n), "unsealed");
	for (size_t i = 0; i < n; i++) {
		struct seal_job job = {.store = l->store,
				       .schemas = l->schemas,
				       .host = &hosts[i],
				       .now_us = now_us,
				       .builder = &l->builder};
		struct seal_result r = {0};
		job.upto_us = all ? now_us - GRACE_US : seal_due_us(hosts[i].host_id, now_us - GRACE_US, PERIOD_US);
		if (job.upto_us <= hosts[i].sealed_us)
			continue;
		do {
			double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), clock = seconds(CLOCK_MONOTONIC);
			must(seal_host(&job, &r), "seal");
			l->seal_cpu += seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
			l->seal_s += seconds(CLOCK_MONOTONIC) - clock;
			l->sealed.rows += r.rows;
			l->sealed.samples += r.samples;
			l->sealed.chunks += r.chunks;
			l->sealed.bytes += r.bytes;
			l->sealed.bad_rows += r.bad_rows + r.duplicates;
			hosts[i].sealed_us = r.sealed_us;
		} while (r.more);
	}
	free(hosts);
}

static void compact(struct load *l, int64_t now_us)
{
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++) {
		struct store_window *windows;
		size_t n;
		must(store_windows(l->store, tier, now_us - tiers_window_us(tier) - 2 * PERIOD_US, now_us - PERIOD_US,
				   WINDOWS, &windows, &n),
		     "windows");
		for (size_t i = 0; i < n; i++) {
			const struct compact_job job = {.store = l->store,
							.tier = tier,
							.window = &windows[i],
							.now_us = now_us,
							.late_quiet_us = 3 * PERIOD_US};
			struct compact_result r = {0}, *sum = &l->compacted[tier];
			double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), clock = seconds(CLOCK_MONOTONIC);
			int error = compact_window(&job, &r);
			must(error == -EAGAIN ? 0 : error, "compact");
			l->compact_cpu += seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
			l->compact_s += seconds(CLOCK_MONOTONIC) - clock;
			sum->samples += r.samples;
			sum->bytes_before += r.bytes_before;
			sum->bytes_after += r.bytes_after;
			sum->minute_bytes += r.minute_bytes;
			sum->damaged += r.damaged + r.unreadable;
		}
		free(windows);
	}
}

/* --- the end --- */

/* Sealed rows are deleted behind appends: what is there already is sent again until they are gone. */
static void wait_for_rows(struct load *l, uint64_t at_most)
{
	struct store_usage usage = {.rows = UINT64_MAX};
	for (unsigned i = 0; i < 600; i++) {
		must(store_usage(l->store, &usage), "usage");
		if (usage.rows <= at_most)
			return;
		usleep(500000);
	}
	fprintf(stderr, "bench_load: %" PRIu64 " rows are left\n", usage.rows);
}

static void say_usage(struct load *l, const char *when)
{
	static const char *const names[] = {
		[STORE_TIER_RAW] = "raw", [STORE_TIER_PROCESSES] = "processes", [STORE_TIER_MINUTE] = "minute"};
	struct store_usage u;
	must(store_usage(l->store, &u), "usage");
	for (enum store_tier t = STORE_TIER_RAW; t < STORE_TIER_END; t++)
		printf("%s_%s_chunks %" PRIu64 "\n%s_%s_bytes %" PRIu64 "\n%s_%s_uncompacted_bytes %" PRIu64 "\n", when,
		       names[t], u.tiers[t].chunks, when, names[t], u.tiers[t].bytes, when, names[t],
		       u.tiers[t].uncompacted_bytes);
	printf("%s_rows %" PRIu64 "\n%s_row_bytes %" PRIu64 "\n%s_total_bytes %" PRIu64 "\n", when, u.rows, when,
	       u.row_bytes, when, u.total_bytes);
}

static void say(const struct load *l)
{
	const struct compact_result *c = l->compacted;
	printf("snapshots %" PRIu64 "\nsamples %" PRIu64 "\npayload_bytes %" PRIu64 "\n", l->snapshots, l->samples,
	       l->payload_bytes);
	printf("sealed_rows %" PRIu64 "\nsealed_samples %" PRIu64 "\nsealed_bytes %" PRIu64 "\nbad_rows %" PRIu64 "\n",
	       l->sealed.rows, l->sealed.samples, l->sealed.bytes, l->sealed.bad_rows);
	printf("seal_cpu_s %.3f\nseal_s %.3f\ncompact_cpu_s %.3f\ncompact_s %.3f\n", l->seal_cpu, l->seal_s,
	       l->compact_cpu, l->compact_s);
	for (enum store_tier t = STORE_TIER_RAW; t < STORE_TIER_END; t++)
		printf("compacted_%u_samples %" PRIu64 "\ncompacted_%u_before %" PRIu64 "\ncompacted_%u_after %" PRIu64
		       "\n",
		       t, c[t].samples, t, c[t].bytes_before, t, c[t].bytes_after);
}

static void register_hosts(struct load *l)
{
	for (uint32_t i = 0; i < l->wish.hosts; i++) {
		struct store_host host = {.tenant_id = STORE_TENANT_DEFAULT,
					  .key_id = 1,
					  .first_seen_us = wish_begin_us(&l->wish),
					  .last_seen_us = l->wish.end_us};
		host_id_of(i, host.host_id);
		snprintf(host.hostname, sizeof(host.hostname), "host-%" PRIu32, i);
		must(store_host_register(l->store, &host), "register");
	}
}

static void run(struct load *l, bool keep_rows)
{
	int64_t begin = wish_begin_us(&l->wish), end = l->wish.end_us;
	for (int64_t t = begin; t < end; t += PERIOD_US) {
		int64_t until = t + PERIOD_US < end ? t + PERIOD_US : end;
		append_until(l, until);
		seal(l, until, false);
		compact(l, until);
		must(store_settle(l->store), "settle");
		if ((until - begin) % TIERS_DAY_US == 0)
			fprintf(stderr, "bench_load: %" PRId64 " h\n", (int64_t)((until - begin) / TIERS_HOUR_US));
	}
	say_usage(l, "live");
	if (keep_rows)
		return;
	seal(l, end + PERIOD_US, true);
	say_usage(l, "sealed");
	/* Minutes wait for all raw windows of their day; two rounds do both. */
	must(store_settle(l->store), "settle");
	compact(l, end + 2 * TIERS_DAY_US);
	must(store_settle(l->store), "settle");
	compact(l, end + 4 * TIERS_DAY_US);
}

int main(int argc, char **argv)
{
	struct load l = {.wish = WISH_INIT};
	const char *url = NULL;
	char *error = NULL;
	bool keep_rows = false;
	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--keep-rows") == 0)
			keep_rows = true;
		else if (strcmp(argv[i], "--store") == 0)
			url = argv[++i];
		else if (wish_take(&l.wish, argv[i], value))
			i++;
		else
			return 2;
	}
	if (argc < 2 || !url || l.wish.hours == 0 || l.wish.end_us == 0)
		return 2;
	log_configure(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT);
	pthread_mutex_init(&l.lock, NULL);
	pthread_cond_init(&l.done, NULL);
	memcpy(l.hash, descriptors_snapshot().sha256, sizeof(l.hash));
	l.warp = warp_open(argv[1], l.wish.sections, l.wish.every, l.wish.scale);
	l.next = calloc(l.wish.hosts, sizeof(*l.next));
	must(l.next ? 0 : -ENOMEM, "memory");
	if (store_open(url, &l.store, &error) < 0) {
		fprintf(stderr, "bench_load: %s\n", error ? error : "the store does not open");
		return 1;
	}
	must(schemas_open(l.store, &l.schemas), "schemas");
	register_hosts(&l);
	double began = seconds(CLOCK_MONOTONIC);
	run(&l, keep_rows);
	if (!keep_rows)
		wait_for_rows(&l, 0);
	say(&l);
	say_usage(&l, "final");
	printf("seconds %.1f\n", seconds(CLOCK_MONOTONIC) - began);
	chunk_builder_free(l.builder);
	schemas_close(l.schemas);
	store_close(l.store);
	warp_close(l.warp);
	free(l.next);
	return 0;
}
