/* Answers that are known beforehand: what is in a step, resets, restarts, gaps and their causes, histograms, labels. */
#include "common/wire.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0 1795262400000000 /* where a window begins */
#define SECOND 1000000ll

static void ok(int r)
{
	assert_int_equal(r, 0);
}

static void put_cpu(struct buf *sections, uint64_t user_us)
{
	struct buf cpu BUF_CLEANUP = BUF_INIT(1 << 16), core BUF_CLEANUP = BUF_INIT(1 << 16);
	ok(wire_put_uint(&core, 1, 0));
	ok(wire_put_uint(&core, 2, user_us));
	ok(wire_put_bytes(&cpu, 3, core.data, core.len));
	ok(wire_put_bytes(sections, 11, cpu.data, cpu.len));
}

/* Ten connections in bucket 8 and one in bucket 40, each time; and what they took together. */
static void put_tcp(struct buf *sections, uint64_t times)
{
	struct buf tcp BUF_CLEANUP = BUF_INIT(1 << 16), family BUF_CLEANUP = BUF_INIT(1 << 16),
		       h BUF_CLEANUP = BUF_INIT(1 << 16), counts BUF_CLEANUP = BUF_INIT(1 << 16);
	ok(wire_put_varint(&counts, 10 * times));
	ok(wire_put_varint(&counts, times));
	ok(wire_put_uint(&h, 1, 1));
	ok(wire_put_uint(&h, 2, 22000 * times));
	ok(wire_put_bytes(&h, 3, "\x08\x28", 2));
	ok(wire_put_bytes(&h, 4, counts.data, counts.len));
	ok(wire_put_bytes(&family, 1, "ipv4", 4));
	ok(wire_put_bytes(&family, 5, h.data, h.len));
	ok(wire_put_bytes(&tcp, 3, family.data, family.len));
	ok(wire_put_bytes(sections, 21, tcp.data, tcp.len));
}

struct second {
	int64_t at;
	uint64_t counter;
	const char *instance, *boot;
	uint64_t sequence;
};

static void add(struct history *h, struct second s)
{
	struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16);
	struct columns_tick tick = {.time_us = T0 + s.at * SECOND,
				    .received_us = T0 + s.at * SECOND,
				    .sequence = s.sequence,
				    .interval_ms = 1000};
	snprintf((char *)tick.instance, sizeof(tick.instance), "%s", s.instance);
	snprintf((char *)tick.boot_id, sizeof(tick.boot_id), "%s", s.boot);
	put_cpu(&sections, s.counter);
	if (s.counter > 0)
		put_tcp(&sections, s.counter);
	history_add(h, &tick, &sections);
}

static void add_run(struct history *h, int64_t from, int64_t to, const char *instance, const char *boot,
		    uint64_t sequence, uint64_t counter)
{
	for (int64_t at = from; at < to; at++)
		add(h, (struct second){at, counter++, instance, boot, sequence++});
}

/* The same history as rows, as one chunk, and as minutes. */
enum layout { ROWS, CHUNK, MINUTES, LAYOUTS };

static void put(struct history *h, enum layout layout)
{
	if (layout == ROWS)
		history_put_rows(h, NULL, 0);
	else if (layout == CHUNK)
		history_put_chunks(h, NULL, NULL, 0, SIZE_MAX, false);
	else
		history_put_minutes(h, NULL, 0);
}

static struct range_result ask(struct history *h, const char *selector, enum range_function function, int64_t from,
			       int64_t to, int64_t step)
{
	const struct history_question q = {.selector = selector,
					   .function = function,
					   .from_us = T0 + from * SECOND,
					   .to_us = T0 + to * SECOND,
					   .step_us = step * SECOND};
	return history_answer(h, &q);
}

static void is(double value, double expected)
{
	if (isnan(expected) ? !isnan(value) : fabs(value - expected) > 1e-9 * fabs(expected))
		fail_msg("%.17g and not %.17g", value, expected);
}

/* --- counters ---------------------------------------------------------------------------------------------------- */

static void a_reset_is_neither_growth_nor_a_spike(void **state)
{
	for (enum layout layout = ROWS; layout < LAYOUTS; layout++) {
		struct history h;
		history_open(&h);
		add_run(&h, 0, 90, "a", "x", 1, 1000);
		add_run(&h, 90, 240, "a", "x", 91, 5); /* 1089, then 5 */
		put(&h, layout);
		struct range_result result = ask(&h, "cpu.cores.user_us", RANGE_INCREASE, 60, 240, 60);
		is(result.groups[0].values[0], 59);
		is(result.groups[0].values[1], 60);
		range_result_free(&result);
		result = ask(&h, "cpu.cores.user_us", RANGE_RATE, 60, 240, 60);
		is(result.groups[0].values[1], 1);
		is(result.groups[0].values[2], 1);
		range_result_free(&result);
		history_close(&h);
	}
}

static void nothing_is_compared_across_a_boot(void **state)
{
	for (enum layout layout = ROWS; layout < LAYOUTS; layout++) {
		struct history h;
		history_open(&h);
		add_run(&h, 0, 90, "a", "x", 1, 1000);
		add_run(&h, 90, 240, "b", "y", 1, 900000);
		put(&h, layout);
		struct range_result result = ask(&h, "cpu.cores.user_us", RANGE_INCREASE, 60, 240, 60);
		is(result.groups[0].values[0], 59);
		is(result.groups[0].values[1], 60);
		range_result_free(&result);
		history_close(&h);
	}
}

/* --- gaps -------------------------------------------------------------------------------------------------------- */

static void expect_gap(const struct range_result *result, size_t i, int64_t from, int64_t to, enum range_cause cause)
{
	assert_true(result->n_gaps > i);
	assert_int_equal((result->gaps[i].from_us - T0) / SECOND, from);
	assert_int_equal((result->gaps[i].to_us - T0) / SECOND, to);
	assert_string_equal(range_cause_text(result->gaps[i].cause), range_cause_text(cause));
}

static void gaps_have_causes(void **state)
{
	for (enum layout layout = ROWS; layout < LAYOUTS; layout++) {
		struct history h;
		history_open(&h);
		add_run(&h, 0, 600, "a", "x", 1, 1);
		add_run(&h, 1200, 1800, "a", "x", 601, 601);   /* went on with the next */
		add_run(&h, 2400, 3000, "a", "x", 1801, 1801); /* 600 were made meanwhile */
		add_run(&h, 3600, 4200, "b", "x", 1, 3001);
		add_run(&h, 4800, 5400, "c", "y", 1, 1);
		put(&h, layout);
		struct range_result result = ask(&h, "cpu.cores.user_us", RANGE_RATE, 60, 6000, 60);
		assert_int_equal(result.n_gaps, 5);
		expect_gap(&result, 0, 599, 1200, RANGE_PAUSED);
		expect_gap(&result, 1, 1799, 2400, RANGE_LOST);
		expect_gap(&result, 2, 2999, 3600, RANGE_AGENT_RESTARTED);
		expect_gap(&result, 3, 4199, 4800, RANGE_HOST_RESTARTED);
		expect_gap(&result, 4, 5399, 6000, RANGE_SILENT);
		/* And nothing is known there. */
		is(result.groups[0].values[4], 1);
		is(result.groups[0].values[12], NAN);
		is(result.groups[0].values[95], NAN);
		range_result_free(&result);
		history_close(&h);
	}
}

/* --- histograms -------------------------------------------------------------------------------------------------- */

static void histograms_grow(void **state)
{
	for (enum layout layout = ROWS; layout < LAYOUTS; layout++) {
		static const char metric[] = "tcp.families.active_setup_us{family=\"ipv4\"}";
		struct history h;
		history_open(&h);
		add_run(&h, 0, 300, "a", "x", 1, 10);
		add_run(&h, 300, 600, "b", "y", 1, 1); /* begins anew */
		put(&h, layout);
		struct range_result median = ask(&h, metric, RANGE_P50, 60, 600, 60);
		struct range_result high = ask(&h, metric, RANGE_P99, 60, 600, 60);
		struct range_result mean = ask(&h, metric, RANGE_AVG, 60, 600, 60);
		struct range_result count = ask(&h, metric, RANGE_INCREASE, 60, 300, 60);
		for (size_t i = 0; i < median.points; i++) {
			bool unknown = layout == MINUTES && i == 4; /* across the boot no minute can be compared */
			is(median.groups[0].values[i], unknown ? NAN : 8.5);
			is(high.groups[0].values[i] > 1000, unknown ? 0 : 1);
			is(mean.groups[0].values[i], unknown ? NAN : 2000);
		}
		for (size_t i = 0; i < count.points; i++)
			is(count.groups[0].values[i], 60 * 11);
		range_result_free(&median);
		range_result_free(&high);
		range_result_free(&mean);
		range_result_free(&count);
		history_close(&h);
	}
}

/* --- tiers ------------------------------------------------------------------------------------------------------- */

static bool in_first_hour(size_t i, size_t arg)
{
	return i < 3600;
}

static bool behind_first_hour(size_t i, size_t arg)
{
	return i >= 3600;
}

static void short_steps_have_minutes_where_raw_is_gone(void **state)
{
	struct history h;
	history_open(&h);
	add_run(&h, 0, 3600, "a", "x", 1, 1);
	add_run(&h, 21600, 25200, "a", "x", 21601, 21601);
	history_put_minutes(&h, in_first_hour, 0);
	history_put_chunks(&h, NULL, behind_first_hour, 0, SIZE_MAX, true);
	struct range_result result = ask(&h, "cpu.cores.user_us", RANGE_LAST, 0, 25200, 10);
	is(result.groups[0].values[0], 60); /* the last of the minute */
	is(result.groups[0].values[1], NAN);
	is(result.groups[0].values[6], 120);
	is(result.groups[0].values[2161], 21620);
	assert_int_equal(result.snapshots, 60 + 3600);
	range_result_free(&result);
	history_close(&h);
}

static void raw_serves_where_minutes_are_gone(void **state)
{
	struct history h;
	history_open(&h);
	add_run(&h, 0, 3600, "a", "x", 1, 1);
	history_put_chunks(&h, NULL, NULL, 0, SIZE_MAX, true);
	struct range_result result = ask(&h, "cpu.cores.user_us", RANGE_MAX, 0, 3600, 60);
	assert_int_equal(result.snapshots, 3600);
	is(result.groups[0].values[59], 3600);
	range_result_free(&result);
	history_close(&h);
}

/* Rows came into a window whose minutes are there: they do not know of these. */
static void a_window_with_rows_is_read_raw(void **state)
{
	struct history h;
	history_open(&h);
	add_run(&h, 0, 3600, "a", "x", 1, 1);
	history_put_minutes(&h, in_first_hour, 0);
	history_put_chunks(&h, NULL, in_first_hour, 0, SIZE_MAX, true);
	struct range_result result = ask(&h, "cpu.cores.user_us", RANGE_MAX, 0, 3720, 60);
	assert_int_equal(result.snapshots, 60);
	range_result_free(&result);
	add_run(&h, 3600, 3660, "a", "x", 3601, 3601);
	history_put_rows(&h, behind_first_hour, 0);
	result = ask(&h, "cpu.cores.user_us", RANGE_MAX, 0, 3720, 60);
	assert_int_equal(result.snapshots, 3660);
	is(result.groups[0].values[60], 3660);
	range_result_free(&result);
	history_close(&h);
}

/* --- labels and selectors ---------------------------------------------------------------------------------------- */

static const char *const names[] = {
	"'; DROP TABLE hot; --",
	"\" OR \"1\"=\"1",
	"100%_*?[x]",
	"\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80",
	"a\\b\nc",
	"/* */ UNION SELECT * FROM users",
};
#define N_NAMES (sizeof(names) / sizeof(names[0]))

static void add_named(struct history *h, int64_t at)
{
	struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16), metrics BUF_CLEANUP = BUF_INIT(1 << 16);
	const struct columns_tick tick = {.time_us = T0 + at * SECOND,
					  .received_us = T0 + at * SECOND,
					  .sequence = (uint64_t)at + 1,
					  .interval_ms = 1000};
	for (size_t i = 0; i < N_NAMES; i++) {
		struct buf metric BUF_CLEANUP = BUF_INIT(1 << 16), label BUF_CLEANUP = BUF_INIT(1 << 16);
		ok(wire_put_bytes(&metric, 1, "jobs", 4));
		ok(wire_put_bytes(&label, 1, "queue", 5));
		ok(wire_put_bytes(&label, 2, names[i], strlen(names[i])));
		ok(wire_put_bytes(&metric, 2, label.data, label.len));
		ok(wire_put_uint(&metric, 3, SCHEMA_KIND_GAUGE));
		ok(wire_put_uint(&metric, 6, i + 1));
		ok(wire_put_bytes(&metrics, 2, metric.data, metric.len));
	}
	ok(wire_put_bytes(&sections, COLUMNS_CUSTOM_SECTION, metrics.data, metrics.len));
	history_add(h, &tick, &sections);
}

/* As in a selector's string. */
static void quote(const char *text, char *out)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*out++ = '\\';
		*out++ = *text == '\n' ? 'n' : *text;
		if (*text == '\n') {
			out[-1] = '\\';
			*out++ = 'n';
		}
	}
	*out = '\0';
}

static void names_that_look_like_sql_are_names(void **state)
{
	for (enum layout layout = ROWS; layout < LAYOUTS; layout++) {
		struct history h;
		history_open(&h);
		for (int64_t at = 0; at < 120; at++)
			add_named(&h, at);
		put(&h, layout);
		for (size_t i = 0; i < N_NAMES; i++) {
			char selector[512], quoted[200];
			quote(names[i], quoted);
			snprintf(selector, sizeof(selector), "custom.jobs{queue=\"%s\"}", quoted);
			struct range_result result = ask(&h, selector, RANGE_LAST, 0, 120, 60);
			assert_int_equal(result.n_groups, 1);
			is(result.groups[0].values[1], (double)i + 1);
			/* "host\0a\0queue\0NAME\0" */
			assert_string_equal((const char *)result.groups[0].key + 7 + 6, names[i]);
			range_result_free(&result);
		}
		history_close(&h);
	}
}

static void hostile_selectors_reach_nothing(void **state)
{
	static const char *const selectors[] = {
		"cpu.load1'; DROP TABLE hot; --",
		"cpu.load1{host=\"a\"} UNION SELECT 1",
		"cpu.cores.user_us{cpu=~\"(a*)*b(((((((((((x\"}",
		"\xff\xfe{}",
		"{}",
		"",
	};
	struct history h;
	struct range_result result;
	struct history_question q = {.from_us = T0, .to_us = T0 + 60 * SECOND, .step_us = SECOND};
	char error[256];
	history_open(&h);
	add_run(&h, 0, 60, "a", "x", 1, 1);
	history_put_rows(&h, NULL, 0);
	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
		q.selector = selectors[i];
		assert_int_equal(history_ask(&h, &q, &result, error, sizeof(error)), -EINVAL);
		assert_true(strlen(error) > 0);
	}
	char *huge = malloc((1 << 20) + 1);
	assert_non_null(huge);
	memset(huge, 'a', 1 << 20);
	huge[1 << 20] = '\0';
	q.selector = huge;
	assert_int_equal(history_ask(&h, &q, &result, error, sizeof(error)), -EINVAL);
	memcpy(huge, "cpu.load1{x=\"", 13);
	assert_int_equal(history_ask(&h, &q, &result, error, sizeof(error)), -EINVAL);
	free(huge);
	/* A name that nothing has is asked of nobody. */
	q.selector = "no.such:metric";
	ok(history_ask(&h, &q, &result, error, sizeof(error)));
	assert_int_equal(result.n_groups, 0);
	assert_false(result.known);
	range_result_free(&result);
	result = ask(&h, "cpu.cores.user_us", RANGE_LAST, 0, 60, 1);
	is(result.groups[0].values[59], 60);
	range_result_free(&result);
	history_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reset_is_neither_growth_nor_a_spike),
		cmocka_unit_test(nothing_is_compared_across_a_boot),
		cmocka_unit_test(gaps_have_causes),
		cmocka_unit_test(histograms_grow),
		cmocka_unit_test(short_steps_have_minutes_where_raw_is_gone),
		cmocka_unit_test(raw_serves_where_minutes_are_gone),
		cmocka_unit_test(a_window_with_rows_is_read_raw),
		cmocka_unit_test(names_that_look_like_sql_are_names),
		cmocka_unit_test(hostile_selectors_reach_nothing),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
