#include "agent/perf/busy.h"

#include "common/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define STAT_MAX ((size_t)1 << 20)

int perf_busy_init(struct perf_busy *busy, const struct root *root, unsigned limit)
{
	long hz = sysconf(_SC_CLK_TCK);
	*busy = (struct perf_busy){.stat = {.fd = -1}, .limit = limit};
	busy->tick_us = 1000000 / (uint64_t)(hz > 0 ? hz : 100);
	busy->cpus = calloc(limit ? limit : 1, sizeof(*busy->cpus));
	busy->parsed = calloc(limit ? limit : 1, sizeof(*busy->parsed));
	if (!busy->cpus || !busy->parsed) {
		perf_busy_close(busy);
		return -ENOMEM;
	}
	int r = root_file_open(root, "proc/stat", STAT_MAX, &busy->stat);
	if (r < 0)
		perf_busy_close(busy);
	busy->stat.has_short_records = true;
	return r;
}

void perf_busy_close(struct perf_busy *busy)
{
	if (busy->cpus)
		root_file_close(&busy->stat);
	free(busy->cpus);
	free(busy->parsed);
	*busy = (struct perf_busy){.stat = {.fd = -1}};
}

static void take_cpu(struct perf_busy *busy, const struct proc_stat_cpu *now, uint64_t elapsed_us)
{
	const uint64_t *t = now->ticks;
	struct perf_busy_cpu *cpu = &busy->cpus[now->cpu];
	struct perf_busy_cpu last = *cpu;
	cpu->busy =
		t[PROC_STAT_USER] + t[PROC_STAT_NICE] + t[PROC_STAT_SYSTEM] + t[PROC_STAT_IRQ] + t[PROC_STAT_SOFTIRQ];
	cpu->idle = t[PROC_STAT_IDLE] + t[PROC_STAT_IOWAIT];
	/* Busy time never goes backwards but when the CPU was away; idle time may, a little. */
	cpu->known = busy->valid && last.busy + last.idle > 0 && cpu->busy >= last.busy;
	cpu->worked_us = cpu->known ? (cpu->busy - last.busy) * busy->tick_us : 0;
	cpu->idle_us = cpu->known ? rate_delta(last.idle, cpu->idle) * busy->tick_us : 0;
	cpu->did_nothing =
		cpu->known && cpu->worked_us == 0 && cpu->idle_us > 0 && cpu->idle_us + 2 * busy->tick_us >= elapsed_us;
}

void perf_busy_take(struct perf_busy *busy, const char *text, size_t len, uint64_t now_ns)
{
	struct proc_stat stat;
	uint64_t elapsed_us = (now_ns - busy->read_ns) / 1000;
	int r = proc_stat_parse(text, len, busy->parsed, busy->limit, &stat);
	size_t at = 0;
	for (unsigned i = 0; i < busy->limit; i++) {
		if (r == 0 && at < stat.n_cpus && busy->parsed[at].cpu == i)
			take_cpu(busy, &busy->parsed[at++], elapsed_us);
		else
			busy->cpus[i] = (struct perf_busy_cpu){.known = false};
	}
	busy->valid = r == 0;
	busy->read_ns = now_ns;
}

void perf_busy_read(struct perf_busy *busy, uint64_t now_ns)
{
	bool there = busy->cpus && root_file_read(&busy->stat) == 0;
	perf_busy_take(busy, there ? busy->stat.text : "", there ? busy->stat.len : 0, now_ns);
}
