/* Files that were torn, flipped, cut or replaced: never a wrong payload, never a crash, the other records still there.
 */
#include "spool_fixture.h"

#include "agent/delivery/queue.h"
#include "agent/delivery/spool_format.h"
#include "common/wire.h"

#include <errno.h>

#define SIZE ((size_t)SPOOL_MIN_BYTES)
#define RECORDS 6u
#define LEN(sequence) (30u + 7u * (unsigned)(sequence))

static uint64_t bytes_of(uint64_t sequence)
{
	return (sizeof(struct spool_record) + LEN(sequence) + 7) & ~7ull;
}

static uint8_t *image_of(struct fixture *f, uint64_t records)
{
	fixture_open(f, 1);
	for (uint64_t i = spool_newest(f->spool) + 1; i <= records; i++)
		fixture_push(f, 1, i, LEN(i));
	uint8_t *image = fixture_image(f, SIZE);
	spool_close(f->spool);
	f->spool = NULL;
	return image;
}

/* Opens the image: how many of the snapshots are there. */
static uint64_t open_image(struct fixture *f, const uint8_t *image, size_t size, struct spool_stats *ret)
{
	fixture_restore(f, image, size);
	fixture_open(f, 2);
	uint64_t n = fixture_walk(f, 1, false, NULL, NULL);
	*ret = spool_stats(f->spool);
	assert_int_equal(ret->snapshots, n);
	return n;
}

/* Both images of one spool: before the last push and after it. */
static void two_images(struct fixture *f, uint8_t **ret_before, uint8_t **ret_after)
{
	fixture_open(f, 1);
	for (uint64_t i = 1; i < RECORDS; i++)
		fixture_push(f, 1, i, LEN(i));
	*ret_before = fixture_image(f, SIZE);
	fixture_push(f, 1, RECORDS, LEN(RECORDS));
	*ret_after = fixture_image(f, SIZE);
	spool_close(f->spool);
	f->spool = NULL;
}

static void torn_at_every_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t *before, *after;
	struct spool_stats stats;
	two_images(f, &before, &after);
	uint64_t at = SPOOL_RING;
	for (uint64_t i = 1; i < RECORDS; i++)
		at += bytes_of(i);

	/* The order of writing: header, payload, the record's header. */
	for (size_t slot = 0; slot < 2; slot++) {
		for (size_t i = 0; i < sizeof(struct spool_header); i++) {
			size_t byte = slot * SPOOL_HEADER_SLOT + i;
			before[byte] = after[byte];
			assert_int_equal(open_image(f, before, SIZE, &stats), RECORDS - 1);
			assert_int_equal(stats.dropped, 0);
			bool whole = memcmp(before, after, SPOOL_RING) == 0;
			assert_int_equal(stats.corrupt, whole); /* it was begun */
		}
	}
	size_t payload = at + sizeof(struct spool_record);
	for (size_t i = 0; i < LEN(RECORDS); i++) {
		before[payload + i] = after[payload + i];
		assert_int_equal(open_image(f, before, SIZE, &stats), RECORDS - 1);
		assert_int_equal(stats.corrupt, 1);
	}
	for (size_t i = 0; i < sizeof(struct spool_record); i++) {
		before[at + i] = after[at + i];
		bool whole = i >= offsetof(struct spool_record, state) - 1;
		assert_int_equal(open_image(f, before, SIZE, &stats), RECORDS - !whole);
		assert_int_equal(stats.corrupt, !whole);
	}
	/* The payload torn behind a record's header that is whole, as a power failure may leave it. */
	for (size_t i = 0; i < LEN(RECORDS); i++) {
		memcpy(before, after, SIZE);
		memset(before + payload + i, 0, LEN(RECORDS) - i);
		if (memcmp(before, after, SIZE) == 0)
			continue;
		assert_int_equal(open_image(f, before, SIZE, &stats), RECORDS - 1);
		assert_int_equal(stats.corrupt, 1);
	}
	free(before);
	free(after);
}

static void every_bit_flipped(void **state)
{
	struct fixture *f = *state;
	uint8_t *image = image_of(f, RECORDS);
	size_t end = SPOOL_RING;
	for (uint64_t i = 1; i <= RECORDS; i++)
		end += bytes_of(i);
	struct spool_stats stats;
	for (size_t byte = 0; byte < end; byte++) {
		if (byte >= 2 * SPOOL_HEADER_SLOT && byte < SPOOL_RING)
			continue; /* nobody reads it */
		for (unsigned bit = 0; bit < 8; bit++) {
			image[byte] ^= (uint8_t)(1u << bit);
			uint64_t n = open_image(f, image, SIZE, &stats);
			image[byte] ^= (uint8_t)(1u << bit);
			assert_true(byte < SPOOL_RING ? n == RECORDS : n >= RECORDS - 1);
			assert_int_equal(n + stats.corrupt, RECORDS);
		}
	}
	free(image);
}

static void damage_is_counted_once(void **state)
{
	struct fixture *f = *state;
	uint8_t *image = image_of(f, RECORDS);
	struct spool_stats stats;
	image[SPOOL_RING + bytes_of(1) + 20] ^= 1;			       /* a header */
	image[SPOOL_RING + bytes_of(1) + bytes_of(2) + bytes_of(3) - 20] ^= 1; /* a payload */
	assert_int_equal(open_image(f, image, SIZE, &stats), RECORDS - 2);
	assert_int_equal(f->report.damaged, 2);
	for (uint8_t again = 3; again < 8; again++) {
		fixture_open(f, again);
		assert_int_equal(spool_stats(f->spool).corrupt, 2);
		assert_int_equal(f->report.damaged, 0);
		fixture_push(f, again, 1, 10);
	}
	for (uint64_t i = 2; i < 2000; i++)
		fixture_push(f, 7, i, 1000); /* the damaged ones leave on their turn */
	stats = spool_stats(f->spool);
	assert_int_equal(stats.corrupt, 2);
	assert_int_equal(stats.dropped + stats.snapshots, RECORDS - 2 + 5 + 1998);
	fixture_open(f, 9);
	assert_int_equal(spool_stats(f->spool).corrupt, 2);
	free(image);
}

static void cut_anywhere(void **state)
{
	struct fixture *f = *state;
	uint8_t *image = image_of(f, RECORDS);
	struct spool_stats stats;
	struct stat st;
	size_t end = SPOOL_RING;
	for (uint64_t i = 1; i <= RECORDS; i++)
		end += bytes_of(i);
	for (size_t size = 0; size <= end; size += size < SPOOL_RING ? 31 : 5) {
		uint64_t n = open_image(f, image, size, &stats);
		assert_int_equal(stat(f->path, &st), 0);
		assert_int_equal(st.st_size, SIZE);
		if (size < sizeof(struct spool_header)) {
			assert_int_equal(n + stats.corrupt, 0);
			assert_true((f->report.discarded != NULL) == (size > 0));
		} else if (size >= SPOOL_HEADER_SLOT + sizeof(struct spool_header)) {
			assert_int_equal(n + stats.corrupt, RECORDS);
			assert_null(f->report.discarded);
		}
		fixture_push(f, 2, 1, 100);
		assert_int_equal(fixture_walk(f, 2, true, NULL, NULL), 1);
	}
	free(image);
}

static void garbage_is_replaced(void **state)
{
	struct fixture *f = *state;
	uint8_t *image = malloc(2 * SIZE);
	struct spool_stats stats;
	fixture_fill(image, 2 * SIZE, 3, 3);
	for (size_t size = 1; size < 2 * SIZE; size = size * 3 + 1) {
		assert_int_equal(open_image(f, image, size, &stats), 0);
		assert_non_null(f->report.discarded);
		assert_int_equal(stats.bytes, SIZE);
		fixture_push(f, 2, 1, 100);
		fixture_open(f, 3);
		assert_null(f->report.discarded);
		assert_int_equal(fixture_walk(f, 2, false, NULL, NULL), 1);
	}
	free(image);
}

static void another_version_or_host_is_replaced(void **state)
{
	struct fixture *f = *state;
	uint8_t *image = image_of(f, RECORDS);
	struct spool_stats stats;
	struct spool_options options = fixture_options(f, 2, SIZE);
	fixture_restore(f, image, SIZE);
	options.host_id[0]++;
	assert_int_equal(spool_open(&options, &f->spool, &f->report), 0);
	assert_non_null(strstr(f->report.discarded, "host"));
	stats = spool_stats(f->spool);
	assert_int_equal(stats.snapshots + stats.dropped, 0);
	for (unsigned slot = 0; slot < 2; slot++)
		image[slot * SPOOL_HEADER_SLOT + offsetof(struct spool_header, version)]++;
	assert_int_equal(open_image(f, image, SIZE, &stats), 0);
	assert_non_null(strstr(f->report.discarded, "version"));
	assert_false(f->report.lost_known);
	free(image);
}

/* What one file left on the disk is not another one's. */
static void records_of_a_former_file_are_not_ours(void **state)
{
	struct fixture *f = *state;
	uint8_t *old = image_of(f, RECORDS);
	truncate(f->path, 0) == 0 ? (void)0 : fail();
	uint8_t *new = image_of(f, 0);
	struct spool_stats stats;
	memcpy(new + SPOOL_RING, old + SPOOL_RING, SIZE - SPOOL_RING);
	assert_int_equal(open_image(f, new, SIZE, &stats), 0);
	assert_int_equal(stats.corrupt, 0);
	free(old);
	free(new);
}

static void wrong_kinds_of_file(void **state)
{
	struct fixture *f = *state;
	struct spool_options options = fixture_options(f, 2, SIZE);
	char link_path[80];
	snprintf(link_path, sizeof(link_path), "%s.link", f->path);
	assert_int_equal(symlink(f->path, link_path), 0);
	options.path = link_path;
	assert_int_equal(spool_open(&options, &f->spool, &f->report), -ELOOP);
	unlink(link_path);
	assert_int_equal(mkfifo(link_path, 0600), 0);
	assert_int_equal(spool_open(&options, &f->spool, &f->report), -EINVAL);
	unlink(link_path);
	options.path = "/tmp";
	assert_int_equal(spool_open(&options, &f->spool, &f->report), -EISDIR);
	options.path = "/nonexistent/spool";
	assert_int_equal(spool_open(&options, &f->spool, &f->report), -ENOENT);
}

static void shortened_under_our_hands(void **state)
{
	struct fixture *f = *state;
	uint64_t sequence;
	void *data;
	size_t len;
	fixture_open(f, 1);
	fixture_push(f, 1, 1, 1000);
	assert_int_equal(truncate(f->path, 0), 0);
	assert_int_equal(spool_push(f->spool, 2, "x", 1), -EIO);
	assert_int_equal(spool_next(f->spool, NULL, 0, &sequence, &data, &len), -EIO);
	assert_int_equal(spool_remove(f->spool, NULL, 1, 1), 1);
}

static int put_hello(struct buf *hello)
{
	uint8_t bytes[32] = {1};
	int r = wire_put_bytes(hello, 1, "01234567-89ab-cdef-0123-456789abcdef", 36);
	if (r == 0)
		r = wire_put_bytes(hello, 3, bytes, 16);
	if (r == 0)
		r = wire_put_bytes(hello, 4, bytes, 16);
	return r == 0 ? wire_put_bytes(hello, 5, bytes, 32) : r;
}

static void the_queue_goes_on_in_memory(void **state)
{
	struct fixture *f = *state;
	BUF_CLEANUP struct buf hello = BUF_INIT(1000);
	assert_int_equal(put_hello(&hello), 0);
	const struct queue_options options = {
		.capacity = 4,
		.spool_path = f->path,
		.spool_bytes = SPOOL_MIN_BYTES,
		.hello = hello.data,
		.hello_len = hello.len,
	};
	struct queue *queue, *second;
	assert_int_equal(queue_open(&options, &queue), 0);
	assert_int_equal(queue_open(&options, &second), -EBUSY);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(queue_push(queue, i, "snapshot", 8), 0);
	queue_accept(queue, 1, 1);
	struct queue_stats stats = queue_stats(queue);
	assert_int_equal(stats.storage, QUEUE_IN_SPOOL);
	assert_int_equal(stats.length, 2);
	assert_int_equal(stats.spool_bytes, SPOOL_MIN_BYTES);
	assert_int_equal(truncate(f->path, 100), 0);
	/* The first access past the end finds out; the snapshot is not lost over it. */
	for (uint64_t i = 4; i <= 6; i++)
		assert_int_equal(queue_push(queue, i, "snapshot", 8), 0);
	stats = queue_stats(queue);
	assert_int_equal(stats.storage, QUEUE_WITHOUT_SPOOL);
	assert_int_equal(stats.length, 3);
	assert_int_equal(stats.dropped, 2);
	assert_int_equal(stats.spool_bytes, 0);
	assert_int_equal(queue_newest(queue), 6);
	queue_accept(queue, 4, 6);
	assert_int_equal(queue_stats(queue).accepted, 4);
	queue_free(queue);
}

static void a_spool_that_cannot_be_had_is_memory(void **state)
{
	BUF_CLEANUP struct buf hello = BUF_INIT(1000);
	assert_int_equal(put_hello(&hello), 0);
	const struct queue_options options = {
		.capacity = 4,
		.spool_path = "/nonexistent/spool",
		.spool_bytes = SPOOL_MIN_BYTES,
		.hello = hello.data,
		.hello_len = hello.len,
	};
	struct queue *queue;
	assert_int_equal(queue_open(&options, &queue), 0);
	for (uint64_t i = 1; i <= 6; i++)
		assert_int_equal(queue_push(queue, i, "snapshot", 8), 0);
	assert_int_equal(queue_stats(queue).storage, QUEUE_WITHOUT_SPOOL);
	assert_int_equal(queue_stats(queue).length, 4);
	assert_int_equal(queue_stats(queue).dropped, 2);
	queue_free(queue);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(torn_at_every_byte),
		TEST(every_bit_flipped),
		TEST(damage_is_counted_once),
		TEST(cut_anywhere),
		TEST(garbage_is_replaced),
		TEST(another_version_or_host_is_replaced),
		TEST(records_of_a_former_file_are_not_ours),
		TEST(wrong_kinds_of_file),
		TEST(shortened_under_our_hands),
		TEST(the_queue_goes_on_in_memory),
		cmocka_unit_test(a_spool_that_cannot_be_had_is_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
