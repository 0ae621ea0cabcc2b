/* `sonde-agent doctor`: what this host allows, and what to do about the rest. Every collector is made as the agent
 * would make it and read twice; what is said of it are its own words. */
#pragma once

#include "agent/collector.h"
#include "agent/options.h"
#include "agent/sampler.h"

#include <stdio.h>

struct doctor {
	const struct collector *const *collectors;
	const struct options *options;
	const struct root *root;
	/* Makes the sampler when the host has been looked at. 0 or negative errno. */
	int (*make_sampler)(void *arg, struct sampler **ret);
	void *arg;
};

/* Writes the report to `out`. 0 when all works, 1 when something is limited or failed, or negative errno. */
int doctor_run(const struct doctor *doctor, FILE *out) __attribute__((nonnull, warn_unused_result));
