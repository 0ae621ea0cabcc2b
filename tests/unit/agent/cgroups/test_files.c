#include "agent/cgroups/files.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	struct arena *arena;
	struct cgroup_parsing parsing;
	Sonde__V1__Cgroup out;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(1 << 20)};
	f.parsing = (struct cgroup_parsing){.arena = f.arena, .user_hz = 100};
	sonde__v1__cgroup__init(&f.out);
	*state = &f;
	return f.arena ? 0 : -1;
}

static int teardown(void **state)
{
	arena_free(((struct fixture *)*state)->arena);
	return 0;
}

static const struct cgroup_file *file(const char *name, bool unified)
{
	for (size_t i = 0; i < CGROUP_FILES; i++) {
		if (strcmp(cgroup_files[i].name, name) == 0 && cgroup_files[i].unified == unified)
			return &cgroup_files[i];
	}
	fail_msg("no file %s", name);
	return NULL;
}

static int parse(struct fixture *f, const char *name, bool unified, const char *text)
{
	return file(name, unified)->parse(text, strlen(text), &f->parsing, &f->out);
}

static void v2(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Cgroup *c = &f->out;
	assert_int_equal(
		parse(f, "cpu.stat", true,
		      "usage_usec 30\nuser_usec 20\nsystem_usec 10\ncore_sched.force_idle_usec 0\nnr_periods 5\n"
		      "nr_throttled 2\nthrottled_usec 77\nnr_bursts 0\nburst_usec 0\n"),
		0);
	assert_true(c->cpu_us == 30 && c->user_us == 20 && c->system_us == 10);
	assert_true(c->cpu_periods == 5 && c->cpu_throttled_periods == 2 && c->cpu_throttled_us == 77);
	assert_int_equal(parse(f, "cpu.max", true, "50000 100000\n"), 0);
	assert_true(c->has_cpu_limit_ratio && c->cpu_limit_ratio == 0.5);
	assert_int_equal(parse(f, "memory.current", true, "4096\n"), 0);
	assert_int_equal(c->memory_bytes, 4096);
	assert_int_equal(parse(f, "memory.max", true, "max\n"), 0);
	assert_false(c->has_memory_limit_bytes);
	assert_int_equal(parse(f, "memory.max", true, "8192\n"), 0);
	assert_int_equal(c->memory_limit_bytes, 8192);
	/* The order of keys differs between kernels. */
	assert_int_equal(
		parse(f, "memory.stat", true, "pgfault 7\npgmajfault 1\nanon 100\nfile 200\nslab 5\nunknown 1\n"), 0);
	assert_true(c->page_faults == 7 && c->major_page_faults == 1 && c->anonymous_bytes == 100 &&
		    c->slab_bytes == 5);
	assert_int_equal(parse(f, "memory.events", true, "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 0\n"),
			 0);
	assert_true(c->memory_low_events == 1 && c->memory_limit_events == 3 && c->oom_kills == 5);
	assert_int_equal(parse(f, "pids.max", true, "100\n"), 0);
	assert_int_equal(c->tasks_limit, 100);
	assert_int_equal(parse(f, "io.pressure", true,
			       "some avg10=1.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
			       "total=3\n"),
			 0);
	assert_int_equal(c->io_pressure->full->total_us, 3);
}

static void io_v2(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(parse(f, "io.stat", true,
			       "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7 cost.x=a\n8:16 \n"
			       "259:1 rbytes=10 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n"),
			 0);
	assert_int_equal(f->out.n_io, 2);
	assert_string_equal(f->out.io[0]->device, "8:0");
	assert_true(f->out.io[0]->read_bytes == 1 && f->out.io[0]->discards == 6);
	assert_string_equal(f->out.io[1]->device, "259:1");
	assert_int_equal(parse(f, "io.stat", true, ""), 0);
	assert_int_equal(parse(f, "io.stat", true, "8 rbytes=1\n"), -EPROTO);
	assert_int_equal(parse(f, "io.stat", true, "8:0 rbytes=1"), -EPROTO);

	char text[4096] = "";
	for (int i = 0; i < CGROUP_IO_MAX + 5; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "9:%d rbytes=1\n", i);
	assert_int_equal(parse(f, "io.stat", true, text), 0);
	assert_int_equal(f->out.n_io, CGROUP_IO_MAX);
	assert_int_equal(f->parsing.io_left_out, 7);
}

static void v1(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Cgroup *c = &f->out;
	assert_int_equal(parse(f, "cpuacct.usage", false, "123456789\n"), 0);
	assert_int_equal(c->cpu_us, 123456);
	assert_int_equal(parse(f, "cpuacct.stat", false, "user 12\nsystem 3\n"), 0);
	assert_true(c->user_us == 120000 && c->system_us == 30000);
	assert_int_equal(parse(f, "cpu.stat", false, "nr_periods 9\nnr_throttled 8\nthrottled_time 7000\n"), 0);
	assert_int_equal(c->cpu_throttled_us, 7);
	assert_int_equal(parse(f, "cpu.cfs_period_us", false, "100000\n"), 0);
	assert_int_equal(parse(f, "cpu.cfs_quota_us", false, "-1\n"), 0);
	assert_false(c->has_cpu_limit_ratio);
	assert_int_equal(parse(f, "cpu.cfs_quota_us", false, "250000\n"), 0);
	assert_true(c->has_cpu_limit_ratio && c->cpu_limit_ratio == 2.5);
	assert_int_equal(parse(f, "cpu.cfs_period_us", false, "18446744073709551615\n"), 0);
	assert_int_equal(parse(f, "cpu.cfs_quota_us", false, "18446744073709551615\n"), 0);
	assert_true(c->cpu_limit_ratio == 1);
	assert_int_equal(parse(f, "memory.limit_in_bytes", false, "9223372036854771712\n"), 0);
	assert_false(c->has_memory_limit_bytes);
	assert_int_equal(parse(f, "memory.limit_in_bytes", false, "1048576\n"), 0);
	assert_int_equal(c->memory_limit_bytes, 1048576);
	assert_int_equal(parse(f, "memory.usage_in_bytes", false, "1000\n"), 0);
	assert_int_equal(
		parse(f, "memory.stat", false, "cache 1\nrss 2\ntotal_cache 10\ntotal_rss 20\ntotal_pgfault 30\n"), 0);
	assert_true(c->file_bytes == 10 && c->anonymous_bytes == 20 && c->page_faults == 30);
	/* Swap accounting is off: the kernel writes no line. "swap" is this cgroup's own, without those below. */
	assert_false(c->has_swap_bytes);
	assert_int_equal(parse(f, "memory.stat", false, "swap 1\ntotal_swap 4096\ntotal_swapcached 9\n"), 0);
	assert_true(c->has_swap_bytes && c->swap_bytes == 4096);
	assert_int_equal(parse(f, "memory.oom_control", false, "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"), 0);
	assert_int_equal(c->oom_kills, 4);
	assert_int_equal(parse(f, "blkio.throttle.io_service_bytes_recursive", false,
			       "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:0 Async 1\n8:0 Discard 3\n8:0 Total "
			       "12288\nTotal 12288\n"),
			 0);
	assert_int_equal(parse(f, "blkio.throttle.io_serviced_recursive", false, "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
			 0);
	assert_int_equal(c->n_io, 1);
	assert_true(c->io[0]->read_bytes == 4096 && c->io[0]->discard_bytes == 3 && c->io[0]->writes == 2);
}

/* A throttling policy without rules writes zeroes, whatever was read. */
static void io_that_is_not_counted(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(parse(f, "blkio.throttle.io_service_bytes_recursive", false,
			       "8:0 Read 0\n8:0 Write 0\n8:0 Discard 0\n8:0 Total 0\n8:16 Read 0\n8:16 Write 5\n"
			       "8:16 Total 5\n254:0 Read 0\nTotal 5\n"),
			 0);
	assert_int_equal(f->out.n_io, 1);
	assert_string_equal(f->out.io[0]->device, "8:16");
	assert_true(f->out.io[0]->has_read_bytes && f->out.io[0]->write_bytes == 5);
	assert_int_equal(parse(f, "blkio.throttle.io_serviced_recursive", false,
			       "8:0 Read 1\n8:0 Write 2\n8:16 Read 0\n8:16 Write 1\nTotal 4\n"),
			 0);
	assert_int_equal(f->out.n_io, 1);
	assert_true(f->out.io[0]->writes == 1);
}

/* What no kernel writes, to every file: refused or passed over, never taken for a number. */
static void rubbish(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {
		"-5\n",
		"12 13 14\n",
		"0x10\n",
		"18446744073709551616\n",
		"usage_usec -1\n",
		"usage_usec\n",
		"8:x Read 1\n",
		"12",
		"\xff\xfe\n",
		"anon 1.5\n",
		"user 18446744073709551616\n",
	};
	for (size_t i = 0; i < CGROUP_FILES; i++) {
		for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
			sonde__v1__cgroup__init(&f->out);
			int r = cgroup_files[i].parse(texts[t], strlen(texts[t]), &f->parsing, &f->out);
			assert_true(r == 0 || r == -EPROTO);
			if (t == 7 || (t == 3 && strstr(cgroup_files[i].name, "usage")))
				assert_int_equal(r, -EPROTO);
			assert_false(f->out.has_cpu_us && f->out.cpu_us == UINT64_MAX);
			assert_false(f->out.has_memory_bytes);
		}
	}
	/* The largest values saturate where units grow. */
	assert_int_equal(parse(f, "cpuacct.stat", false, "user 18446744073709551615\n"), 0);
	assert_true(f->out.user_us == UINT64_MAX);
	assert_int_equal(parse(f, "cpu.max", true, "1 0\n"), 0);
	assert_false(f->out.has_cpu_limit_ratio);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(v2), TEST(io_v2), TEST(v1), TEST(io_that_is_not_counted),
					   TEST(rubbish)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
