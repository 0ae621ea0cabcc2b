/* What the programs of one object cost, measured by themselves (bpf/probe_meter.h): its map "meters", and which of them
 * is whose. The scheduler's thread. */
#pragma once

#include "agent/ebpf/programs.h"

#include <stddef.h>
#include <stdint.h>

struct bpf_object;
struct bpf_program;

/* By their numbers in the map, NULL at the end. Variants of one program share a meter: "switch" is that of "switch_btf"
 * and "switch_old_raw" too. */
typedef const char *const *meter_names;

struct meters {
	meter_names names;
	struct probe_meter *first; /* NULL: none */
	size_t bytes;
	uint32_t cpus;
};

/* Before loading: room for all programs on so many CPUs. 0, also for an object without meters, or negative errno. */
int meters_size(struct bpf_object *object, meter_names names, uint32_t cpus) __attribute__((warn_unused_result));
/* After loading. 0, also for an object without meters, or negative errno. `names` is borrowed. */
int meters_map(struct bpf_object *object, meter_names names, struct meters *ret) __attribute__((warn_unused_result));
void meters_unmap(struct meters *meters);

/* Gives a program its meter, by its name; one that has none stays without. */
void meters_give(const struct meters *meters, struct program *program);

/* Lists a program that is attached, with its meter. Without a place it is not listed, which harms nothing else. */
void meters_list_attached(struct programs *programs, const char *probe, const struct bpf_program *program,
			  const char *attach, const struct meters *meters);
