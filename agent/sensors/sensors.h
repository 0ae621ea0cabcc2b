/* The section `sensors`: temperatures, fans, power, voltages and energy from hwmon, thermal zones and powercap;
 * throttling of packages; memory errors; GPUs; how well the clock is kept. On the slow lane: a chip behind a slow bus
 * takes milliseconds to answer, some never do. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_sensors;
