/* The section `events`: marks in time. What the kernel says of failures comes from /dev/kmsg, that the clock was set or
 * the host slept from the clocks themselves, an OOM kill also from /proc/vmstat where the kernel's messages are closed
 * to the agent or were lost. All of it is of the running kernel: a recorded host has none. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_events;
