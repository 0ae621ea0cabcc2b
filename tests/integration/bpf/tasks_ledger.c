/* Rows are compared with all of the reading before: the simplest way, not the source's own. */
#include "tests/integration/bpf/tasks_ledger.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct tasks_source tasks_source;

void nap(uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

struct process_table read_source(void)
{
	struct process_table table;
	struct collector_state state = {0};
	int r = process_source_bpf.read(tasks_source.self, &table, &state);
	if (r < 0)
		fail_msg("%s: %s", state.reason, state.detail);
	return table;
}

int create_source(void **state)
{
	struct collector_state why = {0};
	int r = process_source_bpf.create(&tasks_source.context, &tasks_source.self, &why);
	if (r < 0)
		fail_msg("%s: %s", why.reason, why.detail);
	return 0;
}

int destroy_source(void **state)
{
	process_source_bpf.destroy(tasks_source.self);
	return 0;
}

const struct process_row *row_of(const struct process_table *table, int pid)
{
	for (size_t i = 0; i < table->n; i++) {
		if (table->rows[i].pid == (uint32_t)pid)
			return &table->rows[i];
	}
	return NULL;
}

void burn(uint64_t ns)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	uint64_t until = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec + ns;
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	while ((uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec < until);
}

void ledger_add(struct ledger *ledger, bool first)
{
	struct process_table table = read_source();
	for (size_t i = 0; i < table.n && !first; i++) {
		const struct process_row *row = &table.rows[i];
		uint64_t delta = row->cpu_ns;
		for (size_t j = 0; j < ledger->n; j++) {
			if (ledger->rows[j].pid == row->pid && ledger->rows[j].start_ns == row->start_ns) {
				assert_true(row->cpu_ns >= ledger->rows[j].cpu_ns);
				assert_true(row->user_ns >= ledger->rows[j].user_ns);
				delta = row->cpu_ns - ledger->rows[j].cpu_ns;
			}
		}
		ledger->visible_ns += delta;
		if (strcmp(row->comm, ledger->name) == 0)
			ledger->named_ns += delta;
	}
	ledger->exited_ns = ledger->exited_named_ns = ledger->exited_named = 0;
	for (size_t i = 0; i < table.n_exited; i++) {
		const struct exited_row *row = &table.exited[i];
		assert_int_equal(row->user_ns + row->system_ns, row->cpu_ns);
		ledger->exited_ns += row->cpu_ns;
		if (strcmp(row->comm, ledger->name) == 0) {
			ledger->exited_named_ns += row->cpu_ns;
			ledger->exited_named += row->exits;
		}
	}
	if (first)
		ledger->began_exited_ns = ledger->exited_ns;
	ledger->left_out = table.exits_left_out;
	ledger->rows = reallocarray(ledger->rows, table.n, sizeof(*table.rows));
	assert_non_null(ledger->rows);
	memcpy(ledger->rows, table.rows, table.n * sizeof(*table.rows));
	ledger->n = table.n;
}

void ledger_await(struct ledger *ledger, uint64_t exits)
{
	for (int i = 0; i < 50 && ledger->exited_named < exits; i++) {
		nap(SECOND_NS / 10);
		ledger_add(ledger, false);
	}
}

int program_fd(const char *name)
{
	__u32 id = 0;
	while (bpf_prog_get_next_id(id, &id) == 0) {
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);
		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && strcmp(info.name, name) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}
