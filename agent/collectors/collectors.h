/* The collectors of this folder, for the table in agent/collectors.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_cpu;
extern const struct collector collector_memory;
extern const struct collector collector_vmstat;
extern const struct collector collector_pressure;
extern const struct collector collector_disks;
extern const struct collector collector_filesystems;
extern const struct collector collector_network;
extern const struct collector collector_agent;
