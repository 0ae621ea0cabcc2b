#include "backend/grpc/descriptor_index.h"

#include "proto/descriptors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int symbol(const struct descriptor_index *index, const char *name)
{
	return descriptor_index_symbol(index, name, strlen(name));
}

static int file(const struct descriptor_index *index, const char *name)
{
	return descriptor_index_file(index, name, strlen(name));
}

static int setup(void **state)
{
	struct descriptor_blob set = descriptors_services();
	struct descriptor_index *index;
	int r = descriptor_index_new(set.data, set.len, &index);
	*state = index;
	return r;
}

static int teardown(void **state)
{
	descriptor_index_free(*state);
	return 0;
}

static void symbols_of_every_kind_are_found(void **state)
{
	static const char *const names[] = {
		"sonde.v1.AgentMessage",     "sonde.v1.AgentMessage.hello",	   "sonde.v1.AgentMessage.message",
		"sonde.v1.Rejection.Reason", "sonde.v1.Rejection.REASON_CONFLICT", "sonde.v1.Ingest",
		"sonde.v1.Ingest.Push"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(symbol(*state, names[i]), file(*state, "sonde/v1/ingest.proto"));
		assert_true(symbol(*state, names[i]) >= 0);
	}
	assert_int_equal(symbol(*state, "sonde.v1.metric"), file(*state, "sonde/v1/metric.proto"));
}

static void what_is_not_there_is_not_found(void **state)
{
	static const char *const names[] = {
		"", ".", ".sonde.v1.Ingest", "sonde.v1", "sonde.v1.Ingest.", "sonde.v1.Inges"};
	char longest[5000];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(symbol(*state, names[i]), -ENOENT);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(descriptor_index_symbol(*state, longest, sizeof(longest)), -ENOENT);
	assert_int_equal(descriptor_index_symbol(*state, "sonde.v1.Ingest\0x", 17),
			 file(*state, "sonde/v1/ingest.proto"));
	assert_int_equal(descriptor_index_file(*state, NULL, 0), -ENOENT);
	assert_int_equal(file(*state, "sonde/v1/ingest.prot"), -ENOENT);
	assert_int_equal(descriptor_index_extension(*state, "sonde.v1.Ingest", 15, 1), -ENOENT);
	assert_false(descriptor_index_is_message(*state, "sonde.v1.Ingest", 15));
	assert_true(descriptor_index_is_message(*state, "sonde.v1.Batch", 14));
}

struct seen {
	unsigned files;
	int stop_after;
};

static int see(void *arg, const uint8_t *data, size_t len)
{
	struct seen *seen = arg;
	seen->files++;
	return (int)seen->files == seen->stop_after ? -EMSGSIZE : 0;
}

static void a_file_comes_with_its_imports_once(void **state)
{
	struct seen all = {0}, one = {0}, stopped = {.stop_after = 2};
	assert_int_equal(descriptor_index_closure(*state, file(*state, "sonde/v1/snapshot.proto"), see, &all), 0);
	assert_true(all.files >= 12 && all.files < 30);
	int timestamp = file(*state, "google/protobuf/timestamp.proto");
	assert_int_equal(descriptor_index_closure(*state, timestamp, see, &one), 0);
	assert_int_equal(one.files, 1);
	assert_int_equal(descriptor_index_closure(*state, file(*state, "sonde/v1/snapshot.proto"), see, &stopped),
			 -EMSGSIZE);
}

static void broken_sets_are_refused(void **state)
{
	struct descriptor_blob set = descriptors_services();
	struct descriptor_index *index = NULL;
	/* Truncated anywhere: refused, or shorter, never a crash. */
	for (size_t len = 0; len < set.len; len += 1 + len / 50) {
		int r = descriptor_index_new(set.data, len, &index);
		assert_true(r == 0 || r == -EPROTO);
		if (r == 0)
			descriptor_index_free(index);
	}
	/* Messages in messages in messages. */
	uint8_t deep[400];
	size_t n = 0;
	for (int i = 0; i < 60; i++)
		n += 2;
	for (size_t at = 0, left = n; at < n; at += 2, left -= 2) {
		deep[at] = at == 0 ? 0x0a : at == 2 ? 0x22 : 0x1a;
		deep[at + 1] = (uint8_t)(left - 2);
	}
	assert_int_equal(descriptor_index_new(deep, n, &index), -EPROTO);
	assert_int_equal(descriptor_index_new((const uint8_t *)"", 0, &index), 0);
	assert_int_equal(symbol(index, "x"), -ENOENT);
	descriptor_index_free(index);
	descriptor_index_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(symbols_of_every_kind_are_found),
		cmocka_unit_test(what_is_not_there_is_not_found),
		cmocka_unit_test(a_file_comes_with_its_imports_once),
		cmocka_unit_test(broken_sets_are_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
