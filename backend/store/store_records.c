#include "backend/store/store_records.h"

#include "common/wire.h"

#define BYTES_MAX (1u << 30)
#define INTEGER                                                                                                        \
	{                                                                                                              \
		STORE_INTEGER, .max = 0                                                                                \
	}
#define TEXT(most)                                                                                                     \
	{                                                                                                              \
		STORE_TEXT, .max = (most)                                                                              \
	}
#define BYTES(exactly)                                                                                                 \
	{                                                                                                              \
		STORE_BYTES, .min = (exactly), .max = (exactly)                                                        \
	}
#define ANY_BYTES                                                                                                      \
	{                                                                                                              \
		STORE_BYTES, .max = BYTES_MAX                                                                          \
	}

static const struct {
	size_t n;
	struct store_column columns[STORE_VALUES_MAX];
} tables[STORE_TABLES] = {
	[STORE_TENANTS] = {2, {INTEGER, TEXT(1024)}},
	[STORE_USERS] = {5, {INTEGER, INTEGER, TEXT(STORE_USERNAME_MAX), TEXT(STORE_HASH_MAX), INTEGER}},
	[STORE_KEYS] = {5, {INTEGER, INTEGER, TEXT(63), BYTES(32), INTEGER}},
	[STORE_SETTINGS] = {2, {TEXT(1024), ANY_BYTES}},
	[STORE_DESCRIPTORS] = {2, {BYTES(32), ANY_BYTES}},
	[STORE_HOSTS] = {7,
			 {BYTES(16),
			  INTEGER,
			  INTEGER,
			  TEXT(STORE_HOSTNAME_MAX),
			  INTEGER,
			  INTEGER,
			  {STORE_BYTES, .may_be_null = true, .max = BYTES_MAX}}},
	[STORE_SEALING] = {6,
			   {BYTES(16),
			    INTEGER,
			    {STORE_INTEGER, .may_be_null = true},
			    {STORE_INTEGER, .may_be_null = true},
			    {STORE_BYTES, .may_be_null = true, .min = 32, .max = 32},
			    {STORE_BYTES, .may_be_null = true, .max = BYTES_MAX}}},
	[STORE_STREAMS] = {4, {BYTES(16), BYTES(16), INTEGER, INTEGER}},
};

const struct store_column *store_columns(unsigned table, size_t *ret_n)
{
	bool is_table = table > 0 && table < STORE_TABLES;
	*ret_n = is_table ? tables[table].n : 0;
	return is_table ? tables[table].columns : NULL;
}

static bool value_fits(const struct store_value *value, const struct store_column *column)
{
	if (value->type == STORE_NULL)
		return column->may_be_null;
	if (value->type != column->type)
		return false;
	if (value->type == STORE_INTEGER)
		return true;
	return value->len >= column->min && value->len <= column->max &&
	       (value->type != STORE_TEXT || wire_utf8(value->data, value->len));
}

bool store_record_fits(const struct store_record *record)
{
	size_t n;
	const struct store_column *columns = store_columns(record->table, &n);
	for (size_t i = 0; i < n; i++) {
		if (!value_fits(&record->values[i], &columns[i]))
			return false;
	}
	return n > 0;
}
