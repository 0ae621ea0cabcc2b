/* Two GPUs: one that answers everything, one that answers next to nothing. FAKE_NVML_FAILS in the environment: "init"
 * or "count" fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fails(const char *what)
{
	const char *set = getenv("FAKE_NVML_FAILS");
	return set && strcmp(set, what) == 0 ? 9 : 0;
}

int nvmlInit_v2(void)
{
	return fails("init");
}

int nvmlShutdown(void)
{
	return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = 2;
	return fails("count");
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device)
{
	*device = (char *)NULL + i + 1;
	return 0;
}

static int is_first(const void *device)
{
	return (const char *)device - (const char *)NULL == 1;
}

int nvmlDeviceGetPciInfo_v3(void *device, void *info)
{
	unsigned numbers[] = {0, 0x3b, 0, 0x20b010de, 0};
	if (!is_first(device))
		return 999;
	memcpy((char *)info + 16, numbers, sizeof(numbers));
	return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned size)
{
	snprintf(name, size, "%s", is_first(device) ? "NVIDIA A100\x01\xff" : "");
	return 0;
}

int nvmlDeviceGetUtilizationRates(void *device, void *rates)
{
	unsigned percent[] = {73, 12};
	memcpy(rates, percent, sizeof(percent));
	return is_first(device) ? 0 : 3;
}

int nvmlDeviceGetMemoryInfo(void *device, void *memory)
{
	unsigned long long bytes[] = {42949672960ull, 42000000000ull, 949672960ull};
	memcpy(memory, bytes, sizeof(bytes));
	return is_first(device) ? 0 : 3;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
	*celsius = 41;
	return sensor;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
	*milliwatts = 61500;
	return is_first(device) ? 0 : 3;
}
