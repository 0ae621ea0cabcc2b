#include "agent/sensors/nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPERATURE_OF_GPU 0
#define CLOCK_OF_GRAPHICS 0

typedef void *nvml_device;

/* The library's own structures, of which later versions may be longer. */
struct utilisation {
	unsigned gpu, memory; /* percent */
};
struct memory {
	unsigned long long total, free, used; /* bytes */
};
struct pci {
	char legacy_address[16];
	unsigned domain, bus, device, ids, subsystem;
	char address[32];
	char spare[64];
};

/* All return 0 for success. */
struct functions {
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *ret);
	int (*device)(unsigned i, nvml_device *ret);
	int (*pci)(nvml_device device, struct pci *ret);
	int (*name)(nvml_device device, char *ret, unsigned size);
	int (*utilisation)(nvml_device device, struct utilisation *ret);
	int (*memory)(nvml_device device, struct memory *ret);
	int (*temperature)(nvml_device device, int sensor, unsigned *ret);
	int (*power)(nvml_device device, unsigned *ret_mw);
	int (*clock)(nvml_device device, int which, unsigned *ret_mhz);
};

struct nvml {
	void *library;
	struct functions functions;
};

static const struct {
	const char *name;
	size_t at;
	bool needed;
} symbols[] = {
	{"nvmlInit_v2", offsetof(struct functions, init), true},
	{"nvmlShutdown", offsetof(struct functions, shutdown), true},
	{"nvmlDeviceGetCount_v2", offsetof(struct functions, count), true},
	{"nvmlDeviceGetHandleByIndex_v2", offsetof(struct functions, device), true},
	{"nvmlDeviceGetPciInfo_v3", offsetof(struct functions, pci), false},
	{"nvmlDeviceGetName", offsetof(struct functions, name), false},
	{"nvmlDeviceGetUtilizationRates", offsetof(struct functions, utilisation), false},
	{"nvmlDeviceGetMemoryInfo", offsetof(struct functions, memory), false},
	{"nvmlDeviceGetTemperature", offsetof(struct functions, temperature), false},
	{"nvmlDeviceGetPowerUsage", offsetof(struct functions, power), false},
	{"nvmlDeviceGetClockInfo", offsetof(struct functions, clock), false},
};

static int find_symbols(struct nvml *nvml)
{
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *found = dlsym(nvml->library, symbols[i].name);
		if (!found && symbols[i].needed)
			return -ELIBBAD;
		memcpy((char *)&nvml->functions + symbols[i].at, &found, sizeof(found));
	}
	return 0;
}

int nvml_open(const char *library, struct nvml **ret)
{
	struct nvml *nvml = calloc(1, sizeof(*nvml));
	if (!nvml)
		return -ENOMEM;
	nvml->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	int r = nvml->library ? find_symbols(nvml) : -ENOENT;
	if (r == 0 && nvml->functions.init() != 0)
		r = -EIO;
	if (r < 0) {
		if (nvml->library)
			dlclose(nvml->library);
		free(nvml);
		return r;
	}
	*ret = nvml;
	return 0;
}

void nvml_close(struct nvml *nvml)
{
	if (!nvml)
		return;
	(void)nvml->functions.shutdown();
	dlclose(nvml->library);
	free(nvml);
}

static void read_identity(const struct functions *f, nvml_device device, unsigned i, struct nvml_gpu *gpu)
{
	struct pci pci = {.domain = 0};
	if (f->pci && f->pci(device, &pci) == 0)
		(void)snprintf(gpu->address, sizeof(gpu->address), "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
	else
		(void)snprintf(gpu->address, sizeof(gpu->address), "nvidia%u", i);
	if (!f->name || f->name(device, gpu->model, sizeof(gpu->model)) != 0)
		gpu->model[0] = '\0';
	gpu->model[sizeof(gpu->model) - 1] = '\0';
}

static void read_values(const struct functions *f, nvml_device device, struct nvml_gpu *gpu)
{
	struct utilisation utilisation;
	struct memory memory;
	unsigned value;
	if (f->utilisation && f->utilisation(device, &utilisation) == 0) {
		gpu->has_busy = true;
		gpu->busy_percent = utilisation.gpu;
		gpu->memory_busy_percent = utilisation.memory;
	}
	if (f->memory && f->memory(device, &memory) == 0) {
		gpu->has_memory = true;
		gpu->memory_total_bytes = memory.total;
		gpu->memory_used_bytes = memory.used;
	}
	if (f->temperature && f->temperature(device, TEMPERATURE_OF_GPU, &value) == 0) {
		gpu->has_temperature = true;
		gpu->celsius = value;
	}
	if (f->power && f->power(device, &value) == 0) {
		gpu->has_power = true;
		gpu->power_mw = value;
	}
	if (f->clock && f->clock(device, CLOCK_OF_GRAPHICS, &value) == 0) {
		gpu->has_frequency = true;
		gpu->frequency_mhz = value;
	}
}

int nvml_read(struct nvml *nvml, struct nvml_gpu *gpus, size_t max)
{
	const struct functions *f = &nvml->functions;
	unsigned count;
	int n = 0;
	if (f->count(&count) != 0)
		return -EIO;
	for (unsigned i = 0; i < count && (size_t)n < max; i++) {
		nvml_device device;
		if (f->device(i, &device) != 0)
			continue;
		gpus[n] = (struct nvml_gpu){.has_busy = false};
		read_identity(f, device, i, &gpus[n]);
		read_values(f, device, &gpus[n++]);
	}
	return n;
}
