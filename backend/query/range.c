/* Hosts are read one by one, by several threads where the source has as many, and their answers put together in the
 * order of hosts: the answer is the same whoever read what, and when.
 *
 *     next -> taken by the next thread that is free ... at most AHEAD behind ... merged -> the answer
 *
 * A host is read as if it were the only one. What depends on the others is looked at when it is its turn to be merged:
 * the limits of all, and what the metric is, which the first host that has it says. */
#include "backend/query/range.h"

#include "backend/query/range_merge.h"
#include "common/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 8
#define AHEAD 16	     /* hosts that were read and wait for one before them */
#define HOSTS_FOR_A_THREAD 4 /* fewer are not worth one more */

int range_function_of(enum schema_kind kind, enum range_function *function, char *error, size_t error_size)
{
	enum range_function f = *function;
	const char *why = NULL;
	if (f == RANGE_DEFAULT)
		f = kind == SCHEMA_KIND_HISTOGRAM ? RANGE_P99 : kind == SCHEMA_KIND_COUNTER ? RANGE_RATE : RANGE_AVG;
	bool quantile = f == RANGE_P50 || f == RANGE_P90 || f == RANGE_P99;
	bool growth = f == RANGE_RATE || f == RANGE_INCREASE;
	if (quantile && kind != SCHEMA_KIND_HISTOGRAM)
		why = "p50, p90 and p99 are of histograms, which this metric is not";
	else if (growth && kind == SCHEMA_KIND_GAUGE)
		why = "rate and increase are of counters, and this metric is a gauge: use avg, min, max, sum or last";
	else if (kind == SCHEMA_KIND_HISTOGRAM && !quantile && !growth && f != RANGE_AVG)
		why = "of a histogram there are p50, p90, p99, avg, and rate and increase of its count";
	if (why) {
		(void)snprintf(error, error_size, "%s", why);
		return -EINVAL;
	}
	*function = f;
	return 0;
}

enum range_aggregate range_aggregate_of(const struct range_request *request, enum range_function function)
{
	if (request->aggregate != RANGE_BY_FUNCTION)
		return request->aggregate;
	return function == RANGE_AVG   ? RANGE_OF_AVG
	       : function == RANGE_MIN ? RANGE_OF_MIN
	       : function == RANGE_MAX ? RANGE_OF_MAX
				       : RANGE_OF_SUM;
}

const char *range_cause_text(enum range_cause cause)
{
	static const char *const texts[] = {
		[RANGE_HOST_RESTARTED] = "host_restarted",
		[RANGE_AGENT_RESTARTED] = "agent_restarted",
		[RANGE_LOST] = "lost",
		[RANGE_PAUSED] = "agent_paused",
		[RANGE_SILENT] = "silent",
		[RANGE_DAMAGED] = "damaged",
	};
	return texts[cause];
}

/* --- the hosts of a query ---------------------------------------------------------------------------------------- */

/* A host that was read, until it is merged. */
struct read_host {
	struct range_partial *partial; /* NULL: no memory for it */
	int result;
	bool there;
};

struct sharing {
	const struct query_source *source;
	const struct range_request *request;
	const struct range_host *hosts;
	size_t n_hosts;
	uint64_t deadline_ns;
	atomic_bool stopped;
	bool alone; /* one thread reads the hosts */
	/* All else under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t merged_more;
	size_t next, merged;		    /* hosts that were taken, and that are in the answer */
	struct read_host hosts_read[AHEAD]; /* host i at i % AHEAD */
	struct range_partial whole;
	int error;
};

/* One thread's own. */
struct reader {
	struct sharing *sharing;
	struct query_source source;
	struct range_request request; /* its selector is not shared: matching writes to it */
	struct selector selector;
	struct range_scratch scratch;
	pthread_t thread;
};

__attribute__((format(printf, 3, 4))) static int fail(struct range_partial *partial, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(partial->error, sizeof(partial->error), format, args);
	va_end(args);
	return error;
}

/* An empty partial that knows what the metric is if the hosts merged so far do. */
static void begin(const struct range_partial *whole, struct range_partial *ret)
{
	*ret = (struct range_partial){.has_metric = whole->has_metric,
				      .result = {.points = whole->result.points,
						 .kind = whole->result.kind,
						 .unit = whole->result.unit,
						 .function = whole->result.function}};
}

static int read_host(struct reader *reader, size_t i, uint64_t decoded_bytes, struct range_partial *partial)
{
	struct sharing *s = reader->sharing;
	const struct range_host *host = &s->hosts[i];
	const struct range_limits limits = {.decoded_bytes = RANGE_MAX_READ * sizeof(uint64_t) - decoded_bytes,
					    .deadline_ns = s->deadline_ns,
					    .stopped = &s->stopped,
					    .ahead = s->alone};
	bool exhausted = false;
	if (selector_label_matches(reader->request.selector, "host", host->hostname, strlen(host->hostname),
				   &exhausted))
		return range_host_read(&reader->source, &reader->request, host, i, &limits, &reader->scratch, partial);
	return exhausted ? fail(partial, -EMSGSIZE,
				"a regular expression takes more steps than are allowed: make it simpler")
			 : 0;
}

/* A host that was read before those in front of it were merged may have taken the metric for another. */
static bool is_another(const struct range_partial *whole, const struct range_partial *partial, int result)
{
	return whole->has_metric &&
	       (result == -EINVAL || (partial->has_metric && (partial->result.kind != whole->result.kind ||
							      partial->result.function != whole->result.function)));
}

static int take_partial(struct sharing *s, struct range_partial *partial)
{
	struct range_partial *whole = &s->whole;
	whole->decoded_bytes += partial->decoded_bytes;
	if (whole->decoded_bytes > RANGE_MAX_READ * sizeof(uint64_t))
		return fail(whole, -EMSGSIZE, RANGE_TOO_MUCH_READ, RANGE_MAX_READ);
	if (!whole->has_metric && partial->has_metric) {
		whole->has_metric = true;
		whole->result.kind = partial->result.kind;
		whole->result.unit = partial->result.unit;
		whole->result.function = partial->result.function;
	}
	int r = range_merge(range_aggregate_of(s->request, whole->result.function), &whole->result, &partial->result);
	if (r == -EMSGSIZE)
		return fail(whole, r, RANGE_TOO_MANY_GROUPS, RANGE_MAX_GROUPS, RANGE_MAX_VALUES, RANGE_MAX_POINTS);
	return r;
}

/* The host whose turn it is. */
static int merge_one(struct reader *reader, struct read_host *host)
{
	struct sharing *s = reader->sharing;
	struct range_partial *partial = host->partial;
	int r = host->result;
	if (!partial)
		return -ENOMEM;
	if (is_another(&s->whole, partial, r)) {
		range_result_free(&partial->result);
		begin(&s->whole, partial);
		r = read_host(reader, s->merged, s->whole.decoded_bytes, partial);
	}
	if (r < 0)
		return fail(&s->whole, r, "%s", partial->error);
	return take_partial(s, partial);
}

static void free_partial(struct range_partial *partial)
{
	if (partial)
		range_result_free(&partial->result);
	free(partial);
}

static void merge(struct reader *reader)
{
	struct sharing *s = reader->sharing;
	for (;; s->merged++) {
		struct read_host *host = &s->hosts_read[s->merged % AHEAD];
		if (!host->there)
			break;
		if (s->error == 0)
			s->error = merge_one(reader, host);
		free_partial(host->partial);
		*host = (struct read_host){.there = false};
	}
	if (s->error < 0)
		atomic_store(&s->stopped, true);
	pthread_cond_broadcast(&s->merged_more);
}

/* A thread's work: hosts, until there are none. */
static void read_hosts(struct reader *reader)
{
	struct sharing *s = reader->sharing;
	pthread_mutex_lock(&s->lock);
	while (s->next < s->n_hosts && s->error == 0) {
		if (s->next - s->merged == AHEAD) {
			pthread_cond_wait(&s->merged_more, &s->lock);
			continue;
		}
		size_t i = s->next++;
		struct read_host host = {.partial = malloc(sizeof(*host.partial)), .there = true};
		uint64_t decoded_bytes = s->whole.decoded_bytes;
		if (host.partial)
			begin(&s->whole, host.partial);
		pthread_mutex_unlock(&s->lock);
		if (host.partial)
			host.result = read_host(reader, i, decoded_bytes, host.partial);
		pthread_mutex_lock(&s->lock);
		s->hosts_read[i % AHEAD] = host;
		merge(reader);
	}
	pthread_mutex_unlock(&s->lock);
}

/* --- threads ----------------------------------------------------------------------------------------------------- */

/* Without a source of its own, or memory for a selector, a thread leaves the work to the others. */
static void *read_along(void *arg)
{
	struct reader *reader = arg;
	struct sharing *s = reader->sharing;
	const struct query_source *from = s->source;
	reader->source = *from;
	if (from->open(from->source, &reader->source.source) < 0)
		return NULL;
	reader->request = *s->request;
	reader->request.selector = &reader->selector;
	if (selector_copy(s->request->selector, &reader->selector) == 0)
		read_hosts(reader);
	selector_free(&reader->selector);
	range_scratch_free(&reader->scratch);
	from->close(reader->source.source);
	return NULL;
}

static void read_all(struct sharing *s)
{
	struct reader readers[MAX_THREADS] = {{.sharing = s, .source = *s->source, .request = *s->request}};
	size_t wanted = s->source->threads < MAX_THREADS ? s->source->threads : MAX_THREADS, n = 1;
	if (wanted > s->n_hosts / HOSTS_FOR_A_THREAD)
		wanted = s->n_hosts / HOSTS_FOR_A_THREAD;
	s->alone = wanted <= 1;
	for (; n < wanted; n++) {
		readers[n].sharing = s;
		if (pthread_create(&readers[n].thread, NULL, read_along, &readers[n]) != 0)
			break;
	}
	read_hosts(&readers[0]);
	range_scratch_free(&readers[0].scratch);
	for (size_t i = 1; i < n; i++)
		pthread_join(readers[i].thread, NULL);
}

/* --- the query --------------------------------------------------------------------------------------------------- */

static int check(const struct range_request *request, struct range_partial *whole)
{
	if (request->from_us < 0 || request->to_us <= request->from_us)
		return fail(whole, -EINVAL, "from must be before to");
	if (request->step_us < 1000)
		return fail(whole, -EINVAL, "step must be at least 1 ms");
	int64_t points = (request->to_us - request->from_us - 1) / request->step_us + 1;
	if (points > RANGE_MAX_POINTS)
		return fail(whole, -EINVAL, "the range has %lld steps, and at most %d are answered: take a longer step",
			    (long long)points, RANGE_MAX_POINTS);
	whole->result.points = (size_t)points;
	return 0;
}

static int by_host_and_time(const void *a, const void *b)
{
	const struct range_gap *x = a, *y = b;
	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	return (x->from_us > y->from_us) - (x->from_us < y->from_us);
}

static void finish(const struct range_request *request, struct range_result *result)
{
	const struct range_values values = {
		.request = request, .result = result, .aggregate = range_aggregate_of(request, result->function)};
	range_values_finish(&values);
	range_groups_sort(result);
	if (result->n_gaps > 1)
		qsort(result->gaps, result->n_gaps, sizeof(*result->gaps), by_host_and_time);
}

int range_run(const struct query_source *source, const struct range_request *request, const struct range_host *hosts,
	      size_t n_hosts, struct range_result *ret, char *error, size_t error_size)
{
	struct sharing *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->source = source;
	s->request = request;
	s->hosts = hosts;
	s->n_hosts = n_hosts;
	s->deadline_ns = clock_monotonic_ns() + RANGE_MAX_SECONDS * 1000000000ull;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->merged_more, NULL);
	int r = check(request, &s->whole);
	if (r == 0) {
		read_all(s);
		r = s->error;
	}
	if (r == 0) {
		finish(request, &s->whole.result);
		*ret = s->whole.result;
	} else {
		(void)snprintf(error, error_size, "%s", s->whole.error);
		range_result_free(&s->whole.result);
	}
	pthread_cond_destroy(&s->merged_more);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return r;
}
