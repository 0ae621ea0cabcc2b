/* /proc/stat and /proc/loadavg. The load is a courtesy: without /proc/loadavg the section is there without it. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/proc_loadavg.h"
#include "agent/collectors/proc_stat.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define STAT_MAX ((size_t)4 << 20) /* 4096 CPUs and as many interrupt numbers */
#define LOADAVG_MAX 256

struct cpu {
	struct root_file stat;
	struct root_file loadavg;
	bool has_loadavg;
	uint64_t user_hz;
};

static void destroy(void *self)
{
	struct cpu *cpu = self;
	if (!cpu)
		return;
	root_file_close(&cpu->stat);
	root_file_close(&cpu->loadavg);
	free(cpu);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct cpu *cpu = calloc(1, sizeof(*cpu));
	if (!cpu)
		return source_no_room(state);
	int r = source_open(context, "proc/stat", STAT_MAX, &cpu->stat, state);
	if (r < 0) {
		destroy(cpu);
		return r;
	}
	cpu->has_loadavg = root_file_open(context->root, "proc/loadavg", LOADAVG_MAX, &cpu->loadavg) == 0;
	long hz = sysconf(_SC_CLK_TCK);
	cpu->user_hz = hz > 0 ? (uint64_t)hz : 100;
	*ret_self = cpu;
	return 0;
}

static void fill_times(const struct proc_stat_cpu *from, uint64_t hz, Sonde__V1__CpuTimes *to)
{
	uint64_t us[PROC_STAT_TIMES] = {0};
	for (unsigned i = 0; i < from->n_times; i++)
		us[i] = scale_ratio(from->ticks[i], 1000000, hz);
	SET(to, user_us, us[PROC_STAT_USER]);
	SET(to, nice_us, us[PROC_STAT_NICE]);
	SET(to, system_us, us[PROC_STAT_SYSTEM]);
	SET(to, idle_us, us[PROC_STAT_IDLE]);
	if (from->n_times > PROC_STAT_IOWAIT)
		SET(to, iowait_us, us[PROC_STAT_IOWAIT]);
	if (from->n_times > PROC_STAT_IRQ)
		SET(to, irq_us, us[PROC_STAT_IRQ]);
	if (from->n_times > PROC_STAT_SOFTIRQ)
		SET(to, softirq_us, us[PROC_STAT_SOFTIRQ]);
	if (from->n_times > PROC_STAT_STEAL)
		SET(to, steal_us, us[PROC_STAT_STEAL]);
	if (from->n_times > PROC_STAT_GUEST)
		SET(to, guest_us, us[PROC_STAT_GUEST]);
	if (from->n_times > PROC_STAT_GUEST_NICE)
		SET(to, guest_nice_us, us[PROC_STAT_GUEST_NICE]);
}

static void fill_counters(const struct proc_stat *stat, Sonde__V1__Cpu *cpu)
{
	if (stat->has[PROC_STAT_CONTEXT_SWITCHES])
		SET(cpu, context_switches, stat->counters[PROC_STAT_CONTEXT_SWITCHES]);
	if (stat->has[PROC_STAT_INTERRUPTS])
		SET(cpu, interrupts, stat->counters[PROC_STAT_INTERRUPTS]);
	if (stat->has[PROC_STAT_SOFTIRQS])
		SET(cpu, softirqs, stat->counters[PROC_STAT_SOFTIRQS]);
	if (stat->has[PROC_STAT_FORKS])
		SET(cpu, forks, stat->counters[PROC_STAT_FORKS]);
	if (stat->has[PROC_STAT_RUNNING])
		SET(cpu, processes_running, stat->counters[PROC_STAT_RUNNING]);
	if (stat->has[PROC_STAT_BLOCKED])
		SET(cpu, processes_blocked, stat->counters[PROC_STAT_BLOCKED]);
	if (stat->n_cpus > 0)
		SET(cpu, online, (uint32_t)stat->n_cpus);
}

static int collect_stat(struct cpu *self, struct tick *tick, Sonde__V1__Cpu *cpu)
{
	int r = source_read(&self->stat, tick->state);
	if (r < 0)
		return r;
	size_t room = proc_stat_count_cpus(self->stat.text, self->stat.len);
	struct proc_stat_cpu *cpus = arena_alloc(tick->arena, room * sizeof(*cpus));
	struct proc_stat stat;
	if (!cpus)
		return source_no_room(tick->state);
	r = proc_stat_parse(self->stat.text, self->stat.len, cpus, room, &stat);
	if (r < 0)
		return source_malformed(&self->stat, -EPROTO, tick->state);

	cpu->total = arena_message(tick->arena, &sonde__v1__cpu_times__descriptor);
	cpu->cores = arena_messages(tick->arena, &sonde__v1__cpu_times__descriptor, stat.n_cpus);
	if (!cpu->total || (!cpu->cores && stat.n_cpus > 0))
		return source_no_room(tick->state);
	fill_times(&stat.total, self->user_hz, cpu->total);
	for (size_t i = 0; i < stat.n_cpus; i++) {
		SET(cpu->cores[i], cpu, cpus[i].cpu);
		fill_times(&cpus[i], self->user_hz, cpu->cores[i]);
	}
	cpu->n_cores = stat.n_cpus;
	fill_counters(&stat, cpu);
	return 0;
}

static int collect_load(struct cpu *self, struct tick *tick, Sonde__V1__Cpu *cpu)
{
	struct proc_loadavg load;
	int r = source_read(&self->loadavg, tick->state);
	if (r < 0)
		return r;
	r = proc_loadavg_parse(self->loadavg.text, self->loadavg.len, &load);
	if (r < 0)
		return source_malformed(&self->loadavg, r, tick->state);
	SET(cpu, load1, load.load1);
	SET(cpu, load5, load.load5);
	SET(cpu, load15, load.load15);
	SET(cpu, threads, load.threads);
	return 0;
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct cpu *cpu = self;
	int r = collect_stat(cpu, tick, (Sonde__V1__Cpu *)section);
	if (r == 0 && cpu->has_loadavg)
		r = collect_load(cpu, tick, (Sonde__V1__Cpu *)section);
	return r;
}

const struct collector collector_cpu = {
	.name = "cpu",
	.reads = "/proc/stat, /proc/loadavg",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
