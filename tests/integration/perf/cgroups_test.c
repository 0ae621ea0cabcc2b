/* Cgroups counted apart, on the running kernel: who touches pages is known, so is in which cgroup. */
#include "agent/perf/cgroup_events.h"
#include "agent/perf/perf.h"
#include "agent/settings.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGES 20000
#define OTHERS 8000 /* pages a process touches besides */
#define LOOKS 6	    /* readings after which a new cgroup has surely been found */

static struct root root;
static struct collector_settings settings;
static struct arena *arena;
static void *self;
static Sonde__V1__Perf section;
static char mount[256];
static char directories[2][512];

static void collect(void)
{
	struct collector_state state = {.reason = ""};
	struct tick tick = {.arena = arena, .boottime_us = clock_boottime_us(), .state = &state};
	arena_reset(arena);
	sonde__v1__perf__init(&section);
	assert_int_equal(collector_perf.collect(self, &tick, &section.base), 0);
	assert_int_equal(section.cgroups->n_cgroups, 3);
}

static uint64_t faults(size_t cgroup)
{
	const Sonde__V1__PerfCgroup *row = section.cgroups->cgroups[cgroup];
	for (size_t i = 0; i < row->n_events; i++) {
		if (strcmp(row->events[i]->event, "page-faults") == 0)
			return row->events[i]->has_count ? row->events[i]->count : 0;
	}
	fail_msg("no page faults in %s: %s", row->path, row->error ? row->error : "");
	return 0;
}

static void touch_pages_in(const char *directory)
{
	pid_t child = fork();
	int status;
	assert_true(child >= 0);
	if (child == 0) {
		char path[600];
		(void)snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		size_t page = (size_t)sysconf(_SC_PAGESIZE);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		char *p = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || madvise(p, PAGES * page, MADV_NOHUGEPAGE) < 0)
			_exit(1);
		for (size_t i = 0; i < PAGES; i++)
			p[i * page] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void each_has_its_own(void **state)
{
	collect();
	uint64_t first = faults(0), second = faults(1);
	touch_pages_in(directories[0]);
	collect();
	assert_in_range(faults(0) - first, PAGES, PAGES + OTHERS);
	assert_in_range(faults(1) - second, 0, 100);
	touch_pages_in(directories[1]);
	collect();
	assert_in_range(faults(1) - second, PAGES, PAGES + OTHERS);
	assert_true(section.cgroups->cgroups[0]->has_id);
	assert_true(section.cgroups->cgroups[0]->id != section.cgroups->cgroups[1]->id);
	assert_null(section.cgroups->cgroups[0]->error);
}

static void what_is_not_there_says_so(void **state)
{
	collect();
	const Sonde__V1__PerfCgroup *missing = section.cgroups->cgroups[2];
	assert_non_null(strstr(missing->error, "no such cgroup"));
	assert_int_equal(missing->n_events, 0);
	assert_string_equal(section.cgroups->state->reason, "cgroups_missing");
}

static void made_anew_it_is_another(void **state)
{
	collect();
	uint64_t id = section.cgroups->cgroups[0]->id;
	assert_int_equal(rmdir(directories[0]), 0);
	for (int i = 0; i < LOOKS; i++)
		collect();
	assert_non_null(section.cgroups->cgroups[0]->error);
	assert_int_equal(mkdir(directories[0], 0755), 0);
	for (int i = 0; i < LOOKS; i++)
		collect();
	assert_null(section.cgroups->cgroups[0]->error);
	assert_true(section.cgroups->cgroups[0]->id != id);
	assert_int_equal(faults(0), 0);
	touch_pages_in(directories[0]);
	collect();
	assert_in_range(faults(0), PAGES, PAGES + OTHERS);
}

/* False, with a reason printed, where cgroups cannot be made. */
static bool prepare(void)
{
	static char text[1 << 20];
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t len = file ? fread(text, 1, sizeof(text), file) : 0;
	if (file)
		(void)fclose(file);
	if (perf_cgroup_mount(text, len, mount, sizeof(mount)) < 0) {
		(void)printf("SKIP: no cgroup hierarchy with perf events is mounted\n");
		return false;
	}
	for (int i = 0; i < 2; i++) {
		char *path = settings.perf_cgroups[i];
		(void)snprintf(path, SETTINGS_PERF_CGROUP_SIZE, "/sonde-perf-test-%d-%d", (int)getpid(), i);
		(void)snprintf(directories[i], sizeof(directories[i]), "/%s%.200s", mount, path);
		if (mkdir(directories[i], 0755) < 0) {
			(void)printf("SKIP: %s: %s\n", directories[i], strerror(errno));
			return false;
		}
	}
	(void)snprintf(settings.perf_cgroups[2], SETTINGS_PERF_CGROUP_SIZE, "/sonde-perf-test-nowhere");
	settings.n_perf_cgroups = 3;
	return true;
}

int main(void)
{
	struct collector_context context = {.root = &root, .live = true, .settings = &settings};
	struct collector_state why = {.reason = ""};
	settings_default(&settings);
	if (root_open(&root, NULL) < 0 || !(arena = arena_new((size_t)16 << 20)))
		return 1;
	int r = 77;
	if (prepare()) {
		r = collector_perf.create(&context, &self, &why);
		if (r < 0)
			(void)printf("SKIP: %s\n", why.detail);
		r = r < 0 ? 77 : 0;
	}
	if (r == 0) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test(each_has_its_own),
			cmocka_unit_test(what_is_not_there_says_so),
			cmocka_unit_test(made_anew_it_is_another),
		};
		r = cmocka_run_group_tests_name("perf_cgroups", tests, NULL, NULL);
		collector_perf.destroy(self);
	}
	for (int i = 0; i < 2; i++) {
		if (directories[i][0] != '\0')
			(void)rmdir(directories[i]);
	}
	arena_free(arena);
	root_close(&root);
	return r;
}
