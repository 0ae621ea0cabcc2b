#include "backend/archive/records.h"

#include "common/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

static const uint8_t host[16] = "a host's id ....";

static void test_rows(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(10000);
	const uint8_t *id;
	struct store_row out, row = {.sequence = UINT64_MAX,
				     .agent_us = INT64_MIN,
				     .boottime_us = 7,
				     .received_us = -1,
				     .payload = host,
				     .len = 5};
	memset(row.instance, 3, sizeof(row.instance));
	assert_int_equal(record_put_row(host, &row, &b), 0);
	assert_int_equal(record_take_row(b.data, b.len, &id, &out), 0);
	assert_memory_equal(id, host, 16);
	assert_true(out.sequence == UINT64_MAX && out.agent_us == INT64_MIN && out.boottime_us == 7 &&
		    out.received_us == -1);
	assert_memory_equal(out.instance, row.instance, 16);
	assert_int_equal(out.len, 5);
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(record_take_row(b.data, i, &id, &out), -EBADMSG);
	/* A field twice, a field too many. */
	assert_int_equal(wire_put_uint(&b, 3, 1), 0);
	assert_int_equal(record_take_row(b.data, b.len, &id, &out), -EBADMSG);
	b.len -= 2;
	assert_int_equal(wire_put_uint(&b, 9, 1), 0);
	assert_int_equal(record_take_row(b.data, b.len, &id, &out), -EBADMSG);
}

static void test_chunks(void **state)
{
	static const uint8_t data[] = "columns";
	BUF_CLEANUP struct buf b = BUF_INIT(10000);
	const uint8_t *id;
	struct store_chunk out, chunk = {.tier = STORE_TIER_MINUTE,
					 .statistic = 6,
					 .compacted = true,
					 .window_us = -86400000000,
					 .first_us = -5,
					 .last_us = INT64_MAX,
					 .made_us = 9,
					 .generation = 77,
					 .len = sizeof(data)};
	assert_int_equal(record_put_chunk(host, &chunk, &b), 0);
	assert_int_equal(buf_append(&b, data, sizeof(data)), 0);
	assert_int_equal(record_take_chunk(b.data, b.len, &id, &out), 0);
	assert_memory_equal(out.data, data, sizeof(data));
	out.data = NULL;
	assert_memory_equal(&out, &chunk, sizeof(chunk));
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(record_take_chunk(b.data, i, &id, &out), -EBADMSG);
	chunk.last_us = -6;
	buf_reset(&b);
	assert_int_equal(record_put_chunk(host, &chunk, &b), 0);
	assert_int_equal(buf_append(&b, data, sizeof(data)), 0);
	assert_int_equal(record_take_chunk(b.data, b.len, &id, &out), -EBADMSG);
}

#define TEXT(t)                                                                                                        \
	{                                                                                                              \
		.type = STORE_TEXT, .data = (const uint8_t *)(t), .len = strlen(t)                                     \
	}
#define INTEGER(i)                                                                                                     \
	{                                                                                                              \
		.type = STORE_INTEGER, .integer = (i)                                                                  \
	}

static int round_trip(const struct store_record *record, struct store_record *ret)
{
	static struct buf b = BUF_INIT(100000);
	buf_reset(&b);
	assert_int_equal(record_put_values(record, &b), 0);
	return record_take_values(record->table, b.data, b.len, ret);
}

static void test_values(void **state)
{
	struct store_record out,
		user = {STORE_USERS, {INTEGER(-1), INTEGER(INT64_MAX), TEXT("b\xc3\xb6rge"), TEXT(""), INTEGER(2)}};
	assert_int_equal(round_trip(&user, &out), 0);
	assert_true(out.values[0].integer == -1 && out.values[1].integer == INT64_MAX);
	assert_memory_equal(out.values[2].data, "b\xc3\xb6rge", 6);
	assert_int_equal(out.values[3].type, STORE_TEXT);
	assert_int_equal(out.values[3].len, 0);
	/* NULL where there must be something, text that is none, too long, a number for a text. */
	user.values[4].type = STORE_NULL;
	assert_int_equal(round_trip(&user, &out), -EBADMSG);
	user.values[4] = user.values[0];
	user.values[2] = (struct store_value)TEXT("\xff");
	assert_int_equal(round_trip(&user, &out), -EBADMSG);
	char longer[STORE_USERNAME_MAX + 2];
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	user.values[2] = (struct store_value)TEXT(longer);
	assert_int_equal(round_trip(&user, &out), -EBADMSG);
	user.values[2] = (struct store_value)INTEGER(5);
	assert_int_equal(round_trip(&user, &out), -EBADMSG);
	struct store_record h = {STORE_HOSTS,
				 {{.type = STORE_BYTES, .data = host, .len = 16},
				  INTEGER(1),
				  INTEGER(0),
				  TEXT("h"),
				  INTEGER(1),
				  INTEGER(2)}};
	assert_int_equal(round_trip(&h, &out), 0);
	assert_int_equal(out.values[6].type, STORE_NULL);
	h.values[0].len = 15;
	assert_int_equal(round_trip(&h, &out), -EBADMSG);
	assert_int_equal(record_take_values((enum store_table)0, host, 0, &out), -EBADMSG);
	assert_int_equal(record_take_values(STORE_TABLES, host, 0, &out), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
