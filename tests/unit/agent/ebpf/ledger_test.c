#include "agent/ebpf/ledger.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ledger ledger;

static int set_up(void **state)
{
	return ledger_init(&ledger, 8);
}

static int tear_down(void **state)
{
	ledger_free(&ledger);
	return 0;
}

static int update(const char *text)
{
	return ledger_update(&ledger, text, strlen(text));
}

static struct ledger_entry *entry(const char *name)
{
	size_t hint = 0;
	return ledger_find(&ledger, name, &hint);
}

/* Operations of a device called sda, in its read column. */
static void read_total(uint64_t total)
{
	char text[128];
	(void)snprintf(text, sizeof(text), "8 0 sda %llu 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", (unsigned long long)total);
	assert_int_equal(update(text), 0);
}

static void all_groups_are_operations(void **state)
{
	assert_int_equal(
		update(" 254       0 vda 80487 30622 6294226 25880 17157 22928 3028704 5474 0 12316 31898 7138 32 "
		       "267848 470 2119 72\n"
		       " 254       1 vda1 10 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"),
		0);
	assert_int_equal(entry("vda")->total, 80487 + 17157 + 7138 + 2119);
	assert_int_equal(entry("vda")->major, 254);
	assert_int_equal(entry("vda1")->total, 10);
	assert_null(entry("vd"));
	assert_false(ledger.without_flushes);
}

static void old_kernels_have_fewer_columns(void **state)
{
	assert_int_equal(update("8 0 sda 1 9 9 9 2 9 9 9 9 9 9\n"), 0);
	assert_int_equal(entry("sda")->total, 3);
	assert_true(ledger.without_flushes);
	assert_int_equal(update("8 0 sda 1 9 9 9 2 9 9 9 9 9 9 4 9 9 9\n"), 0);
	assert_int_equal(entry("sda")->total, 7);
	assert_true(ledger.without_flushes);
}

static void malformed_text_changes_nothing(void **state)
{
	read_total(5);
	assert_int_equal(update("8 0 sda 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n8 16 sdb garbage\n"), -EPROTO);
	assert_int_equal(update("8 0 sda 9 0 0 0"), -EPROTO);
	assert_int_equal(update("8 0 sda 99999999999999999999 0 0 0 0 0 0 0 0 0 0\n"), -EPROTO);
	assert_int_equal(entry("sda")->total, 5);
	assert_int_equal(update(""), 0);
	assert_null(entry("sda"));
}

static void nothing_lost_is_zero(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	read_total(1250);
	assert_int_equal(ledger_untraced(entry("sda"), 250, 250), 0);
	assert_int_equal(ledger_operations(entry("sda")), 250);
}

static void what_is_lost_is_exact_when_quiet(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	read_total(1250);
	assert_int_equal(ledger_untraced(entry("sda"), 186, 186), 64);
	/* More traced than counted can only be a defect, and shows as one. */
	assert_int_equal(ledger_untraced(entry("sda"), 253, 253), -3);
}

/* Twenty operations ended while the ledgers were read, one after the other. */
static void a_busy_device_shows_no_noise(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	read_total(1250);
	assert_int_equal(ledger_untraced(entry("sda"), 240, 260), 0);
	assert_int_equal(ledger_untraced(entry("sda"), 140, 160), 90); /* at least */
}

static void tracing_may_begin_on_a_busy_device(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	ledger_begin_traced(entry("sda"), 3, 9); /* seven, in truth */
	read_total(1100);
	assert_int_equal(ledger_untraced(entry("sda"), 107, 107), 0);
	assert_int_equal(ledger_untraced(entry("sda"), 100, 100), 3);
}

static void a_device_that_comes_later_starts_from_zero(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	assert_int_equal(
		update("8 0 sda 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n8 16 sdb 40 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0\n"),
		0);
	assert_int_equal(ledger_untraced(entry("sdb"), 42, 42), 0);
}

static void a_device_that_went_is_forgotten(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	assert_int_equal(update("8 16 sdb 40 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"), 0);
	assert_null(entry("sda"));
	read_total(1010); /* another device under its name, which did 1010 operations */
	assert_int_equal(ledger_untraced(entry("sda"), 1010, 1010), 0);
}

static void counters_that_went_back_start_again(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	read_total(1250);
	uint32_t epoch = entry("sda")->epoch;
	entry("sda")->carried = 250;
	read_total(30);
	assert_int_not_equal(entry("sda")->epoch, epoch);
	assert_int_equal(ledger_untraced(entry("sda"), 30, 30), 0);
}

static void what_an_old_medium_did_is_carried(void **state)
{
	read_total(1000);
	ledger_begin(&ledger);
	read_total(1250);
	entry("sda")->carried += 200;
	assert_int_equal(ledger_untraced(entry("sda"), 50, 50), 0);
}

static void devices_beyond_the_maximum_are_left_out(void **state)
{
	char text[2048] = "";
	size_t len = 0;
	for (int i = 0; i < 12; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "8 %d sd%c 7 0 0 0 0 0 0 0 0 0 0\n", i,
					'a' + i);
	assert_int_equal(update(text), 0);
	assert_non_null(entry("sda"));
	assert_non_null(entry("sdh"));
	assert_null(entry("sdi"));
	/* Room is found again once it was seen that the others are gone. */
	assert_int_equal(update("8 9 sdi 7 0 0 0 0 0 0 0 0 0 0\n"), 0);
	assert_int_equal(update("8 9 sdi 7 0 0 0 0 0 0 0 0 0 0\n"), 0);
	assert_non_null(entry("sdi"));
}

static void one_in_a_thousand_may_be_missing(void **state)
{
	assert_false(ledger_is_lossy(0, 0));
	assert_false(ledger_is_lossy(1, 1000));
	assert_true(ledger_is_lossy(2, 1000));
	assert_true(ledger_is_lossy(1, 0));
	assert_true(ledger_is_lossy(-2, 1000));
	assert_true(ledger_is_lossy(INT64_MIN, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_groups_are_operations, set_up, tear_down),
		cmocka_unit_test_setup_teardown(old_kernels_have_fewer_columns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed_text_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_lost_is_zero, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_lost_is_exact_when_quiet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_busy_device_shows_no_noise, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tracing_may_begin_on_a_busy_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_device_that_comes_later_starts_from_zero, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_device_that_went_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(counters_that_went_back_start_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_an_old_medium_did_is_carried, set_up, tear_down),
		cmocka_unit_test_setup_teardown(devices_beyond_the_maximum_are_left_out, set_up, tear_down),
		cmocka_unit_test(one_in_a_thousand_may_be_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
