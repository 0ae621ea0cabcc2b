#include "agent/processes/history.h"

#include <errno.h>
#include <stdlib.h>

int history_init(struct history *history)
{
	struct process_past *past = calloc(PROCESS_TABLE_MAX, sizeof(*past));
	struct process_past *next = calloc(PROCESS_TABLE_MAX, sizeof(*next));
	if (!past || !next) {
		free(past);
		free(next);
		return -ENOMEM;
	}
	*history = (struct history){.past = past, .next = next};
	return 0;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	free(history->past);
	free(history->next);
	*history = (struct history){.n = 0};
}

static struct process_delta subtract(const struct process_past *now, const struct process_past *then)
{
	return (struct process_delta){
		.cpu_ns = process_since(now->cpu_ns, then->cpu_ns),
		.io_bytes = process_since(now->io_bytes, then->io_bytes),
		.run_delay_ns = process_since(now->run_delay_ns, then->run_delay_ns),
		.io_delay_ns = process_since(now->io_delay_ns, then->io_delay_ns),
	};
}

size_t history_update(struct history *history, const struct process_table *table, struct process_change *changes)
{
	static const struct process_past nothing = {.pid = 0};
	size_t old = 0, n = 0;
	for (size_t i = 0; i < table->n; i++) {
		const struct process_row *row = &table->rows[i];
		struct process_past *now = &history->next[i];
		*now = (struct process_past){
			.pid = row->pid,
			.start_ns = row->start_ns,
			.cpu_ns = row->cpu_ns,
			.io_bytes = row->read_bytes + row->write_bytes,
			.run_delay_ns = row->run_delay_ns,
			.io_delay_ns = row->io_delay_ns,
		};
		while (old < history->n && history->past[old].pid < row->pid)
			old++;
		const struct process_past *then = old < history->n ? &history->past[old] : &nothing;
		if (then->pid != row->pid || then->start_ns != row->start_ns)
			then = history->begun ? &nothing : now;
		changes[n] = (struct process_change){.row = i, .delta = subtract(now, then)};
		n += process_delta_is_any(&changes[n].delta);
	}
	struct process_past *swap = history->past;
	history->past = history->next;
	history->next = swap;
	history->n = table->n;
	history->begun = true;
	return n;
}
