/* A device counts in a total when it was there at the last reading under the same name and generation and none of its
 * counters went backwards; the total is absent when nothing was known before, so that "no traffic" and "not known yet"
 * stay apart. A host without any disk has no disk rates. */
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

enum { DISK_READ, DISK_WRITE, DISK_OPERATIONS, DISK_IO_TIME };
enum { NETWORK_RECEIVE, NETWORK_TRANSMIT };

/* Counters of one device at one reading. */
struct reading {
	char name[NAME_SIZE];
	bool has_generation;
	uint64_t generation;
	uint64_t counters[MAX_RATES];
};

/* Of all devices of a kind, at the last and at this reading; the two change places. */
struct readings {
	struct reading *last, *now;
	size_t n_last, n_now;
	size_t capacity;
	bool valid; /* `last` was taken */
	uint64_t last_us, now_us;
};

struct summary {
	bool has_cpu;
	uint64_t cpu[N_TIMES];
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

static void take_cpu(struct summary *self, const Sonde__V1__Cpu *cpu, Sonde__V1__Summary *out)
{
	if (cpu->has_load1)
		SET(out, load1, cpu->load1);
	if (cpu->has_online)
		SET(out, cpus_online, cpu->online);
	const Sonde__V1__CpuTimes *t = cpu->total;
	if (!t)
		return;
	const uint64_t now[N_TIMES] = {t->user_us,   t->nice_us, t->system_us,	t->idle_us,
				       t->iowait_us, t->irq_us,	 t->softirq_us, t->steal_us};
	double idle, iowait, steal;
	if (self->has_cpu && rate_share(self->cpu, now, N_TIMES, IDLE, &idle) &&
	    rate_share(self->cpu, now, N_TIMES, IOWAIT, &iowait) &&
	    rate_share(self->cpu, now, N_TIMES, STEAL, &steal)) {
		double busy = 1 - idle - iowait;
		SET(out, cpu_busy_ratio, busy > 0 ? busy : 0);
		if (t->has_iowait_us)
			SET(out, cpu_iowait_ratio, iowait);
		if (t->has_steal_us)
			SET(out, cpu_steal_ratio, steal);
	}
	memcpy(self->cpu, now, sizeof(now));
	self->has_cpu = true;
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
		       rate_per_second(last->counters[good], now->counters[good], elapsed_us, &rates[good]))
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
	if (snapshot->disks && usable(snapshot->disks->state))
		take_disks(summary, snapshot->disks, out);
	if (snapshot->network && usable(snapshot->network->state))
		take_network(summary, snapshot->network, out);
	return out;
}
