/* What an answer may cost: each limit ends the query with a sentence that names it. The source is made up: it tells
 * whatever is needed to get there. */
#include "backend/query/range.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
	uint32_t ticks, series, blocks;
	int64_t spacing_us;
	bool damaged;
};

static struct columns_values *values_of(uint32_t n, const struct presence *presence)
{
	struct columns_values *values = calloc(1, sizeof(*values));
	assert_non_null(values);
	assert_int_equal(columns_values_reserve(values, 1, n), 0);
	for (uint32_t i = 0; i < n; i++)
		values->parts[0].values[i] = i;
	values->n = n;
	values->n_parts = 1;
	values->presence = presence;
	return values;
}

static int tell_series(const struct query_sink *sink, const struct source *from, struct columns_values *values)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < from->series; i++) {
		const struct columns_values *of[QUERY_STATISTICS] = {[QUERY_LAST] = values};
		struct columns_series id = {.kind = SCHEMA_KIND_GAUGE, .custom = "x", .n_labels = 1};
		void *wanted;
		id.labels[0] = (struct schema_label_value){.name = "number", .number = i};
		r = sink->series(sink->arg, &id, &wanted);
		if (r == 1)
			r = sink->values(sink->arg, wanted, of);
	}
	return r;
}

static int read_made_up(void *arg, const struct query_range *range, const struct query_sink *sink)
{
	const struct source *from = arg;
	struct columns_tick *ticks = calloc(from->ticks, sizeof(*ticks));
	struct presence presence = {.n_runs = 0};
	struct query_ticks *made;
	unsigned statistics;
	assert_non_null(ticks);
	assert_int_equal(presence_add_run(&presence, 0, from->ticks), 0);
	struct columns_values *values = values_of(from->ticks, &presence);
	int r = sink->metric(sink->arg, SCHEMA_KIND_GAUGE, SCHEMA_UNIT_COUNT, &statistics);
	int64_t time_us = range->from_us;
	for (uint32_t b = 0; r == 0 && b < from->blocks; b++) {
		for (uint32_t i = 0; i < from->ticks; i++) {
			ticks[i] = (struct columns_tick){
				.time_us = time_us, .sequence = i + 1 + b * from->ticks, .interval_ms = 1000};
			time_us += from->spacing_us;
		}
		assert_int_equal(query_ticks_new(ticks, from->ticks, false, &made), 0);
		const struct query_block block = {.ticks = made, .end = from->ticks};
		r = sink->ticks(sink->arg, &block);
		if (r == 0)
			r = tell_series(sink, from, values);
		if (r == 0 && from->damaged)
			r = sink->damaged(sink->arg, ticks[0].time_us, time_us);
		query_cached_unref(&made->cached);
	}
	columns_values_free(values);
	free(values);
	presence_free(&presence);
	free(ticks);
	return r;
}

static int run(struct source *from, int64_t seconds, int64_t step_us, struct range_result *ret, char *error)
{
	struct query_source source = {.read = read_made_up, .source = from};
	const struct range_host host = {.host_id = (const uint8_t *)"0123456789abcdef", .hostname = "a"};
	struct selector selector;
	assert_int_equal(selector_parse("x", 1, &selector, error, 256), 0);
	const struct range_request request = {.selector = &selector,
					      .from_us = 1000000000,
					      .to_us = 1000000000 + seconds * 1000000,
					      .step_us = step_us,
					      .function = RANGE_LAST,
					      .now_us = 2000000000};
	int r = range_run(&source, &request, &host, 1, ret, error, 256);
	selector_free(&selector);
	return r;
}

static void expect(struct source from, int64_t seconds, int64_t step_us, int error, const char *words)
{
	struct range_result result;
	char why[256] = "";
	assert_int_equal(run(&from, seconds, step_us, &result, why), error);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void each_limit_names_itself(void **state)
{
	struct source few = {.ticks = 10, .series = 1, .blocks = 1, .spacing_us = 1000000};
	expect(few, RANGE_MAX_POINTS + 1, 1000000, -EINVAL, "at most 11000");
	expect(few, 10, 999, -EINVAL, "1 ms");
	expect(few, -10, 1000000, -EINVAL, "before");
	few.series = RANGE_MAX_GROUPS + 1;
	expect(few, 10, 1000000, -EMSGSIZE, "1000 series");
	few.series = 200;
	expect(few, 10000, 1000000, -EMSGSIZE, "1000000 values");
	/* Values that are read count, whatever becomes of them. */
	struct source many = {.ticks = 1 << 20, .series = 32, .blocks = 10, .spacing_us = 0};
	expect(many, 10, 10000000, -EMSGSIZE, "values would be read");
}

static void gaps_have_an_end(void **state)
{
	struct source slow = {.ticks = 5000, .series = 1, .blocks = 1, .spacing_us = 10000000};
	struct range_result result;
	char why[256] = "";
	assert_int_equal(run(&slow, 50000, 10000000, &result, why), 0);
	assert_int_equal(result.n_gaps, RANGE_MAX_GAPS);
	range_result_free(&result);
	slow.damaged = true;
	slow.ticks = 10;
	assert_int_equal(run(&slow, 200, 10000000, &result, why), 0);
	assert_true(result.n_gaps > 1);
	for (size_t i = 1; i < result.n_gaps; i++)
		assert_true(result.gaps[i - 1].from_us <= result.gaps[i].from_us);
	range_result_free(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_limit_names_itself),
		cmocka_unit_test(gaps_have_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
