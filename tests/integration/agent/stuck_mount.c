/* Mounts that never answer: FUSE mounts whose server is this test, which reads no request. statfs on them waits until
 * the connection is cut. The collector must neither wait with it nor lose another mount's numbers, and the agent must
 * come to an end. In a mount and PID namespace of its own, so that the host's other users of its mounts do not hang
 * too. */
#include "agent/collectors/collectors.h"
#include "agent/lane.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_DEAD 2
#define TICK_NS 50000000
#define WITHIN_MS 20000
/* A tick that waits for a mount waits for ever; this much a busy machine may take for itself. */
#define LONGEST_TICK_MS 500
#define NS_PER_MS 1000000

#define CHECK(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			(void)printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

struct test {
	char dir[64];
	int fuse[N_DEAD];
	struct root root;
	struct lane *lane;
	struct arena *arena;
	void *self;
	struct collector_state state;
	Sonde__V1__Filesystems out;
	uint64_t longest_ns;
};

static void skip(const char *why, int error)
{
	(void)printf("SKIP: %s: %s\n", why, strerror(error));
	exit(77);
}

static void make_dir(const struct test *t, const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", t->dir, name);
	CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
}

static int mount_dead(const struct test *t, const char *name)
{
	char path[128], options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		skip("/dev/fuse cannot be opened", errno);
	make_dir(t, name, path);
	(void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
	if (mount("dead", path, "fuse.dead", MS_NOSUID | MS_NODEV, options) < 0)
		skip("FUSE cannot be mounted", errno);
	return fd;
}

static void mount_alive(const struct test *t, const char *name)
{
	char path[128];
	make_dir(t, name, path);
	CHECK(mount("alive", path, "tmpfs", 0, "size=64k") == 0);
}

static void tick(struct test *t)
{
	struct tick now = {.arena = t->arena, .boottime_us = clock_boottime_us(), .state = &t->state};
	sonde__v1__filesystems__init(&t->out);
	arena_reset(t->arena);
	t->state = (struct collector_state){.reason = ""};
	uint64_t begun_ns = clock_monotonic_ns();
	CHECK(collector_filesystems.collect(t->self, &now, &t->out.base) == 0);
	uint64_t took_ns = clock_monotonic_ns() - begun_ns;
	if (took_ns > t->longest_ns)
		t->longest_ns = took_ns;
	lane_check(t->lane);
	(void)nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
}

static const Sonde__V1__Filesystem *find(const struct test *t, const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	for (size_t i = 0; i < t->out.n_filesystems; i++) {
		if (strcmp(t->out.filesystems[i]->mount_point, path) == 0)
			return t->out.filesystems[i];
	}
	return NULL;
}

static bool is_fresh(const Sonde__V1__Filesystem *fs)
{
	return fs && fs->has_size_bytes && fs->has_age_ms && fs->age_ms < 1000 && !fs->stuck;
}

static bool is_stuck(const Sonde__V1__Filesystem *fs)
{
	return fs && fs->has_stuck && fs->stuck && !fs->has_size_bytes;
}

static bool all_as_expected(const struct test *t)
{
	return is_stuck(find(t, "dead0")) && is_stuck(find(t, "dead1")) && is_fresh(find(t, "alive"));
}

static void ticks_until(struct test *t, bool (*done)(const struct test *t), const char *what)
{
	uint64_t until_ns = clock_monotonic_ns() + (uint64_t)WITHIN_MS * NS_PER_MS;
	do {
		tick(t);
		if (clock_monotonic_ns() > until_ns) {
			(void)printf("after %d s not yet: %s (%s: %s)\n", WITHIN_MS / 1000, what, t->state.reason,
				     t->state.detail);
			exit(1);
		}
	} while (!done(t));
}

static bool late_is_there(const struct test *t)
{
	return is_fresh(find(t, "late"));
}

static bool dead_are_gone(const struct test *t)
{
	return !find(t, "dead0") && !find(t, "dead1") && is_fresh(find(t, "alive")) && t->state.reason[0] == '\0';
}

/* The whole agent: with a thread that sits in the kernel it still writes its snapshot and ends. */
static void run_agent(void)
{
	const char *build = getenv("SONDE_BUILD");
	char path[512];
	int status;
	CHECK(build != NULL);
	(void)snprintf(path, sizeof(path), "%s/sonde-agent", build);
	uint64_t begun_ns = clock_monotonic_ns();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(126);
		(void)alarm(30);
		/* LeakSanitizer stops every thread before it looks, and one that sits in the kernel does not stop. */
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execl(path, path, "--config", "/dev/null", "--once", "--interval", "100ms", (char *)NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	(void)printf("sonde-agent --once took %llu ms\n",
		     (unsigned long long)(clock_monotonic_ns() - begun_ns) / NS_PER_MS);
}

static void cut(struct test *t)
{
	char path[128];
	for (int i = 0; i < N_DEAD; i++) {
		CHECK(close(t->fuse[i]) == 0);
		(void)snprintf(path, sizeof(path), "%s/dead%d", t->dir, i);
		CHECK(umount2(path, MNT_DETACH) == 0);
	}
}

static void run(const char *dir)
{
	static struct test t;
	(void)snprintf(t.dir, sizeof(t.dir), "%s", dir);
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("proc", "/proc", "proc", 0, NULL) == 0);
	/* Everything lives in a memory file system that goes with the namespace. */
	CHECK(mount("stuck", t.dir, "tmpfs", 0, "size=64k") == 0);
	mount_alive(&t, "alive");
	for (int i = 0; i < N_DEAD; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "dead%d", i);
		t.fuse[i] = mount_dead(&t, name);
	}
	CHECK(root_open(&t.root, NULL) == 0 && lane_new(&t.lane) == 0 && (t.arena = arena_new(1 << 20)));
	const struct collector_context context = {.root = &t.root, .live = true, .lane = t.lane};
	CHECK(collector_filesystems.create(&context, &t.self, &t.state) == 0);

	ticks_until(&t, all_as_expected, "the dead are stuck, the rest is fresh");
	CHECK(t.state.code == SONDE__V1__STATE__CODE__CODE_DEGRADED && strcmp(t.state.reason, "mount_stuck") == 0);
	CHECK(strstr(t.state.detail, "/dead0 and 1 more"));
	CHECK(t.out.has_stuck && t.out.stuck == N_DEAD);
	CHECK(lane_stats(t.lane).stuck == N_DEAD);

	mount_alive(&t, "late");
	ticks_until(&t, late_is_there, "a mount that came later is shown");
	run_agent();

	cut(&t);
	ticks_until(&t, dead_are_gone, "the dead are gone, and nothing else with them");
	(void)printf("the longest of all ticks took %llu us\n", (unsigned long long)t.longest_ns / 1000);
	CHECK(t.longest_ns / NS_PER_MS < LONGEST_TICK_MS);
	CHECK(lane_free(t.lane));
	collector_filesystems.destroy(t.self);
	arena_free(t.arena);
	root_close(&t.root);
}

int main(void)
{
	char dir[] = "/tmp/sonde-stuck-XXXXXX";
	int status;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		skip("/dev/fuse cannot be used", errno);
	if (unshare(CLONE_NEWNS | CLONE_NEWPID) < 0)
		skip("namespaces of its own are refused", errno);
	CHECK(mkdtemp(dir) != NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(dir);
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(umount2(dir, MNT_DETACH) == 0 && rmdir(dir) == 0);
	/* Not exit(): the namespace has lost its first process, so LeakSanitizer could start no helper here. */
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
