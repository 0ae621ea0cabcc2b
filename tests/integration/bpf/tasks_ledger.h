/* What the tests of the task iterator share: the source under test, and what a reader makes of its readings. Failures
 * are cmocka's. */
#pragma once

#include "agent/processes/source.h"

#define SECOND_NS 1000000000ull

struct tasks_source {
	struct collector_context context; /* to be set before the first test */
	void *self;
};

extern struct tasks_source tasks_source;

int create_source(void **state);
int destroy_source(void **state);
struct process_table read_source(void);
const struct process_row *row_of(const struct process_table *table, int pid);

void nap(uint64_t ns);
/* Uses that much CPU in this thread. */
void burn(uint64_t ns);

/* Of a program that is loaded: the caller's; -1 where there is none of the name. */
int program_fd(const char *name);

/* What a reader makes of two readings: all of a new process, else the difference. */
struct ledger {
	struct process_row *rows;
	size_t n;
	uint64_t visible_ns, named_ns;
	uint64_t exited_ns, exited_named_ns, exited_named;
	uint64_t began_exited_ns;
	uint64_t left_out;
	const char *name;
};

/* One reading; the first is what differences begin from. */
void ledger_add(struct ledger *ledger, bool first);
/* Tasks are freed after a grace period, which a busy machine draws out: reads until so many of the name have exited. */
void ledger_await(struct ledger *ledger, uint64_t exits);
