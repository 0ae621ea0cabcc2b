/* Hello of another instance, and the descriptor sets beside the spool. */
#include "agent/delivery/descriptor_sets.h"
#include "agent/delivery/origin.h"
#include "agent/delivery/spool.h"
#include "common/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST_ID "01234567-89ab-cdef-0123-456789abcdef"

static void put(struct buf *b, uint32_t number, const void *data, size_t len)
{
	assert_int_equal(wire_put_bytes(b, number, data, len), 0);
}

static struct origin origin_of(uint8_t byte)
{
	struct origin origin;
	memset(&origin, byte, sizeof(origin));
	return origin;
}

static void put_hello(struct buf *b, const struct origin *o)
{
	put(b, 1, HOST_ID, 36);
	put(b, 2, "name", 4);
	put(b, 3, o->instance, 16);
	put(b, 4, o->boot_id, 16);
	put(b, 5, o->descriptor_hash, 32);
	put(b, 6, "facts", 5);
}

static void another_instance_the_same_host(void **state)
{
	BUF_CLEANUP struct buf hello = BUF_INIT(1000), other = BUF_INIT(1000), again = BUF_INIT(1000);
	struct origin ours = origin_of(1), theirs = origin_of(2), read;
	uint8_t host_id[16];
	put_hello(&hello, &ours);
	assert_int_equal(origin_of_hello(hello.data, hello.len, &read, host_id), 0);
	assert_memory_equal(&read, &ours, sizeof(ours));
	assert_int_equal(host_id[0], 0x01);
	assert_int_equal(host_id[15], 0xef);

	assert_int_equal(origin_put_hello(hello.data, hello.len, &theirs, &other), 0);
	assert_int_equal(other.len, hello.len);
	assert_int_equal(origin_of_hello(other.data, other.len, &read, host_id), 0);
	assert_memory_equal(&read, &theirs, sizeof(theirs));
	assert_non_null(memmem(other.data, other.len, "facts", 5));
	assert_int_equal(origin_put_hello(other.data, other.len, &ours, &again), 0);
	assert_int_equal(again.len, hello.len);
}

static void what_is_no_hello_is_refused(void **state)
{
	BUF_CLEANUP struct buf hello = BUF_INIT(1000);
	struct origin ours = origin_of(1), read = origin_of(9);
	uint8_t host_id[16];
	put_hello(&hello, &ours);
	for (size_t len = 0; len < hello.len; len++) {
		int r = origin_of_hello(hello.data, len, &read, host_id);
		/* All it wants stands before the facts. */
		assert_int_equal(r, len == hello.len - 7 ? 0 : -EPROTO);
	}
	BUF_CLEANUP struct buf bad = BUF_INIT(1000), out = BUF_INIT(1000);
	put(&bad, 1, "not a uuid", 10);
	assert_int_equal(origin_of_hello(bad.data, bad.len, &read, host_id), -EPROTO);
	bad.len = 0;
	put(&bad, 3, "short", 5);
	assert_int_equal(origin_of_hello(bad.data, bad.len, &read, host_id), -EPROTO);
	assert_int_equal(origin_put_hello((const uint8_t *)"\x0a\x7f", 2, &ours, &out), -EPROTO);
	assert_int_equal(out.len, 0);
	struct buf small = BUF_INIT(hello.len - 1);
	assert_int_equal(origin_put_hello(hello.data, hello.len, &ours, &small), -EMSGSIZE);
	assert_int_equal(small.len, 0);
	buf_free(&small);
}

static void sets_live_as_long_as_snapshots(void **state)
{
	char dir[] = "/tmp/sonde-sets-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/spool", dir);
	struct origin older = origin_of(1), ours = origin_of(2), none = origin_of(3);
	struct queue *queue;
	for (unsigned start = 0; start < 2; start++) {
		BUF_CLEANUP struct buf hello = BUF_INIT(1000);
		put_hello(&hello, start == 0 ? &older : &ours);
		const struct queue_options options = {
			.capacity = 4,
			.spool_path = path,
			.spool_bytes = SPOOL_MIN_BYTES,
			.hello = hello.data,
			.hello_len = hello.len,
		};
		assert_int_equal(queue_open(&options, &queue), 0);
		if (start == 0) {
			assert_int_equal(queue_push(queue, 1, "snapshot", 8), 0);
			queue_free(queue);
		}
	}
	assert_int_equal(descriptor_sets_keep(dir, older.descriptor_hash, "older", 5), 0);
	assert_int_equal(descriptor_sets_keep(dir, ours.descriptor_hash, "our", 3), 0);
	assert_int_equal(descriptor_sets_keep(dir, ours.descriptor_hash, "ours", 4), 0); /* half of it was there */
	assert_int_equal(descriptor_sets_keep(dir, none.descriptor_hash, "none", 4), 0);
	descriptor_sets_prune(dir, ours.descriptor_hash, queue);

	BUF_CLEANUP struct buf set = BUF_INIT(100);
	assert_int_equal(descriptor_sets_read(dir, none.descriptor_hash, &set), -ENOENT);
	assert_int_equal(descriptor_sets_read(dir, older.descriptor_hash, &set), 0);
	assert_int_equal(descriptor_sets_read(dir, ours.descriptor_hash, &set), 0);
	assert_int_equal(set.len, 9);
	assert_memory_equal(set.data, "olderours", 9);
	queue_backlog_accept(queue, older.instance, 1, 1);
	descriptor_sets_prune(dir, ours.descriptor_hash, queue);
	assert_int_equal(descriptor_sets_read(dir, older.descriptor_hash, &set), -ENOENT);
	assert_int_equal(descriptor_sets_read(dir, ours.descriptor_hash, &set), 0);
	queue_free(queue);
	assert_int_equal(descriptor_sets_keep("/nonexistent", ours.descriptor_hash, "x", 1), -ENOENT);

	char command[80];
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_instance_the_same_host),
		cmocka_unit_test(what_is_no_hello_is_refused),
		cmocka_unit_test(sets_live_as_long_as_snapshots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
