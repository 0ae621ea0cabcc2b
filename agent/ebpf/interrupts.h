/* The section `interrupts`: time in softirqs and interrupt handlers, by the programs of bpf/interrupts.bpf.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_interrupts;
