#include "tests/unit/cmocka_all.h"
#include "tests/unit/common/schema/schemas.h"

#include "common/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct schema *own;
static struct kept kept;

static int walk(const void *data, size_t len)
{
	kept.n = 0;
	return schema_walk(own, data, len, schemas_keep, &kept);
}

static void test_yields_every_metric_with_its_labels(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	schemas_snapshot(&b);
	assert_int_equal(walk(b.data, b.len), 0);
	static const char *const want[] = {
		"cpu.total.user_us{} 1500000",
		"cpu.total.idle_us{} 0", /* zero is a value */
		"cpu.cores.user_us{cpu=0} 700000",
		"cpu.cores.user_us{cpu=1} 700001",
		"cpu.load1{} 0.25",
		"block_io.devices.operations.operations{device=vd\"a\\,diskseq=9,operation=write} 8",
		"block_io.devices.operations.device_latency_ns{device=vd\"a\\,diskseq=9,operation=write} histogram",
		"block_io.devices.untraced_operations{device=vd\"a\\,diskseq=9} -3",
		"custom.room.temperature{room=caf\xc3\xa9} 21.5",
		"custom.visits_total{} -7",
	};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		if (!schemas_find(&kept, want[i]))
			fail_msg("not yielded: %s", want[i]);
	}
	assert_int_equal(kept.n, sizeof(want) / sizeof(want[0])); /* absent is not zero */
}

static void test_labels_may_stand_behind_values(void **state)
{
	BUF_CLEANUP struct buf core = BUF_INIT(100);
	BUF_CLEANUP struct buf cpu = BUF_INIT(100);
	BUF_CLEANUP struct buf snapshot = BUF_INIT(100);
	assert_int_equal(wire_put_uint(&core, 2, 77), 0); /* user_us */
	assert_int_equal(wire_put_uint(&core, 1, 5), 0);  /* cpu, overridden */
	assert_int_equal(wire_put_uint(&core, 1, 6), 0);
	assert_int_equal(wire_put_bytes(&cpu, 3, core.data, core.len), 0);
	assert_int_equal(wire_put_bytes(&snapshot, 11, cpu.data, cpu.len), 0);
	assert_int_equal(walk(snapshot.data, snapshot.len), 0);
	assert_int_equal(kept.n, 1);
	assert_string_equal(kept.samples[0].text, "cpu.cores.user_us{cpu=6} 77");
}

/* More fields before the label than are kept while it is looked for. */
static void test_labels_may_stand_behind_many_values(void **state)
{
	for (unsigned n = 46; n <= 100; n++) {
		BUF_CLEANUP struct buf core = BUF_INIT(1000);
		BUF_CLEANUP struct buf cpu = BUF_INIT(1000);
		BUF_CLEANUP struct buf snapshot = BUF_INIT(1000);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(wire_put_uint(&core, 2, 1000 + i), 0);
		assert_int_equal(wire_put_uint(&core, 1, 6), 0);
		assert_int_equal(wire_put_uint(&core, 2, 7), 0);
		assert_int_equal(wire_put_bytes(&cpu, 3, core.data, core.len), 0);
		assert_int_equal(wire_put_bytes(&snapshot, 11, cpu.data, cpu.len), 0);
		assert_int_equal(walk(snapshot.data, snapshot.len), 0);
		assert_int_equal(kept.n, n + 1);
		for (unsigned i = 0; i < n; i++) {
			char want[64];
			snprintf(want, sizeof(want), "cpu.cores.user_us{cpu=6} %u", 1000 + i);
			assert_string_equal(kept.samples[i].text, want);
		}
		assert_string_equal(kept.samples[n].text, "cpu.cores.user_us{cpu=6} 7");
	}
}

struct last_row {
	uint32_t row;
	size_t n;
	char labels[256];
};

/* Samples of one row: the very same labels; of another: told by another number. */
static int check_row(void *arg, const struct schema_sample *sample)
{
	struct last_row *last = arg;
	char labels[256] = "";
	for (size_t i = 0; i < sample->n_labels; i++) {
		size_t used = strlen(labels);
		const struct schema_label_value *l = &sample->labels[i];
		snprintf(labels + used, sizeof(labels) - used, "%s=%.*s%u,", l->name, l->is_text ? (int)l->len : 0,
			 l->is_text ? l->text : "", l->is_text ? 0 : (unsigned)l->number);
	}
	if (last->n > 0 && last->row == sample->row)
		assert_string_equal(last->labels, labels);
	last->row = sample->row;
	last->n++;
	memcpy(last->labels, labels, sizeof(labels));
	return 0;
}

static void test_rows_tell_where_labels_change(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	struct last_row last = {0};
	schemas_snapshot(&b);
	assert_int_equal(schema_walk(own, b.data, b.len, check_row, &last), 0);
	assert_int_equal(last.n, 10);
}

static void test_every_truncation_and_every_flipped_bit_is_survived(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	schemas_snapshot(&b);
	for (size_t len = 0; len < b.len; len++) {
		/* A copy of the exact size, so that AddressSanitizer sees a read past the end. */
		uint8_t *copy = malloc(len ? len : 1);
		assert_non_null(copy);
		memcpy(copy, b.data, len);
		int r = walk(copy, len);
		assert_true(r == 0 || r == -EPROTO);
		free(copy);
	}
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int r = walk(b.data, b.len);
		assert_true(r == 0 || r == -EPROTO);
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void refuse(const char *bytes, size_t len)
{
	assert_int_equal(walk(bytes, len), -EPROTO);
}

static void test_refusals(void **state)
{
	refuse("\x5a\x02\x20\x01\x01", 5);	       /* rubbish behind the section */
	refuse("\x58\x01", 2);			       /* cpu as a number */
	refuse("\x5a\x02\x22\x00", 4);		       /* cpu.context_switches as bytes */
	refuse("\x9a\x01\x05\x1a\x03\x0a\x01\xff", 8); /* a device name that is not UTF-8 */
	refuse("\x5a\x05\x0a\x03\x12\x01\xff", 7);     /* a state's reason that is not UTF-8, though no metric */
	refuse("\x9a\x01\x0a\x1a\x08\x22\x06\x2a\x04\x1a\x02\x05\x04", 13); /* a histogram with indexes and no counts */
	assert_int_equal(walk("", 0), 0);
	assert_int_equal(walk("\xa2\x06\x03"
			      "abc",
			      6),
			 0); /* field 100: unknown, skipped */
}

static int stop(void *arg, const struct schema_sample *sample)
{
	return -ECANCELED;
}

static void test_the_callback_stops_it(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4096);
	schemas_snapshot(&b);
	assert_int_equal(schema_walk(own, b.data, b.len, stop, NULL), -ECANCELED);
}

static void test_histograms(void **state)
{
	struct schema_histogram h;
	assert_int_equal(
		schema_histogram_parse((const uint8_t *)"\x08\x01\x10\x09\x1a\x02\x05\x07\x22\x02\x01\x03", 12, &h), 0);
	assert_true(h.sum == 9 && h.n == 2 && h.count == 4 && h.buckets[1].index == 7 && h.buckets[1].count == 3);
	/* not packed */
	assert_int_equal(schema_histogram_parse((const uint8_t *)"\x08\x01\x18\x05\x20\x01", 6, &h), 0);
	assert_true(h.n == 1 && h.buckets[0].index == 5);
	assert_int_equal(schema_histogram_parse((const uint8_t *)"\x08\x01\x1a\x02\x07\x05\x22\x02\x01\x03", 10, &h),
			 -EPROTO); /* descending */
	assert_int_equal(schema_histogram_parse((const uint8_t *)"\x08\x02\x1a\x01\x05\x22\x01\x01", 8, &h),
			 -EPROTO); /* scheme 2 */
	assert_int_equal(schema_histogram_parse((const uint8_t *)"\x08\x01\x1a\x02\xfc\x01\x22\x01\x01", 9, &h),
			 -EPROTO); /* bucket 252 */
	assert_int_equal(schema_histogram_parse(NULL, 0, &h), 0);
	assert_int_equal(h.count, 0);
}

static int setup(void **state)
{
	own = schemas_own();
	return 0;
}

static int teardown(void **state)
{
	schema_unref(own);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yields_every_metric_with_its_labels),
		cmocka_unit_test(test_labels_may_stand_behind_values),
		cmocka_unit_test(test_labels_may_stand_behind_many_values),
		cmocka_unit_test(test_rows_tell_where_labels_change),
		cmocka_unit_test(test_every_truncation_and_every_flipped_bit_is_survived),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_the_callback_stops_it),
		cmocka_unit_test(test_histograms),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
