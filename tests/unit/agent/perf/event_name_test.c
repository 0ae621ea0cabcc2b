#include "agent/perf/event_name.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CACHE(cache, op, result)                                                                                       \
	(PERF_COUNT_HW_CACHE_##cache | PERF_COUNT_HW_CACHE_OP_##op << 8 | PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static int parse(const char *text, struct perf_name *ret)
{
	return perf_name_parse(text, strlen(text), ret);
}

static void generic_events_are_perfs(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t config;
	} rows[] = {
		{"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
		{"ref-cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_REF_CPU_CYCLES},
		{"bus-cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BUS_CYCLES},
		{"stalled-cycles-backend", PERF_TYPE_HARDWARE, PERF_COUNT_HW_STALLED_CYCLES_BACKEND},
		{"branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES},
		{"branch-load-misses", PERF_TYPE_HW_CACHE, CACHE(BPU, READ, MISS)},
		{"LLC-load-misses", PERF_TYPE_HW_CACHE, CACHE(LL, READ, MISS)},
		{"LLC-stores", PERF_TYPE_HW_CACHE, CACHE(LL, WRITE, ACCESS)},
		{"dTLB-load-misses", PERF_TYPE_HW_CACHE, CACHE(DTLB, READ, MISS)},
		{"iTLB-loads", PERF_TYPE_HW_CACHE, CACHE(ITLB, READ, ACCESS)},
		{"L1-dcache-prefetches", PERF_TYPE_HW_CACHE, CACHE(L1D, PREFETCH, ACCESS)},
		{"node-store-misses", PERF_TYPE_HW_CACHE, CACHE(NODE, WRITE, MISS)},
		{"r01c2", PERF_TYPE_RAW, 0x1c2},
		{"rffffffffffffffff", PERF_TYPE_RAW, UINT64_MAX},
		{"rC0", PERF_TYPE_RAW, 0xc0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct perf_name name;
		assert_int_equal(parse(rows[i].name, &name), 0);
		assert_int_equal(name.type, rows[i].type);
		assert_true(name.config == rows[i].config);
	}
}

static void terms_of_a_pmu(void **state)
{
	struct perf_name name;
	struct perf_term term;
	assert_int_equal(parse("cpu_core/event=0x3c,umask=10,edge/", &name), 0);
	assert_int_equal(name.kind, PERF_NAME_PMU);
	assert_true(word_is(name.pmu, "cpu_core"));
	struct scan terms = scan_text(name.terms.text, name.terms.len);
	assert_int_equal(perf_term_next(&terms, &term), 1);
	assert_true(word_is(term.name, "event") && term.has_value && term.value == 0x3c);
	assert_int_equal(perf_term_next(&terms, &term), 1);
	assert_true(word_is(term.name, "umask") && term.value == 10);
	assert_int_equal(perf_term_next(&terms, &term), 1);
	assert_true(word_is(term.name, "edge") && !term.has_value);
	assert_int_equal(perf_term_next(&terms, &term), 0);
	assert_int_equal(parse("uncore_imc_0/cas_count_read/", &name), 0);
	assert_int_equal(parse("cpu/event=18446744073709551615/", &name), 0);
}

static void what_is_no_event(void **state)
{
	static const char *const wrong[] = {
		"",
		"r",
		"rg",
		"r01c2x",
		"r11112222333344445",
		"cycles ",
		"Cycles",
		"cycles:u",
		"LLC-",
		"LLC-misses",
		"cpu/",
		"cpu//",
		"/event=1/",
		"cpu/event=1",
		"cpu/event=/",
		"cpu/event=0x/",
		"cpu/event=1,/",
		"cpu/,event/",
		"cpu/event=1/u",
		"../cpu/event=1/",
		"..//",
		"cpu/../",
		"cpu/a b/",
		"cpu/=1/",
		"cpu/event=-1/",
		"cpu/a/b/",
		"cpu/event=0x1g/",
		"-x/event/",
		"cpu/e\x01/",
		"cpu/event==1/",
		"{cycles}",
		"cycles,instructions",
		"cpu/event=18446744073709551616/",
		"cpu/a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct perf_name name = {.type = 77};
		if (parse(wrong[i], &name) != -EINVAL)
			fail_msg("\"%s\" was taken for an event", wrong[i]);
		assert_int_equal(name.type, 77);
	}
	char longest[PERF_NAME_SIZE + 1];
	struct perf_name name;
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "cpu/event=1,", 12);
	longest[PERF_NAME_SIZE - 1] = '/';
	assert_int_equal(perf_name_parse(longest, PERF_NAME_SIZE, &name), -EINVAL);
}

static void lists_are_cut_at_their_own_commas(void **state)
{
	static const char text[] = "cycles,cpu/event=1,umask=2/,{a,b/c,d/},r1";
	static const char *const items[] = {"cycles", "cpu/event=1,umask=2/", "{a,b/c,d/}", "r1"};
	struct scan list = scan_text(text, strlen(text));
	struct word item;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(perf_list_next(&list, &item), 1);
		assert_true(word_is(item, items[i]));
	}
	assert_int_equal(perf_list_next(&list, &item), 0);
	static const char *const wrong[] = {",", "a,", ",a", "{a", "a}", "a/b", "{{a}}", "{a}}"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int r;
		list = scan_text(wrong[i], strlen(wrong[i]));
		while ((r = perf_list_next(&list, &item)) > 0)
			;
		assert_int_equal(r, -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generic_events_are_perfs),
		cmocka_unit_test(terms_of_a_pmu),
		cmocka_unit_test(what_is_no_event),
		cmocka_unit_test(lists_are_cut_at_their_own_commas),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
