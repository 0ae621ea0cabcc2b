/* Who asked for block I/O, by the two collectors that a tick runs one after the other: a process that reads and writes
 * directly, one that only dirties pages, and one that writes those back for it. */
#include "agent/ebpf/block_io.h"
#include "agent/ebpf/block_io_top.h"
#include "agent/processes/processes.h"
#include "common/clock.h"
#include "tests/integration/bpf/block_io_view.h"

#include <sonde/v1/process.pb-c.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((size_t)4 << 20)

static struct block_io_top top;
static void *processes;

/* As the scheduler does it. */
static void tick(void)
{
	struct arena *arena = arena_new((size_t)64 << 20);
	struct collector_state state = {0};
	Sonde__V1__Processes section = SONDE__V1__PROCESSES__INIT;
	struct tick now = {.arena = arena, .boottime_us = clock_boottime_us(), .state = &state};
	assert_int_equal(collector_processes.collect(processes, &now, &section.base), 0);
	arena_reset(view_probe.arena);
	sonde__v1__block_io__init(&view_probe.section);
	now.arena = view_probe.arena;
	now.state = &view_probe.state;
	assert_int_equal(collector_block_io.collect(view_probe.self, &now, &view_probe.section.base), 0);
	arena_free(arena);
}

static const Sonde__V1__BlockIoProcess *row_of(pid_t pid)
{
	for (size_t i = 0; i < view_probe.section.n_processes; i++) {
		if (view_probe.section.processes[i]->pid == (uint32_t)pid)
			return view_probe.section.processes[i];
	}
	return NULL;
}

enum work { DIRECT, DIRTY, WRITE_BACK };

/* Does its work, says so, and lives until it is killed. */
static pid_t start(const struct loop_device *loop, enum work work)
{
	int done[2];
	char byte;
	assert_int_equal(pipe(done), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		void *buffer = aligned_alloc(4096, BYTES);
		bool failed = !buffer;
		if (!failed)
			memset(buffer, 7, BYTES);
		if (!failed && work == DIRECT)
			failed = pread(loop->direct_fd, buffer, BYTES, 0) != (ssize_t)BYTES ||
				 pwrite(loop->direct_fd, buffer, BYTES / 2, 0) != (ssize_t)BYTES / 2;
		if (!failed && work == DIRTY)
			failed = pwrite(loop->fd, buffer, BYTES, 0) != (ssize_t)BYTES;
		if (!failed && work == WRITE_BACK)
			failed = fsync(loop->fd) < 0;
		if (failed || write(done[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(done[1]);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	return child;
}

static void end(pid_t child)
{
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void bytes_are_whose_who_asked_for_them(void **state)
{
	struct loop_device loop;
	assert_int_equal(loop_device_open(&loop, "/dev/shm", 2 * BYTES, LOOP_DEVICE_FREE), 0);
	view_probe.context.block_io_top = &top;
	assert_int_equal(collector_processes.create(&view_probe.context, &processes, &view_probe.state), 0);
	void *block_io;
	assert_int_equal(collector_block_io.create(&view_probe.context, &block_io, &view_probe.state), 0);
	collector_block_io.destroy(view_probe.self);
	view_probe.self = block_io;
	tick();
	tick();
	pid_t direct = start(&loop, DIRECT), dirty = start(&loop, DIRTY), back = start(&loop, WRITE_BACK);
	tick();
	const Sonde__V1__BlockIoProcess *row = row_of(direct);
	assert_non_null(row);
	assert_int_equal(row->read_bytes, BYTES);
	assert_int_equal(row->write_bytes, BYTES / 2);
	row = row_of(dirty);
	assert_non_null(row);
	assert_int_equal(row->write_bytes, BYTES);
	assert_int_equal(row->read_bytes, 0);
	assert_null(row_of(back)); /* it wrote all of it, for somebody else */
	tick();
	assert_null(row_of(dirty)); /* nothing since */
	end(direct);
	end(dirty);
	end(back);
	collector_processes.destroy(processes);
	loop_device_close(&loop);
}

int main(void)
{
	const struct CMUnitTest test = cmocka_unit_test(bytes_are_whose_who_asked_for_them);
	return view_main(&test, 1, NULL);
}
