/* The tree and the section over made-up hosts. */
#include "agent/cgroups/cgroups.h"
#include "agent/cgroups/places.h"
#include "agent/cgroups/tree.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000ull
#define V2 "29 25 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V1                                                                                                             \
	"31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                                            \
	"32 25 0:28 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"

struct fixture {
	struct tree host;
	struct cgroup_tree *tree;
	struct collector_context context;
	void *self;
	struct arena *arena;
	struct collector_state state;
	uint64_t now_us;
	bool watched;
	Sonde__V1__Cgroups out;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.now_us = 100 * SECOND, .arena = arena_new(16 << 20)};
	tree_make(&f.host);
	*state = &f;
	return f.arena ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->self)
		collector_cgroups.destroy(f->self);
	collector_cgroups.destroy(NULL);
	cgroup_tree_free(f->tree);
	arena_free(f->arena);
	tree_destroy(&f->host);
	return 0;
}

static void begin(struct fixture *f, const char *mountinfo)
{
	if (mountinfo)
		tree_write(&f->host, "proc/1/mountinfo", mountinfo);
	assert_int_equal(cgroup_tree_new(&f->host.root, &f->tree), 0);
	f->context = (struct collector_context){.root = &f->host.root, .cgroups = f->tree};
	assert_int_equal(collector_cgroups.create(&f->context, &f->self, &f->state), 0);
}

static int collect(struct fixture *f)
{
	struct tick tick = {.arena = f->arena, .boottime_us = f->now_us, .watched = f->watched, .state = &f->state};
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	sonde__v1__cgroups__init(&f->out);
	return collector_cgroups.collect(f->self, &tick, &f->out.base);
}

static void write_in(struct fixture *f, const char *directory, const char *file, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "sys/fs/cgroup/%s/%s", directory, file);
	tree_write(&f->host, path, text);
}

static const Sonde__V1__Cgroup *row(const struct fixture *f, const char *path)
{
	for (size_t i = 0; i < f->out.n_cgroups; i++) {
		if (strcmp(f->out.cgroups[i]->path, path) == 0)
			return f->out.cgroups[i];
	}
	return NULL;
}

static void v2_comes_and_goes(void **state)
{
	struct fixture *f = *state;
	write_in(f, ".", "cpu.stat", "usage_usec 900\n");
	write_in(f, "system.slice/a.service", "cpu.stat", "usage_usec 5\n");
	write_in(f, "system.slice/a.service", "memory.current", "70\n");
	write_in(f, "system.slice/a.service", "memory.max", "700\n");
	write_in(f, "system.slice", "cpu.stat", "usage_usec 6\n");
	write_in(f, "system.slice/a.service", "io.stat", "8:0 rbytes=1\n9:9 rbytes=2\n");
	tree_write(&f->host, "proc/diskstats", "   8       0 sda 1 0 8 0 0 0 0 0 0 0 0\n");
	begin(f, V2);
	assert_int_equal(collect(f), 0);
	assert_string_equal(f->out.layout, "v2");
	assert_int_equal(f->out.cgroup_count, 3);
	assert_int_equal(f->out.left_out, 0);
	assert_int_equal(row(f, "/")->cpu_us, 900);
	const Sonde__V1__Cgroup *a = row(f, "/system.slice/a.service");
	assert_true(a->memory_bytes == 70 && a->memory_limit_bytes == 700 && a->depth == 2);
	assert_string_equal(a->name, "a.service");
	assert_string_equal(a->manager, "systemd");
	assert_string_equal(a->io[0]->device, "sda");
	assert_string_equal(a->io[1]->device, "9:9");
	assert_false(row(f, "/system.slice")->has_memory_bytes);
	uint64_t id = a->id;

	/* Usage at every tick, limits in turns (of what works), all of it for who watches. */
	f->now_us += SECOND / 10;
	assert_int_equal(collect(f), 0);
	a = row(f, "/system.slice/a.service");
	assert_true(a->has_memory_bytes && !a->has_memory_limit_bytes);
	f->watched = true;
	assert_int_equal(collect(f), 0);
	assert_true(row(f, "/system.slice/a.service")->has_memory_limit_bytes);
	f->watched = false;
	size_t seen = 0;
	for (int i = 0; i < 10; i++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "usage_usec %d\n", 6 + i);
		write_in(f, "system.slice/a.service", "cpu.stat", text);
		f->now_us += SECOND;
		assert_int_equal(collect(f), 0);
		seen += row(f, "/system.slice/a.service")->has_memory_limit_bytes;
	}
	assert_int_equal(seen, 2);

	/* A limit that was changed is seen within half a minute, however busy the cgroup is. */
	write_in(f, "system.slice/a.service", "memory.max", "800\n");
	for (int i = 0; i < 36; i++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "usage_usec %d\n", 100 + i);
		write_in(f, "system.slice/a.service", "cpu.stat", text);
		f->now_us += SECOND;
		assert_int_equal(collect(f), 0);
		a = row(f, "/system.slice/a.service");
		assert_true(!a->has_memory_limit_bytes || a->memory_limit_bytes == 800 ||
			    (i < 35 && a->memory_limit_bytes == 700));
		seen = a->has_memory_limit_bytes ? a->memory_limit_bytes : seen;
	}
	assert_int_equal(seen, 800);

	/* One goes, one comes; what stays is the same. */
	tree_remove(&f->host, "sys/fs/cgroup/system.slice/a.service/cpu.stat");
	tree_remove(&f->host, "sys/fs/cgroup/system.slice/a.service/memory.current");
	tree_remove(&f->host, "sys/fs/cgroup/system.slice/a.service/memory.max");
	tree_remove(&f->host, "sys/fs/cgroup/system.slice/a.service/io.stat");
	tree_remove(&f->host, "sys/fs/cgroup/system.slice/a.service");
	write_in(f, "system.slice/b.service", "cpu.stat", "usage_usec 1\n");
	f->now_us += CGROUP_TREE_PERIOD_MS * 1000;
	assert_int_equal(collect(f), 0);
	assert_null(row(f, "/system.slice/a.service"));
	assert_non_null(row(f, "/system.slice/b.service"));
	assert_null(cgroup_tree_find(f->tree, id));
	assert_non_null(cgroup_tree_find_path(f->tree, "/system.slice/b.service", 23));
	assert_non_null(cgroup_tree_find_path(f->tree, "/", 1));
	assert_null(cgroup_tree_find_path(f->tree, "/system.slice/b.serv", 20));
}

/* As many ticks of a second as asked for; how many of them had the limit of a cgroup. */
static size_t ticks_with_limit(struct fixture *f, const char *path, int ticks)
{
	size_t seen = 0;
	for (int i = 0; i < ticks; i++) {
		f->now_us += SECOND;
		assert_int_equal(collect(f), 0);
		seen += row(f, path)->has_memory_limit_bytes;
	}
	return seen;
}

/* Nothing runs in it: what was read is said again, at most until its turn. */
static void idle_ones_are_said_again(void **state)
{
	struct fixture *f = *state;
	write_in(f, "a", "cpu.stat", "usage_usec 5\n");
	write_in(f, "a", "memory.current", "70\n");
	write_in(f, "a", "memory.max", "700\n");
	write_in(f, "a", "pids.current", "3\n");
	write_in(f, "a", "io.stat", "8:0 rbytes=1 wios=4\n8:16 rbytes=2\n");
	begin(f, V2);
	assert_int_equal(collect(f), 0);
	write_in(f, "a", "memory.current", "60\n");
	write_in(f, "a", "pids.current", "2\n");
	write_in(f, "a", "io.stat", "8:0 rbytes=9 wios=4\n8:16 rbytes=2\n");
	f->now_us += SECOND / 10;
	assert_int_equal(collect(f), 0);
	const Sonde__V1__Cgroup *a = row(f, "/a");
	assert_true(a->memory_bytes == 70 && a->tasks == 3 && a->n_io == 2 && !a->has_memory_limit_bytes);
	assert_true(a->io[0]->read_bytes == 1 && a->io[0]->writes == 4 && !a->io[0]->has_reads);
	assert_string_equal(a->io[1]->device, "8:16");

	/* Something ran: all of its usage is read. */
	write_in(f, "a", "cpu.stat", "usage_usec 6\n");
	f->now_us += SECOND / 10;
	assert_int_equal(collect(f), 0);
	a = row(f, "/a");
	assert_true(a->cpu_us == 6 && a->memory_bytes == 60 && a->tasks == 2 && a->io[0]->read_bytes == 9);

	/* Nothing runs any more: one turn for the details of what ran, then every 30 s; usage in each turn. */
	assert_int_equal(ticks_with_limit(f, "/a", 10), 1);
	write_in(f, "a", "pids.current", "1\n");
	assert_int_equal(ticks_with_limit(f, "/a", 5), 0);
	assert_int_equal(row(f, "/a")->tasks, 1);
	assert_int_equal(ticks_with_limit(f, "/a", 60), 2);

	/* Who watches sees what is there now, whatever was kept. */
	write_in(f, "a", "pids.current", "7\n");
	write_in(f, "a", "io.stat", "");
	f->watched = true;
	assert_int_equal(collect(f), 0);
	assert_true(row(f, "/a")->tasks == 7 && row(f, "/a")->n_io == 0);
	f->watched = false;
	assert_int_equal(collect(f), 0);
	assert_true(row(f, "/a")->tasks == 7 && row(f, "/a")->n_io == 0);
}

/* v1: throttling is counted of those with a limit, I/O of those with a rule; of the others these files are details. */
static void v1_files_that_say_nothing(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"limited", "free"};
	for (size_t i = 0; i < 2; i++) {
		char directory[64];
		(void)snprintf(directory, sizeof(directory), "memory/%s", names[i]);
		write_in(f, directory, "memory.usage_in_bytes", "5\n");
		(void)snprintf(directory, sizeof(directory), "cpuacct/%s", names[i]);
		write_in(f, directory, "cpuacct.usage", "1000\n");
		(void)snprintf(directory, sizeof(directory), "cpu/%s", names[i]);
		write_in(f, directory, "cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n");
		write_in(f, directory, "cpu.cfs_period_us", "100000\n");
		write_in(f, directory, "cpu.cfs_quota_us", i == 0 ? "50000\n" : "-1\n");
	}
	begin(f, V1 "33 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
	assert_int_equal(collect(f), 0);
	write_in(f, "cpu/limited", "cpu.stat", "nr_periods 2\nnr_throttled 0\nthrottled_time 0\n");
	write_in(f, "cpu/free", "cpu.stat", "nr_periods 2\nnr_throttled 0\nthrottled_time 0\n");
	write_in(f, "cpuacct/limited", "cpuacct.usage", "9000\n");
	write_in(f, "cpuacct/free", "cpuacct.usage", "9000\n");
	f->now_us += SECOND / 10;
	assert_int_equal(collect(f), 0);
	assert_int_equal(row(f, "/limited")->cpu_periods, 2);
	assert_true(row(f, "/free")->has_cpu_periods && row(f, "/free")->cpu_periods == 1);
	for (int i = 0; i < 5; i++) {
		f->now_us += SECOND;
		assert_int_equal(collect(f), 0);
	}
	assert_int_equal(row(f, "/free")->cpu_periods, 2);
}

static void an_unknown_id_is_looked_for_soon(void **state)
{
	struct fixture *f = *state;
	write_in(f, ".", "cpu.stat", "usage_usec 900\n");
	begin(f, V2);
	assert_int_equal(cgroup_tree_refresh(f->tree, f->now_us), 0);
	write_in(f, "new", "cpu.stat", "usage_usec 900\n");
	f->now_us += CGROUP_TREE_SOON_MS * 1000;
	assert_int_equal(cgroup_tree_refresh(f->tree, f->now_us), 0);
	assert_int_equal(cgroup_tree_count(f->tree), 1);
	assert_null(cgroup_tree_find(f->tree, 12345));
	assert_int_equal(cgroup_tree_refresh(f->tree, f->now_us), 0);
	assert_int_equal(cgroup_tree_count(f->tree), 2);
	const struct cgroup *found = cgroup_tree_find_path(f->tree, "/new", 4);
	assert_ptr_equal(cgroup_tree_find(f->tree, found->id), found);
}

static void v1_in_several_hierarchies(void **state)
{
	struct fixture *f = *state;
	write_in(f, "memory/docker/one", "memory.usage_in_bytes", "5000\n");
	write_in(f, "memory/docker", "memory.usage_in_bytes", "6000\n");
	write_in(f, "memory", "memory.usage_in_bytes", "7000\n");
	write_in(f, "cpuacct/docker/one", "cpuacct.usage", "8000\n");
	begin(f, V1);
	assert_int_equal(collect(f), 0);
	assert_string_equal(f->out.layout, "v1");
	assert_int_equal(f->out.cgroup_count, 3);
	assert_int_equal(row(f, "/docker/one")->cpu_us, 8);
	assert_int_equal(row(f, "/docker/one")->memory_bytes, 5000);
	assert_false(row(f, "/docker")->has_cpu_us);
}

static void malformed_files_are_said(void **state)
{
	struct fixture *f = *state;
	write_in(f, ".", "cpu.stat", "usage_usec 900\n");
	write_in(f, "a", "cpu.stat", "usage_usec many\n");
	write_in(f, "a", "memory.current", "5\n");
	begin(f, V2);
	assert_int_equal(collect(f), 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_non_null(strstr(f->state.detail, "cpu.stat"));
	assert_int_equal(row(f, "/a")->memory_bytes, 5);
}

static void hybrid_takes_pressure_from_v2(void **state)
{
	struct fixture *f = *state;
	write_in(f, "memory/a.slice", "memory.usage_in_bytes", "5000\n");
	write_in(f, "memory/b.slice", "memory.usage_in_bytes", "6000\n");
	write_in(f, "cpuacct/a.slice", "cpuacct.usage", "8000\n");
	write_in(f, "unified/a.slice", "cpu.stat", "usage_usec 5\n");
	write_in(f, "unified/a.slice", "memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n");
	begin(f, "29 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" V1);
	assert_int_equal(collect(f), 0);
	assert_string_equal(f->out.layout, "hybrid");
	const Sonde__V1__Cgroup *a = row(f, "/a.slice");
	assert_int_equal(a->cpu_us, 8);
	assert_int_equal(a->memory_bytes, 5000);
	assert_int_equal(a->memory_pressure->some->total_us, 77);
	assert_null(row(f, "/b.slice")->memory_pressure);
	assert_false(row(f, "/b.slice")->has_cpu_us);
}

/* A controller that is switched on while the cgroup lives. */
static void files_that_come_later(void **state)
{
	struct fixture *f = *state;
	write_in(f, "a", "cpu.stat", "usage_usec 5\n");
	begin(f, V2);
	assert_int_equal(collect(f), 0);
	write_in(f, "a", "memory.current", "5\n");
	f->now_us += SECOND;
	assert_int_equal(collect(f), 0);
	assert_false(row(f, "/a")->has_memory_bytes);
	f->now_us += CGROUP_LOOK_AGAIN_MS * 1000;
	assert_int_equal(collect(f), 0);
	assert_int_equal(row(f, "/a")->memory_bytes, 5);
}

static const char *name_of(int i)
{
	static char name[32];
	(void)snprintf(name, sizeof(name), "c%03d", i);
	return name;
}

static void too_many_are_ranked(void **state)
{
	struct fixture *f = *state;
	char text[32];
	for (int i = 0; i < CGROUPS_SHOWN_MAX + 88; i++) {
		(void)snprintf(text, sizeof(text), "%d\n", i);
		write_in(f, name_of(i), "memory.current", text);
		write_in(f, name_of(i), "cpu.stat", "usage_usec 1\n");
		write_in(f, name_of(i), "pids.current", "3\n");
	}
	begin(f, V2);
	assert_int_equal(collect(f), 0);
	/* The root has no file here and no row. */
	assert_int_equal(f->out.cgroup_count, CGROUPS_SHOWN_MAX + 88);
	assert_int_equal(f->out.n_cgroups, CGROUPS_SHOWN_MAX);
	assert_int_equal(f->out.left_out, 88);
	assert_non_null(row(f, "/c599"));
	assert_false(row(f, "/c599")->has_tasks);
	int hidden = 0;
	while (row(f, (snprintf(text, sizeof(text), "/%s", name_of(hidden)), text)))
		hidden++;

	/* What is shown is read whole from then on; what is not comes to the front in its turn. */
	write_in(f, name_of(hidden), "cpu.stat", "usage_usec 1000\n");
	bool found = false;
	for (int i = 0; i < 5; i++) {
		f->now_us += SECOND;
		assert_int_equal(collect(f), 0);
		assert_int_equal(f->out.cgroup_count, CGROUPS_SHOWN_MAX + 88);
		assert_int_equal(f->out.n_cgroups, CGROUPS_SHOWN_MAX);
		assert_int_equal(f->out.left_out, 88);
		assert_int_equal(row(f, "/c599")->tasks, 3);
		const Sonde__V1__Cgroup *front = row(f, text);
		found = found || (front && front->cpu_us == 1000);
	}
	assert_true(found);
}

static void descriptors_are_bounded(void **state)
{
	struct fixture *f = *state;
	const char *text;
	for (int i = 0; i < 4; i++) {
		write_in(f, name_of(i), "memory.current", "7\n");
		write_in(f, name_of(i), "memory.max", "9\n");
	}
	tree_write(&f->host, "proc/1/mountinfo", V2);
	assert_int_equal(cgroup_tree_new(&f->host.root, &f->tree), 0);
	assert_int_equal(cgroup_tree_refresh(f->tree, f->now_us), 0);
	struct cgroup_places *places = cgroup_places_new(&f->host.root, f->tree, 3);
	assert_non_null(places);
	for (int turn = 0; turn < 3; turn++) {
		size_t readings = 0;
		assert_int_equal(cgroup_places_begin(places, f->now_us), 0);
		for (size_t c = 0; c < cgroup_tree_count(f->tree); c++) {
			const struct cgroup *cgroup = cgroup_tree_at(f->tree, c);
			struct cgroup_place *place = cgroup_places_of(places, cgroup);
			for (size_t i = 0; i < cgroup_places_files(places); i++) {
				bool limit = strcmp(cgroup_places_file(places, i)->name, "memory.max") == 0;
				if (cgroup_places_read(places, place, cgroup, i, &text) > 0) {
					assert_int_equal(text[0], limit ? '9' : '7');
					assert_false(limit &&
						     place->fds[i] >= 0); /* no room but for what is read often */
					readings++;
				}
			}
		}
		assert_int_equal(readings, 8);
		assert_int_equal(cgroup_places_open(places), 3);
	}
	cgroup_places_free(places);
	cgroup_places_free(NULL);
}

static void odd_names(void **state)
{
	struct fixture *f = *state;
	write_in(f, "new\nline", "cpu.stat", "usage_usec 1\n");
	write_in(f, "\xff\xfe", "cpu.stat", "usage_usec 2\n");
	write_in(f, "a b", "cpu.stat", "usage_usec 3\n");
	begin(f, V2);
	assert_int_equal(collect(f), 0);
	assert_int_equal(row(f, "/new?line")->cpu_us, 1);
	assert_int_equal(row(f, "/\?\?")->cpu_us, 2);
	assert_int_equal(row(f, "/a b")->cpu_us, 3);
}

static void hosts_without(void **state)
{
	struct fixture *f = *state;
	begin(f, "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
	assert_true(collect(f) < 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "not_mounted");
	/* Mounted later. */
	tree_write(&f->host, "proc/1/mountinfo", V2);
	write_in(f, ".", "cpu.stat", "usage_usec 900\n");
	f->now_us += CGROUP_TREE_PERIOD_MS * 1000;
	assert_int_equal(collect(f), 0);
	assert_int_equal(row(f, "/")->cpu_us, 900);

	struct collector_context none = {.root = &f->host.root};
	struct collector_state why = {.reason = ""};
	void *self;
	assert_true(collector_cgroups.create(&none, &self, &why) < 0);
	assert_int_equal(why.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
}

static void hosts_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	begin(f, "rubbish\n");
	assert_int_equal(collect(f), -EPROTO);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_FAILED);
	assert_string_equal(f->state.reason, "cannot_walk");
	/* Until the next walk too, which has better luck. */
	f->now_us += SECOND / 10;
	assert_int_equal(collect(f), -EPROTO);
	assert_string_equal(f->state.reason, "cannot_walk");
	tree_write(&f->host, "proc/1/mountinfo", V2);
	write_in(f, ".", "cpu.stat", "usage_usec 900\n");
	f->now_us += CGROUP_TREE_PERIOD_MS * 1000;
	assert_int_equal(collect(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(v2_comes_and_goes),
		TEST(idle_ones_are_said_again),
		TEST(v1_files_that_say_nothing),
		TEST(an_unknown_id_is_looked_for_soon),
		TEST(v1_in_several_hierarchies),
		TEST(malformed_files_are_said),
		TEST(hybrid_takes_pressure_from_v2),
		TEST(files_that_come_later),
		TEST(too_many_are_ranked),
		TEST(descriptors_are_bounded),
		TEST(odd_names),
		TEST(hosts_without),
		TEST(hosts_that_cannot_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
