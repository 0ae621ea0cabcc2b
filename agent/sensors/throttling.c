#include "agent/sensors/throttling.h"

#include "agent/collector.h"
#include "agent/collectors/scale.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CPUS "sys/devices/system/cpu"

static int read_of(const struct root *root, uint32_t cpu, const char *file, uint64_t *ret)
{
	char path[128];
	unsigned long long value;
	(void)snprintf(path, sizeof(path), CPUS "/cpu%u/%s", cpu, file);
	int r = root_read_u64(root, path, &value);
	if (r == 0)
		*ret = value;
	return r;
}

/* "0,64" or "0-1": the first is the thread that is asked for its core. */
static bool is_first_thread(const struct root *root, uint32_t cpu)
{
	char path[128], text[32];
	uint64_t first;
	(void)snprintf(path, sizeof(path), CPUS "/cpu%u/topology/thread_siblings_list", cpu);
	int len = root_read_text(root, path, text, sizeof(text));
	if (len <= 0)
		return true;
	size_t digits = strspn(text, "0123456789");
	return word_u64((struct word){text, digits}, &first) < 0 || first == cpu;
}

static void add_core(struct throttling *throttling, uint32_t cpu, uint32_t package)
{
	size_t i = 0;
	while (i < throttling->n_packages && throttling->packages[i].number != package)
		i++;
	if (i == throttling->n_packages) {
		if (i == THROTTLING_MAX_PACKAGES)
			return;
		throttling->packages[i].number = package;
		throttling->packages[i].cpu = cpu;
		throttling->n_packages++;
	}
	throttling->cores[throttling->n_cores].cpu = cpu;
	throttling->cores[throttling->n_cores++].package = (uint32_t)i;
}

void throttling_scan(struct throttling *throttling, const struct root *root)
{
	struct root_dir dir;
	const char *name;
	throttling->n_cores = throttling->n_packages = 0;
	if (root_dir_open(root, CPUS, &dir) < 0)
		return;
	while (throttling->n_cores < THROTTLING_MAX_CORES && (name = root_dir_next(&dir))) {
		uint64_t cpu = 0, package = 0, count;
		if (strncmp(name, "cpu", 3) != 0 || word_u64((struct word){name + 3, strlen(name + 3)}, &cpu) < 0 ||
		    cpu > UINT32_MAX ||
		    read_of(root, (uint32_t)cpu, "thermal_throttle/core_throttle_count", &count) < 0)
			continue;
		if (read_of(root, (uint32_t)cpu, "topology/physical_package_id", &package) < 0)
			package = 0; /* one that does not say is taken for the only one */
		if (is_first_thread(root, (uint32_t)cpu))
			add_core(throttling, (uint32_t)cpu, (uint32_t)package);
	}
	root_dir_close(&dir);
}

/* A sum without one of its cores would go backwards: it is absent until the next scan. */
static void fill_cores(const struct throttling *throttling, const struct root *root, uint32_t package,
		       Sonde__V1__Throttling *out)
{
	uint64_t sum = 0, count;
	for (size_t i = 0; i < throttling->n_cores; i++) {
		if (throttling->cores[i].package != package)
			continue;
		if (read_of(root, throttling->cores[i].cpu, "thermal_throttle/core_throttle_count", &count) < 0)
			return;
		sum += count;
	}
	SET(out, core_throttles, sum);
}

int throttling_fill(const struct throttling *throttling, const struct root *root, struct arena *arena,
		    Sonde__V1__Sensors *out)
{
	size_t n = throttling->n_packages;
	out->throttling = arena_messages(arena, &sonde__v1__throttling__descriptor, n);
	if (!out->throttling && n > 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		Sonde__V1__Throttling *row = out->throttling[i];
		uint32_t cpu = throttling->packages[i].cpu;
		uint64_t value;
		SET(row, package, throttling->packages[i].number);
		fill_cores(throttling, root, i, row);
		if (read_of(root, cpu, "thermal_throttle/package_throttle_count", &value) == 0)
			SET(row, package_throttles, value);
		if (read_of(root, cpu, "thermal_throttle/package_throttle_total_time_ms", &value) == 0)
			SET(row, package_throttled_us, scale_times(value, 1000));
	}
	out->n_throttling = n;
	return 0;
}
