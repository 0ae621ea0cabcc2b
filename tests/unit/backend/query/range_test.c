/* The same answer however what it is made of is stored: as rows, sealed, put together, in generations, and mixed. */
#include "common/wire.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *selector;
	enum schema_kind kind;
} metrics[] = {
	{"cpu.load1", SCHEMA_KIND_GAUGE},
	{"cpu.cores.user_us", SCHEMA_KIND_COUNTER},
	{"cpu.cores.user_us{cpu=~\"[02]\"}", SCHEMA_KIND_COUNTER},
	{"tcp.families.active_setup_us", SCHEMA_KIND_HISTOGRAM},
	{"processes.processes.cpu_us{pid!=\"103\"}", SCHEMA_KIND_COUNTER},
	{"custom.jobs", SCHEMA_KIND_COUNTER},
	{"custom.balance", SCHEMA_KIND_GAUGE},
	{"temperature_of___tage", SCHEMA_KIND_GAUGE},
};
#define N_METRICS (sizeof(metrics) / sizeof(metrics[0]))

static const enum range_function functions[][8] = {
	[SCHEMA_KIND_GAUGE] = {RANGE_AVG, RANGE_MIN, RANGE_MAX, RANGE_SUM, RANGE_LAST},
	[SCHEMA_KIND_COUNTER] = {RANGE_RATE, RANGE_INCREASE, RANGE_LAST, RANGE_AVG},
	[SCHEMA_KIND_HISTOGRAM] = {RANGE_P50, RANGE_P99, RANGE_AVG, RANGE_RATE, RANGE_INCREASE},
};

static int64_t earliest(const struct history *h)
{
	int64_t least = INT64_MAX;
	for (size_t i = 0; i < h->n; i++)
		least = h->snapshots[i].tick.time_us < least ? h->snapshots[i].tick.time_us : least;
	return least;
}

static int64_t latest(const struct history *h)
{
	int64_t most = 0;
	for (size_t i = 0; i < h->n; i++)
		most = h->snapshots[i].tick.time_us > most ? h->snapshots[i].tick.time_us : most;
	return most;
}

/* Everything that can be asked, of both. */
static void compare(struct history *a, struct history *b, int64_t step_us, const char *what)
{
	for (size_t m = 0; m < N_METRICS; m++) {
		for (size_t f = 0; functions[metrics[m].kind][f] != RANGE_DEFAULT; f++) {
			struct history_question q = {.selector = metrics[m].selector,
						     .function = functions[metrics[m].kind][f],
						     .from_us = earliest(a) / 60000000 * 60000000 + 120000000,
						     .to_us = latest(a) - 30000000,
						     .step_us = step_us,
						     .group_by = f % 2 ? "" : NULL};
			char name[256];
			struct range_result x = history_answer(a, &q), y = history_answer(b, &q);
			snprintf(name, sizeof(name), "%s: %s, function %d", what, q.selector, (int)q.function);
			assert_true(x.n_groups > 0 && x.samples > 0);
			/* Series are added up in the order in which they come. */
			history_same(&x, &y, 1e-14, name);
			history_same_gaps(&x, &y, name);
			range_result_free(&x);
			/* Once more, of what was decoded before. */
			x = history_answer(b, &q);
			history_same(&x, &y, 0, name);
			history_same_gaps(&x, &y, name);
			range_result_free(&x);
			range_result_free(&y);
		}
	}
}

/* --- layouts ----------------------------------------------------------------------------------------------------- */

static bool every(size_t i, size_t n)
{
	return i % n == 0;
}

static bool not_every(size_t i, size_t n)
{
	return i % n != 0;
}

static bool before(size_t i, size_t n)
{
	return i < n;
}

static bool from(size_t i, size_t n)
{
	return i >= n;
}

static bool some_or_late(size_t i, size_t n)
{
	return i >= n || i % 97 == 0;
}

static bool neither(size_t i, size_t n)
{
	return !some_or_late(i, n);
}

static void as_sealed(struct history *h)
{
	history_put_chunks(h, NULL, NULL, 0, 100, false);
}

static void as_compacted(struct history *h)
{
	history_put_chunks(h, NULL, NULL, 0, SIZE_MAX, true);
}

static void as_late_generation(struct history *h)
{
	history_put_chunks(h, NULL, not_every, 3, SIZE_MAX, true);
	history_put_chunks(h, NULL, every, 3, 50, false);
}

/* What came first is wrong at every second moment, and was put right. */
static void as_corrected(struct history *h)
{
	struct history wrong = {.n = 0};
	for (size_t i = 0; i < h->n; i++) {
		struct buf sections BUF_CLEANUP = BUF_INIT(1 << 20), made BUF_CLEANUP = BUF_INIT(1 << 20);
		fixture_custom_uint(&made, "jobs", 1000000 + i);
		fixture_custom_section(&made, &sections);
		history_add(&wrong, &h->snapshots[i].tick, &sections);
	}
	history_put_chunks(h, &wrong, every, 2, SIZE_MAX, true);
	history_put_chunks(h, NULL, NULL, 0, 200, false);
	for (size_t i = 0; i < wrong.n; i++)
		buf_free(&wrong.snapshots[i].payload);
	free(wrong.snapshots);
}

static void as_chunks_and_rows(struct history *h)
{
	history_put_chunks(h, NULL, before, h->n / 2, 300, true);
	history_put_rows(h, from, h->n / 2);
}

static void as_rows_among_chunks(struct history *h)
{
	history_put_chunks(h, NULL, neither, h->n / 2, 300, true);
	history_put_rows(h, some_or_late, h->n / 2);
}

static void layouts_say_the_same(void **state)
{
	static const struct {
		const char *name;
		void (*put)(struct history *h);
	} layouts[] = {
		{"sealed", as_sealed},
		{"compacted", as_compacted},
		{"late generation", as_late_generation},
		{"corrected", as_corrected},
		{"chunks and rows", as_chunks_and_rows},
		{"rows among chunks", as_rows_among_chunks},
	};
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct history rows;
		history_open(&rows);
		history_make(&rows, seed, seed % 2, 300);
		history_put_rows(&rows, NULL, 0);
		for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
			struct history other;
			history_open(&other);
			history_make(&other, seed, seed % 2, 300);
			other.window_us *= seed == 1 ? 1 : 3;
			layouts[i].put(&other);
			compare(&rows, &other, 1000000 * (int64_t)(seed * 7), layouts[i].name);
			history_close(&other);
		}
		history_close(&rows);
	}
}

/* --- minutes ----------------------------------------------------------------------------------------------------- */

/* Of a minute's readings a counter's rate, and what is not growth, is another thing than of all. */
static const enum range_function of_minutes[][6] = {
	[SCHEMA_KIND_GAUGE] = {RANGE_AVG, RANGE_MIN, RANGE_MAX, RANGE_SUM, RANGE_LAST},
	[SCHEMA_KIND_COUNTER] = {RANGE_INCREASE},
	[SCHEMA_KIND_HISTOGRAM] = {RANGE_DEFAULT},
};

static bool is_there(const struct range_result *result, const struct range_result *other)
{
	return result->n_groups == other->n_groups && result->snapshots * 10 < other->snapshots;
}

static void compare_minutes(struct history *raw, struct history *minutes, int64_t step_us)
{
	for (size_t m = 0; m < N_METRICS; m++) {
		for (size_t f = 0; of_minutes[metrics[m].kind][f] != RANGE_DEFAULT; f++) {
			struct history_question q = {.selector = metrics[m].selector,
						     .function = of_minutes[metrics[m].kind][f],
						     /* What grew in the very first minute is not known of minutes. */
						     .from_us = earliest(raw) / 60000000 * 60000000 + 60000000,
						     .to_us = latest(raw) / 60000000 * 60000000,
						     .step_us = step_us,
						     .group_by = f % 2 ? "" : NULL};
			char name[256];
			/* Processes have no minutes; a row that stands twice in one snapshot in a hundred was mostly
			 * last there in another boot than the minute's. */
			if (strncmp(q.selector, "processes", 9) == 0 || strncmp(q.selector, "cpu.cores", 9) == 0)
				continue;
			struct range_result x = history_answer(raw, &q), y = history_answer(minutes, &q);
			snprintf(name, sizeof(name), "minutes: %s, function %d", q.selector, (int)q.function);
			assert_true(is_there(&y, &x));
			history_same(&x, &y, 1e-12, name);
			range_result_free(&x);
			x = history_answer(minutes, &q);
			history_same(&x, &y, 0, name);
			range_result_free(&x);
			range_result_free(&y);
		}
	}
}

static void minutes_say_what_their_readings_say(void **state)
{
	/* None of which has a reset in the first minute of a window: that hides what grew since the minute before, for
	 * who made minutes of the window did not see that. */
	static const uint64_t seeds[] = {5, 7, 8};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		uint64_t seed = seeds[i];
		struct history raw, minutes;
		history_open(&raw);
		history_make(&raw, seed, false, 900);
		history_put_rows(&raw, NULL, 0);
		history_open(&minutes);
		history_make(&minutes, seed, false, 900);
		as_compacted(&minutes);
		history_put_minutes(&minutes, NULL, 0);
		compare_minutes(&raw, &minutes, 60000000);
		compare_minutes(&raw, &minutes, 240000000);
		history_close(&minutes);
		history_close(&raw);
	}
}

/* --- windows ----------------------------------------------------------------------------------------------------- */

#define HOURS 12
#define A_MINUTE 3 /* snapshots */
#define T0 (83113 * 21600 * 1000000ll)

static void make_half_a_day(struct history *h)
{
	struct columns_tick tick = {.interval_ms = 20000, .instance = "run", .boot_id = "boot"};
	for (size_t i = 0; i < (size_t)HOURS * 60 * A_MINUTE; i++) {
		struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16), custom BUF_CLEANUP = BUF_INIT(1 << 16);
		tick.time_us = tick.received_us = T0 + (int64_t)i * 20000000;
		tick.sequence = i + 1;
		fixture_custom_int(&custom, "balance", (int64_t)(i * 7919 % 1000));
		fixture_custom_section(&custom, &sections);
		history_add(h, &tick, &sections);
	}
}

static bool is_late(size_t i, size_t arg)
{
	return i >= arg && i < arg + 4;
}

static bool is_in_time(size_t i, size_t arg)
{
	return !is_late(i, arg);
}

/* Chunks of windows of `hours`, whatever they are now, their minutes, and behind them rows that came late. */
static void try_windows(const struct history *rows, int64_t hours, size_t late)
{
	static const enum range_function asked[] = {RANGE_LAST, RANGE_AVG, RANGE_MAX, RANGE_SUM};
	static const int64_t steps_us[] = {60000000, 1800000000, 70000000};
	struct history h;
	char name[128];
	history_open(&h);
	make_half_a_day(&h);
	h.window_us = hours * 3600 * 1000000;
	history_put_chunks(&h, NULL, is_in_time, late, SIZE_MAX, true);
	history_put_minutes(&h, is_in_time, late);
	history_put_rows(&h, is_late, late);
	for (size_t f = 0; f < sizeof(asked) / sizeof(asked[0]); f++) {
		for (size_t s = 0; s < sizeof(steps_us) / sizeof(steps_us[0]); s++) {
			const struct history_question q = {.selector = "custom.balance",
							   .function = asked[f],
							   .from_us = T0 + 60000000,
							   .to_us = T0 + HOURS * 3600 * 1000000ll - 60000000,
							   .step_us = steps_us[s]};
			struct range_result x = history_answer((struct history *)rows, &q), y = history_answer(&h, &q);
			snprintf(name, sizeof(name), "windows of %d h, late at %zu, function %d, step %d s", (int)hours,
				 late, (int)asked[f], (int)(steps_us[s] / 1000000));
			history_same(&x, &y, 1e-12, name);
			/* Windows without rows are told by their minutes. */
			if (steps_us[s] % 60000000 == 0 && y.snapshots > x.snapshots - (uint64_t)A_MINUTE * 60)
				fail_msg("%s: %llu snapshots of %llu", name, (unsigned long long)y.snapshots,
					 (unsigned long long)x.snapshots);
			range_result_free(&x);
			range_result_free(&y);
		}
	}
	history_close(&h);
}

static void windows_may_have_been_longer(void **state)
{
	static const size_t late[] = {2, 3 * 60 * A_MINUTE + 50, 5 * 60 * A_MINUTE + 170, 7 * 60 * A_MINUTE + 1};
	struct history rows;
	history_open(&rows);
	make_half_a_day(&rows);
	history_put_rows(&rows, NULL, 0);
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
		try_windows(&rows, 6, late[i]);
		try_windows(&rows, tiers_window_us(STORE_TIER_RAW) / TIERS_HOUR_US, late[i]);
	}
	history_close(&rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts_say_the_same),
		cmocka_unit_test(minutes_say_what_their_readings_say),
		cmocka_unit_test(windows_may_have_been_longer),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
