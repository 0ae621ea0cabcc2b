/* /proc/stat, and as courtesies /proc/loadavg, /proc/sys/fs/file-nr, which CPUs there are and what they run at: the
 * section is there without each of them. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/cpu_frequency.h"
#include "agent/collectors/proc_file_nr.h"
#include "agent/collectors/proc_loadavg.h"
#include "agent/collectors/proc_stat.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/collectors/sys_cpu_list.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define STAT_MAX ((size_t)4 << 20) /* 4096 CPUs and as many interrupt numbers */
#define LOADAVG_MAX 256
#define CPU_LIST_MAX 32768
#define FILE_NR_MAX 256

struct cpu {
	struct root_file stat;
	struct root_file loadavg;
	bool has_loadavg;
	struct root_file present;
	bool has_present;
	struct root_file file_nr;
	bool has_file_nr;
	bool has_possible; /* does not change while the kernel runs */
	uint32_t possible;
	struct cpu_frequency *frequency;
	uint64_t user_hz;
};

static void destroy(void *self)
{
	struct cpu *cpu = self;
	if (!cpu)
		return;
	root_file_close(&cpu->stat);
	root_file_close(&cpu->loadavg);
	root_file_close(&cpu->present);
	root_file_close(&cpu->file_nr);
	cpu_frequency_free(cpu->frequency);
	free(cpu);
}

static bool read_possible(const struct root *root, uint32_t *ret)
{
	struct root_file file;
	if (root_file_open(root, "sys/devices/system/cpu/possible", CPU_LIST_MAX, &file) < 0)
		return false;
	bool good = root_file_read(&file) == 0 && sys_cpu_list_count(file.text, file.len, ret) == 0;
	root_file_close(&file);
	return good;
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct cpu *cpu = calloc(1, sizeof(*cpu));
	if (!cpu)
		return source_no_room(state);
	cpu->frequency = cpu_frequency_new(context);
	int r = cpu->frequency ? source_open(context, "proc/stat", STAT_MAX, &cpu->stat, state) : source_no_room(state);
	if (r < 0) {
		destroy(cpu);
		return r;
	}
	cpu->has_loadavg = root_file_open(context->root, "proc/loadavg", LOADAVG_MAX, &cpu->loadavg) == 0;
	cpu->has_present =
		root_file_open(context->root, "sys/devices/system/cpu/present", CPU_LIST_MAX, &cpu->present) == 0;
	cpu->has_file_nr = root_file_open(context->root, "proc/sys/fs/file-nr", FILE_NR_MAX, &cpu->file_nr) == 0;
	cpu->stat.has_short_records = cpu->loadavg.has_short_records = true;
	cpu->present.has_short_records = cpu->file_nr.has_short_records = true;
	cpu->has_possible = read_possible(context->root, &cpu->possible);
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
	if (stat->has[PROC_STAT_BOOT_TIME])
		SET(cpu, boot_time_seconds, stat->counters[PROC_STAT_BOOT_TIME]);
	if (stat->n_cpus > 0)
		SET(cpu, online, (uint32_t)stat->n_cpus);
}

static int fill_softirqs(const struct proc_stat *stat, struct tick *tick, Sonde__V1__Cpu *cpu)
{
	cpu->softirq_kinds = arena_messages(tick->arena, &sonde__v1__softirq_kind__descriptor, stat->n_softirq_kinds);
	if (!cpu->softirq_kinds && stat->n_softirq_kinds > 0)
		return source_no_room(tick->state);
	cpu->n_softirq_kinds = stat->n_softirq_kinds;
	for (unsigned i = 0; i < stat->n_softirq_kinds; i++) {
		cpu->softirq_kinds[i]->kind = (char *)proc_stat_softirq_names[i];
		SET(cpu->softirq_kinds[i], serviced, stat->softirq_kinds[i]);
	}
	return 0;
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
	cpu_frequency_fill(self->frequency, tick, cpu->cores, cpu->n_cores);
	fill_counters(&stat, cpu);
	return fill_softirqs(&stat, tick, cpu);
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

static int collect_present(struct cpu *self, struct tick *tick, Sonde__V1__Cpu *cpu)
{
	uint32_t present;
	int r = source_read(&self->present, tick->state);
	if (r < 0)
		return r;
	r = sys_cpu_list_count(self->present.text, self->present.len, &present);
	if (r < 0)
		return source_malformed(&self->present, r, tick->state);
	SET(cpu, present, present);
	if (cpu->has_online && present >= cpu->online)
		SET(cpu, offline, present - cpu->online);
	return 0;
}

static int collect_file_handles(struct cpu *self, struct tick *tick, Sonde__V1__Cpu *cpu)
{
	struct proc_file_nr handles;
	int r = source_read(&self->file_nr, tick->state);
	if (r < 0)
		return r;
	r = proc_file_nr_parse(self->file_nr.text, self->file_nr.len, &handles);
	if (r < 0)
		return source_malformed(&self->file_nr, r, tick->state);
	SET(cpu, file_handles, handles.used);
	SET(cpu, file_handles_max, handles.max);
	return 0;
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct cpu *self = opaque;
	Sonde__V1__Cpu *cpu = (Sonde__V1__Cpu *)section;
	if (self->has_possible)
		SET(cpu, possible, self->possible);
	int r = collect_stat(self, tick, cpu);
	if (r == 0 && self->has_loadavg)
		r = collect_load(self, tick, cpu);
	if (r == 0 && self->has_present)
		r = collect_present(self, tick, cpu);
	if (r == 0 && self->has_file_nr)
		r = collect_file_handles(self, tick, cpu);
	return r;
}

const struct collector collector_cpu = {
	.name = "cpu",
	.reads = "/proc/stat, /proc/loadavg, /proc/sys/fs/file-nr, /sys/devices/system/cpu",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
