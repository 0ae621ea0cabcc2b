/* CPU ratios are over the CPUs that were there at both readings, because the kernel's own total jumps when one comes or
 * goes. A device counts in a total when it was there at the last reading under the same name and generation and none of
 * its counters went backwards; the total is absent when nothing was known before, so that "no traffic" and "not known
 * yet" stay apart. A host without any disk has no disk rates. */
#include "agent/summary.h"

#include "agent/collector.h"
#include "common/rate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 8192
#define NAME_SIZE 64
#define N_TIMES 8 /* user to steal; guest time is inside user */
#define IDLE 3
#define IOWAIT 4
#define STEAL 7
#define MAX_RATES 4
/* Drivers that count in 32 bits are old: 10 Gbit/s where the link does not say. Its bytes may come in a burst. */
#define WRAP_BYTES_PER_SECOND 1.25e9
#define WRAP_MARGIN 1.25
#define MAX_CPUS 8192
/* What a CPU's times may be off by: they are counted in ticks, and some kernels correct idle and iowait downwards. More
 * than that is a CPU that was away meanwhile. */
#define CPU_SLACK_US 1000000

enum { DISK_READ, DISK_WRITE, DISK_OPERATIONS, DISK_IO_TIME };
enum { NETWORK_RECEIVE, NETWORK_TRANSMIT };

/* Counters of one device at one reading. */
struct reading {
	char name[NAME_SIZE];
	bool has_generation;
	uint64_t generation;
	uint64_t counters[MAX_RATES];
	double wrap_per_second; /* a counter of 32 bits may come round no faster than this; 0: there are none */
};

/* Of all devices of a kind, at the last and at this reading; the two change places. */
struct readings {
	struct reading *last, *now;
	size_t n_last, n_now;
	size_t capacity;
	bool valid; /* `last` was taken */
	uint64_t last_us, now_us;
};

struct cpu_reading {
	uint32_t cpu;
	uint64_t times[N_TIMES];
};

struct cpu_readings {
	struct cpu_reading *last, *now;
	size_t n_last;
	size_t capacity;
	uint64_t last_us;
};

enum { CPU_SOME, MEMORY_SOME, MEMORY_FULL, IO_SOME, IO_FULL, N_PRESSURES };

struct pressure_reading {
	bool has[N_PRESSURES];
	uint64_t total_us[N_PRESSURES];
	uint64_t at_us;
};

struct summary {
	struct cpu_readings cpus;
	struct pressure_reading pressure;
	bool has_vmstat;
	uint64_t vmstat_us, page_in, page_out;
	struct readings disks, interfaces;
};

struct summary *summary_new(void)
{
	return calloc(1, sizeof(struct summary));
}

void summary_free(struct summary *summary)
{
	if (!summary)
		return;
	free(summary->cpus.last);
	free(summary->cpus.now);
	free(summary->disks.last);
	free(summary->disks.now);
	free(summary->interfaces.last);
	free(summary->interfaces.now);
	free(summary);
}

static bool usable(const Sonde__V1__State *state)
{
	return state &&
	       (state->code == SONDE__V1__STATE__CODE__CODE_OK || state->code == SONDE__V1__STATE__CODE__CODE_DEGRADED);
}

static bool cpus_reserve(struct cpu_readings *cpus, size_t n)
{
	if (n > MAX_CPUS)
		return false;
	if (n <= cpus->capacity)
		return true;
	struct cpu_reading *last = realloc(cpus->last, n * sizeof(*last));
	if (!last)
		return false;
	cpus->last = last;
	struct cpu_reading *now = realloc(cpus->now, n * sizeof(*now));
	if (!now)
		return false;
	cpus->now = now;
	cpus->capacity = n;
	return true;
}

static void read_times(const Sonde__V1__CpuTimes *t, struct cpu_reading *ret)
{
	*ret = (struct cpu_reading){.cpu = t->cpu,
				    .times = {t->user_us, t->nice_us, t->system_us, t->idle_us, t->iowait_us, t->irq_us,
					      t->softirq_us, t->steal_us}};
}

/* Adds what a CPU did between two readings. One whose counters fell by more than their inaccuracy, or grew by more than
 * the time that passed, was taken away and came back meanwhile: what it did is not known. */
static void add_growth(const struct cpu_reading *last, const struct cpu_reading *now, uint64_t elapsed_us,
		       uint64_t sum[N_TIMES])
{
	uint64_t growth[N_TIMES], all = 0;
	for (int i = 0; i < N_TIMES; i++) {
		if (rate_delta(now->times[i], last->times[i]) > CPU_SLACK_US)
			return;
		growth[i] = rate_delta(last->times[i], now->times[i]);
		if (__builtin_add_overflow(all, growth[i], &all))
			return;
	}
	if (all > elapsed_us && all - elapsed_us > elapsed_us / 2 + CPU_SLACK_US)
		return;
	for (int i = 0; i < N_TIMES; i++)
		sum[i] += growth[i];
}

/* The line of all CPUs together jumps when one goes or comes back (its idle time is told by another clock while it is
 * away, and starts anew on some kernels), so the ratios are over the CPUs that were there at both readings. */
static void cpus_growth(const struct cpu_readings *cpus, size_t n_now, uint64_t elapsed_us, uint64_t sum[N_TIMES])
{
	size_t l = 0;
	for (size_t i = 0; i < n_now; i++) {
		const struct cpu_reading *now = &cpus->now[i];
		while (l < cpus->n_last && cpus->last[l].cpu < now->cpu)
			l++;
		if (l < cpus->n_last && cpus->last[l].cpu == now->cpu)
			add_growth(&cpus->last[l], now, elapsed_us, sum);
	}
}

static void take_cpu(struct summary *self, const Sonde__V1__Cpu *cpu, Sonde__V1__Summary *out)
{
	if (cpu->has_load1)
		SET(out, load1, cpu->load1);
	if (cpu->has_online)
		SET(out, cpus_online, cpu->online);
	struct cpu_readings *cpus = &self->cpus;
	if (!cpu->total || cpu->n_cores == 0 || !cpus_reserve(cpus, cpu->n_cores))
		return;
	for (size_t i = 0; i < cpu->n_cores; i++)
		read_times(cpu->cores[i], &cpus->now[i]);

	static const uint64_t none[N_TIMES];
	uint64_t now_us = cpu->state->collected_at_us, sum[N_TIMES] = {0};
	double idle, iowait, steal;
	cpus_growth(cpus, cpu->n_cores, rate_delta(cpus->last_us, now_us), sum);
	if (rate_share(none, sum, N_TIMES, IDLE, &idle) && rate_share(none, sum, N_TIMES, IOWAIT, &iowait) &&
	    rate_share(none, sum, N_TIMES, STEAL, &steal)) {
		double busy = 1 - idle - iowait;
		SET(out, cpu_busy_ratio, busy > 0 ? busy : 0);
		if (cpu->total->has_iowait_us)
			SET(out, cpu_iowait_ratio, iowait);
		if (cpu->total->has_steal_us)
			SET(out, cpu_steal_ratio, steal);
	}
	struct cpu_reading *swap = cpus->last;
	cpus->last = cpus->now;
	cpus->now = swap;
	cpus->n_last = cpu->n_cores;
	cpus->last_us = now_us;
}

static void read_pressure(const Sonde__V1__PressureLine *line, int i, struct pressure_reading *ret)
{
	ret->has[i] = line && line->has_total_us;
	ret->total_us[i] = ret->has[i] ? line->total_us : 0;
}

static void take_pressure(struct summary *self, const Sonde__V1__Pressure *pressure, Sonde__V1__Summary *out)
{
	struct pressure_reading now = {.at_us = pressure->state->collected_at_us};
	if (pressure->cpu)
		read_pressure(pressure->cpu->some, CPU_SOME, &now);
	if (pressure->memory) {
		read_pressure(pressure->memory->some, MEMORY_SOME, &now);
		read_pressure(pressure->memory->full, MEMORY_FULL, &now);
	}
	if (pressure->io) {
		read_pressure(pressure->io->some, IO_SOME, &now);
		read_pressure(pressure->io->full, IO_FULL, &now);
	}
	const struct {
		protobuf_c_boolean *has;
		double *ratio;
	} fields[N_PRESSURES] = {
		[CPU_SOME] = {&out->has_pressure_cpu_some_ratio, &out->pressure_cpu_some_ratio},
		[MEMORY_SOME] = {&out->has_pressure_memory_some_ratio, &out->pressure_memory_some_ratio},
		[MEMORY_FULL] = {&out->has_pressure_memory_full_ratio, &out->pressure_memory_full_ratio},
		[IO_SOME] = {&out->has_pressure_io_some_ratio, &out->pressure_io_some_ratio},
		[IO_FULL] = {&out->has_pressure_io_full_ratio, &out->pressure_io_full_ratio},
	};
	uint64_t elapsed_us = rate_delta(self->pressure.at_us, now.at_us);
	for (int i = 0; i < N_PRESSURES; i++) {
		double rate;
		if (!now.has[i] || !self->pressure.has[i] ||
		    !rate_per_second(self->pressure.total_us[i], now.total_us[i], elapsed_us, &rate))
			continue;
		/* The kernel adds stalls up when it is asked, a little after the section's clock was read. */
		*fields[i].ratio = rate < 1e6 ? rate / 1e6 : 1;
		*fields[i].has = 1;
	}
	self->pressure = now;
}

static void take_memory(const Sonde__V1__Memory *memory, Sonde__V1__Summary *out)
{
	if (memory->has_total_bytes) {
		SET(out, memory_total_bytes, (double)memory->total_bytes);
		if (memory->has_used_bytes && memory->total_bytes > 0)
			SET(out, memory_used_ratio, (double)memory->used_bytes / (double)memory->total_bytes);
	}
	if (memory->has_swap_total_bytes && memory->has_swap_free_bytes && memory->swap_total_bytes > 0)
		SET(out, swap_used_ratio,
		    (double)rate_delta(memory->swap_free_bytes, memory->swap_total_bytes) /
			    (double)memory->swap_total_bytes);
}

static void take_vmstat(struct summary *self, const Sonde__V1__Vmstat *vmstat, Sonde__V1__Summary *out)
{
	if (!vmstat->has_page_in_bytes || !vmstat->has_page_out_bytes)
		return;
	uint64_t now_us = vmstat->state->collected_at_us, elapsed_us = rate_delta(self->vmstat_us, now_us);
	double rate;
	if (self->has_vmstat && rate_per_second(self->page_in, vmstat->page_in_bytes, elapsed_us, &rate))
		SET(out, page_in_bytes_per_second, rate);
	if (self->has_vmstat && rate_per_second(self->page_out, vmstat->page_out_bytes, elapsed_us, &rate))
		SET(out, page_out_bytes_per_second, rate);
	self->has_vmstat = true;
	self->vmstat_us = now_us;
	self->page_in = vmstat->page_in_bytes;
	self->page_out = vmstat->page_out_bytes;
}

/* Room for n devices in both halves; false leaves what is there and the totals absent. Grows only when devices come. */
static bool readings_begin(struct readings *readings, size_t n, uint64_t now_us)
{
	if (n > MAX_DEVICES)
		return false;
	if (n > readings->capacity) {
		struct reading *last = realloc(readings->last, n * sizeof(*last));
		if (!last)
			return false;
		readings->last = last;
		struct reading *now = realloc(readings->now, n * sizeof(*now));
		if (!now)
			return false;
		readings->now = now;
		readings->capacity = n;
	}
	readings->n_now = 0;
	readings->now_us = now_us;
	return true;
}

static struct reading *readings_add(struct readings *readings, const char *name, bool has_generation,
				    uint64_t generation)
{
	size_t len = strlen(name);
	if (len >= NAME_SIZE)
		return NULL;
	struct reading *reading = &readings->now[readings->n_now++];
	*reading = (struct reading){.has_generation = has_generation, .generation = generation};
	memcpy(reading->name, name, len);
	return reading;
}

static void readings_end(struct readings *readings)
{
	struct reading *swap = readings->last;
	readings->last = readings->now;
	readings->now = swap;
	readings->n_last = readings->n_now;
	readings->last_us = readings->now_us;
	readings->valid = true;
}

/* Devices keep their order, so the search begins where this one should be. */
static const struct reading *find_last(const struct readings *readings, size_t expected, const struct reading *now)
{
	for (size_t i = 0; i < readings->n_last; i++) {
		const struct reading *last = &readings->last[(expected + i) % readings->n_last];
		if (strcmp(last->name, now->name) == 0)
			return last->has_generation == now->has_generation && last->generation == now->generation
				       ? last
				       : NULL;
	}
	return NULL;
}

struct totals {
	size_t n; /* devices that have rates */
	double sum[MAX_RATES];
	double largest[MAX_RATES];
};

static struct totals readings_totals(const struct readings *readings, size_t n_rates)
{
	struct totals totals = {.n = 0};
	uint64_t elapsed_us = rate_delta(readings->last_us, readings->now_us);
	for (size_t i = 0; readings->valid && i < readings->n_now; i++) {
		const struct reading *now = &readings->now[i], *last = find_last(readings, i, now);
		double rates[MAX_RATES];
		size_t good = 0;
		while (last && good < n_rates &&
		       rate_per_second_wrapping(last->counters[good], now->counters[good], elapsed_us,
						now->wrap_per_second, &rates[good]))
			good++;
		if (good < n_rates)
			continue;
		totals.n++;
		for (size_t r = 0; r < n_rates; r++) {
			totals.sum[r] += rates[r];
			if (rates[r] > totals.largest[r])
				totals.largest[r] = rates[r];
		}
	}
	return totals;
}

static void take_disks(struct summary *self, const Sonde__V1__Disks *disks, Sonde__V1__Summary *out)
{
	if (!readings_begin(&self->disks, disks->n_devices, disks->state->collected_at_us))
		return;
	for (size_t i = 0; i < disks->n_devices; i++) {
		const Sonde__V1__Disk *disk = disks->devices[i];
		struct reading *reading =
			disk->leaf ? readings_add(&self->disks, disk->device, disk->has_diskseq, disk->diskseq) : NULL;
		if (!reading)
			continue;
		reading->counters[DISK_READ] = disk->read_bytes;
		reading->counters[DISK_WRITE] = disk->write_bytes;
		reading->counters[DISK_OPERATIONS] = disk->reads + disk->writes;
		reading->counters[DISK_IO_TIME] = disk->io_time_us;
	}
	struct totals totals = readings_totals(&self->disks, 4);
	if (totals.n > 0) {
		/* The kernel rounds the time up to whole milliseconds: more than all of it is all of it. */
		double busiest = totals.largest[DISK_IO_TIME] / 1e6;
		SET(out, disk_utilisation_ratio, busiest < 1 ? busiest : 1);
		SET(out, disk_read_bytes_per_second, totals.sum[DISK_READ]);
		SET(out, disk_write_bytes_per_second, totals.sum[DISK_WRITE]);
		SET(out, disk_operations_per_second, totals.sum[DISK_OPERATIONS]);
	}
	readings_end(&self->disks);
}

static void take_network(struct summary *self, const Sonde__V1__Network *network, Sonde__V1__Summary *out)
{
	if (!readings_begin(&self->interfaces, network->n_interfaces, network->state->collected_at_us))
		return;
	for (size_t i = 0; i < network->n_interfaces; i++) {
		const Sonde__V1__Interface *interface = network->interfaces[i];
		struct reading *reading = interface->virtual_
						  ? NULL
						  : readings_add(&self->interfaces, interface->interface,
								 interface->has_ifindex, interface->ifindex);
		if (!reading)
			continue;
		reading->counters[NETWORK_RECEIVE] = interface->receive_bytes;
		reading->counters[NETWORK_TRANSMIT] = interface->transmit_bytes;
		reading->wrap_per_second =
			WRAP_MARGIN * (interface->has_speed_bytes_per_second ? (double)interface->speed_bytes_per_second
									     : WRAP_BYTES_PER_SECOND);
	}
	struct totals totals = readings_totals(&self->interfaces, 2);
	if (totals.n > 0) {
		SET(out, network_receive_bytes_per_second, totals.sum[NETWORK_RECEIVE]);
		SET(out, network_transmit_bytes_per_second, totals.sum[NETWORK_TRANSMIT]);
	}
	readings_end(&self->interfaces);
}

Sonde__V1__Summary *summary_take(struct summary *summary, const Sonde__V1__Snapshot *snapshot, struct arena *arena)
{
	Sonde__V1__Summary *out = arena_message(arena, &sonde__v1__summary__descriptor);
	Sonde__V1__State *state = arena_message(arena, &sonde__v1__state__descriptor);
	if (!out || !state)
		return NULL;
	out->state = state;
	SET(state, code, SONDE__V1__STATE__CODE__CODE_OK);
	SET(state, collected_at_us, snapshot->boottime_us);
	SET(state, duration_us, 0);
	SET(out, uptime_seconds, (double)snapshot->boottime_us / 1e6);

	if (snapshot->cpu && usable(snapshot->cpu->state))
		take_cpu(summary, snapshot->cpu, out);
	if (snapshot->memory && usable(snapshot->memory->state))
		take_memory(snapshot->memory, out);
	if (snapshot->vmstat && usable(snapshot->vmstat->state))
		take_vmstat(summary, snapshot->vmstat, out);
	if (snapshot->pressure && usable(snapshot->pressure->state))
		take_pressure(summary, snapshot->pressure, out);
	if (snapshot->disks && usable(snapshot->disks->state))
		take_disks(summary, snapshot->disks, out);
	if (snapshot->network && usable(snapshot->network->state))
		take_network(summary, snapshot->network, out);
	return out;
}
