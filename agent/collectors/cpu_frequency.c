/* Files are opened anew each time: there are as many as CPUs, they come and go with them, and descriptors are worth
 * more than a few microseconds every five seconds on a thread nobody waits for. */
#include "agent/collectors/cpu_frequency.h"

#include "agent/collectors/aside.h"

#include <stdio.h>
#include <stdlib.h>

#define PERIOD_US 5000000
#define MAX_CPUS 8192
#define MAX_HZ UINT64_C(1000000000000) /* more is not a frequency */

struct reading {
	uint32_t cpu;
	uint64_t hz; /* 0: not known */
};

struct readings {
	struct reading *items;
	size_t n, capacity;
};

struct cpu_frequency {
	struct aside aside; /* first */
	const struct root *root;
	struct readings fresh, shown;
};

static void read_all(struct aside *aside)
{
	struct cpu_frequency *self = (struct cpu_frequency *)aside;
	for (size_t i = 0; i < self->fresh.n; i++) {
		struct reading *reading = &self->fresh.items[i];
		char path[96];
		unsigned long long khz;
		(void)snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/cpufreq/scaling_cur_freq",
			       (unsigned)reading->cpu);
		int r = root_read_u64(self->root, path, &khz);
		reading->hz = r == 0 && khz <= MAX_HZ / 1000 ? khz * 1000 : 0;
	}
}

struct cpu_frequency *cpu_frequency_new(const struct collector_context *context)
{
	struct cpu_frequency *self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->root = context->root;
	aside_init(&self->aside, context, true, PERIOD_US, read_all);
	return self;
}

void cpu_frequency_free(struct cpu_frequency *self)
{
	if (!self)
		return;
	free(self->fresh.items);
	free(self->shown.items);
	free(self);
}

/* Which CPUs to read. Grows when CPUs come. */
static bool prepare(struct readings *readings, Sonde__V1__CpuTimes **cores, size_t n)
{
	if (n > MAX_CPUS)
		return false;
	if (n > readings->capacity) {
		struct reading *items = realloc(readings->items, n * sizeof(*items));
		if (!items)
			return false;
		readings->items = items;
		readings->capacity = n;
	}
	for (size_t i = 0; i < n; i++)
		readings->items[i] = (struct reading){.cpu = cores[i]->cpu};
	readings->n = n;
	return true;
}

void cpu_frequency_fill(struct cpu_frequency *self, const struct tick *tick, Sonde__V1__CpuTimes **cores, size_t n)
{
	if (aside_is_due(&self->aside, tick->boottime_us) && prepare(&self->fresh, cores, n))
		aside_start(&self->aside, tick->boottime_us);
	if (aside_take(&self->aside)) {
		struct readings swap = self->shown;
		self->shown = self->fresh;
		self->fresh = swap;
	}
	if (!aside_is_fresh(&self->aside, tick->boottime_us))
		return;
	size_t s = 0;
	for (size_t i = 0; i < n; i++) {
		while (s < self->shown.n && self->shown.items[s].cpu < cores[i]->cpu)
			s++;
		if (s < self->shown.n && self->shown.items[s].cpu == cores[i]->cpu && self->shown.items[s].hz > 0)
			SET(cores[i], frequency_hz, self->shown.items[s].hz);
	}
}
