/* What a spool does as long as nobody harms it. */
#include "spool_fixture.h"

#include "agent/delivery/crc32c.h"
#include "agent/delivery/spool_format.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define RING (SPOOL_MIN_BYTES - SPOOL_RING)

static void crc_is_castagnolis(void **state)
{
	struct crc32c crc;
	uint8_t zeroes[32] = {0};
	crc32c_init(&crc);
	assert_int_equal(crc32c_of(&crc, 0, "123456789", 9), 0xe3069283); /* RFC 3720, B.4 */
	assert_int_equal(crc32c_of(&crc, 0, zeroes, sizeof(zeroes)), 0x8a9136aa);
	assert_int_equal(crc32c_of(&crc, crc32c_of(&crc, 0, "12345", 5), "6789", 4), 0xe3069283);
}

/* A spool may be read by another processor than wrote it. */
static void crc_is_the_same_by_tables(void **state)
{
	struct crc32c crc, tables;
	uint8_t bytes[300];
	crc32c_init(&crc);
	crc32c_init_tables(&tables);
	assert_int_equal(crc32c_of(&tables, 0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 151 + i / 7);
	for (size_t at = 0; at < 9; at++) {
		for (size_t len = 0; at + len <= sizeof(bytes); len += 1 + len / 20)
			assert_int_equal(crc32c_of(&crc, (uint32_t)len, bytes + at, len),
					 crc32c_of(&tables, (uint32_t)len, bytes + at, len));
	}
}

static void keeps_over_a_restart(void **state)
{
	struct fixture *f = *state;
	fixture_open(f, 1);
	for (uint64_t i = 1; i <= 20; i++)
		fixture_push(f, 1, i, (size_t)i * 37 % 500);
	assert_int_equal(spool_newest(f->spool), 20);
	assert_int_equal(spool_remove(f->spool, NULL, 5, 9), 5);
	assert_int_equal(spool_remove(f->spool, NULL, 5, 9), 0);
	assert_int_equal(fixture_walk(f, 1, true, NULL, NULL), 15);

	fixture_open(f, 2);
	struct spool_stats stats = spool_stats(f->spool);
	assert_int_equal(stats.snapshots, 15);
	assert_int_equal(stats.own, 0);
	assert_int_equal(stats.dropped + stats.corrupt, 0);
	assert_null(f->report.discarded);
	assert_int_equal(spool_newest(f->spool), 0);
	assert_int_equal(fixture_walk(f, 1, false, NULL, NULL), 15);
	assert_int_equal(fixture_walk(f, 2, true, NULL, NULL), 0);
}

static void oldest_instance_first(void **state)
{
	struct fixture *f = *state;
	struct origin origin;
	uint8_t id[16], hash[32];
	for (uint8_t instance = 10; instance <= 30; instance += 10) {
		fixture_open(f, instance);
		for (uint64_t i = 1; i <= 3; i++)
			fixture_push(f, instance, i, 100);
	}
	for (uint8_t instance = 10; instance <= 20; instance += 10) {
		memset(id, instance, sizeof(id));
		memset(hash, instance / 10, sizeof(hash));
		assert_true(spool_backlog(f->spool, &origin));
		assert_memory_equal(origin.instance, id, sizeof(id));
		assert_memory_equal(origin.descriptor_hash, hash, sizeof(hash));
		assert_true(spool_has_set(f->spool, hash));
		assert_int_equal(spool_remove(f->spool, id, 2, 2), 1);
		assert_int_equal(fixture_walk(f, instance, false, NULL, NULL), 2);
		assert_int_equal(spool_remove(f->spool, id, 0, UINT64_MAX), 2);
		assert_false(spool_has_set(f->spool, hash));
	}
	assert_false(spool_backlog(f->spool, &origin)); /* ours is none */
	assert_int_equal(spool_stats(f->spool).own, 3);
	fixture_open(f, 40);
	assert_true(spool_backlog(f->spool, &origin)); /* and what was removed stays away */
	assert_int_equal(origin.instance[0], 30);
	assert_int_equal(spool_stats(f->spool).snapshots, 3);
}

static void counts_what_it_drops(void **state)
{
	struct fixture *f = *state;
	uint64_t first, last;
	fixture_open(f, 1);
	for (uint64_t i = 1; i <= 1000; i++) {
		fixture_push(f, 1, i, 3000);
		struct spool_stats stats = spool_stats(f->spool);
		assert_int_equal(stats.dropped + stats.snapshots, i);
		assert_true(stats.used <= RING);
	}
	uint64_t n = fixture_walk(f, 1, true, &first, &last);
	assert_in_range(n, RING / 3112 - 1, RING / 3112);
	assert_int_equal(last, 1000);
	assert_int_equal(first, 1000 - n + 1);
	fixture_open(f, 2);
	struct spool_stats stats = spool_stats(f->spool);
	assert_int_equal(stats.dropped + stats.snapshots, 1000);
	assert_int_equal(stats.corrupt, 0);
	for (uint64_t i = 1; i <= 200; i++)
		fixture_push(f, 2, i, 3000);
	stats = spool_stats(f->spool);
	assert_int_equal(stats.dropped + stats.snapshots, 1200);
	assert_int_equal(stats.snapshots, stats.own);
}

static void what_is_too_large_is_counted(void **state)
{
	struct fixture *f = *state;
	uint8_t *large = calloc(1, SPOOL_MIN_BYTES);
	fixture_open(f, 1);
	fixture_push(f, 1, 1, 100);
	assert_int_equal(spool_push(f->spool, 2, large, SPOOL_MIN_BYTES), -EMSGSIZE);
	assert_int_equal(spool_push(f->spool, 2, large, RING - 111), -EMSGSIZE);
	assert_int_equal(spool_stats(f->spool).dropped, 2);
	assert_int_equal(fixture_walk(f, 1, true, NULL, NULL), 1);
	fixture_push(f, 1, 3, RING - 112); /* the whole ring */
	assert_int_equal(spool_stats(f->spool).dropped, 3);
	assert_int_equal(fixture_walk(f, 1, true, NULL, NULL), 1);
	fixture_open(f, 2);
	assert_int_equal(fixture_walk(f, 1, false, NULL, NULL), 1);
	assert_int_equal(spool_stats(f->spool).dropped, 3);
	free(large);
}

/* Many small ones: the number of entries is bounded as well. */
static void bounded_by_number_too(void **state)
{
	struct fixture *f = *state;
	fixture_open(f, 1);
	for (uint64_t i = 1; i <= 3000; i++)
		fixture_push(f, 1, i, 1);
	struct spool_stats stats = spool_stats(f->spool);
	assert_int_equal(stats.snapshots, RING / 1024 + 64);
	assert_int_equal(stats.dropped + stats.snapshots, 3000);
	fixture_open(f, 2);
	stats = spool_stats(f->spool);
	assert_int_equal(stats.dropped + stats.snapshots + stats.corrupt, 3000);
	assert_int_equal(stats.corrupt, 0);
}

/* Against a list of what must be there: every alignment, removals anywhere, restarts at any moment. */
static void agrees_with_a_list(void **state)
{
	struct fixture *f = *state;
	static bool there[40000];
	uint64_t pushed = 0, removed = 0, sequence = 0, random = 42;
	uint8_t instance = 1;
	fixture_open(f, instance);
	for (unsigned step = 0; step < 20000; step++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		unsigned what = random >> 33 & 63;
		uint64_t pick = random >> 40;
		if (what == 0 && step % 3 == 0) { /* what waits of an instance that is gone does not count further */
			struct spool_stats before = spool_stats(f->spool);
			fixture_open(f, instance);
			struct spool_stats after = spool_stats(f->spool);
			assert_int_equal(after.snapshots, before.snapshots);
			assert_int_equal(after.used, before.used);
			assert_int_equal(after.dropped, before.dropped);
			assert_int_equal(after.corrupt, 0);
			uint8_t id[16];
			memset(id, instance, sizeof(id));
			removed += spool_remove(f->spool, id, 0, UINT64_MAX);
			memset(there, 0, sizeof(there));
			sequence = 0;
			instance = (uint8_t)(instance % 200 + 1);
			fixture_open(f, instance);
		} else if (what < 8 && sequence > 0) {
			uint64_t first = pick % sequence + 1, last = first + what * 3;
			uint64_t want = 0, oldest;
			if (fixture_walk(f, instance, true, &oldest, NULL) == 0)
				continue;
			for (uint64_t i = first; i <= last && i <= sequence; i++) {
				want += there[i] && i >= oldest;
				there[i] = false;
			}
			assert_int_equal(spool_remove(f->spool, NULL, first, last), want);
			removed += want;
		} else {
			there[++sequence] = true;
			fixture_push(f, instance, sequence, pick % 3000);
			pushed++;
		}
		struct spool_stats stats = spool_stats(f->spool);
		assert_int_equal(stats.dropped + stats.snapshots + removed, pushed);
	}
}

static void one_process_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct spool *second;
	struct spool_report report;
	struct spool_options options = fixture_options(f, 2, SPOOL_MIN_BYTES);
	fixture_open(f, 1);
	assert_int_equal(spool_open(&options, &second, &report), -EBUSY);
	fixture_push(f, 1, 1, 10);
	assert_int_equal(fixture_walk(f, 1, true, NULL, NULL), 1);
}

static void another_size_waits_until_it_is_empty(void **state)
{
	struct fixture *f = *state;
	struct spool_options options = fixture_options(f, 2, 2 * SPOOL_MIN_BYTES);
	uint8_t id[16];
	memset(id, 1, sizeof(id));
	fixture_open(f, 1);
	for (uint64_t i = 1; i <= 100; i++)
		fixture_push(f, 1, i, 3000);
	uint64_t dropped = spool_stats(f->spool).dropped;
	assert_true(dropped > 0);
	for (unsigned i = 0; i < 2; i++) {
		spool_close(f->spool);
		f->spool = NULL;
		assert_int_equal(spool_open(&options, &f->spool, &f->report), 0);
		struct spool_stats stats = spool_stats(f->spool);
		assert_int_equal(stats.bytes, (i + 1) * SPOOL_MIN_BYTES);
		assert_int_equal(stats.dropped, dropped);
		assert_null(f->report.discarded);
		assert_int_equal(spool_remove(f->spool, id, 0, UINT64_MAX), i == 0 ? 100 - dropped : 0);
	}
}

static void a_full_disk_makes_it_smaller(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small = {.rlim_cur = 3 * SPOOL_MIN_BYTES};
	struct spool_options options = fixture_options(f, 1, 8 * SPOOL_MIN_BYTES);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int r = spool_open(&options, &f->spool, &f->report);
	spool_close(f->spool);
	f->spool = NULL;
	small.rlim_cur = SPOOL_MIN_BYTES / 2;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	struct stat st;
	assert_int_equal(truncate(f->path, 0), 0);
	int none = spool_open(&options, &f->spool, &f->report);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, 0);
	assert_int_equal(none, -ENOSPC);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, 0);
}

static void has_no_holes(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	fixture_open(f, 1);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, SPOOL_MIN_BYTES);
	assert_true((uint64_t)st.st_blocks * 512 >= SPOOL_MIN_BYTES);
	assert_int_equal(st.st_mode & 077, 0);
	fixture_push(f, 1, 1, 50);
	spool_close(f->spool);
	f->spool = NULL;
	/* A copy made by a program that skips zeroes. */
	int fd = open(f->path, O_RDWR);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 100000), 0);
	close(fd);
	fixture_open(f, 2);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 >= SPOOL_MIN_BYTES);
	assert_int_equal(fixture_walk(f, 1, false, NULL, NULL), 1);
}

/* The child says what it has pushed, after it has; what it was at is there or counted. */
static void killed_at_any_moment(void **state)
{
	struct fixture *f = *state;
	uint64_t pushed = 0;
	for (uint8_t instance = 1; instance <= 60; instance++) {
		int ends[2];
		uint64_t done = 0, sequence;
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(ends[0]);
			fixture_open(f, instance);
			for (sequence = 1;; sequence++) {
				fixture_push(f, instance, sequence, 2000 + sequence % 100);
				if (write(ends[1], &sequence, sizeof(sequence)) < 0)
					_exit(1);
			}
		}
		close(ends[1]);
		while (done < 20u * instance && read(ends[0], &sequence, sizeof(sequence)) == sizeof(sequence))
			done = sequence;
		usleep(instance * 13);
		kill(pid, SIGKILL);
		while (read(ends[0], &sequence, sizeof(sequence)) == sizeof(sequence))
			done = sequence;
		close(ends[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);

		fixture_open(f, 255);
		uint64_t last = 0, n = fixture_walk(f, instance, false, NULL, &last);
		struct spool_stats stats = spool_stats(f->spool);
		assert_true(n > 0);
		assert_in_range(last, done, done + 1);
		pushed += last;
		/* One that was begun and not finished is in `corrupt`. */
		assert_int_equal(stats.snapshots + stats.dropped, pushed);
		assert_in_range(stats.corrupt, 0, instance);
		spool_close(f->spool);
		f->spool = NULL;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_is_castagnolis), cmocka_unit_test(crc_is_the_same_by_tables),
		TEST(keeps_over_a_restart),	      TEST(oldest_instance_first),
		TEST(counts_what_it_drops),	      TEST(what_is_too_large_is_counted),
		TEST(bounded_by_number_too),	      TEST(agrees_with_a_list),
		TEST(one_process_at_a_time),	      TEST(another_size_waits_until_it_is_empty),
		TEST(a_full_disk_makes_it_smaller),   TEST(has_no_holes),
		TEST(killed_at_any_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
