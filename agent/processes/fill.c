#include "agent/processes/fill.h"

#include "agent/collector.h"
#include "agent/collectors/scale.h"
#include "agent/label.h"

#include <errno.h>
#include <string.h>

#define NS_PER_US 1000

static Sonde__V1__ProcessState state_of(char state)
{
	switch (state) {
	case 'R':
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_RUNNING;
	case 'S':
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_SLEEPING;
	case 'D':
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_UNINTERRUPTIBLE;
	case 'T':
	case 't':
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_STOPPED;
	case 'Z':
	case 'X':
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_ZOMBIE;
	case 'I':
	case 'P':
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_IDLE;
	default:
		return SONDE__V1__PROCESS_STATE__PROCESS_STATE_UNSPECIFIED;
	}
}

/* The kernel keeps one precise time and two that are counted by ticks: those only say in what ratio to split it. */
static void fill_times(const struct process_row *row, Sonde__V1__Process *out)
{
	uint64_t user_ns = row->user_ns, system_ns = row->system_ns;
	if (row->has & PROCESS_HAS_RAW_TIMES) {
		unsigned __int128 raw = (unsigned __int128)user_ns + system_ns;
		uint64_t whole = raw > UINT64_MAX ? UINT64_MAX : (uint64_t)raw;
		user_ns = whole > 0 ? scale_ratio(row->cpu_ns, user_ns, whole) : row->cpu_ns;
		system_ns = row->cpu_ns > user_ns ? row->cpu_ns - user_ns : 0;
	}
	SET(out, cpu_us, row->cpu_ns / NS_PER_US);
	SET(out, user_us, user_ns / NS_PER_US);
	SET(out, system_us, system_ns / NS_PER_US);
}

static void fill_optional(const struct process_row *row, Sonde__V1__Process *out)
{
	if (row->has & PROCESS_HAS_RSS)
		SET(out, resident_bytes, row->resident_bytes);
	if (row->has & PROCESS_HAS_IO) {
		SET(out, read_bytes, row->read_bytes);
		SET(out, write_bytes, row->write_bytes);
		SET(out, cancelled_write_bytes, row->cancelled_write_bytes);
	}
	if (row->has & PROCESS_HAS_SWITCHES) {
		SET(out, voluntary_switches, row->voluntary_switches);
		SET(out, involuntary_switches, row->involuntary_switches);
	}
	if (row->has & PROCESS_HAS_RUN_DELAY)
		SET(out, run_delay_us, row->run_delay_ns / NS_PER_US);
	if (row->has & PROCESS_HAS_IO_DELAY)
		SET(out, io_delay_us, row->io_delay_ns / NS_PER_US);
	if (row->has & PROCESS_HAS_FILES)
		SET(out, open_files, row->open_files);
}

int fill_process(struct arena *arena, const struct process_row *row, Sonde__V1__Process *out)
{
	out->comm = label_copy(arena, row->comm, strnlen(row->comm, sizeof(row->comm)));
	if (!out->comm)
		return -ENOMEM;
	SET(out, pid, row->pid);
	SET(out, start_time_us, row->start_ns / NS_PER_US);
	SET(out, parent_pid, row->parent_pid);
	SET(out, user_id, row->user_id);
	SET(out, threads, row->threads);
	SET(out, minor_faults, row->minor_faults);
	SET(out, major_faults, row->major_faults);
	Sonde__V1__ProcessState state = state_of(row->state);
	if (state != SONDE__V1__PROCESS_STATE__PROCESS_STATE_UNSPECIFIED)
		SET(out, process_state, state);
	fill_times(row, out);
	fill_optional(row, out);
	return 0;
}

int fill_exited(struct arena *arena, const struct exited_row *row, Sonde__V1__ExitedProcesses *out)
{
	out->comm = label_copy(arena, row->comm, strnlen(row->comm, sizeof(row->comm)));
	if (!out->comm)
		return -ENOMEM;
	SET(out, cgroup_id, row->cgroup_id);
	SET(out, exits, row->exits);
	SET(out, cpu_us, row->cpu_ns / NS_PER_US);
	SET(out, user_us, row->user_ns / NS_PER_US);
	SET(out, system_us, row->system_ns / NS_PER_US);
	SET(out, read_bytes, row->read_bytes);
	SET(out, write_bytes, row->write_bytes);
	SET(out, minor_faults, row->minor_faults);
	SET(out, major_faults, row->major_faults);
	return 0;
}

void fill_counts(const struct task_counts *counts, Sonde__V1__Processes *out)
{
	SET(out, process_count, counts->processes);
	SET(out, thread_count, counts->threads);
	SET(out, running, counts->running);
	SET(out, sleeping, counts->sleeping);
	SET(out, uninterruptible, counts->uninterruptible);
	SET(out, stopped, counts->stopped);
	SET(out, zombie, counts->zombie);
	SET(out, idle, counts->idle);
}
