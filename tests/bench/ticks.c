/* Drives the agent's sampler back to back, without scheduler, queue or network, and says what a tick cost:
 *
 *   bench_ticks [--ticks N] [--root DIR] [--pause-us N] [--cold MIB] [--report N] [--whole] [--disable NAME]...
 *               [--facts] [--dump PREFIX]
 *
 * One line of JSON on standard output: CPU ns of the whole process a tick (slow lane included), of the scheduler's side
 * alone and of its median tick, its page faults, bytes a snapshot, microseconds a run of each section (mean and
 * median), memory. --cold walks through that much memory between two ticks, outside of what is timed: a tick then finds
 * its caches as after a second on an idle host, only sooner and the same on a busy one. --report prints memory every N
 * ticks on standard error; --whole watches all sections, so that each tick shows the whole process table; --disable
 * leaves a collector out; --facts counts what each snapshot holds (outside of what is timed); --dump writes the last
 * one to PREFIX.pb, .json and .prom. */
#include "agent/host/identity.h"
#include "agent/sampler.h"
#include "common/clock.h"
#include "common/encoding.h"
#include "common/log.h"
#include "tests/bench/facts.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 64

struct memory {
	unsigned long pss_kib, rss_kib, peak_kib;
	size_t heap_bytes; /* given out by malloc and not freed: what a leak shows in before pages do */
};

struct bench {
	unsigned long ticks, report;
	useconds_t pause_us;
	const char *root, *dump;
	bool whole, count;
	sampler_set disabled;
	size_t cold_bytes;
	volatile unsigned char *cold; /* NULL: ticks find what the one before left in the caches */
};

struct sums {
	uint64_t process_ns, thread_ns, faults;
	double bytes, facts;
	uint64_t *thread_each; /* a tick */
	uint64_t *section_each[AGENT_MAX_COLLECTORS];
	size_t n;
};

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t faults(void)
{
	struct rusage usage;
	return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)usage.ru_minflt : 0;
}

/* Pages that are small, so that it is as hard on the translations of addresses. */
static int make_cold(struct bench *bench)
{
	if (bench->cold_bytes == 0)
		return 0;
	void *p = mmap(NULL, bench->cold_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || madvise(p, bench->cold_bytes, MADV_NOHUGEPAGE) < 0)
		return -errno;
	bench->cold = p;
	return 0;
}

static void get_cold(const struct bench *bench)
{
	for (size_t i = 0; bench->cold && i < bench->cold_bytes; i += LINE_BYTES)
		bench->cold[i]++;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static double median(uint64_t *values, size_t n)
{
	if (n == 0)
		return 0;
	qsort(values, n, sizeof(*values), by_value);
	return (double)values[n / 2];
}

static void read_keys(const char *path, const char *key, unsigned long *ret)
{
	char line[256];
	FILE *file = fopen(path, "re");
	size_t len = strlen(key);
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, len) == 0)
			*ret = strtoul(line + len, NULL, 10);
	}
	if (file)
		(void)fclose(file);
}

static struct memory memory_now(void)
{
	struct memory m = {0};
	read_keys("/proc/self/smaps_rollup", "Pss:", &m.pss_kib);
	read_keys("/proc/self/status", "VmRSS:", &m.rss_kib);
	read_keys("/proc/self/status", "VmHWM:", &m.peak_kib);
	struct mallinfo2 heap = mallinfo2();
	m.heap_bytes = heap.uordblks + heap.hblkhd;
	return m;
}

/* What the sections had used before the timed ticks: the first ones open files and are no measure of the others. */
static void print(const struct bench *bench, struct sampler *sampler, const struct agent_status_collector *warm,
		  struct sums *sums)
{
	const struct agent_status *status = sampler_status(sampler);
	struct memory m = memory_now();
	double n = (double)bench->ticks;
	printf("{\"ticks\": %lu, \"cpu_ns_a_tick\": %.0f, \"scheduler_ns_a_tick\": %.0f, "
	       "\"scheduler_ns_median\": %.0f, \"faults_a_tick\": %.2f, \"bytes_a_snapshot\": %.0f, \"pss_kib\": %lu, "
	       "\"rss_kib\": %lu, \"peak_kib\": %lu, ",
	       bench->ticks, (double)sums->process_ns / n, (double)sums->thread_ns / n,
	       median(sums->thread_each, sums->n), (double)sums->faults / n, sums->bytes / n, m.pss_kib, m.rss_kib,
	       m.peak_kib);
	if (bench->count)
		printf("\"facts_a_snapshot\": %.1f, ", sums->facts / n);
	printf("\"sections\": {");
	for (size_t i = 0; i < status->n_collectors; i++) {
		const struct agent_status_collector *c = &status->collectors[i], *w = &warm[i];
		uint64_t runs = c->runs - w->runs, us = c->duration_us - w->duration_us;
		printf("%s\"%s\": {\"us_a_run\": %.1f, \"us_median\": %.0f, \"runs\": %llu, \"failures\": %llu}",
		       i > 0 ? ", " : "", c->name, runs > 0 ? (double)us / (double)runs : 0,
		       median(sums->section_each[i], sums->n), (unsigned long long)runs,
		       (unsigned long long)(c->failures - w->failures));
	}
	printf("}}\n");
}

static void report(unsigned long ticks)
{
	struct memory m = memory_now();
	fprintf(stderr, "%lu ticks: PSS %lu KiB, RSS %lu KiB, peak %lu KiB, heap %zu bytes\n", ticks, m.pss_kib,
		m.rss_kib, m.peak_kib, m.heap_bytes);
}

static void note(const struct agent_status *status, const struct agent_status_collector *before, uint64_t thread_ns,
		 struct sums *sums)
{
	if (!sums->thread_each)
		return;
	for (size_t i = 0; i < status->n_collectors; i++)
		sums->section_each[i][sums->n] = status->collectors[i].duration_us - before[i].duration_us;
	sums->thread_each[sums->n++] = thread_ns;
}

/* One tick, timed; what was asked about its snapshot beside. */
static int tick(const struct bench *bench, struct sampler *sampler, const struct facts *facts, bool last,
		struct sums *sums)
{
	struct agent_status_collector before[AGENT_MAX_COLLECTORS];
	uint64_t sequence;
	const uint8_t *data;
	size_t len, n;
	if (bench->whole)
		sampler_watch(sampler, ~(sampler_set)0, UINT64_MAX);
	memcpy(before, sampler_status(sampler)->collectors, sizeof(before));
	get_cold(bench);
	uint64_t faults_before = faults();
	uint64_t process_before = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), thread_before = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	int r = sampler_take(sampler, 1000, &sequence, &data, &len);
	uint64_t thread_after = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	if (r < 0)
		return r;
	sums->faults += faults() - faults_before;
	sums->thread_ns += thread_after - thread_before;
	note(sampler_status(sampler), before, thread_after - thread_before, sums);
	if (bench->pause_us > 0)
		(void)usleep(bench->pause_us);
	/* Behind the pause, so that what the slow lane did for the tick is in it. */
	sums->process_ns += cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - process_before;
	sums->bytes += (double)len;
	if (bench->count) {
		r = facts_count(facts, data, len, &n);
		sums->facts += r == 0 ? (double)n : 0;
	}
	if (r == 0 && last && bench->dump)
		r = facts_dump(facts, data, len, bench->dump);
	return r;
}

static int make_room(size_t ticks, struct sums *sums)
{
	size_t bytes = ticks * (AGENT_MAX_COLLECTORS + 1) * sizeof(*sums->thread_each);
	uint64_t *values = malloc(bytes);
	if (!values)
		return -ENOMEM;
	memset(values, 1,
	       bytes); /* no page of it is new to a tick; of noughts the compiler makes calloc(), which touches none */
	sums->thread_each = values;
	for (size_t i = 0; i < AGENT_MAX_COLLECTORS; i++)
		sums->section_each[i] = values + (i + 1) * ticks;
	return 0;
}

static int drive(const struct bench *bench, struct sampler *sampler, const struct facts *facts)
{
	struct sums discarded = {0}, sums = {0};
	struct agent_status_collector warm[AGENT_MAX_COLLECTORS];
	/* The first ticks find the sizes of buffers and read what hardly changes. */
	for (int i = 0; i < 3; i++) {
		int r = tick(bench, sampler, facts, false, &discarded);
		if (r < 0)
			return r;
	}
	(void)sampler_settle(sampler, 2000);
	memcpy(warm, sampler_status(sampler)->collectors, sizeof(warm));
	/* Where memory is reported over many ticks, what is kept of each would be most of it: no medians then. */
	int r = bench->report > 0 ? 0 : make_room(bench->ticks, &sums);
	for (unsigned long i = 1; r == 0 && i <= bench->ticks; i++) {
		r = tick(bench, sampler, facts, i == bench->ticks, &sums);
		if (r == 0 && bench->report > 0 && i % bench->report == 0)
			report(i);
	}
	if (r == 0)
		print(bench, sampler, warm, &sums);
	free(sums.thread_each);
	return r;
}

static int run(const struct bench *bench)
{
	struct root root;
	struct sampler *sampler = NULL;
	struct facts *facts = NULL;
	struct sampler_options options = {.collectors = collectors, .root = &root, .disabled = bench->disabled};
	int r = root_open(&root, bench->root);
	if (r < 0)
		return r;
	sampler_default_settings(&options.settings);
	encoding_random(options.instance, sizeof(options.instance));
	r = identity_boot_id(&root, options.boot_id);
	if (r == 0)
		r = sampler_new(&options, &sampler);
	if (r == 0 && (bench->count || bench->dump))
		r = facts_new(&facts);
	if (r == 0)
		r = drive(bench, sampler, facts);
	facts_free(facts);
	sampler_free(sampler);
	root_close(&root);
	return r;
}

static int disable(const char *name, struct bench *bench)
{
	int i = sampler_find(collectors, name);
	if (i < 0) {
		fprintf(stderr, "bench_ticks: no collector is called %s\n", name);
		return i;
	}
	bench->disabled |= (sampler_set)1 << i;
	return 0;
}

static int parse(int argc, char **argv, struct bench *bench)
{
	static const struct option flags[] = {
		{"ticks", required_argument, NULL, 't'},    {"root", required_argument, NULL, 'r'},
		{"pause-us", required_argument, NULL, 'p'}, {"cold", required_argument, NULL, 'c'},
		{"report", required_argument, NULL, 'm'},   {"disable", required_argument, NULL, 'd'},
		{"dump", required_argument, NULL, 'o'},	    {"whole", no_argument, NULL, 'w'},
		{"facts", no_argument, NULL, 'f'},	    {NULL, 0, NULL, 0},
	};
	for (int c; (c = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
		if (c == 't')
			bench->ticks = strtoul(optarg, NULL, 10);
		else if (c == 'r')
			bench->root = optarg;
		else if (c == 'p')
			bench->pause_us = (useconds_t)strtoul(optarg, NULL, 10);
		else if (c == 'c')
			bench->cold_bytes = strtoul(optarg, NULL, 10) << 20;
		else if (c == 'm')
			bench->report = strtoul(optarg, NULL, 10);
		else if (c == 'o')
			bench->dump = optarg;
		else if (c == 'w')
			bench->whole = true;
		else if (c == 'f')
			bench->count = true;
		else if (c != 'd' || disable(optarg, bench) < 0)
			return -EINVAL;
	}
	return bench->ticks > 0 ? make_cold(bench) : -EINVAL;
}

int main(int argc, char **argv)
{
	struct bench bench = {.ticks = 100};
	if (parse(argc, argv, &bench) < 0)
		return 2;
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	int r = run(&bench);
	if (r < 0)
		fprintf(stderr, "bench_ticks: %s\n", log_strerror(r));
	return r < 0 ? 1 : 0;
}
