/* The unit of a metric that somebody else named, by the customary suffixes of its name: "_bytes", "_seconds_total". */
#pragma once

#include "agent/scan.h"

#include <sonde/v1/metric.pb-c.h>

/* UNIT_UNSPECIFIED when the name says nothing; a counter then counts things. */
Sonde__V1__Unit suffix_unit(struct word name, bool counter);
