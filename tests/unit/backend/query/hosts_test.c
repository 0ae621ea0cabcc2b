/* Many hosts: the answer is the same however many threads read them, and in whatever order they come to an end. The
 * source is made up; some hosts take longer, by chance. */
#include "backend/query/range.h"
#include "common/histogram.h"
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTS 57
#define TICKS 120
#define IDLE_TICKS 65536
#define SERIES 3
#define FROM 1795258800000000

static atomic_int n_open;

struct source {
	enum schema_kind kind;
	enum schema_value_type type;
	int first_of_another_kind; /* hosts up to here say it is a gauge, slowly; 0: none */
	int broken;		   /* this one cannot be read, -1: none */
	uint32_t idle_blocks;	   /* of IDLE_TICKS that nobody asked for, behind the others */
	bool cannot_open;
};

/* Numbers that are not the same when they are added in another order. */
static uint64_t value_of(enum schema_value_type type, unsigned host, unsigned series, unsigned tick)
{
	uint64_t x = (host + 1) * 2654435761u ^ (series + 7) * 40503u ^ tick * 97u;
	if (type == SCHEMA_VALUE_DOUBLE)
		return wire_double_bits((double)(x % 100003) / 7.0);
	return type == SCHEMA_VALUE_HISTOGRAM ? tick * (x % 5) : tick * 1000 + x % 1000;
}

static void fill(struct columns_values *values, enum schema_value_type type, unsigned host, unsigned series)
{
	for (uint32_t p = 0; p < values->n_parts; p++) {
		values->parts[p].part = values->n_parts == 1 ? COLUMNS_PART_VALUE : COLUMNS_PART_SUM + p * 9;
		for (unsigned k = 0; k < values->n; k++)
			values->parts[p].values[k] = value_of(type, host, series + p, k);
	}
}

static int tell_series(const struct query_sink *sink, enum schema_kind kind, enum schema_value_type type, unsigned host,
		       uint32_t ticks)
{
	struct presence presence = {.n_runs = 0};
	struct columns_values *values = calloc(1, sizeof(*values));
	uint32_t parts = type == SCHEMA_VALUE_HISTOGRAM ? 3 : 1;
	int r = 0;
	assert_non_null(values);
	assert_int_equal(presence_add_run(&presence, 0, ticks), 0);
	assert_int_equal(columns_values_reserve(values, parts, ticks), 0);
	values->n = ticks;
	values->n_parts = parts;
	values->presence = &presence;
	for (unsigned i = 0; r == 0 && i < SERIES; i++) {
		const struct columns_values *of[QUERY_STATISTICS] = {[QUERY_LAST] = values};
		struct columns_series id = {.kind = kind, .type = type, .custom = "x", .n_labels = 1};
		void *wanted;
		id.labels[0] = (struct schema_label_value){.name = "number", .number = i};
		if (ticks == TICKS)
			fill(values, type, host, i);
		r = sink->series(sink->arg, &id, &wanted);
		if (r == 1)
			r = sink->values(sink->arg, wanted, of);
	}
	columns_values_free(values);
	free(values);
	presence_free(&presence);
	return r;
}

static int tell_block(const struct query_sink *sink, enum schema_kind kind, enum schema_value_type type, unsigned host,
		      uint32_t n, uint32_t times)
{
	struct columns_tick *ticks = calloc(n, sizeof(*ticks));
	struct query_ticks *made;
	assert_non_null(ticks);
	for (unsigned i = 0; i < n; i++)
		ticks[i] =
			(struct columns_tick){.time_us = FROM + i * 1000000ll, .sequence = i + 1, .interval_ms = 1000};
	assert_int_equal(query_ticks_new(ticks, n, false, &made), 0);
	const struct query_block block = {.ticks = made, .end = n == TICKS ? n : 0};
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < times; i++) {
		r = sink->ticks(sink->arg, &block);
		if (r == 0)
			r = tell_series(sink, kind, type, host, n);
	}
	query_cached_unref(&made->cached);
	free(ticks);
	return r;
}

static int read_made_up(void *arg, const struct query_range *range, const struct query_sink *sink)
{
	const struct source *from = arg;
	unsigned host = range->host_id[0], statistics;
	bool other = (int)host < from->first_of_another_kind;
	enum schema_kind kind = other ? SCHEMA_KIND_GAUGE : from->kind;
	usleep(other ? 20000 : (unsigned)(rand() % 400)); /* any time will do */
	if ((int)host == from->broken)
		return -EIO;
	if (host % 11 == 3)
		return -ENODATA;
	int r = sink->metric(sink->arg, kind, SCHEMA_UNIT_COUNT, &statistics);
	enum schema_value_type type = other ? SCHEMA_VALUE_DOUBLE : from->type;
	if (r == 0)
		r = tell_block(sink, kind, type, host, TICKS, 1);
	if (r == 0 && from->idle_blocks > 0)
		r = tell_block(sink, kind, type, host, IDLE_TICKS, from->idle_blocks);
	return r;
}

static int open_made_up(void *source, void **ret)
{
	const struct source *from = source;
	if (from->cannot_open)
		return -EMFILE;
	atomic_fetch_add(&n_open, 1);
	*ret = source;
	return 0;
}

static void close_made_up(void *source)
{
	(void)source;
	atomic_fetch_sub(&n_open, 1);
}

static int run(struct source *from, unsigned threads, const char *text, const char *group_by,
	       enum range_function function, struct range_result *ret, char error[256])
{
	static uint8_t ids[HOSTS][16];
	static char names[HOSTS][16];
	struct range_host hosts[HOSTS];
	struct selector selector;
	struct range_request request = {.selector = &selector,
					.from_us = FROM,
					.to_us = FROM + 200000000,
					.step_us = 7000000,
					.now_us = FROM + 200000000,
					.function = function};
	for (unsigned i = 0; i < HOSTS; i++) {
		ids[i][0] = (uint8_t)i;
		snprintf(names[i], sizeof(names[i]), "host-%u", i);
		hosts[i] = (struct range_host){.host_id = ids[i], .hostname = names[i]};
	}
	if (group_by) {
		request.grouped = true;
		request.n_group_by = 1;
		snprintf(request.group_by[0], sizeof(request.group_by[0]), "%s", group_by);
	}
	assert_int_equal(selector_parse(text, strlen(text), &selector, error, 256), 0);
	const struct query_source source = {
		.read = read_made_up, .source = from, .threads = threads, .open = open_made_up, .close = close_made_up};
	int r = range_run(&source, &request, hosts, HOSTS, ret, error, 256);
	selector_free(&selector);
	assert_int_equal(atomic_load(&n_open), 0);
	return r;
}

static void same(const struct range_result *a, const struct range_result *b)
{
	assert_int_equal(a->n_groups, b->n_groups);
	assert_int_equal(a->points, b->points);
	assert_int_equal(a->function, b->function);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->samples, b->samples);
	assert_int_equal(a->snapshots, b->snapshots);
	for (size_t i = 0; i < a->n_groups; i++) {
		assert_int_equal(a->groups[i].key_len, b->groups[i].key_len);
		assert_memory_equal(a->groups[i].key, b->groups[i].key, a->groups[i].key_len);
		assert_memory_equal(a->groups[i].values, b->groups[i].values, a->points * sizeof(double));
	}
	assert_int_equal(a->n_gaps, b->n_gaps);
	for (size_t i = 0; i < a->n_gaps; i++) {
		assert_int_equal(a->gaps[i].host, b->gaps[i].host);
		assert_int_equal(a->gaps[i].from_us, b->gaps[i].from_us);
		assert_int_equal(a->gaps[i].cause, b->gaps[i].cause);
	}
}

/* With one thread and with several; the answer of one, and that there is anything in it. */
static void compare(struct source *from, const char *text, const char *group_by, enum range_function function,
		    size_t groups)
{
	struct range_result one, many;
	char error[256];
	size_t known = 0;
	assert_int_equal(run(from, 1, text, group_by, function, &one, error), 0);
	assert_int_equal(one.n_groups, groups);
	for (size_t i = 0; i < one.n_groups * one.points; i++)
		known += !isnan(one.groups[i / one.points].values[i % one.points]);
	assert_true(known > groups * 10);
	for (unsigned threads = 2; threads <= 8; threads *= 2) {
		assert_int_equal(run(from, threads, text, group_by, function, &many, error), 0);
		same(&one, &many);
		range_result_free(&many);
	}
	range_result_free(&one);
}

#define WITH_DATA (HOSTS - (HOSTS - 3 + 10) / 11)

static void same_answer_of_any_number_of_threads(void **state)
{
	struct source gauge = {.kind = SCHEMA_KIND_GAUGE, .type = SCHEMA_VALUE_DOUBLE, .broken = -1};
	struct source counter = {.kind = SCHEMA_KIND_COUNTER, .type = SCHEMA_VALUE_UINT, .broken = -1};
	struct source histogram = {.kind = SCHEMA_KIND_HISTOGRAM, .type = SCHEMA_VALUE_HISTOGRAM, .broken = -1};
	compare(&gauge, "custom.x", NULL, RANGE_AVG, (size_t)WITH_DATA * SERIES);
	compare(&gauge, "custom.x", "number", RANGE_AVG, SERIES);
	compare(&gauge, "custom.x", "number", RANGE_SUM, SERIES);
	compare(&gauge, "custom.x", "number", RANGE_MAX, SERIES);
	compare(&gauge, "custom.x", "", RANGE_MIN, 1);
	compare(&gauge, "custom.x{number=~\"[01]\",host!~\"host-[0-9]\"}", "host", RANGE_SUM, WITH_DATA - 9);
	compare(&counter, "custom.x", "host", RANGE_RATE, WITH_DATA);
	compare(&counter, "custom.x", "number", RANGE_INCREASE, SERIES);
	compare(&histogram, "custom.x", "number", RANGE_P90, SERIES);
	compare(&histogram, "custom.x", "host", RANGE_AVG, WITH_DATA);
}

/* What the metric is the first host says that has it, also when others have long been read by then. */
static void the_first_host_says_what_it_is(void **state)
{
	struct source from = {
		.kind = SCHEMA_KIND_COUNTER, .type = SCHEMA_VALUE_UINT, .first_of_another_kind = 2, .broken = -1};
	compare(&from, "custom.x", "host", RANGE_DEFAULT, 2);
	compare(&from, "custom.x", "host", RANGE_SUM, 2);
	/* For a counter there is such a function; the first is none. */
	struct range_result result;
	char error[256] = "";
	for (unsigned threads = 1; threads <= 4; threads *= 4) {
		assert_int_equal(run(&from, threads, "custom.x", NULL, RANGE_RATE, &result, error), -EINVAL);
		assert_non_null(strstr(error, "this metric is a gauge"));
	}
	/* And the other way round: hosts that would not have it at all are passed over. */
	from.kind = SCHEMA_KIND_HISTOGRAM;
	from.type = SCHEMA_VALUE_HISTOGRAM;
	compare(&from, "custom.x", "host", RANGE_MAX, 2);
}

static void an_error_is_that_of_the_first_host_that_has_one(void **state)
{
	struct source from = {.kind = SCHEMA_KIND_GAUGE, .type = SCHEMA_VALUE_DOUBLE, .broken = 30};
	struct range_result result;
	char error[256] = "";
	for (unsigned threads = 1; threads <= 8; threads *= 2)
		assert_int_equal(run(&from, threads, "custom.x", NULL, RANGE_AVG, &result, error), -EIO);
	from.broken = -1;
	from.cannot_open = true;
	assert_int_equal(run(&from, 8, "custom.x", NULL, RANGE_AVG, &result, error), 0);
	assert_int_equal(result.n_groups, WITH_DATA * SERIES);
	range_result_free(&result);
}

/* No host by itself reads too much; all of them do. */
static void the_limits_are_those_of_all_hosts(void **state)
{
	struct source from = {.kind = SCHEMA_KIND_GAUGE,
			      .type = SCHEMA_VALUE_DOUBLE,
			      .broken = -1,
			      .idle_blocks = RANGE_MAX_READ / 40 / IDLE_TICKS / (1 + SERIES)};
	struct range_result result;
	char error[256] = "";
	for (unsigned threads = 1; threads <= 4; threads *= 4) {
		error[0] = '\0';
		assert_int_equal(run(&from, threads, "custom.x", "", RANGE_AVG, &result, error), -EMSGSIZE);
		assert_non_null(strstr(error, "values would be read"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_answer_of_any_number_of_threads),
		cmocka_unit_test(the_first_host_says_what_it_is),
		cmocka_unit_test(an_error_is_that_of_the_first_host_that_has_one),
		cmocka_unit_test(the_limits_are_those_of_all_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
