/* Bytes of socket calls on the running kernel, through the section `processes`, against what two children in two
 * cgroups send and receive themselves on loopback: byte for byte, because nobody else is these processes. */
#include "agent/cgroups/tree.h"
#include "agent/ebpf/programs.h"
#include "agent/extras.h"
#include "agent/processes/processes.h"
#include "agent/settings.h"
#include "common/clock.h"

#include <sonde/v1/process.pb-c.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGES 300
#define DATAGRAM 777
#define BLOCK 4096

static struct root root;
static struct cgroup_tree *tree;
static struct programs *programs;
static struct collector_context context;
static struct collector_settings settings;
static struct collector_state state;
static struct arena *arena;
static void *self;
static Sonde__V1__Processes section;

static void tick(void)
{
	struct tick now = {.arena = arena, .boottime_us = clock_boottime_us(), .watched = true, .state = &state};
	arena_reset(arena);
	state = (struct collector_state){.code = SONDE__V1__STATE__CODE__CODE_UNSPECIFIED};
	sonde__v1__processes__init(&section);
	assert_int_equal(collector_processes.collect(self, &now, &section.base), 0);
}

static const Sonde__V1__Process *process_of(pid_t pid)
{
	for (size_t i = 0; i < section.n_processes; i++) {
		if (section.processes[i]->pid == (uint32_t)pid)
			return section.processes[i];
	}
	return NULL;
}

static const Sonde__V1__CgroupNetwork *cgroup_of(uint64_t id)
{
	for (size_t i = 0; i < section.n_cgroup_network; i++) {
		if (section.cgroup_network[i]->cgroup_id == id)
			return section.cgroup_network[i];
	}
	return NULL;
}

struct group {
	char path[256];
	uint64_t id;
};

/* Where the agent's tree is: the v1 memory hierarchy, or v2. */
static struct group make_group(const char *name)
{
	struct group group;
	struct stat st;
	bool v1 = access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0;
	(void)snprintf(group.path, sizeof(group.path), "/sys/fs/cgroup%s/sonde_network_%s_%d", v1 ? "/memory" : "",
		       name, getpid());
	assert_int_equal(mkdir(group.path, 0755), 0);
	assert_int_equal(stat(group.path, &st), 0);
	group.id = st.st_ino;
	return group;
}

static bool enter(const struct group *group)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool entered = fd >= 0 && write(fd, "0", 1) == 1;
	close(fd);
	return entered;
}

/* Connected to each other over loopback. */
static void make_pair(int family, int type, int *ret_a, int *ret_b)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = {.v4 = {0}};
	socklen_t size = family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);
	if (family == AF_INET6)
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	else
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int bound = socket(family, type | SOCK_CLOEXEC, 0), other = socket(family, type | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(bound, &a.any, size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(bound, 1), 0);
	assert_int_equal(getsockname(bound, &a.any, &size), 0);
	assert_int_equal(connect(other, &a.any, size), 0);
	*ret_a = other;
	*ret_b = bound;
	if (type == SOCK_STREAM) {
		*ret_b = accept4(bound, NULL, NULL, SOCK_CLOEXEC);
		close(bound);
	}
	assert_true(*ret_b >= 0);
}

static int udp[2], tcp[2], local[2];

static bool sender(void)
{
	static char block[BLOCK];
	for (int i = 0; i < MESSAGES; i++) {
		/* What is no IP is in no count. */
		if (write(tcp[0], block, BLOCK) != BLOCK || send(udp[0], block, DATAGRAM, 0) != DATAGRAM ||
		    send(local[0], block, 1, 0) != 1)
			return false;
		usleep(200); /* datagrams find room */
	}
	return true;
}

static bool receiver(void)
{
	static char block[BLOCK];
	size_t left = (size_t)MESSAGES * BLOCK;
	for (int i = 0; i < MESSAGES; i++) {
		/* Looked at, which is not received; and an error is not, either. */
		if (recv(udp[1], block, BLOCK, MSG_PEEK) != DATAGRAM || recv(udp[1], block, BLOCK, 0) != DATAGRAM)
			return false;
	}
	while (left > 0) {
		ssize_t n = read(tcp[1], block, BLOCK);
		if (n <= 0)
			return false;
		left -= (size_t)n;
	}
	return recv(tcp[1], block, BLOCK, MSG_DONTWAIT) < 0;
}

/* Sends one block by sendfile() and takes it out of the socket by splice(). */
static bool without_copies(void)
{
	static char block[BLOCK];
	int ends[2], file = memfd_create("file", MFD_CLOEXEC);
	return file >= 0 && write(file, block, BLOCK) == BLOCK && lseek(file, 0, SEEK_SET) == 0 && pipe(ends) == 0 &&
	       sendfile(tcp[0], file, NULL, BLOCK) == BLOCK && splice(tcp[1], NULL, ends[1], NULL, BLOCK, 0) == BLOCK;
}

struct child {
	pid_t pid;
	int go, done;
};

/* Waits for a byte, works in its cgroup, says so, and lives until it is killed. */
static struct child start(const struct group *group, bool (*work)(void))
{
	int go[2], done[2];
	char byte;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(done), 0);
	struct child child = {.pid = fork(), .go = go[1], .done = done[0]};
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) != 1 || !enter(group) || !work() || write(done[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(go[0]);
	close(done[1]);
	return child;
}

static void let_go(const struct child *child)
{
	assert_int_equal(write(child->go, "", 1), 1);
}

static void wait_for(const struct child *child)
{
	char byte;
	assert_int_equal(read(child->done, &byte, 1), 1);
}

static void end(const struct child *child)
{
	assert_int_equal(kill(child->pid, SIGKILL), 0);
	assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
	close(child->go);
	close(child->done);
}

static void open_pairs(int family)
{
	make_pair(family, SOCK_STREAM, &tcp[0], &tcp[1]);
	make_pair(family, SOCK_DGRAM, &udp[0], &udp[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, local), 0);
	int large = 1 << 20;
	assert_int_equal(setsockopt(udp[1], SOL_SOCKET, SO_RCVBUF, &large, sizeof(large)), 0);
	large = 4 << 20;
	assert_int_equal(setsockopt(local[0], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large)), 0);
}

static void close_pairs(void)
{
	for (int i = 0; i < 2; i++) {
		close(tcp[i]);
		close(udp[i]);
		close(local[i]);
	}
}

static void assert_cgroup(const struct group *group, uint64_t sent, uint64_t received)
{
	const Sonde__V1__CgroupNetwork *row = cgroup_of(group->id);
	assert_non_null(row);
	assert_int_equal(row->sent_bytes, sent);
	assert_int_equal(row->received_bytes, received);
}

static void assert_process(pid_t pid, uint64_t sent, uint64_t received)
{
	const Sonde__V1__Process *row = process_of(pid);
	assert_non_null(row);
	assert_true(row->has_network_sent_bytes && row->has_network_received_bytes);
	assert_int_equal(row->network_sent_bytes, sent);
	assert_int_equal(row->network_received_bytes, received);
}

static void compare(int family)
{
	const uint64_t bytes = (uint64_t)MESSAGES * (BLOCK + DATAGRAM);
	open_pairs(family);
	struct group one = make_group("one"), two = make_group("two");
	struct child from = start(&one, sender), to = start(&two, receiver);
	tick();
	assert_process(from.pid, 0, 0);
	let_go(&to);
	let_go(&from);
	wait_for(&from);
	wait_for(&to);
	tick();
	assert_process(from.pid, bytes, 0);
	assert_process(to.pid, 0, bytes);
	assert_cgroup(&one, bytes, 0);
	assert_cgroup(&two, 0, bytes);
	end(&from);
	end(&to);
	/* They are gone, and after three tables their rows; what they moved is their cgroups' for good. */
	for (int i = 0; i < 3; i++)
		tick();
	assert_null(process_of(from.pid));
	assert_cgroup(&one, bytes, 0);
	assert_cgroup(&two, 0, bytes);
	/* More of it by another process: the counter goes on. */
	struct child more = start(&one, without_copies);
	let_go(&more);
	wait_for(&more);
	tick();
	print_message("sendfile() of %d bytes: %" PRIu64 " sent; splice() of them: %" PRIu64 " received\n", BLOCK,
		      process_of(more.pid)->network_sent_bytes, process_of(more.pid)->network_received_bytes);
	assert_process(more.pid, BLOCK, 0);
	assert_cgroup(&one, bytes + BLOCK, 0);
	assert_int_equal(section.network_without_process_bytes, 0);
	assert_int_equal(section.network_without_cgroup_bytes, 0);
	end(&more);
	close_pairs();
	assert_int_equal(rmdir(one.path), 0);
	assert_int_equal(rmdir(two.path), 0);
}

static void bytes_are_those_of_the_calls(void **unused)
{
	compare(AF_INET);
	compare(AF_INET6);
}

/* More short lives than there are rows: all are given back, and none is left out. */
static void rows_of_the_dead_are_given_back(void **unused)
{
	make_pair(AF_INET, SOCK_DGRAM, &udp[0], &udp[1]);
	struct group group = make_group("many");
	const int rounds = 6, each = 1000; /* 4,096 rows */
	tick();				   /* which loads the programs */
	for (int i = 0; i < rounds * each; i++) {
		/* Nothing is copied: of so many processes that is what takes the time, emulated or with a sanitizer. */
		pid_t pid = vfork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(!enter(&group) || send(udp[0], "x", 1, 0) != 1);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		if (i % each == each - 1)
			tick();
	}
	assert_cgroup(&group, (uint64_t)rounds * each, 0);
	assert_int_equal(section.network_without_process_bytes, 0);
	close(udp[0]);
	close(udp[1]);
	assert_int_equal(rmdir(group.path), 0);
}

/* Both programs, once each, in that state and with these words. */
static void assert_listed(enum program_state expected, const char *words)
{
	struct program_cost cost;
	unsigned n = 0;
	for (unsigned i = 0; i < programs_count(programs); i++) {
		const struct program *program = programs_at(programs, i, &cost);
		if (!program || strcmp(program->probe, "process_network") != 0)
			continue;
		assert_int_equal(program->state, expected);
		assert_non_null(strstr(program->detail, words));
		n++;
	}
	assert_int_equal(n, 2);
}

static void absent_unless_asked_for(void **unused)
{
	settings.extras = 0;
	tick();
	assert_false(process_of(getpid())->has_network_sent_bytes);
	assert_false(section.has_network_without_process_bytes);
	assert_int_equal(section.n_cgroup_network, 0);
	assert_int_equal(state.code, SONDE__V1__STATE__CODE__CODE_UNSPECIFIED);
	assert_listed(PROGRAM_OFF, "extra: process_network");
	settings.extras = (size_t)1 << EXTRA_PROCESS_NETWORK;
	tick();
	assert_true(process_of(getpid())->has_network_sent_bytes);
	assert_listed(PROGRAM_ATTACHED, "");
	collector_processes.rest(self);
	assert_listed(PROGRAM_OFF, "extra: process_network");
}

/* Before 6.3: the table is there as ever, and the state says what is missing. */
static void absent_with_a_reason(void **unused)
{
	tick();
	print_message("%s: %s\n", state.reason, state.detail);
	assert_int_equal(state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(state.reason, "no_tracepoints");
	assert_non_null(strstr(state.detail, "Linux 6.3 or later"));
	const Sonde__V1__Process *row = process_of(getpid());
	assert_non_null(row);
	assert_false(row->has_network_sent_bytes || row->has_network_received_bytes);
	assert_int_equal(section.n_cgroup_network, 0);
}

static int create_section(void **unused)
{
	settings_default(&settings);
	settings.probe_budget_ratio = 1;
	settings.extras = (size_t)1 << EXTRA_PROCESS_NETWORK;
	return collector_processes.create(&context, &self, &state);
}

static int destroy_section(void **unused)
{
	collector_processes.destroy(self);
	return 0;
}

/* By the kernel's own types: what the probe looks at is not asked. */
static bool has_tracepoint(void)
{
	static const char name[] = "btf_trace_sock_send_length";
	FILE *file = fopen("/sys/kernel/btf/vmlinux", "re");
	assert_non_null(file);
	size_t matched = 0;
	for (int c = getc(file); c != EOF && matched < sizeof(name); c = getc(file))
		matched = c == name[matched] ? matched + 1 : c == name[0];
	(void)fclose(file);
	return matched == sizeof(name);
}

int main(void)
{
	const struct CMUnitTest with[] = {
		cmocka_unit_test_setup_teardown(bytes_are_those_of_the_calls, create_section, destroy_section),
		cmocka_unit_test_setup_teardown(rows_of_the_dead_are_given_back, create_section, destroy_section),
		cmocka_unit_test_setup_teardown(absent_unless_asked_for, create_section, destroy_section),
	};
	const struct CMUnitTest without[] = {
		cmocka_unit_test_setup_teardown(absent_with_a_reason, create_section, destroy_section),
	};
	if (geteuid() != 0 || access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
		(void)printf("SKIP: needs root and the kernel's BTF\n");
		return 77;
	}
	assert_int_equal(root_open(&root, NULL), 0);
	assert_int_equal(cgroup_tree_new(&root, &tree), 0);
	assert_int_equal(programs_new(&programs), 0);
	arena = arena_new((size_t)64 << 20);
	context = (struct collector_context){
		.root = &root, .live = true, .settings = &settings, .cgroups = tree, .programs = programs};
	int failed = has_tracepoint() ? cmocka_run_group_tests(with, NULL, NULL)
				      : cmocka_run_group_tests(without, NULL, NULL);
	arena_free(arena);
	cgroup_tree_free(tree);
	programs_free(programs);
	root_close(&root);
	return failed;
}
